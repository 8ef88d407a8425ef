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
	return clocks(Fault{
		Name: "clock-step",
		Doc:  "set clocks forward or back",
		changes: func(timing history.Timing) []Change {
			times := []float64{0.5, 1, 2, 10}
			hour := func(of string, sign history.Duration) Change {
				return Change{ClockChange: history.ClockChange{Of: of, Jump: sign * history.Duration(time.Hour), Rate: 1}}
			}
			all := jumps(history.WallClock, "+-", times, timing)
			all = append(all, jumps(history.MonotonicClock, "+", times, timing)...)
			all = append(all, jumps(history.BothClocks, "+", times, timing)...)
			return append(all, hour(history.WallClock, 1), hour(history.WallClock, -1))
		},
		takes:  func(c Change) bool { return c.Jump != 0 && c.Rate == 1 && c.Period == 0 },
		offers: "a jump such as wall:-2s",
		Limits: []string{"a wait until a moment of the wall clock ends early or late by the step, since the kernel ends it by its own clock"},
		sentence: aClock(func(step history.Step) string {
			way := "forward"
			if step.Clock.Jump < 0 {
				way = "back"
			}
			return fmt.Sprintf("set %s %s by %s", whichClock(step), way, byHowMuch(step))
		}),
	})
}
