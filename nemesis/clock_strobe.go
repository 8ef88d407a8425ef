package nemesis

import (
	"fmt"
	"time"

	"nemesis/history"
)

// clockStrobe lets clocks jump and jump back, many times a second, as a machine does
// whose time service and host fight over its clock. Unless somebody asks for more,
// it is the wall clock: the monotonic clock of a machine never goes back.
func clockStrobe() Fault {
	return clockFault{
		name:    "clock-strobe",
		doc:     "let clocks jump there and back, again and again",
		strobes: true,
		changes: func(timing history.Timing) []Change {
			return jumps(history.WallClock, "+-", []float64{0.5, 1, 2}, timing)
		},
		takes:   func(c Change) bool { return c.Jump != 0 && c.Rate == 1 },
		wants:   "a jump such as",
		example: "wall:+2s/100ms",
		limit:   "only readings see the jumps: a wait until a moment of the wall clock ends by the kernel's clock",
		sentence: func(step history.Step, p history.ClockParameters) string {
			way := "ahead"
			if p.Jump < 0 {
				way = "back"
			}
			return fmt.Sprintf("let %s jump %s by %s and return, by turns every %s", whichClock(step, p), way, byHowMuch(p), inWords(time.Duration(p.Period)))
		},
	}
}

// strobePeriods are what the time between two jumps is drawn from: short against any
// timeout.
func strobePeriods() []time.Duration {
	return []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond}
}
