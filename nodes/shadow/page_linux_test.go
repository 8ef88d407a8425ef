package shadow

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func newPage(t testing.TB) (*Page, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clock")
	p, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, path
}

func TestNextAgentUndoesWhatTheLastLeftInForce(t *testing.T) {
	first, path := newPage(t)
	if got := first.Load(); got != Identity() {
		t.Errorf("a new page changes the clocks: %+v", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		want := anyParams().Draw(t, "params")
		first.Store(want)
		second, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if diff := cmp.Diff(want, second.Load()); diff != "" {
			t.Fatalf("another mapping of the page (-want +got):\n%s", diff)
		}
		second.Store(Identity())
		if got := first.Load(); got != Identity() {
			t.Fatalf("reset by another agent, it still changes: %+v", got)
		}
	})
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the page lie %v (%v)", left, err)
	}
}

func TestAWriterKilledInTheMiddleChangesNothing(t *testing.T) {
	p, path := newPage(t)
	want := Params{}.Jump(time.Minute, 0)
	p.Store(want)
	// It had written half of the next table, and got no further.
	for id := range slots / 2 {
		for i := range slotSize / 8 {
			p.word(slotAt(uint64(p.word(generationAt).Load())+1, id) + 8*i).Store(-12345)
		}
	}
	next, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if diff := cmp.Diff(want, next.Load()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = want.Jump(time.Second, 0)
	next.Store(want)
	if diff := cmp.Diff(want, p.Load()); diff != "" {
		t.Errorf("after the next change (-want +got):\n%s", diff)
	}
}

func TestWriterKilledBeforeAClockChangeDelaysReadersBriefly(t *testing.T) {
	p, path := newPage(t)
	limits := func() (set int) {
		for id := range (Readings{}).slots() {
			if p.word(slotAt(uint64(p.word(generationAt).Load()), id)+untilAt).Load() != 0 {
				set++
			}
		}
		return set
	}
	p.Change(Now, func(p Params, at Readings) Params { return p.Turn(at, One, One) })
	if n := limits(); n != 0 {
		t.Errorf("the change is made, and %d clocks await another", n)
	}
	p.limit(Now())
	if n := limits(); n != len((Readings{}).slots()) {
		t.Errorf("a change is to come, and %d clocks await it", n)
	}
	next, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if n := limits(); n != 0 {
		t.Errorf("the next agent is there, and %d clocks await the last one", n)
	}
}

func TestPagesThatAreNotOpened(t *testing.T) {
	_, good := newPage(t)
	if _, err := Create(good); err == nil || !strings.Contains(err.Error(), "it exists") {
		t.Errorf("Create over a page that exists: %v", err)
	}
	if _, err := Create(filepath.Join(good, "clock")); err == nil {
		t.Error("Create below a file: no error")
	}
	if _, err := Open(good + ".missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of no file: %v", err)
	}
	for says, c := range map[string]struct {
		content []byte
		want    string
	}{
		"an empty file":  {nil, "it has 0 bytes"},
		"a longer file":  {make([]byte, Size+1), "it has 65537 bytes"},
		"nothing of us":  {make([]byte, Size), "it is no clock page"},
		"another layout": {append([]byte(magic+"\x09"), make([]byte, Size-9)...), "its layout is version 9"},
	} {
		path := filepath.Join(t.TempDir(), "clock")
		if err := os.WriteFile(path, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", says, err, c.want)
		}
	}
}

// A clock in a test: it shows the next reading of a list, on all timescales.
func showing(ns ...int64) func() Readings {
	return func() Readings {
		now := ns[0]
		ns = ns[1:]
		return Readings{Wall: now, TAI: now, Mono: now, Raw: now, Boot: now}
	}
}

func TestClockChangeIsPublishedBeforeItTakesEffect(t *testing.T) {
	lead := int64(Lead)
	for _, c := range []struct {
		says  string
		base  int64 // of the turn in force
		now   []int64
		turns int64
	}{
		{"in time", 0, []int64{100, 200}, 100 + lead},
		{"held up for longer than the lead", 0, []int64{100, 100 + lead, 9e9, 9e9 + 1}, 9e9 + lead},
		{"an earlier turn is still to come: both at that", 500, []int64{100, 200}, 500},
		{"it comes while the change is made", 500, []int64{100, 600, 700, 800}, 700 + lead},
		{"the machine's clock was set back: that turn is forgotten", 1e15, []int64{100, 200}, 100 + lead},
	} {
		t.Run(c.says, func(t *testing.T) {
			p, _ := newPage(t)
			old := Clock{Base: c.base, After: One}
			p.Store(Params{Wall: old, TAI: old, Mono: old, Raw: old, Boot: old})
			got := p.Change(showing(c.now...), func(p Params, at Readings) Params { return p.Turn(at, -One, -One) })
			want := Clock{Base: c.turns, Offset: old.At(c.turns) - c.turns, After: -One}
			if c.base < c.turns { // what holds until the turn
				want.Before = One
			}
			if diff := cmp.Diff(Params{want, want, want, want, want}, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(got, p.Load()); diff != "" {
				t.Errorf("in force (-returned +loaded):\n%s", diff)
			}
		})
	}
}

func TestNowReadsFiveClocks(t *testing.T) {
	a, b := Now(), Now()
	if b.before(a) || a.Wall < 1e18 || a.Mono <= 0 || a.Raw <= 0 || a.Boot < a.Mono || a.TAI < a.Wall {
		t.Errorf("first %+v, then %+v", a, b)
	}
}
