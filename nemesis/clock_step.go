package nemesis

import (
	"fmt"
	"time"

	"nemesis/history"
)

// clockStep sets clocks forward or back, as an operator, a time service or a resumed
// virtual machine does. The wall clock goes both ways. The monotonic clock only goes
// forward unless somebody asks for more: no machine sets it back, and a server may rely
// on that.
func clockStep() Fault {
	return clockFault{
		name: "clock-step",
		doc:  "set clocks forward or back",
		changes: func(timing history.Timing) []Change {
			times := []float64{0.5, 1, 2, 10}
			hour := history.Duration(time.Hour)
			all := jumps(history.WallClock, "+-", times, timing)
			all = append(all, jumps(history.MonotonicClock, "+", times, timing)...)
			all = append(all, jumps(history.BothClocks, "+", times, timing)...)
			return append(all, jumpOf(history.WallClock, hour, ""), jumpOf(history.WallClock, -hour, ""))
		},
		takes:   func(c Change) bool { return c.Jump != 0 && c.Rate == 1 && c.Period == 0 },
		wants:   "a jump such as",
		example: "wall:-2s",
		limit:   "a wait until a moment of the wall clock ends early or late by the step, since the kernel ends it by its own clock",
		sentence: func(step history.Step, p history.ClockParameters) string {
			way := "forward"
			if p.Jump < 0 {
				way = "back"
			}
			return fmt.Sprintf("set %s %s by %s", whichClock(step, p), way, byHowMuch(p))
		},
	}
}
