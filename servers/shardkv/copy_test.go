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
