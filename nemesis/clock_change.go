package nemesis

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"nemesis/history"
)

// Change is what a clock fault does, as --clock-change writes it:
//
//	wall:+2lease          set the wall clock forward by twice the lease
//	wall:-1h              set it back by an hour
//	both:+10s/100ms       let both clocks jump and jump back, every 100 ms
//	monotonic:x0.5        run the monotonic clock at half speed
//	monotonic:x0          freeze it
type Change struct{ history.ClockParameters }

// String is what ParseChanges reads.
func (c Change) String() string {
	if c.Jump == 0 {
		return c.Of + ":x" + number(c.Rate)
	}
	sign, size := "+", Amount{Time: time.Duration(c.Jump), Said: c.Said}
	if c.Jump < 0 {
		sign, size.Time = "-", -size.Time
	}
	text := c.Of + ":" + sign + size.String()
	if c.Period > 0 {
		text += "/" + c.Period.String()
	}
	return text
}

// mostRate bounds how fast a clock may run, mostJump how far it may jump.
const (
	mostRate = 100
	mostJump = mostAmount
)

// ParseChanges reads the value of --clock-change: changes separated by commas, to draw
// from. Nothing for "". The error is one sentence.
func ParseChanges(spec string, timing history.Timing) ([]Change, error) {
	if spec == "" {
		return nil, nil
	}
	var changes []Change
	for _, text := range strings.Split(spec, ",") {
		change, err := parseChange(strings.TrimSpace(text), timing)
		if err != nil {
			return nil, fmt.Errorf("read --clock-change: %w", err)
		}
		changes = append(changes, change)
	}
	return changes, nil
}

func parseChange(text string, timing history.Timing) (Change, error) {
	const forms = "wall:+2lease, both:-1h, wall:+2s/100ms or monotonic:x0.5"
	of, what, _ := strings.Cut(text, ":")
	if of != history.WallClock && of != history.MonotonicClock && of != history.BothClocks || len(what) < 2 {
		return Change{}, fmt.Errorf("%q is not a change such as %s", text, forms)
	}
	change := atRate(of, 1)
	if rate, is := strings.CutPrefix(what, "x"); is {
		v, err := strconv.ParseFloat(rate, 64)
		if err != nil || math.IsNaN(v) || v < 0 || v > mostRate || v == 1 {
			return Change{}, fmt.Errorf("%q does not give a rate from 0 to %d other than 1", text, mostRate)
		}
		change.Rate = v
		return change, nil
	}
	sign, rest := what[0], what[1:]
	if sign != '+' && sign != '-' {
		return Change{}, fmt.Errorf("%q is not a change such as %s", text, forms)
	}
	jump, period, strobes := strings.Cut(rest, "/")
	amount, err := ParseAmount(jump, timing)
	if err != nil {
		return Change{}, fmt.Errorf("%q: %w", text, err)
	}
	change.Jump, change.Said = history.Duration(amount.Time), amount.Said
	if sign == '-' {
		change.Jump = -change.Jump
	}
	if strobes {
		p, err := time.ParseDuration(period)
		if err != nil || p < 10*time.Millisecond || p > time.Minute {
			return Change{}, fmt.Errorf("%q: %q is not a time from 10ms to 1m between two jumps", text, period)
		}
		change.Period = history.Duration(p)
	}
	return change, nil
}
