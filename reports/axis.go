package reports

import (
	"math"
	"sort"
)

// axis maps moments of the run (nanoseconds) to horizontal positions. Between
// two cuts it is to scale; a cut replaces a long stretch in which nothing of
// the picture begins or ends by a fixed narrow gap.
type axis struct {
	left, right float64
	parts       []stretch // ascending, gapless
}

// stretch is one piece of an axis: the moments from..to on the positions x..x+width.
type stretch struct {
	from, to int64
	x, width float64
	cut      bool
}

// scale is an axis without cuts.
func scale(from, to int64, left, right float64) axis {
	if to <= from {
		to = from + 1
	}
	return axis{left, right, []stretch{{from: from, to: to, x: left, width: right - left}}}
}

const (
	cutWidth = 58 // room for "⋯ 12.3 s"
	maxCuts  = 4
	// A gap is worth a cut when it takes more than this share of what is drawn and
	// is several times the next one: one long silence, not each of a few equal ones.
	cutShare = 0.4
	cutTimes = 3
)

// fold is an axis from..to whose long gaps between neighbouring marks are cut.
func fold(marks []int64, from, to int64, left, right float64) axis {
	marks = append([]int64{from, to}, marks...)
	sort.Slice(marks, func(i, j int) bool { return marks[i] < marks[j] })
	type gap struct{ from, to int64 }
	var gaps []gap
	for i := 1; i < len(marks); i++ {
		if marks[i] > marks[i-1] {
			gaps = append(gaps, gap{marks[i-1], marks[i]})
		}
	}
	if len(gaps) < 3 {
		return scale(from, to, left, right)
	}
	shown := to - from
	bySize := append([]gap(nil), gaps...)
	sort.Slice(bySize, func(i, j int) bool { return bySize[i].to-bySize[i].from > bySize[j].to-bySize[j].from })
	cuts := map[gap]bool{}
	for i, g := range bySize {
		if len(cuts) == maxCuts || i+2 >= len(bySize) || float64(g.to-g.from) < cutShare*float64(shown) ||
			g.to-g.from < cutTimes*(bySize[i+1].to-bySize[i+1].from) {
			break
		}
		cuts[g] = true
		shown -= g.to - g.from
	}
	// A cut keeps a margin on both sides, so that a bar that ends there is seen
	// to end before the silence.
	margin := int64(float64(shown) * 0.04)
	var parts []stretch
	at := from
	for _, g := range gaps {
		if cuts[g] && g.to-g.from > 4*margin {
			parts = append(parts, stretch{from: at, to: g.from + margin}, stretch{from: g.from + margin, to: g.to - margin, cut: true})
			at = g.to - margin
		}
	}
	parts = append(parts, stretch{from: at, to: to})
	a := axis{left: left, right: right, parts: parts}
	var whole int64
	room := right - left
	for _, p := range parts {
		if p.cut {
			room -= cutWidth
		} else {
			whole += p.to - p.from
		}
	}
	x := left
	for i := range parts {
		p := &parts[i]
		p.x, p.width = x, cutWidth
		if !p.cut {
			p.width = room * float64(p.to-p.from) / float64(max(whole, 1))
		}
		x += p.width
	}
	return a
}

func (a axis) from() int64 { return a.parts[0].from }
func (a axis) to() int64   { return a.parts[len(a.parts)-1].to }

// x is where a moment lies; moments outside are drawn at the edge.
func (a axis) x(t int64) float64 {
	for _, p := range a.parts {
		if t <= p.to {
			return p.x + p.width*float64(max(t, p.from)-p.from)/float64(max(p.to-p.from, 1))
		}
	}
	return a.right
}

// ticks are round moments, about one every room positions, outside cuts.
func (a axis) ticks(room float64) []int64 {
	var at []int64
	for _, p := range a.parts {
		if p.cut || p.width < room/2 {
			continue
		}
		step := roundStep(float64(p.to-p.from) * room / p.width)
		for t := (p.from + step - 1) / step * step; t <= p.to; t += step {
			at = append(at, t)
		}
	}
	return at
}

// roundStep is the least 1, 2 or 5 times a power of ten that is not below want.
func roundStep(want float64) int64 {
	if want <= 1 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(want)))
	for _, m := range []float64{1, 2, 5, 10} {
		if unit*m >= want {
			return int64(unit * m)
		}
	}
	return int64(unit * 10)
}

// tick writes a moment of an axis whose neighbours are step apart, in seconds.
func tick(t, step int64) string {
	digits := 0
	for s := step; s < 1e9 && digits < 9; s *= 10 {
		digits++
	}
	return formatSeconds(t, digits)
}
