package nemesis

import "nemesis/history"

// clockFreeze lets clocks stand still: leases on them never end. The wall clock catches
// up when it heals; the monotonic clock stays behind.
func clockFreeze() Fault {
	return clocks(Fault{
		Name: "clock-freeze",
		Doc:  "let clocks stand still",
		changes: func(history.Timing) []Change {
			return []Change{
				atRate(history.MonotonicClock, 0), atRate(history.MonotonicClock, 0), atRate(history.BothClocks, 0), atRate(history.WallClock, 0),
			}
		},
		takes:    func(c Change) bool { return c.Jump == 0 && c.Rate == 0 && c.Period == 0 },
		offers:   "the rate 0, such as monotonic:x0",
		Limits:   []string{"sleeps and timers end by the kernel's clock, which goes on: a server that does not look at its clock again wakes up as ever"},
		sentence: aClock(func(step history.Step) string { return "freeze " + whichClock(step) }),
	})
}
