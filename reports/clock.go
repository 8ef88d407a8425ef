package reports

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"nemesis/history"
	"nemesis/reports/visible"
)

const (
	clockWidth  = 560
	clockHeight = 120
	clockPoints = 400 // readings drawn for a node; of more, the widest in each stretch
)

// clockReading is one sample of one of a node's clocks: an interval that
// certainly holds its offset from the control node's, in nanoseconds.
type clockReading struct{ at, low, high int64 }

// clockCurve draws how far a node's clocks were from the control node's: the
// band is what the round trip leaves uncertain, the truth is inside it.
func clockCurve(node string, events []history.Event, end int64) (template.HTML, string) {
	var wall, mono []clockReading
	for _, ev := range events {
		if ev.Type == history.ClockReading && ev.Node == node && ev.Clock != nil {
			wall = append(wall, clockReading{ev.Time, ev.Clock.WallLow, ev.Clock.WallHigh})
			mono = append(mono, clockReading{ev.Time, ev.Clock.MonoLow, ev.Clock.MonoHigh})
		}
	}
	if len(wall) == 0 {
		return "", ""
	}
	wall, mono = thin(wall), thin(mono)
	low, high := int64(math.MaxInt64), int64(math.MinInt64)
	for _, c := range append(append([]clockReading(nil), wall...), mono...) {
		low, high = min(low, c.low, c.high), max(high, c.low, c.high)
	}
	low, high = min(low, 0), max(high, 0)
	if high-low < 2e6 { // below a millisecond there is nothing to see but the network
		low, high = min(low, -1e6), max(high, 1e6)
	}
	a := scale(0, max(end, wall[len(wall)-1].at), 84, clockWidth-8)
	const top, floor = 12.0, clockHeight - 20.0
	y := func(v int64) float64 {
		return floor - (float64(v)-float64(low))/(float64(high)-float64(low))*(floor-top)
	}
	d := &drawing{width: clockWidth, height: clockHeight}
	for _, v := range []int64{low, 0, high} {
		d.line(a.left, y(v), a.right, y(v), "grid")
		if v == 0 || math.Abs(y(v)-y(0)) > 12 {
			d.text(a.left-6, y(v)+4, "tick last", span(v))
		}
	}
	ticks := a.ticks(100)
	for _, t := range ticks {
		step := int64(1e9)
		if len(ticks) > 1 {
			step = ticks[1] - ticks[0]
		}
		class := "tick middle"
		if a.x(t) > clockWidth-24 {
			class = "tick last"
		}
		d.text(a.x(t), clockHeight-4, class, tick(t, step))
	}
	for _, c := range []struct {
		readings []clockReading
		class    string
	}{{mono, "mono"}, {wall, "wall"}} {
		var there, back strings.Builder
		for i, s := range c.readings {
			if i == 0 {
				fmt.Fprintf(&there, "M%s %s", px(a.x(s.at)), px(y(s.high)-0.5))
			} else {
				fmt.Fprintf(&there, "L%s %s", px(a.x(s.at)), px(y(s.high)-0.5))
			}
		}
		for i := len(c.readings) - 1; i >= 0; i-- {
			s := c.readings[i]
			fmt.Fprintf(&back, "L%s %s", px(a.x(s.at)), px(y(s.low)+0.5))
		}
		d.path(there.String()+back.String()+"z", "clock "+c.class)
	}
	words := fmt.Sprintf("wall clock (blue) %s from the control node's, monotonic clock (green) drifted %s", widest(wall), widest(mono))
	return d.svg("clockcurve", "Clock offset of "+visible.Cap(node, shortValue), words), words
}

// widest says the offset that was furthest from zero, with what is uncertain of it.
func widest(readings []clockReading) string {
	var most clockReading
	for i, c := range readings {
		if i == 0 || abs(c.low/2+c.high/2) > abs(most.low/2+most.high/2) {
			most = c
		}
	}
	return fmt.Sprintf("at most %s (± %s)", span(most.low/2+most.high/2), span(most.high/2-most.low/2))
}

func abs(v int64) int64 { return max(v, -v) }

// thin keeps one reading of every stretch: the one furthest from zero, so that
// a step is never thinned away.
func thin(readings []clockReading) []clockReading {
	every := (len(readings) + clockPoints - 1) / clockPoints
	if every <= 1 {
		return readings
	}
	var kept []clockReading
	for i := 0; i < len(readings); i += every {
		best := readings[i]
		for _, c := range readings[i:min(i+every, len(readings))] {
			if max(abs(c.low), abs(c.high)) > max(abs(best.low), abs(best.high)) {
				best = c
			}
		}
		kept = append(kept, best)
	}
	return kept
}
