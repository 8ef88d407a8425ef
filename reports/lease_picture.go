package reports

import (
	"fmt"
	"html/template"
	"strings"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
)

// The picture of a finding about holders: one lane per client that held or tried the
// resource. Its bar is the time in which it acted as holder; solid is what it must
// have been granted, red what is missing of that. Renewals stand above the bar,
// refused attempts and what was done as holder below. Brackets measure the two
// stretches that make the case: from what the TTL counted, and what is missing of it.

const (
	laneHeight   = 50
	laneBar      = 18 // from the lane's top to its bar
	holdHeight   = 16
	bracketRow   = 26
	leaderRow    = 26
	mostLanes    = 5
	markPitch    = 2.5 // marks closer than this are one
	waitWidth    = 8   // an attempt drawn wider than this is a line
	holdersRight = 1160
)

// aboutHolders: the finding is about who held a resource when, and better told in lanes
// than as bars of operations.
func aboutHolders(f checker.Anomaly) bool {
	switch f.Class {
	case "two-holders", "early-expiry", "deposed-renewal", "resurrection", "overstay", "believed-overlap":
		return len(f.Core) > 0
	}
	return false
}

// bracket is a measured stretch above the lanes.
type bracket struct {
	from, to int64
	label    string
	bad      bool
}

// brackets measure what a finding is about.
func brackets(f checker.Anomaly) []bracket {
	if from, to, ok := bothBelieved(f); ok {
		return []bracket{{from, to, "both believed to hold it for " + formatDuration(to-from), true}}
	}
	bad, ok := culprit(f)
	if len(f.Holds) == 0 || !ok {
		return nil
	}
	h, seen := f.Holds[0], finish(bad)
	if h.Until <= seen || h.Counted > seen {
		return nil
	}
	since := "since it was asked for"
	if h.Counted > h.From {
		since = "since the last acknowledged renewal was sent"
	}
	return []bracket{
		{h.Counted, seen, formatDuration(seen-h.Counted) + " " + since, false},
		{seen, h.Until, formatDuration(h.Until-seen) + " too early", true},
	}
}

// bothBelieved is the overlap of a finding of two beliefs.
func bothBelieved(f checker.Anomaly) (from, to int64, ok bool) {
	if f.Class != "believed-overlap" || len(f.Core) < 2 {
		return 0, 0, false
	}
	a, b := f.Core[0], f.Core[1]
	from, to = max(a.Call, b.Call), min(finish(a), finish(b))
	return from, to, from < to
}

// holdersWindow is the stretch that the picture shows: around the case, with the faults
// that were in force, but never so wide that the case is a speck.
func holdersWindow(f checker.Anomaly, faults []checker.Fault) (from, to int64) {
	first, last := window(f.Core)
	list := brackets(f)
	if len(list) == 0 {
		// The last two operations contradict each other; the grant may be long before.
		if n := len(f.Core); n > 2 {
			from, to = window(f.Core[n-2:])
		} else {
			from, to = first, last
		}
	} else {
		from, to = list[0].from, list[len(list)-1].to
	}
	length := max(to-from, 1e6)
	if _, _, both := bothBelieved(f); both {
		// A short overlap of long holds, and what was done in them.
		for _, op := range f.Core[2:] {
			from, to = min(from, op.Call), max(to, finish(op))
		}
		length = max(to-from, (last-first)/4)
	}
	low := max(first-length/10, from-2*length)
	from -= length / 4
	for _, x := range during(faults, from, to) {
		from = min(from, x.Injected-length/10)
	}
	from = max(from, low)
	return from, to + length/10
}

