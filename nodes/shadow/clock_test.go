package shadow

import (
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	day     = 24 * int64(time.Hour)
	century = 36525 * day
)

// anyClock changes some clock by what a fault may ask for, and more.
func anyClock() *rapid.Generator[Clock] {
	drift := rapid.OneOf(
		rapid.SampledFrom([]Drift{MinDrift, -One / 2, -1, 0, 1, One / 1000, One, 9 * One, MaxDrift}),
		rapid.Map(rapid.Int64Range(int64(MinDrift), int64(MaxDrift)), func(d int64) Drift { return Drift(d) }),
	)
	return rapid.Custom(func(t *rapid.T) Clock {
		return Clock{
			Base:   rapid.Int64Range(-century, century).Draw(t, "base"),
			Offset: rapid.Int64Range(-century, century).Draw(t, "offset"),
			Before: drift.Draw(t, "before"),
			After:  drift.Draw(t, "after"),
		}
	})
}

func anyParams() *rapid.Generator[Params] {
	c := anyClock()
	return rapid.Custom(func(t *rapid.T) Params {
		return Params{
			Wall: c.Draw(t, "wall"), TAI: c.Draw(t, "tai"), Mono: c.Draw(t, "mono"), Raw: c.Draw(t, "raw"), Boot: c.Draw(t, "boot"),
		}
	})
}

// exact is At in numbers without a limit.
func (c Clock) exact(t int64) *big.Int {
	drift := c.After
	if t < c.Base {
		drift = c.Before
	}
	since := new(big.Int).Sub(big.NewInt(t), big.NewInt(c.Base))
	product := since.Mul(since, big.NewInt(int64(drift)))
	product.Rsh(product, 32) // toward minus infinity
	product.Add(product, big.NewInt(t))
	return product.Add(product, big.NewInt(c.Offset))
}

func TestTheArithmeticIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyClock().Draw(t, "clock")
		at := c.Base + rapid.OneOf(
			rapid.Int64Range(-90*day, 90*day), rapid.Int64Range(-1000, 1000), rapid.Int64Range(-century, century),
		).Draw(t, "since")
		want := c.exact(at)
		if !want.IsInt64() {
			t.Skip("no clock of 64 bits tells that time")
		}
		if got := c.At(at); got != want.Int64() {
			t.Fatalf("At(%d) = %d, want %v", at, got, want)
		}
	})
}

// All that follows stays well within what 64 bits can tell.
func modest(t *rapid.T) (Clock, int64) {
	c := anyClock().Draw(t, "clock")
	c.Offset %= 1e18
	return c, c.Base + rapid.Int64Range(-80*day, 80*day).Draw(t, "since")
}

func TestAClockNeverRunsBackward(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, at := modest(t)
		later := at + rapid.Int64Range(0, day).Draw(t, "later")
		if c.At(at) > c.At(later) {
			t.Fatalf("it reads %d, and %d ns later %d", c.At(at), later-at, c.At(later))
		}
	})
}

func TestChangeOfRateDoesNotStepTheClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, at := modest(t)
		drift := Drift(rapid.Int64Range(int64(MinDrift), int64(MaxDrift)).Draw(t, "drift"))
		turned := c.Turn(at, drift)
		if got, want := turned.At(at), c.At(at); got != want {
			t.Fatalf("at the turn it reads %d, it would have read %d", got, want)
		}
		// Until the turn nothing changes, but for a nanosecond of rounding.
		earlier := at - rapid.Int64Range(0, day).Draw(t, "earlier")
		if (earlier < c.Base) == (at < c.Base) {
			if d := turned.At(earlier) - c.At(earlier); d < -1 || d > 1 {
				t.Fatalf("before the turn it reads %d ns more than it did", d)
			}
			if turned.At(earlier) > turned.At(at) {
				t.Fatalf("it reads %d before the turn and %d at it", turned.At(earlier), turned.At(at))
			}
		}
		second := turned.At(at+1e9) - turned.At(at)
		want := int64(1e9) + scale(1e9, drift)
		if second < want-1 || second > want+1 {
			t.Fatalf("a second after the turn %d ns have passed, want %d", second, want)
		}
	})
}

func TestDrifts(t *testing.T) {
	for rate, want := range map[float64]Drift{1: 0, 0: -One, 0.5: -One / 2, 2: One, 1024: MaxDrift, 1 + 1e-12: 0} {
		got, err := DriftOf(rate)
		if err != nil || got != want {
			t.Errorf("DriftOf(%v) = %d, %v; want %d", rate, got, err, want)
		}
	}
	for _, rate := range []float64{-0.001, 1025, math.NaN(), math.Inf(1), math.Inf(-1)} {
		if d, err := DriftOf(rate); err == nil {
			t.Errorf("DriftOf(%v) = %v, want an error", rate, d)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0, 1024).Draw(t, "rate")
		d, err := DriftOf(rate)
		if err != nil || math.Abs(d.Rate()-rate) > 1.2e-10 {
			t.Fatalf("%v became %v (%v)", rate, d.Rate(), err)
		}
	})
	if got := (-One / 2).String(); got != "0.5×" {
		t.Errorf("half speed is called %q", got)
	}
}

func TestFaultsOfANode(t *testing.T) {
	half, err := DriftOf(0.5)
	if err != nil {
		t.Fatal(err)
	}
	// The raw clock is 100 s ahead, the machine has slept for an hour.
	machine := func(s int64) Readings {
		return Readings{Wall: 1e18 + s*1e9, TAI: 1e18 + (s+37)*1e9, Mono: s * 1e9, Raw: (s + 100) * 1e9, Boot: (s + 3600) * 1e9}
	}
	sees := func(p Params, s int64) Readings { // beside what the machine says
		a, b := p.At(machine(s)), machine(s)
		return Readings{a.Wall - b.Wall, a.TAI - b.TAI, a.Mono - b.Mono, a.Raw - b.Raw, a.Boot - b.Boot}
	}
	wall := func(d int64) Readings { return Readings{Wall: d, TAI: d} }
	mono := func(d int64) Readings { return Readings{Mono: d, Raw: d, Boot: d} }

	frozen := Params{}.Turn(machine(10), -One, 0)
	slow := Params{}.Turn(machine(10), 0, half)
	for _, c := range []struct {
		says   string
		params Params
		at     int64
		want   Readings
	}{
		{"the truth", Identity(), 5, Readings{}},
		{"a minute ahead", Params{}.Jump(time.Minute, 0), 5, wall(60e9)},
		{"the monotonic clock jumps", Params{}.Jump(0, time.Second), 5, mono(1e9)},
		{"before a freeze", frozen, 9, Readings{}},
		{"frozen for 20 s", frozen, 30, wall(-20e9)},
		{"thawed", frozen.Turn(machine(30), 0, 0), 99, wall(-20e9)},
		{"half speed for 20 s", slow, 30, mono(-10e9)},
		{"healed, the wall clock is right", frozen.Heal(machine(30)), 40, Readings{}},
		{"healed, the monotonic clock stays where it stands", slow.Heal(machine(30)), 40, mono(-10e9)},
		{"a turn and a jump", slow.Jump(time.Minute, 0), 30, Readings{60e9, 60e9, -10e9, -10e9, -10e9}},
	} {
		if diff := cmp.Diff(c.want, sees(c.params, c.at)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.says, diff)
		}
	}
}
