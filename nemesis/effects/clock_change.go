package effects

import (
	"fmt"
	"math"
	"time"

	"nemesis/history"
)

// Arithmetic of clocks that are changed. All of it is on intervals which certainly
// contain the truth, so that a conclusion is as certain as the readings: a clock was
// changed as asked when what was measured and what was asked for overlap, and it was changed
// at all when what was measured excludes what a right clock would have done.

// span is an interval of nanoseconds.
type span struct{ low, high int64 }

func (s span) minus(o span) span { return span{s.low - o.high, s.high - o.low} }

func (s span) has(v int64) bool { return s.low <= v && v <= s.high }

func (s span) meets(o span) bool { return s.low <= o.high && o.low <= s.high }

func (s span) wider(by int64) span { return span{s.low - by, s.high + by} }

// resolution is how exact a changed clock itself is: its rate is a binary fraction, and
// it ticks in nanoseconds.
const resolution = int64(time.Microsecond)

// changes: the change is about this clock.
func changes(c history.ClockChange, clock string) bool {
	return c.Of == clock || c.Of == history.BothClocks
}

// moved is how far a clock should have gone from the truth, when the change has been in
// force for a time within elapsed.
func moved(c history.ClockChange, clock string, elapsed span) span {
	if !changes(c, clock) {
		return span{}
	}
	a := float64(c.Jump) + (c.Rate-1)*float64(elapsed.low)
	b := float64(c.Jump) + (c.Rate-1)*float64(elapsed.high)
	return span{int64(math.Floor(min(a, b))), int64(math.Ceil(max(a, b)))}
}

// weigh compares how far one clock has moved with what the change asks of it: a
// sentence, the numbers, and whether they prove that it was changed as asked. A clock that
// the change is not about must not have moved.
func weigh(c history.ClockChange, clock string, was span, elapsed span) (string, []history.Measure, bool) {
	want := moved(c, clock, elapsed)
	fits := was.wider(resolution).meets(want)
	if !changes(c, clock) {
		if fits {
			return "", nil, true
		}
		return fmt.Sprintf("the %s clock moved too, by %s", clock, between(was)), nil, false
	}
	shown := fits && !was.has(0)
	name := func(what string) string { return clock + " " + what }
	if c.Rate == 1 {
		return fmt.Sprintf("%s clock moved by %s, asked for %s", clock, between(was), signed(int64(c.Jump))),
			[]history.Measure{
				{Name: name("requested"), Value: time.Duration(c.Jump).Seconds(), Unit: "s"},
				{Name: name("measured low"), Value: time.Duration(was.low).Seconds(), Unit: "s"},
				{Name: name("measured high"), Value: time.Duration(was.high).Seconds(), Unit: "s"},
			}, shown
	}
	low, high := rates(was, int64(c.Jump), elapsed)
	// A rate that is only known to be below 1 is no evidence of one half.
	shown = shown && high-low <= math.Abs(c.Rate-1)/2
	text := fmt.Sprintf("%s clock ran at %s of its rate, asked for %.4g", clock, rateBetween(low, high), c.Rate)
	if c.Jump != 0 {
		text += fmt.Sprintf(" after a jump of %s", signed(int64(c.Jump)))
	}
	return text, []history.Measure{
		{Name: name("requested"), Value: c.Rate, Unit: "s/s"},
		{Name: name("measured low"), Value: low, Unit: "s/s"},
		{Name: name("measured high"), Value: high, Unit: "s/s"},
	}, shown
}

// rates bounds the rate of a clock that jumped and then moved, all within elapsed.
func rates(was span, jump int64, elapsed span) (low, high float64) {
	if elapsed.low <= 0 {
		return math.Inf(-1), math.Inf(1)
	}
	low, high = math.Inf(1), math.Inf(-1)
	for _, d := range []int64{was.low - jump, was.high - jump} {
		for _, e := range []int64{elapsed.low, elapsed.high} {
			rate := 1 + float64(d)/float64(e)
			low, high = min(low, rate), max(high, rate)
		}
	}
	return low, high
}

// rateBetween is an interval of rates in words, or one rate where that says the same.
func rateBetween(low, high float64) string {
	a, b := fmt.Sprintf("%.4f", low), fmt.Sprintf("%.4f", high)
	if a == b {
		return a
	}
	return a + " to " + b
}

// between is an interval in words, or its middle where it is narrow enough.
func between(s span) string {
	if s.high-s.low <= 2*int64(time.Millisecond) {
		return signed(s.low + (s.high-s.low)/2)
	}
	return fmt.Sprintf("between %s and %s", signed(s.low), signed(s.high))
}

// signed is a time with its sign, in seconds to the millisecond.
func signed(ns int64) string { return fmt.Sprintf("%+.3f s", time.Duration(ns).Seconds()) }

// mostJump bounds jumps: clocks of 64 bits count to 292 years, and Go's zero time must
// not be in reach.
const mostJump = 10 * 365 * 24 * time.Hour

// checkChange says what is wrong with a change and its period, 0 for one that holds.
func checkChange(c history.ClockChange, period time.Duration) error {
	switch {
	case c.Of != history.WallClock && c.Of != history.MonotonicClock && c.Of != history.BothClocks:
		return fmt.Errorf("%q is not %s, %s or %s", c.Of, history.WallClock, history.MonotonicClock, history.BothClocks)
	case math.IsNaN(c.Rate) || c.Rate < 0 || c.Rate > 1000:
		return fmt.Errorf("a clock cannot run at %v of its rate, only at 0 to 1000", c.Rate)
	case time.Duration(c.Jump).Abs() > mostJump:
		return fmt.Errorf("a jump of %s is more than ten years", c.Jump)
	case c.Rate == 1 && c.Jump == 0:
		return fmt.Errorf("it changes nothing")
	case period < 0 || period > 0 && period < time.Millisecond:
		return fmt.Errorf("a clock cannot jump every %s, only every millisecond or more", period)
	case period > 0 && (c.Rate != 1 || c.Jump == 0):
		return fmt.Errorf("a clock that strobes jumps, and does nothing else")
	}
	return nil
}
