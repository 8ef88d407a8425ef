package paxos

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"nemesis/servers/core"
)

// messages are one of each kind.
func messages() []core.Body {
	b := Ballot{3, 2}
	batch := newBatch([]Command{{Kind: Apply, Session: 7, Seq: 1, Op: []byte("op")}, {Kind: Register, Seq: 9, Op: []byte{}}})
	return []core.Body{
		&Canvass{b, 4}, &Support{b, true, Ballot{2, 1}, 5}, &Prepare{b, 6}, &Reject{b, Ballot{9, 1}},
		&Promise{b, 7, 1, 0, 2, []Vote{{8, Ballot{1, 1}, false, batch}, {9, b, true, newBatch(nil)}}},
		&Accept{b, 10, 9, batch}, &Accepted{b, 10, 9}, &Heartbeat{b, 3, 9, 8}, &HeartbeatAck{b, 3, 9},
		&Fetch{4, true, 100, 5}, &Entries{4, []*Batch{batch, newBatch(nil)}}, &Chunk{100, 10, 5, []byte("chunk")},
		&Request{Command{Change, 1, 2, []byte{1}}}, &Reply{Apply, 1, 2, Deposed, 3, []byte("result")},
	}
}

func TestMessagesComeBackFromTheirEncoding(t *testing.T) {
	for _, m := range messages() {
		encoded := m.Append(nil)
		decoded, err := Decode(encoded)
		if err != nil {
			t.Fatalf("%T: %v", m, err)
		}
		if again := decoded.Append(nil); reflect.TypeOf(decoded) != reflect.TypeOf(m) || !bytes.Equal(again, encoded) {
			t.Errorf("%T %x comes back as %T %x", m, encoded, decoded, again)
		}
		for cut := range encoded {
			if _, err := Decode(encoded[:cut]); err == nil {
				t.Errorf("%T cut at byte %d of %d is a message", m, cut, len(encoded))
			}
		}
		if _, err := Decode(append(encoded, 0)); err == nil {
			t.Errorf("%T with a byte more is a message", m)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range messages() {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		again, err := Decode(m.Append(nil))
		if err != nil || !bytes.Equal(again.Append(nil), m.Append(nil)) {
			t.Fatalf("%x is %+v, which comes back as %+v, %v", b, m, again, err)
		}
	})
}

func newNode(t *testing.T, stored core.Stored) *Core {
	t.Helper()
	c, err := New(Options{ID: 1, App: NewKV(""), Members: []Member{{1, ""}, {2, ""}, {3, ""}}, Window: 4, LogWindow: 8}, stored)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestHostileMessagesNeitherStopNorFill gives a node messages with the worst values in random order, as if another node lied.
func TestHostileMessagesNeitherStopNorFill(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	worst := []uint64{0, 1, 2, 3, 5, 8, 1 << 31, 1 << 63, 1<<64 - 1}
	n := func() uint64 { return worst[rng.IntN(len(worst))] }
	ballot := func() Ballot { return Ballot{n(), core.Address(1 + rng.IntN(3))} }
	batch := func() *Batch {
		return newBatch([]Command{{Kind: CommandKind(1 + rng.IntN(4)), Session: n(), Seq: n(), Op: []byte{byte(rng.Uint32())}}})
	}
	for round := range 200 {
		c := newNode(t, core.Stored{})
		now := time.Duration(0)
		for range 300 {
			var m core.Body
			switch rng.IntN(14) {
			case 0:
				m = &Canvass{ballot(), Slot(n())}
			case 1:
				m = &Support{ballot(), true, ballot(), Slot(n())}
			case 2:
				m = &Prepare{ballot(), Slot(n())}
			case 3:
				m = &Promise{ballot(), Slot(n()), n(), n(), n(), []Vote{{Slot(n()), ballot(), rng.IntN(2) == 0, batch()}}}
			case 4:
				m = &Accept{ballot(), Slot(n()), Slot(n()), batch()}
			case 5:
				m = &Accepted{ballot(), Slot(n()), Slot(n())}
			case 6:
				m = &Reject{ballot(), ballot()}
			case 7:
				m = &Heartbeat{ballot(), n(), Slot(n()), Slot(n())}
			case 8:
				m = &HeartbeatAck{ballot(), n(), Slot(n())}
			case 9:
				m = &Fetch{Slot(n()), rng.IntN(2) == 0, Slot(n()), n()}
			case 10:
				m = &Entries{Slot(n()), []*Batch{batch(), batch()}}
			case 11:
				m = &Chunk{Slot(n()), n(), n(), []byte("x")}
			case 12:
				m = &Request{batch().Commands[0]}
			case 13:
				now += time.Duration(rng.IntN(int(time.Second)))
			}
			from := core.Address(1 + rng.IntN(3))
			if _, isRequest := m.(*Request); isRequest || rng.IntN(8) == 0 {
				from = core.FirstClient
			}
			c.Step(core.Event{Now: now, From: from, Body: m})
			if c.role == follower && c.Deadline() <= now {
				t.Fatalf("round %d: the node waits for a time that has passed", round)
			}
		}
		if len(c.log) > 4*8+4 {
			t.Fatalf("round %d: the log holds %d slots", round, len(c.log))
		}
	}
}

func TestClientsHaveNoPartInTheProtocol(t *testing.T) {
	c := newNode(t, core.Stored{})
	c.Step(core.Event{Now: 1})
	out := c.Step(core.Event{Now: 2, From: core.FirstClient, Body: &Prepare{Ballot{9, 2}, 0}})
	if len(out.Records) > 0 || len(out.AfterSync) > 0 {
		t.Fatalf("a client's Prepare gave %+v", out)
	}
}

// TestRestartedNodeKeepsItsLease: what a node granted before a crash holds for its whole length after it.
func TestRestartedNodeKeepsItsLease(t *testing.T) {
	c := newNode(t, core.Stored{})
	var records [][]byte
	step := func(now time.Duration, from core.Address, body core.Body) core.Output {
		out := c.Step(core.Event{Now: now, From: from, Body: body})
		records = append(records, out.Records...)
		return out
	}
	step(1, 0, nil)
	step(2, 2, &Heartbeat{Ballot{1, 2}, 1, 0, 0})
	c = newNode(t, core.Stored{Records: records})
	const restart = time.Hour
	step(restart, 0, nil)
	lease := c.opt.Lease
	if out := step(restart+lease-1, 3, &Prepare{Ballot{5, 3}, 0}); len(out.AfterSync) > 0 {
		t.Fatalf("a promise within the lease: %+v", out.AfterSync)
	}
	if out := step(restart+lease, 3, &Prepare{Ballot{5, 3}, 0}); len(out.AfterSync) != 1 {
		t.Fatalf("no promise after the lease: %+v", out)
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for why, o := range map[string]Options{
		"its number is 0":           {App: &Counter{}},
		"there is no application":   {ID: 1},
		"too rare for a view":       {ID: 1, App: &Counter{}, Heartbeat: time.Second},
		"leaves nothing of a lease": {ID: 1, App: &Counter{}, Lease: 100 * time.Millisecond, ClockError: 50 * time.Millisecond},
		"outlasts the view timeout": {ID: 1, App: &Counter{}, Lease: time.Second},
		"less than the window":      {ID: 1, App: &Counter{}, LogWindow: 3},
		"the limit is 65536":        {ID: 1, App: &Counter{}, Window: 1 << 20, LogWindow: 1 << 20},
		"a limit below 0":           {ID: 1, App: &Counter{}, BatchCount: -1},
		"a time below 0":            {ID: 1, App: &Counter{}, Retry: -1},
	} {
		if _, err := New(o, core.Stored{}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%+v: %v, want %q", o, err, why)
		}
	}
}

func TestStateComesBackFromItsEncoding(t *testing.T) {
	o, err := Options{ID: 1, App: NewKV(""), Members: []Member{{1, "a:1"}, {2, "b:2"}}, MaxSessions: 3}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s := newState(o)
	run := func(c Command) outcome { defer s.finish(); return s.apply(c, 0) }
	var sessions []uint64
	for range 5 {
		sessions = append(sessions, run(Command{Kind: Register}).session)
	}
	set := KVOp{Kind: KVSet, Key: "k", Value: []byte("v")}.Encode()
	run(Command{Kind: Apply, Session: sessions[3], Seq: 1, Op: set})
	if o := run(Command{Kind: Apply, Session: sessions[0], Seq: 1, Op: set}); o.status != Expired || o.fresh {
		t.Fatalf("a request of the least recently used session of more than 3 gives %+v", o)
	}
	run(Command{Kind: Change, Op: MemberChange{Member: Member{3, "c:3"}}.Encode()})
	if o := run(Command{Kind: Change, Op: MemberChange{Member: Member{4, "d:4"}}.Encode()}); o.status != Refused {
		t.Fatalf("a second change within the window gives %+v", o)
	}
	encoded := s.encode()
	other := newState(Options{ID: 2, App: NewKV("")})
	if err := other.restore(encoded); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(other.encode(), encoded) || !reflect.DeepEqual(other.configs, s.configs) {
		t.Fatalf("%x comes back as %x", encoded, other.encode())
	}
	for cut := range len(encoded) {
		if err := other.restore(encoded[:cut]); err == nil && !bytes.Equal(other.encode(), encoded[:cut]) {
			t.Fatalf("cut at byte %d of %d it is restored to something else", cut, len(encoded))
		}
	}
}

// TestVoteOfTheStepThatCompactsIsInTheNewLog: the log is replaced after what the step records, so the new one must have it.
func TestVoteOfTheStepThatCompactsIsInTheNewLog(t *testing.T) {
	c, err := New(Options{ID: 1, App: NewKV(""), Members: []Member{{1, ""}}, SnapshotEvery: 1, BatchDelay: time.Millisecond}, core.Stored{})
	if err != nil {
		t.Fatal(err)
	}
	var now time.Duration
	var saves []core.Snapshot
	step := func(from core.Address, body core.Body) core.Output {
		out := c.Step(core.Event{Now: now, From: from, Body: body})
		if out.Save != nil {
			saves = append(saves, *out.Save)
		}
		return out
	}
	for len(saves) == 0 {
		out := step(0, nil)
		for len(out.AfterSync) > 0 {
			more := step(1, out.AfterSync[0].Body)
			out.AfterSync = append(out.AfterSync[1:], more.AfterSync...)
		}
		now = max(now, c.Deadline())
	}
	step(core.FirstClient, &Request{Command{Kind: Register, Seq: 1}})
	now += time.Millisecond
	out := step(0, core.Saved{ID: saves[0].ID})
	if out.Compact == nil || len(out.AfterSync) != 1 {
		t.Fatalf("the step neither compacts nor votes: %+v", out)
	}
	vote := out.AfterSync[0].Body.(*Accepted)
	again, err := New(Options{ID: 1, App: NewKV("")}, core.Stored{Snapshot: &saves[0], Records: out.Compact.Records})
	if err != nil {
		t.Fatal(err)
	}
	if e := again.log[vote.Slot]; e == nil || e.vote != vote.Ballot {
		t.Fatalf("the vote in slot %d is not in the new log", vote.Slot)
	}
}
