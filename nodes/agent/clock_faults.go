package agent

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"nemesis/history"
	"nemesis/nodes/shadow"
)

// clockFaults are the changes of the shadow clock in force, by holder, the oldest first. A
// value never changes: each method returns another.
//
// Their jumps add up and their rates multiply. To let go of one among several, one
// has to know how far it alone has led the wall clock: its jump, and its share of what
// was gained or lost since. At the rates r₁, r₂, … the first holder's share of a second
// is r₁ − 1, the second's r₁r₂ − r₁, and so on: together the product minus one, which
// is what the clock really gained.
type clockFaults []clockFault

type clockFault struct {
	by     string
	change history.ClockChange
	lead   float64 // ns that this holder has added to the wall clock
}

func (c clockFault) wall() bool { return c.change.Of != history.MonotonicClock }
func (c clockFault) mono() bool { return c.change.Of != history.WallClock }

// after are the changes once a stretch of the machine's wall clock, in nanoseconds, has passed.
func (b clockFaults) after(passed int64) clockFaults {
	b = slices.Clone(b)
	product := 1.0
	for i := range b {
		if b[i].wall() {
			next := product * b[i].change.Rate
			b[i].lead += (next - product) * float64(passed)
			product = next
		}
	}
	return b
}

// with adds a holder's change, or replaces it: then the old jump gives way to the new
// one, and what the clock has gained by its rate stays. jump is what the clocks that
// the change is of have to jump by.
func (b clockFaults) with(by string, change history.ClockChange) (out clockFaults, jump int64) {
	out = slices.Clone(b)
	jump = int64(change.Jump)
	i := slices.IndexFunc(out, func(c clockFault) bool { return c.by == by })
	if i < 0 {
		return append(out, clockFault{by: by, change: change, lead: float64(jump)}), jump
	}
	jump -= int64(out[i].change.Jump)
	out[i].change = change
	out[i].lead += float64(jump)
	return out, jump
}

// without lets go of a holder's change. jump takes its lead from the wall clock.
func (b clockFaults) without(by string) (out clockFaults, jump int64) {
	for _, c := range b {
		if c.by != by {
			out = append(out, c)
		} else if c.wall() {
			jump = -int64(c.lead)
		}
	}
	return out, jump
}

// of is the change of one holder.
func (b clockFaults) of(by string) (history.ClockChange, bool) {
	for _, c := range b {
		if c.by == by {
			return c.change, true
		}
	}
	return history.ClockChange{}, false
}

// drifts are what all of them together make of the rates.
func (b clockFaults) drifts() (wall, mono shadow.Drift, err error) {
	rates := [2]float64{1, 1}
	for _, c := range b {
		if c.wall() {
			rates[0] *= c.change.Rate
		}
		if c.mono() {
			rates[1] *= c.change.Rate
		}
	}
	if wall, err = shadow.DriftOf(rates[0]); err == nil {
		mono, err = shadow.DriftOf(rates[1])
	}
	return wall, mono, err
}

// params puts the changes into the parameters: at is when the rates turn, wall and mono
// are what the clocks jump by.
func (b clockFaults) params(p shadow.Params, at shadow.Readings, wall, mono int64) (shadow.Params, error) {
	wallDrift, monoDrift, err := b.drifts()
	if err != nil {
		return p, err
	}
	p = p.Turn(at, wallDrift, monoDrift).Jump(time.Duration(wall), time.Duration(mono))
	if !slices.ContainsFunc(b, clockFault.wall) {
		p.Wall, p.TAI = shadow.Clock{}, shadow.Clock{} // the truth, to the nanosecond
	}
	return p, nil
}

// checkChange refuses what is no change of a shadow clock.
func checkChange(c history.ClockChange) error {
	switch {
	case c.Machine:
		return errors.New("change the shadow clock: the change is one of the machine's own clock")
	case c.Of != history.WallClock && c.Of != history.MonotonicClock && c.Of != history.BothClocks:
		return fmt.Errorf("change the shadow clock: %q is none of its clocks: say %s, %s or %s", c.Of, history.WallClock, history.MonotonicClock, history.BothClocks)
	}
	_, err := shadow.DriftOf(c.Rate)
	return err
}
