package agent

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"nemesis/history"
	"nemesis/nodes/shadow"
)

// world is a machine whose shadow clock is changed, with a clock that the test turns.
type world struct {
	t           *rapid.T
	now         shadow.Readings
	passed      int64
	clockFaults clockFaults
	params      shadow.Params
}

func (w *world) sleep(d time.Duration) {
	w.now.Wall += int64(d)
	w.now.TAI += int64(d)
	w.now.Mono += int64(d)
	w.now.Raw += int64(d)
	w.now.Boot += int64(d)
}

func (w *world) offsets() (wall, mono int64) {
	at := w.params.At(w.now)
	return at.Wall - w.now.Wall, at.Mono - w.now.Mono
}

// become puts in force what to makes of the changes, as clocks.publish does.
func (w *world) become(b clockFaults, wall, mono int64) {
	p, err := b.params(w.params, w.now, wall, mono)
	if err != nil {
		w.t.Fatal(err)
	}
	w.clockFaults, w.passed, w.params = b, w.now.Wall, p
}

func (w *world) aged() clockFaults { return w.clockFaults.after(w.now.Wall - w.passed) }

func newWorld(t *rapid.T) *world {
	return &world{t: t, now: shadow.Readings{Wall: 1.7e18, TAI: 1.7e18 + 37e9, Mono: 5e12, Raw: 5e12, Boot: 9e12}, passed: 1.7e18}
}

func change(t *rapid.T) history.ClockChange {
	return history.ClockChange{
		Of:   rapid.SampledFrom([]string{history.WallClock, history.MonotonicClock, history.BothClocks}).Draw(t, "of"),
		Jump: history.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "jump")),
		Rate: rapid.SampledFrom([]float64{0, 0.25, 0.5, 1, 1, 1.5, 2, 3}).Draw(t, "rate"),
	}
}

// Whatever holders do, and in whatever order: the monotonic clock moves by jumps that
// were asked for and by rates alone, and the wall clock is right when nobody changes it.
func TestUndoneClockFaultsLeaveNothingAndNoUnaskedMonotonicJump(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			w.sleep(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "sleep")))
			_, before := w.offsets()
			by := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "by")
			asked := int64(0)
			if rapid.Bool().Draw(t, "let go") {
				b, wall := w.aged().without(by)
				w.become(b, wall, 0)
			} else {
				c := change(t)
				had, _ := w.clockFaults.of(by)
				if had.Of != c.Of {
					b, wall := w.aged().without(by)
					w.become(b, wall, 0)
					had = history.ClockChange{}
				}
				b, jump := w.aged().with(by, c)
				wall, mono := int64(0), int64(0)
				if c.Of != history.MonotonicClock {
					wall = jump
				}
				if c.Of != history.WallClock {
					mono, asked = jump, int64(c.Jump)-int64(had.Jump)
				}
				w.become(b, wall, mono)
			}
			if _, after := w.offsets(); after-before != asked {
				t.Fatalf("the monotonic clock jumped by %d ns, asked for %d", after-before, asked)
			}
		}
		for _, by := range []string{"a", "b", "c"} {
			w.sleep(time.Second)
			b, wall := w.aged().without(by)
			w.become(b, wall, 0)
		}
		if wall, _ := w.offsets(); wall != 0 {
			t.Errorf("the wall clock is still off by %d ns", wall)
		}
		_, before := w.offsets()
		w.sleep(time.Hour)
		if _, after := w.offsets(); after != before {
			t.Errorf("the monotonic clock still drifts: %d ns in an hour", after-before)
		}
	})
}

func TestUndoingOneClockFaultLeavesTheOthersInForce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		// One holder stays, with a jump alone; others come and go.
		stays := history.ClockChange{Of: history.WallClock, Jump: history.Duration(rapid.Int64Range(-1e12, 1e12).Draw(t, "stays")), Rate: 1}
		b, jump := w.aged().with("stays", stays)
		w.become(b, jump, 0)
		var there []string
		for i := range rapid.IntRange(1, 8).Draw(t, "others") {
			w.sleep(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "sleep")))
			by := fmt.Sprint(i)
			c := change(t)
			c.Of = history.WallClock
			b, jump := w.aged().with(by, c)
			w.become(b, jump, 0)
			there = append(there, by)
		}
		for _, by := range rapid.Permutation(there).Draw(t, "order") {
			w.sleep(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "sleep")))
			b, wall := w.aged().without(by)
			w.become(b, wall, 0)
		}
		w.sleep(time.Minute)
		// Each turn of a rate may round by a nanosecond, and each share by a few.
		if wall, _ := w.offsets(); wall-int64(stays.Jump) > 1000 || wall-int64(stays.Jump) < -1000 {
			t.Errorf("the wall clock is off by %d ns, want %d", wall, stays.Jump)
		}
	})
}

func TestRatesMultiply(t *testing.T) {
	b := clockFaults{}
	for by, c := range map[string]history.ClockChange{
		"a": {Of: history.WallClock, Rate: 2}, "b": {Of: history.BothClocks, Rate: 0.25}, "c": {Of: history.MonotonicClock, Rate: 3},
	} {
		b, _ = b.with(by, c)
	}
	wall, mono, err := b.drifts()
	if err != nil || wall.Rate() != 0.5 || mono.Rate() != 0.75 {
		t.Errorf("wall %v, monotonic %v, %v", wall, mono, err)
	}
}

func TestWhatIsNoChangeOfTheShadowClockIsRefused(t *testing.T) {
	for _, bad := range []struct {
		change history.ClockChange
		want   string
	}{
		{history.ClockChange{Of: "boot", Rate: 1}, `"boot" is none of its clocks: say wall, monotonic or both`},
		{history.ClockChange{Of: history.WallClock, Rate: 1, Machine: true}, "the machine's own clock"},
		{history.ClockChange{Of: history.WallClock, Rate: -1}, "outside 0 to 1024"},
		{history.ClockChange{Of: history.WallClock, Rate: 1025}, "outside 0 to 1024"},
	} {
		err := checkChange(bad.change)
		if err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%+v: %v", bad.change, err)
		}
	}
}
