package effects

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nemesis/history"
)

// clockwork is a machine's kernel made of arithmetic. Its raw clock only moves when the
// test says so, and a little at every reading.
type clockwork struct {
	instant
	running pace
	bootID  string
	fail    map[string]bool
	exact   float64 // what the clocks gain below a nanosecond
}

func newClockwork() *clockwork {
	return &clockwork{
		instant: instant{Wall: 1_800_000_000e9, Mono: 500e9, Raw: 400e9, Took: 200},
		running: pace{Tick: plainTick, Freq: 12 * 65536, Status: 0x2001}, bootID: "one", fail: map[string]bool{},
	}
}

func (k *clockwork) pass(d time.Duration) {
	gained := float64(d)*k.running.rate() + k.exact
	whole := math.Floor(gained)
	k.exact = gained - whole
	k.Raw += int64(d)
	k.Wall += int64(whole)
	k.Mono += int64(whole)
}

func (k *clockwork) now() (instant, error) {
	k.pass(time.Microsecond)
	return k.instant, k.wrong("now")
}

func (k *clockwork) shift(by time.Duration) error {
	if err := k.wrong("shift"); err != nil {
		return err
	}
	k.Wall += int64(by)
	return nil
}

func (k *clockwork) pace() (pace, error) { return k.running, k.wrong("pace") }

func (k *clockwork) setPace(p pace) error {
	if err := k.wrong("set pace"); err != nil {
		return err
	}
	if p.Tick < 9000 || p.Tick > 11000 || p.Freq < -mostFreq || p.Freq > mostFreq {
		return errors.New("invalid argument")
	}
	k.running = p
	return nil
}

func (k *clockwork) boot() string { return k.bootID }

func (k *clockwork) wrong(call string) error {
	if k.fail[call] {
		return errors.New("operation not permitted")
	}
	return nil
}

func machineNote(dir string) note { return note{filepath.Join(dir, MachineKind+".f1.json")} }

func wallBy(d time.Duration) history.ClockChange {
	return history.ClockChange{Of: history.WallClock, Jump: history.Duration(d), Rate: 1}
}

func bothAt(rate float64) history.ClockChange {
	return history.ClockChange{Of: history.BothClocks, Rate: rate}
}

func TestAMachinesClockComesBackToTheTruth(t *testing.T) {
	home, tries := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		tries++
		dir := filepath.Join(home, strconv.Itoa(tries))
		k := newClockwork()
		k.running.Freq = rapid.Int64Range(-mostFreq/10, mostFreq/10).Draw(t, "freq")
		before, truth := k.running, newClockwork()
		truth.running = before
		change := wallBy(time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(100*time.Hour)).Draw(t, "jump")))
		if rapid.Bool().Draw(t, "back") {
			change.Jump = -change.Jump
		}
		if rapid.Bool().Draw(t, "drift") {
			change = bothAt(rapid.SampledFrom([]float64{0.9, 0.95, 0.999, 1.001, 1.05, 1.1}).Draw(t, "rate"))
		}
		b := clockChanger{k, machineNote(dir)}
		for range rapid.IntRange(1, 3).Draw(t, "applied") {
			if err := b.change(change); err != nil {
				t.Fatal(err)
			}
			k.pass(time.Duration(rapid.IntRange(0, 1000).Draw(t, "ms")) * time.Millisecond)
		}
		k.pass(100 * time.Millisecond)
		e, err := b.probe(change)
		if err != nil || !e.Confirmed {
			t.Fatalf("in force: %v, %q, %v", e.Confirmed, e.Summary, err)
		}
		if k.running.Status&unsynchronised == 0 || k.running.Status&steered != 0 {
			t.Fatalf("the kernel may steer its clock, or write it to the battery-backed one: %+v", k.running)
		}
		k.pass(time.Duration(rapid.IntRange(0, 600).Draw(t, "seconds")) * time.Second)
		other := clockChanger{k, machineNote(dir)} // another process
		for range rapid.IntRange(1, 2).Draw(t, "undone") {
			if err := other.unbend(); err != nil {
				t.Fatal(err)
			}
		}
		if k.running != before {
			t.Fatalf("it runs at %+v, before at %+v", k.running, before)
		}
		truth.pass(time.Duration(k.Raw - truth.Raw))
		if off := time.Duration(k.Wall - truth.Wall).Abs(); off > 10*time.Microsecond {
			t.Fatalf("the time of day is off by %s", off)
		}
		if e, err := other.probeUndone(); err != nil || !e.Confirmed {
			t.Fatalf("undone: %v, %q, %v", e.Confirmed, e.Summary, err)
		}
	})
}

