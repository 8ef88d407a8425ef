package reports

import (
	"fmt"
	"html/template"
	"math"
	"sort"
	"strings"

	"nemesis/checker"
	"nemesis/checker/stats"
	"nemesis/history"
	"nemesis/reports/visible"
)

// The run on one time axis, from top to bottom: what was found and the phases,
// a row per node, latency, throughput, and the windows in which nothing
// succeeded. Faults run through all of it, so that cause and effect stand in
// one column.

const (
	runWidth  = 1200
	runLeft   = 118
	runRight  = 1184
	nodeRow   = 34
	latencyH  = 150
	rateH     = 80
	gapH      = 14
	panelGap  = 26
	levels    = 5 // shades of the latency density
	cellRows  = 4 // density rows an octave
	exitsMost = 300
	// A 99th percentile of a dozen operations is noise, so quantiles are taken over
	// longer stretches than everything else.
	quantileBins = 60
)

// timeline is what the drawing needs to know of a run.
type timeline struct {
	nodes    []string
	faults   []checker.Fault
	findings []checker.Anomaly
	events   []history.Event
	outages  stats.Unavailability
	bins     *binned
}

func (t *timeline) draw() template.HTML {
	a := scale(0, t.bins.end, runLeft, runRight)
	d := &drawing{width: runWidth}
	y := t.drawFlags(d, a)
	nodesTop := y
	rows := map[string]float64{}
	for i, node := range t.nodes {
		rows[node] = nodesTop + float64(i)*nodeRow
	}
	nodesEnd := nodesTop + float64(len(t.nodes))*nodeRow
	latencyTop := nodesEnd + panelGap
	rateTop := latencyTop + latencyH + panelGap
	gapTop := rateTop + rateH + panelGap - 8
	floor := gapTop + gapH
	d.height = floor + 26

	t.drawAxis(d, a, nodesTop, floor)
	for _, f := range t.faults { // faint through all, strong on the nodes they hit
		if f.Injected >= 0 {
			x0, x1 := faultSpan(a, f)
			d.rect(x0, nodesEnd, x1-x0, floor-nodesEnd, "shade"+unconfirmed(f))
		}
	}
	t.drawNodes(d, a, rows)
	t.drawLatency(d, a, latencyTop)
	t.drawRate(d, a, rateTop)
	t.drawOutages(d, a, gapTop)
	t.drawStalls(d, a, floor)
	for _, f := range t.findings {
		if op, ok := culprit(f); ok {
			x := a.x(op.Call)
			d.line(x, nodesTop-4, x, floor, "verdictline")
		}
	}
	return d.svg("run", "The run over time", t.describe())
}

func unconfirmed(f checker.Fault) string {
	if f.Confirmed {
		return ""
	}
	return " unconfirmed"
}

func faultSpan(a axis, f checker.Fault) (x0, x1 float64) {
	x0, x1 = a.x(f.Injected), a.right
	if f.Healed >= 0 {
		x1 = a.x(f.Healed)
	}
	return x0, max(x1, x0+2)
}

// drawFlags marks findings and phases above the nodes.
func (t *timeline) drawFlags(d *drawing, a axis) float64 {
	y := 4.0
	flags := t.flags(a)
	flagged := len(flags) > 0
	for _, f := range flags {
		d.path(fmt.Sprintf("M%s %sl-5 -9h10z", px(f.x), px(y+22)), "flag")
		d.text(min(f.x+8, runWidth-textWidth(f.words, 12)), y+20, "label bad", f.words)
	}
	if flagged {
		y += 26
	}
	phases := false
	end := -1e9
	for _, ev := range t.events {
		if ev.Type != history.PhaseChange {
			continue
		}
		phases = true
		x := a.x(ev.Time)
		words := visible.Cap(ev.Message, shortValue)
		d.line(x, y+2, x, y+16, "phase")
		if x+4 > end && x+4+textWidth(words, 11) < runWidth {
			d.text(x+4, y+12, "tick", words)
			end = x + 10 + textWidth(words, 11)
		}
	}
	if phases {
		d.text(8, y+13, "label muted", "phase")
		y += 20
	}
	return y + 2
}

