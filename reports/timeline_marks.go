package reports

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"nemesis/history"
)

// What stands above and below the rows of the timeline: flags of findings, windows in
// which nothing succeeded, and the moments at which nemesis itself stood still.

// stallsMost is how many of those are drawn.
const stallsMost = 200

// pennant marks the findings of one place on the axis.
type pennant struct {
	x     float64
	words string
}

func (t *timeline) flags(a axis) []pennant {
	var at []pennant
	numbers := map[int][]int{} // by position in at
	for i, f := range t.findings {
		op, ok := culprit(f)
		if !ok {
			continue
		}
		x := a.x(op.Call)
		near := slices.IndexFunc(at, func(p pennant) bool { return math.Abs(p.x-x) < 70 })
		if near < 0 {
			near = len(at)
			at = append(at, pennant{x: x})
		}
		numbers[near] = append(numbers[near], i+1)
	}
	for i := range at {
		list := numbers[i]
		at[i].words = "finding"
		if len(list) > 1 {
			at[i].words = "findings"
		}
		for k, n := range list {
			switch {
			case k == 3:
				at[i].words += ", …"
			case k > 3:
			case k > 0:
				at[i].words += fmt.Sprintf(", %d", n)
			default:
				at[i].words += fmt.Sprintf(" %d", n)
			}
		}
	}
	return at
}

func (t *timeline) drawOutages(d *drawing, a axis, top float64) {
	d.text(8, top+11, "label", "unavailable")
	d.rect(a.left, top, a.right-a.left, gapH, "strip")
	for _, o := range t.outages.Overall.Windows {
		x0, x1 := a.x(o.From), max(a.x(o.To), a.x(o.From)+2)
		words := formatDuration(o.To - o.From)
		said := fmt.Sprintf("nothing succeeded from %s to %s (%s)", formatTime(o.From), formatTime(o.To), words)
		if o.SureTo <= o.SureFrom { // an older verdict, or nobody failed
			d.described(x0, top, x1-x0, gapH, "down", said)
		} else {
			d.described(x0, top, x1-x0, gapH, "down maybe", said)
			s0 := a.x(o.SureFrom)
			d.described(s0, top, max(a.x(o.SureTo)-s0, 1), gapH, "down", fmt.Sprintf("%s; attempts failed from %s to %s", said, formatTime(o.SureFrom), formatTime(o.SureTo)))
		}
		if textWidth(words, 11)+6 < x1-x0 {
			d.text((x0+x1)/2, top+11, "tick middle inside", words)
		}
	}
}

// stalls are when nemesis itself stood still.
func stalls(events []history.Event) (list [][2]int64) {
	for _, ev := range events {
		if ev.Type != history.Stall || len(list) == stallsMost {
			continue
		}
		if late, err := strconv.ParseInt(string(ev.Value), 10, 64); err == nil && late > 0 {
			list = append(list, [2]int64{max(ev.Time-late, 0), ev.Time})
		}
	}
	return list
}

// drawStalls marks them on the axis: what was recorded there may be late.
func (t *timeline) drawStalls(d *drawing, a axis, floor float64) {
	for _, s := range stalls(t.events) {
		x0, x1 := a.x(s[0]), a.x(s[1])
		d.described(x0, floor-4, max(x1-x0, 1.5), 8, "stall", fmt.Sprintf("nemesis itself stood still for %s until %s", formatDuration(s[1]-s[0]), formatTime(s[1])))
	}
}
