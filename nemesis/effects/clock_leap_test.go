package effects

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// leapwork is a clockwork that inserts announced leap seconds, as the kernel does: at midnight,
// if the announcement was there when the second before began.
type leapwork struct{ *clockwork }

func (k leapwork) wait(d time.Duration) {
	const day = int64(24 * time.Hour)
	for end := k.Raw + int64(d); k.Raw < end; {
		before := k.Wall / day
		k.pass(10 * time.Millisecond)
		if k.running.Status&insertSecond != 0 && k.Wall/day > before {
			k.Wall -= int64(time.Second)
			k.running.TAI++
			// It inserts one, and no more until it is announced anew.
			k.pass(time.Second)
		}
	}
}

func (k leapwork) shift(by time.Duration) error {
	k.running.Status &^= insertSecond // as ntp_clear does
	return k.clockwork.shift(by)
}

func TestLeapSecondComesOnceAndIsUndone(t *testing.T) {
	k := leapwork{newClockwork()}
	k.running.TAI = 37
	before, dir := k.running, t.TempDir()
	b := clockChanger{k, note{filepath.Join(dir, LeapKind+".f1.json")}}
	if err := b.leap(); err != nil {
		t.Fatal(err)
	}
	if e, err := b.probeLeap(); err != nil || e.Confirmed || e.Undone || e.Summary != "machine: the leap second has not come yet" {
		t.Errorf("before: %+v, %v", e, err)
	}
	if err := b.leap(); err != nil { // again
		t.Fatal(err)
	}
	k.wait(4 * time.Second)
	if e, err := b.probeLeap(); err != nil || !e.Confirmed || !strings.Contains(e.Summary, "has gone -1s since") {
		t.Errorf("after: %+v, %v", e, err)
	}
	if err := (clockChanger{k, note{filepath.Join(dir, LeapKind+".f2.json")}}).leap(); err == nil || !strings.Contains(err.Error(), "another fault, f1, has changed") {
		t.Errorf("a second one: %v", err)
	}
	if err := b.unbend(); err != nil {
		t.Fatal(err)
	}
	if e, err := b.probeUndone(); err != nil || !e.Confirmed {
		t.Errorf("undone: %+v, %v", e, err)
	}
	if k.running != before {
		t.Errorf("the clock runs as %+v, before %+v", k.running, before)
	}
}

func TestClockThatSomebodySetIsNoLeapSecond(t *testing.T) {
	k := leapwork{newClockwork()}
	b := clockChanger{k, note{filepath.Join(t.TempDir(), LeapKind+".f1.json")}}
	if err := b.leap(); err != nil {
		t.Fatal(err)
	}
	k.Wall -= int64(3 * time.Hour)
	if e, err := b.probeLeap(); err != nil || e.Confirmed || !e.Undone {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestLeapSecondOfALocalNodeIsRefusedInOneLine(t *testing.T) {
	err := (&Leap{}).Check(nil)
	if err == nil {
		t.Skip("this is a machine of its own")
	}
	if strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "the machine's clock cannot be changed: ") && !strings.HasPrefix(err.Error(), "the machine's clock can only be changed on Linux") {
		t.Error(err)
	}
}
