package nemesis

import (
	"fmt"

	"nemesis/history"
)

// clockDrift runs clocks too slow or too fast. A lease measured on a slow clock lasts
// longer than its holder was told.
func clockDrift() Fault {
	return clockFault{
		name: "clock-drift",
		doc:  "run clocks too slow or too fast",
		changes: func(history.Timing) []Change {
			var all []Change
			for _, rate := range []float64{0.5, 2.0 / 3, 0.9, 1.1, 1.5, 2} {
				// Timeouts run on the monotonic clock, so that one twice.
				all = append(all, atRate(history.MonotonicClock, rate), atRate(history.MonotonicClock, rate),
					atRate(history.BothClocks, rate), atRate(history.WallClock, rate))
			}
			return all
		},
		takes:   func(c Change) bool { return c.Jump == 0 && c.Rate != 1 && c.Rate != 0 && c.Period == 0 },
		wants:   "a rate such as",
		example: "monotonic:x0.5",
		limit: "sleeps and timers end by the kernel's clock: a slow clock lengthens them, where the server looks at its clock again, " +
			"but on a fast one they come late, so a timeout that should strike early strikes on time",
		sentence: func(step history.Step, p history.ClockParameters) string {
			return fmt.Sprintf("run %s %s", whichClock(step, p), speed(p.Rate))
		},
	}
}

// speed is a rate in words.
func speed(rate float64) string {
	switch rate {
	case 0.5:
		return "at half speed"
	case 2.0 / 3:
		return "at two thirds of the true speed"
	case 2:
		return "at double speed"
	}
	return fmt.Sprintf("at %.4g times the true speed", rate)
}