// holders draws a finding about holders. n numbers it on the page, and is not positive for
// a picture beside others; log may be nil.
func drawLeases(n int, f checker.Anomaly, faults []checker.Fault, log *history.Log) template.HTML {
	from, to := holdersWindow(f, faults)
	p := &leasePicture{n: n, f: f, a: scale(from, to, storyGutter+16, holdersRight), resourceHistory: resourceHistoryOf(f, log, to)}
	p.processes, p.lost = p.lanes(f, from, to)

	bands := during(faults, from, to)
	more := max(len(bands)-maxBands, 0)
	bands = bands[:len(bands)-more]
	top := 6.0 + float64(len(bands))*bandHeight
	if more > 0 {
		top += bandHeight
	}
	marks := brackets(f)
	p.top = top + float64(len(marks))*bracketRow + 4
	p.floor = p.top + float64(len(p.processes))*laneHeight
	if p.lost > 0 {
		p.floor += 18
	}
	leaders := p.leaders(log)
	if len(leaders) > 0 {
		p.floor += leaderRow
	}
	p.d = &drawing{width: storyWidth, height: p.floor + 20}
	for i, b := range bands {
		drawBand(p.d, p.a, b, float64(i)*bandHeight+4, p.floor)
	}
	if more > 0 {
		p.d.text(storyGutter, top-5, "label muted", fmt.Sprintf("and %s", count(more, "further fault")))
	}
	drawGrid(p.d, p.a, p.top, p.floor, func(int64, int64) int { return 0 })
	for i, process := range p.processes {
		p.lane(process, p.top+float64(i)*laneHeight)
	}
	if p.lost > 0 {
		p.d.text(8, p.top+float64(len(p.processes))*laneHeight+12, "label muted", fmt.Sprintf("and %s", count(p.lost, "further client")))
	}
	for i, b := range marks {
		p.bracket(b, top+float64(i)*bracketRow)
	}
	p.seen()
	p.cores()
	p.leaderRow(leaders)
	return p.d.svg("story holders", "Who held the resource when", leaseTimelineText(f, faults))
}

// holding is one picture in the making.
type leasePicture struct {
	resourceHistory
	n          int
	f          checker.Anomaly
	a          axis
	d          *drawing
	processes  []int
	lost       int
	top, floor float64
}

// laneOf is the top of a client's lane.
func (p *leasePicture) laneOf(process int) (y float64, ok bool) {
	for i, x := range p.processes {
		if x == process {
			return p.top + float64(i)*laneHeight, true
		}
	}
	return 0, false
}

func (p *leasePicture) lane(process int, y float64) {
	d, a := p.d, p.a
	d.text(8, y+laneBar+holdHeight/2+4, "label", client(history.Operation{Process: process, Node: p.nodes[process]}))
	d.line(a.left-16, y+laneBar+holdHeight/2, storyRight, y+laneBar+holdHeight/2, "rail")
	for _, x := range p.within(a.from(), a.to()) {
		if x.process == process {
			p.holdBar(x, y+laneBar)
		}
	}
	bad, is := culprit(p.f)
	for _, h := range p.f.Holds {
		if h.Process != process {
			continue
		}
		until := h.Until
		if is && finish(bad) < until && finish(bad) >= h.From {
			until = finish(bad)
			d.described(a.x(until), y+laneBar, a.x(h.Until)-a.x(until), holdHeight, "hold missing",
				fmt.Sprintf("client %d should have held it until %s at least", h.Process, formatTime(h.Until)))
		}
		d.described(p.begin(h.From), y+laneBar, a.x(until)-p.begin(h.From), holdHeight, "hold must",
			fmt.Sprintf("client %d held it from %s to %s at least", h.Process, formatTime(h.From), formatTime(until)))
	}
	p.marks(process, y)
	p.losses(process, y+laneBar)
}

// losses are where a watcher saw a grant disappear, unless the finding is about that.
func (p *leasePicture) losses(process int, y float64) {
	for _, op := range p.f.Core {
		if op.F == history.BeliefGone {
			return
		}
	}
	for _, g := range p.gone {
		if g.process != process || g.at < p.a.from() || g.at > p.a.to() {
			continue
		}
		x := p.a.x(g.at)
		p.d.path(fmt.Sprintf("M%s %sl8 8m0 -8l-8 8", px(x-4), px(y+holdHeight/2-4)), "loss")
		words := "seen gone " + formatTime(g.at)
		p.d.text(x-textWidth(words, 11)-2, y+holdHeight+13, "tick haloed", words)
	}
}

// begin is where something begins; what began before the picture reaches over its edge.
func (p *leasePicture) begin(at int64) float64 {
	if at < p.a.from() {
		return p.a.left - 16
	}
	return p.a.x(at)
}

func (p *leasePicture) holdBar(x holdSpan, y float64) {
	d, x0 := p.d, p.begin(x.from)
	words := fmt.Sprintf("client %d acted as holder from %s", x.process, formatTime(x.from))
	if x.token != 0 {
		words += fmt.Sprintf(" under token %d", x.token)
	}
	if x.to > p.a.to() {
		d.described(x0, y, storyRight-x0, holdHeight, "hold open", words)
		return
	}
	x1 := max(p.a.x(x.to), x0+2)
	d.described(x0, y, x1-x0, holdHeight, "hold", words+" to "+formatTime(x.to))
	d.line(x1, y-2, x1, y+holdHeight+4, "holdend")
	if said := x.end + " " + formatTime(x.to); x.end != "" && x1+6+textWidth(said, 11) < storyWidth {
		d.text(x1+4, y+holdHeight+13, "tick", said)
	}
}

