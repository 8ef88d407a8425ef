package shardkv

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func dialFakes(t *testing.T, nodes ...*fake) *Map {
	var addresses []netip.AddrPort
	for _, f := range nodes {
		addresses = append(addresses, f.address)
	}
	m := Dial(addresses, time.Minute, 7)
	t.Cleanup(func() { m.Close() })
	return m
}

// asked is how many operations a fake was asked for.
func (f *fake) asked() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.got)
}

// hold makes a node the holder of all keys in the map that the fake gives out.
func (f *fake) hold(node uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shards[0].holder = firstStore + node
}

// TestMapAsksTheHolderAtOnce: nobody else is asked, neither the first time nor later.
func TestMapAsksTheHolderAtOnce(t *testing.T) {
	grantor, holder := startFake(t, silent), startFake(t, answers(done, true, "v", firstStore+2, 1))
	grantor.hold(2)
	m := dialFakes(t, grantor, holder)
	for range 3 {
		if v, err := m.Get(t.Context(), []byte("k")); err != nil || string(v) != "v" {
			t.Fatalf("%q, %v", v, err)
		}
	}
	if err := m.Set(t.Context(), []byte("k"), []byte("w")); err != nil {
		t.Fatal(err)
	}
	if grantor.asked() != 0 || holder.asked() != 4 {
		t.Errorf("the holder was asked %d times of 4, another node %d times", holder.asked(), grantor.asked())
	}
}

// TestMapFollowsAMove: it is sent on once, and asks the new holder from then on.
func TestMapFollowsAMove(t *testing.T) {
	old, holder := startFake(t, answers(done, true, "v", firstStore+1, 1), answers(redirect, false, "", firstStore+2, 0)), startFake(t, answers(done, true, "v", firstStore+2, 2))
	m := dialFakes(t, old, holder)
	for i := range 4 {
		if i == 1 {
			old.hold(2)
		}
		if _, err := m.Get(t.Context(), []byte("k")); err != nil {
			t.Fatal(err)
		}
	}
	if old.asked() != 2 || holder.asked() != 3 {
		t.Errorf("the old holder was asked %d times, want 2, the new one %d, want 3", old.asked(), holder.asked())
	}
}

func TestMapTellsThatAKeyHasNoValue(t *testing.T) {
	m := dialFakes(t, startFake(t, answers(done, false, "", firstStore+1, 1)))
	if _, err := m.Get(t.Context(), []byte("k")); !errors.Is(err, ErrAbsent) {
		t.Errorf("got %v", err)
	}
}
