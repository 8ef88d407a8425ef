package faultfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A call that a rule holds is struck by what comes into force meanwhile: a fault that
// begins before the n-th sync strikes that sync.
func TestRuleStrikesACallThatIsHeld(t *testing.T) {
	d := newMount(t, false)
	f, err := os.Create(filepath.Join(d.Path, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := d.set(Rule{ID: "w", Do: HoldBefore, Ops: []string{"sync"}, From: 2, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	synced := make(chan error, 1)
	go func() { synced <- f.Sync() }()
	for end := time.Now().Add(time.Minute); d.stats().Rules["w"].Waiting == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the second sync is not held")
		}
	}
	if err := d.set(Rule{ID: "f", Do: Fail, Error: "EIO", Ops: []string{"sync"}}); err != nil {
		t.Fatal(err)
	}
	d.clear("w")
	if err := <-synced; !errors.Is(err, unix.EIO) {
		t.Errorf("the sync that was held: %v", err)
	}
	d.clear("f")
	if err := f.Sync(); err != nil {
		t.Error(err)
	}
}

// The kernel holds a page that it has not read and of which a part is written until the write is answered, and does not
// forget it before: rules change all the same.
func TestRulesChangeWhileAWriteHangs(t *testing.T) {
	d := newMount(t, false)
	path := filepath.Join(d.Path, "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := d.set(Rule{ID: "w", Do: Stall, Ops: []string{"write"}}); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { _, err := f.WriteAt([]byte("x"), 0); written <- err }()
	for end := time.Now().Add(time.Minute); d.stats().Rules["w"].Waiting == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the write does not hang")
		}
	}
	changed := make(chan error, 1)
	go func() {
		err := d.set(Rule{ID: "r", Do: Flip})
		d.clear("r")
		d.clear("w")
		changed <- err
	}()
	select {
	case err := <-changed:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("rules do not change while a write hangs")
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}