// marks are what a client did: renewals above its bar, attempts and work below. One path
// for each kind, and no two marks on one spot, however many there were.
func (p *leasePicture) marks(process int, y float64) {
	type kind struct{ class, title string }
	paths := map[kind]*strings.Builder{}
	last := map[kind]float64{}
	var order []kind
	mark := func(k kind, at int64, draw func(x float64) string) {
		if at < p.a.from() || at > p.a.to() {
			return
		}
		x := p.a.x(at)
		if b, is := last[k]; is && x-b < markPitch {
			return
		}
		if paths[k] == nil {
			paths[k] = &strings.Builder{}
			order = append(order, k)
		}
		last[k] = x
		paths[k].WriteString(draw(x))
	}
	above := func(x float64) string { return fmt.Sprintf("M%s %sv-10", px(x), px(y+laneBar-1)) }
	below := func(x float64) string { return fmt.Sprintf("M%s %sv5", px(x), px(y+laneBar+holdHeight+2)) }
	for _, op := range p.operations {
		if op.Process != process {
			continue
		}
		ending := endingClass(op)
		switch op.F {
		case history.FRenew:
			mark(kind{"renewal " + ending, "renewals, where they were sent"}, op.Call, above)
		case history.FAcquire:
			if x0, x1 := p.begin(op.Call), p.a.x(finish(op)); x1-x0 > waitWidth && finish(op) >= p.a.from() {
				mark(kind{"waiting " + ending, "waits to acquire it"}, max(op.Call, p.a.from()), func(float64) string {
					return fmt.Sprintf("M%s %sH%s", px(x0), px(y+laneBar+holdHeight+4.5), px(x1))
				})
			} else if op.Type != history.OK {
				mark(kind{"attempt " + ending, "attempts to acquire it"}, op.Call, below)
			}
		case history.FRelease, history.FHolder, history.FList, history.FRead:
		default:
			mark(kind{"attempt " + ending, "what it did as holder"}, op.Call, below)
		}
	}
	for _, r := range p.renewed {
		if r.process == process {
			mark(kind{"renewal ok", "renewals, where they were sent"}, r.at, above)
		}
	}
	for _, k := range order {
		p.d.group("", k.class)
		p.d.title(k.title)
		p.d.path(paths[k].String(), "marks")
		p.d.end()
	}
}

// bracket measures a stretch between two ticks; its words stand in it, or else beside it.
func (p *leasePicture) bracket(b bracket, y float64) {
	d, x0, x1 := p.d, p.a.x(b.from), p.a.x(b.to)
	class, text := "measure", "label"
	if b.bad {
		class, text = "measure bad", "label bad"
	}
	base := y + bracketRow - 6
	d.path(fmt.Sprintf("M%s %sv5M%s %sH%sM%s %sv5", px(x0), px(base-2), px(x0), px(base), px(x1), px(x1), px(base-2)), class)
	w := textWidth(b.label, labelSize*1.1)
	switch {
	case w+10 < x1-x0 || x0-w-6 < storyGutter && x1+w+6 > storyWidth:
		d.text(max((x0+x1-w)/2, 8), base-6, text+" haloed", b.label)
	case x1+w+6 < storyWidth && !b.bad && x0-w-6 < storyGutter, b.bad && x1+w+6 < storyWidth:
		d.text(x1+6, base+3, text+" haloed", b.label)
	default:
		d.text(x0-w-6, base+3, text+" haloed", b.label)
	}
}

// seen is the line down from the moment at which the finding shows.
func (p *leasePicture) seen() {
	bad, ok := culprit(p.f)
	if !ok {
		return
	}
	if from, _, both := bothBelieved(p.f); both {
		x := p.a.x(from)
		p.d.line(x, p.top-4, x, p.floor, "verdictline")
		return
	}
	x := p.a.x(finish(bad))
	p.d.line(x, p.top-4, x, p.floor, "verdictline")
}

