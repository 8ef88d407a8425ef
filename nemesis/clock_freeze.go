package nemesis

import "nemesis/history"

// clockFreeze lets clocks stand still: leases on them never end. The wall clock catches
// up when it heals; the monotonic clock stays behind.
func clockFreeze() Fault {
	return clockFault{
		name: "clock-freeze",
		doc:  "let clocks stand still",
		changes: func(history.Timing) []Change {
			return []Change{
				atRate(history.MonotonicClock, 0), atRate(history.MonotonicClock, 0), atRate(history.BothClocks, 0), atRate(history.WallClock, 0),
			}
		},
		takes:   func(c Change) bool { return c.Jump == 0 && c.Rate == 0 && c.Period == 0 },
		wants:   "the rate 0, such as",
		example: "monotonic:x0",
		limit:   "sleeps and timers end by the kernel's clock, which goes on: a server that does not look at its clock again wakes up as ever",
		sentence: func(step history.Step, p history.ClockParameters) string {
			return "freeze " + whichClock(step, p)
		},
	}
}
