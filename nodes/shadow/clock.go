package shadow

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"time"
)

// Drift is how much faster than the truth a clock runs, in units of 2⁻³² seconds a
// second: 0 is right, −One stands still, One runs at double speed. As an integer it
// means the same to a stub and to us, and its step (0.23 parts in a thousand million)
// is finer than any quartz.
type Drift int64

// One is a drift of one second a second.
const One Drift = 1 << 32

// The slowest and the fastest clock. No clock runs backward. Up to MaxDrift the
// arithmetic of Clock cannot overflow for a hundred days after its Base.
const (
	MinDrift = -One
	MaxDrift = 1023 * One
)

// DriftOf is the drift of a clock that advances rate seconds in a true second, rounded
// to the nearest that there is. It fails for a rate below 0 or above 1024, and for
// what is no number.
func DriftOf(rate float64) (Drift, error) {
	if !(rate >= 0 && rate <= 1024) {
		return 0, fmt.Errorf("set a clock's rate to %v: it is outside 0 to 1024; give the seconds it advances in a true second", rate)
	}
	return Drift(math.Round((rate - 1) * float64(One))), nil
}

// Rate is how many seconds the clock advances in a true second.
func (d Drift) Rate() float64 { return 1 + float64(d)/float64(One) }

// String is the rate with its unit: "0.5×".
func (d Drift) String() string { return strconv.FormatFloat(d.Rate(), 'g', -1, 64) + "×" }

// Clock tells how one timescale is changed. The zero Clock is the truth. All times are
// nanoseconds of that timescale as the machine's own clock counts it.
type Clock struct {
	// Base is the moment from which on After holds.
	Base int64
	// Offset is shadow minus machine at Base.
	Offset int64
	// Before is the drift until Base, After from then on.
	Before, After Drift
}

// At is what a process reads when the machine's clock says t. The stubs compute the
// same, to the nanosecond: t + Offset + ⌊(t−Base)·drift⌋, the product in 128 bits.
func (c Clock) At(t int64) int64 {
	since, drift := t-c.Base, c.After
	if since < 0 {
		drift = c.Before
	}
	return t + c.Offset + scale(since, drift)
}

// Turn is the clock that reads the same up to t and drifts by d from then on. If t is
// past Base, times before Base are forgotten: they are told by the drift that held
// from Base to t. If it is not, the turn at Base is.
func (c Clock) Turn(t int64, d Drift) Clock {
	if t >= c.Base && d == c.After {
		return c
	}
	if t > c.Base {
		c.Before = c.After
	}
	return Clock{Base: t, Offset: c.Offset + scale(t-c.Base, c.Before), Before: c.Before, After: d}
}

// Jump is the clock that reads by further, at all times.
func (c Clock) Jump(by time.Duration) Clock {
	c.Offset += int64(by)
	return c
}

// scale is ⌊ns·d / 2³²⌋, by a signed product of 64 by 64 bits.
func scale(ns int64, d Drift) int64 {
	hi, lo := bits.Mul64(uint64(ns), uint64(d))
	// An unsigned product takes −x for 2⁶⁴−x: 2⁶⁴ times the other factor too much.
	if ns < 0 {
		hi -= uint64(d)
	}
	if d < 0 {
		hi -= uint64(ns)
	}
	return int64(hi<<32 | lo>>32)
}

// Params are the clocks of one node. The zero Params are the truth.
//
// A fault changes the wall clock or the monotonic clock, yet the kernel has five
// timescales, a constant or slowly moving distance apart: servers measure leases on
// the raw monotonic clock too, and a machine that has slept has a boot clock far ahead
// of it. Bent by one set of parameters, such a sibling would jump whenever the rate
// changes. So each has its own, with its own Base, and those of a family drift and
// jump together.
type Params struct {
	Wall Clock // CLOCK_REALTIME, its coarse and its alarm clock, gettimeofday, time
	TAI  Clock // CLOCK_TAI: family of the wall clock
	Mono Clock // CLOCK_MONOTONIC and its coarse clock
	Raw  Clock // CLOCK_MONOTONIC_RAW: family of the monotonic clock
	Boot Clock // CLOCK_BOOTTIME and its alarm clock: family of the monotonic clock
}

// Identity are parameters under which every process reads the machine's clocks.
func Identity() Params { return Params{} }

// Readings are one reading of every timescale, in nanoseconds.
type Readings struct {
	Wall, TAI, Mono, Raw, Boot int64
}

// At is what a process reads when the machine's clocks say t.
func (p Params) At(t Readings) Readings {
	return Readings{
		Wall: p.Wall.At(t.Wall),
		TAI:  p.TAI.At(t.TAI),
		Mono: p.Mono.At(t.Mono),
		Raw:  p.Raw.At(t.Raw),
		Boot: p.Boot.At(t.Boot),
	}
}

// Turn lets the wall clocks drift by wall and the monotonic clocks by mono from at on,
// without a jump of any of them.
func (p Params) Turn(at Readings, wall, mono Drift) Params {
	return Params{
		Wall: p.Wall.Turn(at.Wall, wall),
		TAI:  p.TAI.Turn(at.TAI, wall),
		Mono: p.Mono.Turn(at.Mono, mono),
		Raw:  p.Raw.Turn(at.Raw, mono),
		Boot: p.Boot.Turn(at.Boot, mono),
	}
}

// Jump lets the wall clocks jump by wall and the monotonic clocks by mono, as soon as
// the parameters are in force.
func (p Params) Jump(wall, mono time.Duration) Params {
	return Params{
		Wall: p.Wall.Jump(wall),
		TAI:  p.TAI.Jump(wall),
		Mono: p.Mono.Jump(mono),
		Raw:  p.Raw.Jump(mono),
		Boot: p.Boot.Jump(mono),
	}
}

// Heal sets the wall clocks right, and lets the monotonic clocks run right from at on,
// from where they stand: setting them right would be a jump, perhaps a backward one.
func (p Params) Heal(at Readings) Params {
	p = p.Turn(at, 0, 0)
	p.Wall, p.TAI = Clock{}, Clock{}
	return p
}

// Lead is how long after the reading of the clocks a change of the rate takes place,
// so that every reader knows of it before that moment comes.
const Lead = time.Millisecond / 2

// ahead are the moments at which a change asked for at now can take place: Lead later,
// or where a turn of an earlier change is still to come, at that, since a Clock knows
// one turn.
func (p Params) ahead(now Readings) Readings {
	moment := func(c Clock, now int64) int64 {
		if now < c.Base && c.Base <= now+int64(Lead) {
			return c.Base
		}
		return now + int64(Lead)
	}
	return Readings{
		Wall: moment(p.Wall, now.Wall),
		TAI:  moment(p.TAI, now.TAI),
		Mono: moment(p.Mono, now.Mono),
		Raw:  moment(p.Raw, now.Raw),
		Boot: moment(p.Boot, now.Boot),
	}
}

// before reports whether every reading is earlier than its counterpart.
func (t Readings) before(u Readings) bool {
	return t.Wall < u.Wall && t.TAI < u.TAI && t.Mono < u.Mono && t.Raw < u.Raw && t.Boot < u.Boot
}
