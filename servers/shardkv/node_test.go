package shardkv

import (
	"bytes"
	"testing"

	"nemesis/servers/core"
	"nemesis/servers/paxos"
)

// TestMessagesAreDecodedAsTheyWereSent encodes each message, and cuts it at each byte.
func TestMessagesAreDecodedAsTheyWereSent(t *testing.T) {
	op := Op{Client: 1 << 60, Seq: 2, Kind: CAS, Key: "k\x00", Value: []byte("v"), Expect: []byte("e"), Absent: true}
	for _, m := range []core.Body{
		&op, &Result{3, Redirect, true, []byte("v"), StoreOf(2), 9}, &Copy{1, 2, 3, 4, 5, []byte("data")}, &Copied{1, 2, 3, 4},
		&Replicate{1, 2, 3, 4, op}, &Replicated{1, 2, 3}, &Between{StorePart, GrantorPart, &Replicated{1, 2, 3}},
		&paxos.Inquiry{}, &Between{GrantorPart, StorePart, &paxos.Reply{Seq: 4, Result: []byte("r")}},
	} {
		whole := m.Append(nil)
		got, err := Decode(whole)
		if err != nil || !bytes.Equal(got.Append(nil), whole) {
			t.Errorf("%T is decoded as %+v (%v)", m, got, err)
		}
		for cut := range whole {
			if got, err := Decode(whole[:cut]); err == nil {
				t.Errorf("%T cut at byte %d is decoded as %+v", m, cut, got)
			}
		}
		if _, err := Decode(append(whole, 0)); err == nil {
			t.Errorf("%T with a byte too many is decoded", m)
		}
	}
	if _, err := Decode((&Between{StorePart, StorePart, &Between{StorePart, StorePart, &Copied{}}}).Append(nil)); err == nil {
		t.Error("a message between parts in another one is decoded")
	}
}

// TestClientsHaveNoPartInTheProtocol has a client send what only nodes send.
func TestClientsHaveNoPartInTheProtocol(t *testing.T) {
	n, err := NewNode(NodeOptions{ID: 1, Members: []paxos.Member{{ID: 1}}, Factor: 1, Lease: Lease{Length: 100, ClockError: 1, Retry: 10}}, core.Stored{})
	if err != nil {
		t.Fatal(err)
	}
	n.Step(core.Event{Now: 1})
	for _, body := range []core.Body{
		&Between{StorePart, StorePart, &Copy{Shard: 7, Epoch: 9, Size: 1, Data: []byte{1}}}, &Copy{Shard: 7, Epoch: 9, Size: 1, Data: []byte{1}},
		&Replicate{Shard: 1, Epoch: 1, Seq: 1}, &paxos.Accept{}, &Result{},
	} {
		out := n.Step(core.Event{Now: 2, From: core.FirstClient, Body: body})
		if len(out.Send)+len(out.AfterSync)+len(out.Records) > 0 || len(n.Store().replicas) > 0 {
			t.Errorf("%T of a client does %+v", body, out)
		}
	}
}
