package shardkv

import (
	"testing"

	"nemesis/servers/core"
)

// copyTo drives one copy as a holder does that goes where it is told, and says whether it arrived within some messages.
func copyTo(t *testing.T, s *Store, m Copy, whole []byte) bool {
	const chunk = 7
	m.Size = uint64(len(whole))
	for range 4 * (len(whole)/chunk + 1) {
		end := min(m.Offset+chunk, m.Size)
		part := m
		part.Data = whole[m.Offset:end]
		out := s.Step(core.Event{Now: 2, From: StoreOf(2), Body: &part})
		for _, answer := range append(out.Send, out.AfterSync...) {
			if c, is := answer.Body.(*Copied); is && c.Seq == m.Seq && c.Epoch == m.Epoch {
				m.Offset = c.Offset
			}
		}
		if m.Offset == m.Size {
			return s.replicas[m.Shard].incoming == nil && s.replicas[m.Shard].epoch == m.Epoch
		}
	}
	return false
}

// TestACopyArrivesAfterAnotherOneOfItsEpoch: a holder whose backup was given up and came back makes another copy in the same
// epoch, which may have the same last write and be shorter, once inherited writes have taken effect; and chunks of the former one
// may come late.
func TestACopyArrivesAfterAnotherOneOfItsEpoch(t *testing.T) {
	short := newReplica(Shard{ID: 1, Epoch: 3})
	short.seq = 5
	short.data["key"] = []byte("a value of more than one chunk")
	long := newReplica(Shard{ID: 1, Epoch: 3})
	long.seq, long.data = short.seq, short.data
	long.recent = []inherited{{seq: 5, op: Op{Client: 1, Seq: 1, Kind: Set, Key: "key", Value: []byte("value")}}}
	earlier := newReplica(Shard{ID: 1, Epoch: 3})
	earlier.seq = 4
	for name, former := range map[string]*replica{"of the same write": long, "of an earlier write": earlier} {
		t.Run(name, func(t *testing.T) {
			s, err := NewStore(StoreOptions{ID: StoreOf(1), Grantors: []core.Address{1}, Lease: Lease{Length: 100, ClockError: 1, Retry: 10}}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.Step(core.Event{Now: 1})
			whole := former.encode()
			first := Copy{Shard: 1, Epoch: 3, Seq: former.seq, Size: uint64(len(whole)), Data: whole[:7]}
			s.Step(core.Event{Now: 2, From: StoreOf(2), Body: &first})

			whole = short.encode()
			second := Copy{Shard: 1, Epoch: 3, Seq: short.seq, Size: uint64(len(whole)), Data: whole[:7]}
			s.Step(core.Event{Now: 2, From: StoreOf(2), Body: &second})
			s.Step(core.Event{Now: 2, From: StoreOf(2), Body: &first}) // late
			second.Offset = 7                                          // as far as the holder knows
			if !copyTo(t, s, second, whole) {
				t.Errorf("the copy does not arrive: %s", s.Describe())
			}
		})
	}
}

// TestWritesThatComeTooEarlyWait brings a backup its writes in reverse order, and some twice.
func TestWritesThatComeTooEarlyWait(t *testing.T) {
	s, err := NewStore(StoreOptions{ID: StoreOf(1), Grantors: []core.Address{1}, Lease: Lease{Length: 100, ClockError: 1, Retry: 10}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Step(core.Event{Now: 1})
	whole := newReplica(Shard{ID: 1, Epoch: 3}).encode()
	if !copyTo(t, s, Copy{Shard: 1, Epoch: 3}, whole) {
		t.Fatal("the copy does not arrive")
	}
	write := func(epoch, seq uint64) (acked uint64) {
		op := Op{Client: 1, Seq: seq, Kind: Append, Key: "k", Value: []byte{byte('a' + seq - 1)}}
		out := s.Step(core.Event{Now: 2, From: StoreOf(2), Body: &Replicate{1, epoch, seq, 0, op}})
		for _, m := range out.AfterSync {
			if a, is := m.Body.(*Replicated); is {
				acked = a.Seq
			}
		}
		return acked
	}
	for seq := uint64(5); seq > 1; seq-- {
		if acked := write(3, seq); acked != 0 {
			t.Errorf("write %d was acknowledged before those before it", acked)
		}
	}
	write(2, 6) // of an epoch that is over
	write(3, 3)
	if acked := write(3, 1); acked != 5 {
		t.Errorf("write %d was acknowledged last, want 5", acked)
	}
	if r := s.replicas[1]; string(r.data["k"]) != "abcde" || len(r.early) != 0 || r.seq != 5 {
		t.Errorf("it has %q, %d writes wait, the last one is %d", r.data["k"], len(r.early), r.seq)
	}
	if write(3, 5+window+1); len(s.replicas[1].early) != 0 {
		t.Error("a write beyond the window is kept")
	}
}

// TestABackupThatIsBehindGetsMoreWithEachAcknowledgement: it catches up without waiting for anything to be sent again.
func TestABackupThatIsBehindGetsMoreWithEachAcknowledgement(t *testing.T) {
	s, err := NewStore(StoreOptions{ID: StoreOf(1), Grantors: []core.Address{1}, Lease: Lease{Length: 100, ClockError: 1, Retry: 10}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newReplica(Shard{ID: 1, Epoch: 1})
	r.holds, r.backups = true, map[core.Address]*backup{StoreOf(2): {ready: true}}
	s.put(r)
	const writes = 5*window + 1
	for seq := uint64(1); seq <= writes; seq++ {
		w := &write{seq: seq}
		r.pending, r.log = append(r.pending, w), append(r.log, w)
	}
	s.stream(r, StoreOf(2))
	sent, next := s.out.Send, uint64(1)
	s.out = core.Output{}
	for len(sent) > 0 {
		m, is := sent[0].Body.(*Replicate)
		sent = sent[1:]
		if !is {
			continue
		}
		if m.Seq != next {
			t.Fatalf("write %d was sent, want %d", m.Seq, next)
		}
		next++
		if len(sent) > window {
			t.Fatalf("%d writes are under way", len(sent))
		}
		s.onReplicated(StoreOf(2), &Replicated{1, 1, m.Seq})
		sent = append(sent, s.out.Send...)
		s.out = core.Output{}
	}
	if next != writes+1 {
		t.Errorf("%d of %d writes were sent", next-1, writes)
	}
}