func (t *timeline) drawAxis(d *drawing, a axis, top, floor float64) {
	ticks := a.ticks(100)
	step := int64(1e9)
	if len(ticks) > 1 {
		step = ticks[1] - ticks[0]
	}
	for _, at := range ticks {
		x := a.x(at)
		d.line(x, top, x, floor, "grid")
		class := "tick middle"
		if x > runRight-20 {
			class = "tick last"
		}
		d.text(x, floor+16, class, tick(at, step))
	}
	d.line(a.left, floor, a.right, floor, "base")
}

// drawNodes draws each node's share of good and bad endings, the faults that
// hit it, who led, and servers that ended.
func (t *timeline) drawNodes(d *drawing, a axis, rows map[string]float64) {
	var most uint32
	for _, bins := range t.bins.nodes {
		for _, o := range bins {
			most = max(most, o.all())
		}
	}
	for _, node := range t.nodes {
		y := rows[node]
		d.text(8, y+nodeRow/2+4, "label", visible.Cap(node, 15))
		base := y + nodeRow - 4
		bins := t.bins.nodes[node]
		height := func(n uint32) float64 { return float64(n) / float64(max(most, 1)) * (nodeRow - 8) }
		d.path(area(a, bins, base, func(o outcomes) (float64, float64) { return 0, height(o.ok) }), "area ok")
		d.path(area(a, bins, base, func(o outcomes) (float64, float64) { return height(o.ok), height(o.ok + o.fail) }), "area fail")
		d.path(area(a, bins, base, func(o outcomes) (float64, float64) { return height(o.ok + o.fail), height(o.all()) }), "area info")
		d.line(a.left, base, a.right, base, "rail")
	}
	for _, n := range t.outages.Nodes {
		if y, ok := rows[n.Node]; ok {
			for _, o := range n.Windows {
				d.described(a.x(o.From), y, max(a.x(o.To)-a.x(o.From), 2), 3, "down", fmt.Sprintf("nothing succeeded on %s from %s to %s", n.Node, formatTime(o.From), formatTime(o.To)))
			}
		}
	}
	ends := map[string]float64{} // where the last label of each row ends
	for _, f := range t.faults {
		if f.Injected < 0 {
			continue
		}
		x0, x1 := faultSpan(a, f)
		mark := "✓"
		if !f.Confirmed {
			mark = "?"
		}
		for _, node := range hit(f) {
			y, ok := rows[node]
			if !ok {
				continue
			}
			d.described(x0, y+1, x1-x0, nodeRow-5, "fault"+unconfirmed(f), faultTitle(f))
			words := fmt.Sprintf("%s %s", mark, visible.Cap(f.Step.Kind, shortValue))
			if textWidth(words, 11.5)+6 > x1-x0 {
				words = mark
			}
			if x0+3 > ends[node] {
				d.text(x0+4, y+13, "label fault", words)
				ends[node] = x0 + 4 + textWidth(words, 11.5)
			}
		}
	}
	t.drawLeaders(d, a, rows)
	drawn := 0
	for _, ev := range t.events {
		y, ok := rows[ev.Node]
		if ev.Type != history.ServerExit || ev.Exit == nil || !ok || drawn == exitsMost {
			continue
		}
		drawn++
		class := "exit"
		if !ev.Exit.Expected {
			class = "exit unexpected"
		}
		d.group("", class)
		d.title(exitWords(ev))
		d.path(fmt.Sprintf("M%s %sl6 6m0 -6l-6 6", px(a.x(ev.Time)-3), px(y+nodeRow-12)), "cross")
		d.end()
	}
}

// drawLeaders draws a line along the row of whoever leads. Where one node leads, the line
// links the rows where leadership moved; where several do, each has a line of its own.
func (t *timeline) drawLeaders(d *drawing, a axis, rows map[string]float64) {
	var path strings.Builder
	from, down := 0.0, false
	var leaders []string
	close := func(x float64) {
		linked := down && len(leaders) == 1
		down = false
		for _, node := range leaders {
			y, ok := rows[node]
			if !ok {
				continue
			}
			pen := "M"
			if linked {
				pen = "L"
			}
			fmt.Fprintf(&path, "%s%s %sH%s", pen, px(from), px(y+nodeRow-4), px(x))
			down = len(leaders) == 1
		}
	}
	for i := range t.events {
		if ev := &t.events[i]; ev.Type == history.LeaderChange {
			close(a.x(ev.Time))
			from, leaders = a.x(ev.Time), nodesThatLead(ev)
		}
	}
	close(a.right)
	d.path(path.String(), "leader")
}