// A clock that somebody sets right, or lets run right, while it should be wrong is not
// changed any more.
func TestAMachinesClockThatSomebodySetIsNoticed(t *testing.T) {
	for name, story := range map[string]struct {
		change history.ClockChange
		mend   func(*clockwork)
	}{
		"the time of day": {wallBy(time.Hour), func(k *clockwork) { k.Wall -= int64(time.Hour) }},
		"half of it":      {wallBy(time.Hour), func(k *clockwork) { k.Wall -= int64(time.Hour / 2) }},
		"the rate":        {bothAt(1.1), func(k *clockwork) { k.running = newClockwork().running; k.pass(time.Minute) }},
	} {
		t.Run(name, func(t *testing.T) {
			k := newClockwork()
			b := clockChanger{k, machineNote(t.TempDir())}
			if err := b.change(story.change); err != nil {
				t.Fatal(err)
			}
			k.pass(time.Second)
			if e, err := b.probeInForce(story.change); err != nil || !e.Confirmed || e.Undone {
				t.Fatalf("%+v, %v", e, err)
			}
			story.mend(k)
			if e, err := b.probeInForce(story.change); err != nil || e.Confirmed || !e.Undone {
				t.Errorf("%+v, %v", e, err)
			}
		})
	}
}

func TestAMachineThatRebootedKeepsTheTimeItFound(t *testing.T) {
	for name, story := range map[string]struct {
		boots time.Duration // what the battery-backed clock says, after the time before
		want  time.Duration
	}{
		"a battery-backed clock that went on": {time.Minute, time.Minute},
		"a machine that has none":             {-20 * 365 * 24 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			k := newClockwork()
			b := clockChanger{k, machineNote(t.TempDir())}
			began := k.Wall
			if err := b.change(wallBy(time.Hour)); err != nil {
				t.Fatal(err)
			}
			fresh := newClockwork()
			fresh.bootID, fresh.Wall, fresh.Mono, fresh.Raw = "two", began+int64(story.boots), 9e9, 9e9
			after := clockChanger{fresh, b.note}
			if e, err := after.probe(wallBy(time.Hour)); err != nil || e.Confirmed {
				t.Errorf("%v, %q, %v", e.Confirmed, e.Summary, err)
			}
			if err := after.unbend(); err != nil {
				t.Fatal(err)
			}
			if off := time.Duration(fresh.Wall - began); (off - story.want).Abs() > time.Millisecond {
				t.Errorf("the time of day is %s after the fault, want %s", off, story.want)
			}
			if e, err := after.probeUndone(); err != nil || !e.Confirmed {
				t.Errorf("%v, %q, %v", e.Confirmed, e.Summary, err)
			}
		})
	}
}

func TestAMachineThatSleptDidNotLoseThatTime(t *testing.T) {
	k := newClockwork()
	b := clockChanger{k, machineNote(t.TempDir())}
	began := k.Wall
	if err := b.change(bothAt(1.05)); err != nil {
		t.Fatal(err)
	}
	k.Asleep, k.Wall = k.Asleep+int64(time.Hour), k.Wall+int64(time.Hour) // raw and monotonic clocks stood still
	k.pass(time.Second)
	if err := b.unbend(); err != nil {
		t.Fatal(err)
	}
	if gone := time.Duration(k.Wall - began); (gone - time.Hour - time.Second).Abs() > time.Millisecond {
		t.Errorf("%s went by, not an hour and a second", gone)
	}
}

func TestAMachinesClockThatIsNotOursToChange(t *testing.T) {
	dir := t.TempDir()
	k := newClockwork()
	k.fail["set pace"] = true
	b := clockChanger{k, machineNote(dir)}
	want := "change the rate of the machine's clock: operation not permitted"
	if err := b.change(wallBy(time.Hour)); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := b.unbend(); err != nil {
		t.Errorf("undo what never happened: %v", err)
	}
	k.fail = map[string]bool{"shift": true}
	if err := b.change(wallBy(time.Hour)); err == nil || !strings.Contains(err.Error(), "set the machine's clock") {
		t.Errorf("got %v", err)
	}
	k.fail = nil
	if err := b.unbend(); err != nil {
		t.Fatal(err)
	}
	if k.running.Status&unsynchronised != 0 {
		t.Errorf("the clock was left running as %+v", k.running)
	}
	// A second fault has to wait for the first.
	if err := b.change(wallBy(time.Hour)); err != nil {
		t.Fatal(err)
	}
	second := clockChanger{k, note{filepath.Join(dir, MachineKind+".f2.json")}}
	if err := second.change(bothAt(0.9)); err == nil || !strings.Contains(err.Error(), "another fault, f1, has changed it already") {
		t.Errorf("got %v", err)
	}
	// Somebody else corrects the clock: a time service that was not stopped.
	k.Wall -= int64(time.Hour)
	if e, err := b.probe(wallBy(time.Hour)); err != nil || e.Confirmed {
		t.Errorf("%v, %q, %v", e.Confirmed, e.Summary, err)
	}
}

