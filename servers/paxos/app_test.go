package paxos

import (
	"bytes"
	"testing"

	"nemesis/servers/core"
	"nemesis/servers/wire"
)

func TestPartsOfATransactionHappenTogether(t *testing.T) {
	kv := NewKV("")
	do := func(parts ...KVOp) []byte { return KVOp{Kind: KVTransact, Parts: parts}.Encode() }
	got := kv.Apply(do(
		KVOp{Kind: KVAppend, Key: "a", Value: []byte("1,")},
		KVOp{Kind: KVGet, Key: "a"},
		KVOp{Kind: KVCAS, Key: "b", Value: []byte("x"), Expect: []byte("no")},
		KVOp{Kind: KVAppend, Key: "a", Value: []byte("2,")},
		KVOp{Kind: KVGet, Key: "b"},
	))
	want := []byte{byte(KVDone)}
	for _, part := range [][]byte{{byte(KVDone)}, append([]byte{byte(KVFound)}, "1,"...), {byte(KVMismatch)}, {byte(KVDone)}, {byte(KVAbsent)}} {
		want = wire.AppendBytes(want, part)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("the transaction gave %q, want %q", got, want)
	}
	before := kv.Snapshot()
	read := kv.Query(do(KVOp{Kind: KVGet, Key: "a"}))
	if want := wire.AppendBytes([]byte{byte(KVDone)}, append([]byte{byte(KVFound)}, "1,2,"...)); !bytes.Equal(read, want) {
		t.Errorf("the query of a transaction gave %q, want %q", read, want)
	}
	set := KVOp{Kind: KVSet, Key: "a"}
	nested := KVOp{Kind: KVTransact, Parts: []KVOp{{Kind: KVTransact, Parts: []KVOp{set}}}}.Encode()
	for name, result := range map[string][]byte{
		"a query that writes":             kv.Query(do(set)),
		"a transaction in another":        kv.Apply(nested),
		"a transaction that is cut short": kv.Apply(do(set, set)[:9]),
		"a part of no kind":               kv.Apply(do(set, KVOp{Kind: 99})),
	} {
		if !bytes.Equal(result, []byte{byte(KVInvalid)}) {
			t.Errorf("%s gave %q, and must be invalid", name, result)
		}
	}
	if !bytes.Equal(kv.Snapshot(), before) {
		t.Error("what was invalid changed the map")
	}
}

// TestNodeTellsWhereItStands asks a group of one before and after it has elected itself, as a client and over the wire.
func TestNodeTellsWhereItStands(t *testing.T) {
	c, err := New(Options{ID: 1, App: &Counter{}, Members: []Member{{ID: 1}}}, core.Stored{})
	if err != nil {
		t.Fatal(err)
	}
	client := core.FirstClient + 7
	ask := func(at core.Event) Standing {
		t.Helper()
		body, err := Decode((&Inquiry{}).Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		at.From, at.Body = client, body
		for _, m := range c.Step(at).Send {
			if m.To == client {
				answer, err := Decode(m.Body.Append(nil))
				if err != nil {
					t.Fatal(err)
				}
				return *answer.(*Standing)
			}
		}
		t.Fatal("no answer to an inquiry")
		return Standing{}
	}
	if s := ask(core.Event{}); s.Leader != 0 || s.Promised != (Ballot{}) {
		t.Fatalf("a node that has just started says %+v", s)
	}
	var now core.Event
	var own []core.Message
	for range 100 {
		if len(own) > 0 {
			now.From, now.Body, own = 1, own[0].Body, own[1:]
		} else {
			now = core.Event{Now: max(now.Now, c.Deadline())}
		}
		own = append(own, c.Step(now).AfterSync...)
	}
	ballot, leads := c.Leading()
	if s := ask(core.Event{Now: now.Now}); !leads || s.Leader != 1 || s.Promised != ballot || s.Executed == 0 {
		t.Fatalf("a node that leads (%v, with %v) says %+v", leads, ballot, s)
	}
}
