package reports

import (
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
)

const (
	clockWidth  = 560
	clockHeight = 132
	clockPoints = 400 // readings drawn for a node; of more, the widest in each stretch
	mostReadOff = 12  // faults of which the rates are told
)

// clockReading is one sample of one of a node's clocks: an interval that
// certainly holds its offset from the control node's, in nanoseconds.
type clockReading struct{ at, low, high int64 }

// clockPanel is a node's clocks over the run.
type clockPanel struct {
	Picture template.HTML
	Words   string
	// Faults say what each fault of the clocks did, as read off the samples.
	Faults []string
}

// nodeClocks are a node's panels.
type nodeClocks struct {
	Node   string
	Panels []clockPanel
}

// clockPanels are those of the clocks that the servers of a node see, and of the
// machine's own, as far as each was read.
func clockPanels(node string, events []history.Event, faults []checker.Fault, end int64) []clockPanel {
	var shadow, machine []history.Event
	for _, ev := range events {
		switch {
		case ev.Type != history.ClockReading || ev.Node != node || ev.Clock == nil:
		case ev.Clock.Shadow:
			shadow = append(shadow, ev)
		default:
			machine = append(machine, ev)
		}
	}
	var changed []checker.Fault
	for _, f := range faults {
		if strings.HasPrefix(f.Step.Kind, "clock-") && f.Injected >= 0 && slices.Contains(hit(f), node) {
			changed = append(changed, f)
		}
	}
	var panels []clockPanel
	if len(shadow) > 0 {
		panels = append(panels, clockCurve(node, "as its servers see them, by the shadow clock", shadow, changed, end))
	}
	if len(machine) > 0 {
		panels = append(panels, clockCurve(node, "the machine's own", machine, changed, end))
	}
	return panels
}

// clockCurve draws how far a node's clocks were from the control node's: the
// band is what the round trip leaves uncertain, the truth is inside it.
func clockCurve(node, whose string, samples []history.Event, faults []checker.Fault, end int64) clockPanel {
	var wall, mono []clockReading
	for _, ev := range samples {
		wall = append(wall, clockReading{ev.Time, ev.Clock.WallLow, ev.Clock.WallHigh})
		mono = append(mono, clockReading{ev.Time, ev.Clock.MonoLow, ev.Clock.MonoHigh})
	}
	var panel clockPanel
	for _, f := range faults[:min(len(faults), mostReadOff)] {
		if s := readOff(f, samples); s != "" {
			panel.Faults = append(panel.Faults, s)
		}
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
	const top, floor = 22.0, clockHeight - 20.0
	y := func(v int64) float64 {
		return floor - (float64(v)-float64(low))/(float64(high)-float64(low))*(floor-top)
	}
	d := &drawing{width: clockWidth, height: clockHeight}
	drawClockFaults(d, a, faults, floor)
	for _, v := range []int64{low, 0, high} {
		d.line(a.left, y(v), a.right, y(v), "grid")
		if v == 0 || math.Abs(y(v)-y(0)) > 12 {
			d.text(a.left-6, y(v)+4, "tick last", formatDuration(v))
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
	panel.Words = fmt.Sprintf("Clocks, %s: wall clock (blue) %s from the control node's, monotonic clock (green) drifted %s", whose, widest(wall), widest(mono))
	panel.Picture = d.svg("clockcurve", "Clock offset of "+visible.Cap(node, shortValue), strings.Join(append([]string{panel.Words}, panel.Faults...), ". "))
	return panel
}

// drawClockFaults marks when faults changed the node's clocks.
func drawClockFaults(d *drawing, a axis, faults []checker.Fault, floor float64) {
	end := 0.0
	for _, f := range faults {
		x0, x1 := faultSpan(a, f)
		d.described(x0, 4, x1-x0, floor-4, "band"+unconfirmed(f), faultTitle(f))
		words := visible.Cap(strings.TrimPrefix(f.Step.Kind, "clock-"), shortValue)
		if x0 > end && x0+3+textWidth(words, 11) < clockWidth {
			d.text(x0+3, 15, "label fault", words)
			end = x0 + 6 + textWidth(words, 11)
		}
	}
}

// readOff says what a fault did to a node's clocks by the samples alone: how far each
// moved when it struck, and at which rate it ran from then on.
func readOff(f checker.Fault, samples []history.Event) string {
	var before, first, last *history.Event
	for i := range samples {
		ev := &samples[i]
		switch {
		case ev.Time < f.Injected:
			before = ev
		case ev.Time-ev.Clock.RTT <= f.Injected+f.Spread:
		case f.Healed >= 0 && ev.Time >= f.Healed:
		default:
			if first == nil {
				first = ev
			}
			last = ev
		}
	}
	if first == nil {
		return ""
	}
	asked := askedOfClock(f.Step)
	var told []string
	for _, clock := range []struct {
		name string
		of   func(*history.Event) (low, high int64)
	}{
		{"wall", func(ev *history.Event) (int64, int64) { return ev.Clock.WallLow, ev.Clock.WallHigh }},
		{"monotonic", func(ev *history.Event) (int64, int64) { return ev.Clock.MonoLow, ev.Clock.MonoHigh }},
	} {
		var s []string
		low1, high1 := clock.of(first)
		if before != nil && asked.Jump != 0 {
			low0, high0 := clock.of(before)
			s = append(s, fmt.Sprintf("moved by %+.4f to %+.4f s", float64(low1-high0)/1e9, float64(high1-low0)/1e9))
		}
		if length := last.Time - first.Time; length >= 5e8 && asked.Period == 0 {
			low2, high2 := clock.of(last)
			// The readings were taken somewhere within their round trips.
			least, most := float64(length-last.Clock.RTT), float64(length+first.Clock.RTT)
			slow, fast := float64(low2-high1), float64(high2-low1)
			s = append(s, fmt.Sprintf("ran at %.4f to %.4f of the true rate", 1+min(slow/least, slow/most), 1+max(fast/least, fast/most)))
		}
		if len(s) > 0 {
			told = append(told, clock.name+" clock "+strings.Join(s, " and "))
		}
	}
	if len(told) == 0 {
		return ""
	}
	return fmt.Sprintf("During fault %d (%s): %s", f.Step.ID, visible.Cap(f.Step.Kind, shortValue), strings.Join(told, ", "))
}

// askedOfClock is what a step asked of clocks; zero for what asked nothing that can be read.
func askedOfClock(step history.Step) history.ClockParameters {
	var asked history.ClockParameters
	if json.Unmarshal(step.Params, &asked) != nil {
		return history.ClockParameters{}
	}
	return asked
}

// widest says the offset that was furthest from zero, with what is uncertain of it.
func widest(readings []clockReading) string {
	var most clockReading
	for i, c := range readings {
		if i == 0 || abs(c.low/2+c.high/2) > abs(most.low/2+most.high/2) {
			most = c
		}
	}
	return fmt.Sprintf("at most %s (± %s)", formatDuration(most.low/2+most.high/2), formatDuration(most.high/2-most.low/2))
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