// area is the outline of a band between two heights in every slice.
func area(a axis, bins []outcomes, base float64, heights func(outcomes) (low, high float64)) string {
	if len(bins) == 0 {
		return ""
	}
	w := (a.right - a.left) / float64(len(bins))
	var b strings.Builder
	for i := 0; i < len(bins); i++ {
		low, high := heights(bins[i])
		if high-low < 0.05 {
			continue
		}
		// A bad ending is never too rare to be seen.
		high = max(high, low+0.8)
		fmt.Fprintf(&b, "M%s %sV%sh%sV%sz", px(a.left+float64(i)*w), px(base-low), px(base-high), px(w), px(base-low))
	}
	return b.String()
}

func (t *timeline) drawLatency(d *drawing, a axis, top float64) {
	low, high := buckets, -1
	for i := range t.bins.slices {
		s := &t.bins.slices[i]
		for b := range s.ok {
			if s.ok[b]+s.fail[b]+s.info[b] > 0 {
				low, high = min(low, b), max(high, b)
			}
		}
	}
	d.text(8, top+14, "label", "latency")
	if high < 0 {
		d.text(runLeft+8, top+14, "label muted", "no operation ended")
		return
	}
	low, high = low/perOctave*perOctave, (high/perOctave+1)*perOctave
	y := func(b float64) float64 {
		return top + latencyH - (b-float64(low))/float64(high-low)*latencyH
	}
	bucketAt := func(ns float64) float64 { return math.Log2(max(ns/1000, 1)) * perOctave }
	for decade := 1e3; decade < 1e13; decade *= 10 {
		if b := bucketAt(decade); b >= float64(low) && b <= float64(high) {
			d.line(a.left, y(b), a.right, y(b), "grid")
			d.text(runLeft-6, y(b)+4, "tick last", formatDuration(int64(decade)))
		}
	}
	t.drawDensity(d, a, low, high, y)
	merged := t.bins.merged(quantileBins)
	for _, q := range []struct {
		class string
		at    func(*slice) float64
	}{
		{"quantile p50", func(s *slice) float64 { return s.quantile(.50) }},
		{"quantile p95", func(s *slice) float64 { return s.quantile(.95) }},
		{"quantile p99", func(s *slice) float64 { return s.quantile(.99) }},
		{"quantile max", func(s *slice) float64 { return float64(s.max) }},
	} {
		var b strings.Builder
		w := (a.right - a.left) / float64(len(merged))
		down := false
		for i := range merged {
			s := &merged[i]
			if s.calls == 0 {
				down = false
				continue
			}
			x, h := a.left+(float64(i)+0.5)*w, y(bucketAt(q.at(s)))
			if down {
				fmt.Fprintf(&b, "L%s %s", px(x), px(h))
			} else {
				fmt.Fprintf(&b, "M%s %sh0.1", px(x), px(h))
			}
			down = true
		}
		d.path(b.String(), q.class)
	}
}