func TestWhatAMachinesClockCanDo(t *testing.T) {
	for want, change := range map[string]history.ClockChange{
		"": wallBy(-time.Hour),
		"a machine's monotonic clock cannot be set":                                        {Of: history.BothClocks, Jump: 1, Rate: 1},
		"a machine's clock jumps or drifts, not both":                                      {Of: history.WallClock, Jump: 1, Rate: 1.01},
		"a machine's wall and monotonic clocks drift together: the change must be of both": {Of: history.MonotonicClock, Rate: 0.95},
		"a machine's clock cannot run at 0.5 of its rate, only at 0.9 to 1.1":              bothAt(0.5),
		`"" is not wall, monotonic or both`:                                                {},
	} {
		if err := MachineCan(change); (want == "") != (err == nil) || err != nil && err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	for _, rate := range []float64{0.9, 1.1} {
		if err := MachineCan(bothAt(rate)); err != nil {
			t.Error(err)
		}
	}
}

// staff are services that only exist in a test.
type staff struct {
	on      map[string]bool
	refuses map[string]bool
}

func (s staff) runs(name string) bool { return s.on[name] }

func (s staff) set(name string, on bool) error {
	if s.refuses[name] {
		return errors.New("exit status 1: access denied")
	}
	s.on[name] = on
	return nil
}

func (s staff) stop(name string) error  { return s.set(name, false) }
func (s staff) start(name string) error { return s.set(name, true) }

func TestTimeServicesThatRanRunAgain(t *testing.T) {
	names := []string{"chrony", "ntp", "vmtoolsd"}
	s := staff{on: map[string]bool{"chrony": true, "vmtoolsd": true}, refuses: map[string]bool{}}
	q := quiet{s, note{filepath.Join(t.TempDir(), "services.json")}}
	told := func(inForce, confirmed bool, summary string) {
		t.Helper()
		if e, err := q.probe(names, inForce); err != nil || e.Confirmed != confirmed || e.Summary != summary {
			t.Errorf("%v, %q, %v; want %v, %q", e.Confirmed, e.Summary, err, confirmed, summary)
		}
	}
	told(true, false, "still running: chrony vmtoolsd")
	for range 2 { // the second finds them stopped
		if err := q.stop(names); err != nil {
			t.Fatal(err)
		}
	}
	told(true, true, "stopped: chrony vmtoolsd")
	told(false, false, "not started again: chrony vmtoolsd")
	s.refuses["chrony"] = true
	if err := q.start(); err == nil || err.Error() != "start the time service chrony again: exit status 1: access denied" {
		t.Errorf("got %v", err)
	}
	delete(s.refuses, "chrony")
	for range 2 {
		if err := q.start(); err != nil {
			t.Fatal(err)
		}
	}
	told(false, true, "running: chrony vmtoolsd")
	if s.on["ntp"] {
		t.Error("ntp never ran before")
	}
	s.refuses["vmtoolsd"] = true
	if err := q.stop(names); err == nil || err.Error() != "stop the time service vmtoolsd: exit status 1: access denied" {
		t.Errorf("got %v", err)
	}
}

// The clock of this machine is everybody's: only whoever says so has it changed, with
//
//	NEMESIS_TEST_MACHINE_CLOCK=1 go test -v -run ThisMachinesOwnClock ./nemesis/effects
func TestThisMachinesOwnClock(t *testing.T) {
	if err := machineOurs(); err != nil {
		t.Skip(err)
	}
	k := theKernel()
	a, err := k.now()
	if err != nil {
		t.Fatal(err)
	}
	p, err := k.pace()
	if err != nil || math.Abs(p.rate()-1) > 0.1 || k.boot() == "" {
		t.Errorf("the clock runs at %v since boot %q, %v", p.rate(), k.boot(), err)
	}
	if b, err := k.now(); err != nil || b.Raw <= a.Raw || b.Took <= 0 {
		t.Errorf("read %+v, then %+v, %v", a, b, err)
	}
	if os.Getenv("NEMESIS_TEST_MACHINE_CLOCK") != "1" {
		t.Skip("set NEMESIS_TEST_MACHINE_CLOCK=1 to have the clock of this machine changed and restored")
	}
	for _, change := range []history.ClockChange{wallBy(2 * time.Second), wallBy(-2 * time.Second), bothAt(0.9), bothAt(1.1)} {
		b := clockChanger{k, machineNote(t.TempDir())}
		if err := b.change(change); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		e, err := b.probe(change)
		if err != nil || !e.Confirmed {
			t.Errorf("in force: %v, %q, %v", e.Confirmed, e.Summary, err)
		}
		t.Log(e.Summary)
		if err := b.unbend(); err != nil {
			t.Fatal(err)
		}
		if e, err = b.probeUndone(); err != nil || !e.Confirmed {
			t.Errorf("undone: %v, %q, %v", e.Confirmed, e.Summary, err)
		}
		t.Log(e.Summary)
	}
}