// cores puts the numbers of the proof where its operations count.
func (p *leasePicture) cores() {
	ends := map[float64]float64{} // by height, where the last words end
	for i, op := range p.f.Core {
		y, ok := p.laneOf(op.Process)
		if !ok {
			continue
		}
		at, words, above := finish(op), numeral(i+1)+" "+operationText(op, shortValue), false
		switch op.F {
		case history.FRenew, history.BeliefRenewed:
			at, words, above = op.Call, numeral(i+1), true
		case history.FAcquire:
			words = numeral(i+1) + " granted"
			if g := grantIn(op.Output); g.Token != 0 {
				words += fmt.Sprintf(", token %d", g.Token)
			}
			if op.Type != history.OK {
				words = numeral(i+1) + " refused"
			}
			if at < p.a.from() {
				words += ", " + formatTime(at)
			}
		case history.BeliefGone:
			words = numeral(i+1) + " seen gone"
		case "believed":
			at, words = op.Call, numeral(i+1)+" believed to hold it"
		}
		if p.n <= 0 { // the numbers are those of another picture
			words = strings.TrimSpace(strings.TrimPrefix(words, numeral(i+1)))
			if i == p.f.Unexplained && op.F != "believed" {
				words += ", lost"
			}
		}
		class := "core"
		if i == p.f.Unexplained && op.F != "believed" {
			class = "core bad"
		}
		id := ""
		if p.n > 0 { // another picture has the anchors of this one
			id = fmt.Sprintf("f%d-op%d", p.n, i+1)
		}
		p.d.group(id, class)
		p.d.title(opTitle(op))
		x := p.a.x(at)
		w := textWidth(words, labelSize)
		h := y + laneBar + holdHeight - 3.5
		if p.f.Class == "believed-overlap" && op.F != "believed" { // what was done as holder stands below
			h = y + laneBar + holdHeight + 13
			x = p.a.x(op.Call) - 5
		}
		if above {
			h = y + laneBar - 3
			p.d.text(x-textWidth(words, labelSize)/2, h-10, "label", words)
			p.d.end()
			continue
		}
		lx := max(x+5, ends[h]+6)
		if lx+w > storyWidth {
			lx = x - w - 5
		}
		ends[h] = lx + w
		text := "label"
		if p.onSolid(op.Process, lx, lx+w) {
			text = "label inside"
		}
		p.d.text(lx, h, text, words)
		p.d.end()
	}
}

// onSolid: words lie on what a client must have held, which is dark.
func (p *leasePicture) onSolid(process int, x0, x1 float64) bool {
	for _, h := range p.f.Holds {
		if bad, ok := culprit(p.f); ok && h.Process == process && x0 >= p.begin(h.From) && x1 <= p.a.x(min(h.Until, finish(bad))) {
			return true
		}
	}
	return false
}

// leadership is a stretch in which one node, or several, were believed to lead.
type leadership struct {
	node     string
	from, to int64
}

func (p *leasePicture) leaders(log *history.Log) []leadership {
	if log == nil {
		return nil
	}
	var list []leadership
	for i := range log.Events {
		ev := &log.Events[i]
		if ev.Type != history.LeaderChange || ev.Time > p.a.to() {
			continue
		}
		if n := len(list); n > 0 {
			list[n-1].to = ev.Time
		}
		list = append(list, leadership{strings.Join(nodesThatLead(ev), " and "), ev.Time, p.a.to()})
	}
	var in []leadership
	for _, x := range list {
		if x.to >= p.a.from() && x.node != "" {
			in = append(in, x)
		}
	}
	return in
}

func (p *leasePicture) leaderRow(list []leadership) {
	if len(list) == 0 {
		return
	}
	y := p.floor - leaderRow/2
	p.d.text(8, y+4, "label muted", "leader")
	end := 0.0
	for _, x := range list {
		x0, x1 := p.begin(x.from), p.a.x(x.to)
		if x.to >= p.a.to() {
			x1 = storyRight
		}
		p.d.described(x0, y+5, max(x1-x0, 1), 3, "reign", fmt.Sprintf("%s led from %s", visible.Cap(x.node, shortValue), formatTime(x.from)))
		p.d.line(x0, y-4, x0, y+8, "phase")
		name := visible.Cap(x.node, shortValue)
		if x0+4 > end && x0+4+textWidth(name, 12) < storyWidth {
			p.d.text(x0+4, y+2, "label haloed", name)
			end = x0 + 10 + textWidth(name, 12)
		}
	}
}