// drawDensity shades cells of time and latency by how many operations fell into
// them: one path a shade, whatever the number of operations.
func (t *timeline) drawDensity(d *drawing, a axis, low, high int, y func(float64) float64) {
	const rows = perOctave / cellRows
	w := (a.right - a.left) / timeBins
	var most float64
	cells := func(visit func(i, b int, ok, fail, info uint32)) {
		for i := range t.bins.slices {
			s := &t.bins.slices[i]
			for b := low; b < high; b += rows {
				var ok, fail, info uint32
				for k := b; k < b+rows; k++ {
					ok, fail, info = ok+s.ok[k], fail+s.fail[k], info+s.info[k]
				}
				if ok+fail+info > 0 {
					visit(i, b, ok, fail, info)
				}
			}
		}
	}
	cells(func(_, _ int, ok, _, _ uint32) { most = max(most, float64(ok)) })
	var shades [levels]strings.Builder
	var fails, infos strings.Builder
	cell := func(b *strings.Builder, i, at int) {
		x, y0, y1 := a.left+float64(i)*w, y(float64(at)), y(float64(at+rows))
		fmt.Fprintf(b, "M%s %sh%sv%sh-%sz", px(x), px(y0), px(w), px(y1-y0), px(w))
	}
	cells(func(i, b int, ok, fail, info uint32) {
		if ok > 0 {
			level := int(math.Log(float64(ok)) / math.Log(most+1) * levels)
			cell(&shades[min(level, levels-1)], i, b)
		}
		if fail > 0 {
			cell(&fails, i, b)
		}
		if info > 0 {
			cell(&infos, i, b)
		}
	})
	for i := range shades {
		d.path(shades[i].String(), fmt.Sprintf("cell shade%d", i))
	}
	// The others lie on top: an unknown outcome is rarer and tells more.
	d.path(fails.String(), "cell fail")
	d.path(infos.String(), "cell info")
}

func (t *timeline) drawRate(d *drawing, a axis, top float64) {
	var most uint32
	for i := range t.bins.slices {
		most = max(most, t.bins.slices[i].ended.all())
	}
	perSecond := float64(most) / t.bins.width()
	d.text(8, top-6, "label", "operations/s")
	ceiling := float64(roundStep(perSecond))
	if ceiling <= 0 {
		ceiling = 1
	}
	base := top + rateH
	for _, v := range []float64{ceiling / 2, ceiling} {
		d.line(a.left, base-v/ceiling*rateH, a.right, base-v/ceiling*rateH, "grid")
		d.text(runLeft-6, base-v/ceiling*rateH+10, "tick last", number(int(v)))
	}
	height := func(n uint32) float64 { return float64(n) / t.bins.width() / ceiling * rateH }
	all := make([]outcomes, len(t.bins.slices))
	for i := range all {
		all[i] = t.bins.slices[i].ended
	}
	d.path(area(a, all, base, func(o outcomes) (float64, float64) { return 0, height(o.ok) }), "area strong ok")
	d.path(area(a, all, base, func(o outcomes) (float64, float64) { return height(o.ok), height(o.ok + o.fail) }), "area strong fail")
	d.path(area(a, all, base, func(o outcomes) (float64, float64) { return height(o.ok + o.fail), height(o.all()) }), "area strong info")
	d.line(a.left, base, a.right, base, "rail")
}

// describe tells the drawing in words, for those who cannot see it.
func (t *timeline) describe() string {
	var s []string
	s = append(s, fmt.Sprintf("%s over %s on %s.", count(int(t.bins.total.all()), "operation"), formatDuration(t.bins.end), count(len(t.nodes), "node")))
	for _, f := range t.faults {
		s = append(s, faultTitle(f)+".")
	}
	for _, o := range t.outages.Overall.Windows {
		s = append(s, fmt.Sprintf("Nothing succeeded from %s to %s.", formatTime(o.From), formatTime(o.To)))
	}
	return strings.Join(s, " ")
}

// rowsOf are the nodes of the plan followed by others that the history names.
func rowsOf(plan history.Plan, bins *binned) []string {
	nodes := append([]string(nil), plan.Cluster.Nodes...)
	known := map[string]bool{"": true}
	for _, n := range nodes {
		known[n] = true
	}
	var others []string
	for n := range bins.nodes {
		if !known[n] {
			others = append(others, n)
		}
	}
	sort.Strings(others)
	return append(nodes, others...)
}

func exitWords(ev history.Event) string {
	s := fmt.Sprintf("%s on %s ended at %s", visible.Cap(ev.Exit.Server, shortValue), visible.Cap(ev.Node, shortValue), formatTime(ev.Time))
	if ev.Exit.Signal != "" {
		s += " by " + visible.Cap(ev.Exit.Signal, shortValue)
	} else {
		s += fmt.Sprintf(" with status %d", ev.Exit.Code)
	}
	if ev.Exit.Expected {
		return s + ", as nemesis asked"
	}
	return s + ", by itself"
}
