package reports

import (
	"fmt"
	"html/template"
	"strings"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
)

// The picture of a finding: one row per client, one bar per operation of the
// core from its call to its return, to scale but for the marked cuts. Faults in
// force hatch the background from top to bottom. The operation that cannot be
// explained is the only red thing.

const (
	storyWidth  = 1200
	storyGutter = 132  // names of clients
	storyRight  = 1172 // end of the axis
	rowHeight   = 30
	barHeight   = 18
	bandHeight  = 17 // one fault's label above the rows
	maxBands    = 4
	aroundRows  = 6
	aroundPitch = 6
	labelSize   = 12.5
)

// storyRow is one line of bars. A client gets a second one only where the words
// beside its bars would run into each other.
type storyRow struct {
	process int
	end     float64 // where the last bar and its words end
	bars    []storyBar
}

type storyBar struct {
	op     int // position in the core
	x0, x1 float64
	label  string
	labelX float64
	inside bool
}

// story draws the core of a finding. n numbers the finding on the page; keys
// tells how many operations a key saw in a stretch of time.
func story(n int, f checker.Anomaly, faults []checker.Fault, keys func(from, to int64) int) template.HTML {
	if len(f.Core) == 0 {
		return ""
	}
	a := storyAxis(f)
	rows := layOut(f, a)
	bands := during(faults, a.from(), a.to())
	more := 0
	if len(bands) > maxBands {
		more = len(bands) - maxBands
		bands = bands[:maxBands]
	}
	top := 6.0 + float64(len(bands))*bandHeight
	if more > 0 {
		top += bandHeight
	}
	bottom := top + 4 + float64(len(rows))*rowHeight
	around, lost := aroundLanes(f.Around, a)
	floor := bottom
	if len(around) > 0 {
		floor += 12 + float64(len(around))*aroundPitch
	}
	d := &drawing{width: storyWidth, height: floor + 34}

	for i, b := range bands {
		drawBand(d, a, b, float64(i)*bandHeight+4, floor)
	}
	if more > 0 {
		d.text(storyGutter, top-5, "label muted", fmt.Sprintf("and %d further faults", more))
	}
	drawGrid(d, a, top, floor, keys)
	for i, row := range rows {
		y := top + 4 + float64(i)*rowHeight
		if i == 0 || rows[i-1].process != row.process {
			op := f.Core[row.bars[0].op]
			d.text(8, y+rowHeight/2+4, "label", client(op))
		}
		d.line(storyGutter, y+rowHeight/2, storyRight, y+rowHeight/2, "rail")
		for _, bar := range row.bars {
			drawBar(d, n, f, bar, y+(rowHeight-barHeight)/2)
		}
	}
	drawOrder(d, f, rows, top+4)
	if len(around) > 0 {
		name := "others on " + visible.Cap(f.Key, 10)
		if f.Key == "" {
			name = "other clients"
		}
		d.text(8, bottom+16, "label muted", name)
		for i, lane := range around {
			for _, op := range lane {
				x0 := a.x(op.Call)
				d.described(x0, bottom+10+float64(i)*aroundPitch, max(a.x(finish(op))-x0, 2), 4, "faint "+endingClass(op), opTitle(op))
			}
		}
		if lost > 0 { // then the lanes are all there, and there is room below the name
			d.text(8, bottom+32, "label muted", fmt.Sprintf("and %d more", lost))
		}
	}
	return d.svg("story", "Operations of the counterexample over time", storyText(f))
}

// storyAxis spans the core, with a little room before it.
func storyAxis(f checker.Anomaly) axis {
	from, to := window(f.Core)
	marks := make([]int64, 0, 2*len(f.Core))
	for _, op := range f.Core {
		marks = append(marks, op.Call, finish(op))
	}
	// The words beside the last bars need room, or they would cover what is before.
	room := 40.0
	for i, op := range f.Core {
		if finish(op) > to-(to-from)/10 {
			room = max(room, barWords(f, i).width+20)
		}
	}
	return fold(marks, from, max(to, from+1), storyGutter+16, storyRight-min(room, 360))
}

// words are a text with its estimated width.
type words struct {
	text  string
	width float64
}

// barWords are what stands in or beside a bar.
func barWords(f checker.Anomaly, i int) words {
	s := numeral(i+1) + " " + operationText(f.Core[i], shortValue)
	if i == f.Unexplained {
		s += "  " + blame(f)
		return words{s, textWidth(s, labelSize*1.1)} // bold
	}
	return words{s, textWidth(s, labelSize)}
}

// layOut puts each bar on the first row of its client where it and its words fit.
func layOut(f checker.Anomaly, a axis) []storyRow {
	var rows []storyRow
	for i, op := range f.Core {
		words := barWords(f, i)
		bar := storyBar{op: i, x0: a.x(op.Call), x1: a.x(finish(op)), label: words.text}
		bar.x1 = max(bar.x1, bar.x0+5)
		w := words.width
		end := bar.x1
		switch {
		case w+12 < bar.x1-bar.x0:
			bar.inside, bar.labelX = true, bar.x0+7
		case bar.x1+6+w < storyWidth:
			bar.labelX = bar.x1 + 6
			end = bar.labelX + w
		default:
			bar.labelX = max(storyGutter, bar.x0-6-w)
		}
		start := min(bar.x0, bar.labelX)
		at := -1
		for r := range rows {
			if rows[r].process == op.Process && rows[r].end+8 < start {
				at = r
				break
			}
		}
		if at < 0 {
			at = len(rows)
			for r := range rows { // rows of one client stay together
				if rows[r].process == op.Process {
					at = r + 1
				}
			}
			rows = append(rows[:at], append([]storyRow{{process: op.Process}}, rows[at:]...)...)
		}
		rows[at].bars = append(rows[at].bars, bar)
		rows[at].end = end
	}
	return rows
}

// numeral is a small number in a circle, as the proof refers to a bar.
func numeral(n int) string {
	if n >= 1 && n <= 20 {
		return string(rune(0x2460 + n - 1))
	}
	return fmt.Sprintf("(%d)", n)
}

func drawBand(d *drawing, a axis, f checker.Fault, y, floor float64) {
	x0 := a.left - 16
	if f.Injected > a.from() {
		x0 = a.x(f.Injected)
	}
	x1 := float64(storyRight)
	if f.Healed >= 0 && f.Healed < a.to() {
		x1 = a.x(f.Healed)
	}
	class, mark := "band", "✓ "
	if !f.Confirmed {
		class, mark = "band unconfirmed", "? "
	}
	d.described(x0, y, max(x1-x0, 2), floor-y, class, faultTitle(f))
	words := mark + label(f) + ", " + state(f)
	x := min(x0+5, storyWidth-textWidth(words, labelSize))
	d.text(max(x, storyGutter), y+12, "label fault", words)
}

// drawGrid is the axis below, the cuts, and thin lines at round moments.
func drawGrid(d *drawing, a axis, top, floor float64, keys func(from, to int64) int) {
	const room = 110
	last := -1e9
	ticks := a.ticks(room)
	step := int64(1e9)
	for i := 1; i < len(ticks); i++ {
		step = min(step, ticks[i]-ticks[i-1])
	}
	for _, t := range ticks {
		x := a.x(t)
		if x-last < room*0.7 {
			continue
		}
		last = x
		d.line(x, top, x, floor, "grid")
		d.text(x, floor+14, "tick middle", tick(t, max(step, 1e6/10)))
	}
	for _, p := range a.parts {
		if !p.cut {
			continue
		}
		d.rect(p.x+4, top, p.width-8, floor-top, "cut")
		left := "⋯ "
		if n := keys(p.from, p.to); n > 0 {
			left += count(n, "operation") + ", "
		}
		// On a line of its own, as the ticks beside it may be close.
		d.text(p.x+p.width/2, floor+28, "tick middle", left+formatDuration(p.to-p.from))
	}
	d.line(a.left-16, floor, storyRight, floor, "base")
}

func drawBar(d *drawing, n int, f checker.Anomaly, bar storyBar, y float64) {
	op := f.Core[bar.op]
	class := "op " + endingClass(op)
	if bar.op == f.Unexplained {
		class += " bad"
	}
	d.group(fmt.Sprintf("f%d-op%d", n, bar.op+1), class)
	d.title(opTitle(op))
	x0, x1, y1 := bar.x0, bar.x1, y+barHeight
	switch op.Type {
	case history.OK:
		d.rect(x0, y, x1-x0, barHeight, "body")
	case history.Fail: // a notch in the right edge: it was turned away
		d.path(fmt.Sprintf("M%s %sH%sL%s %sL%s %sH%sZ", px(x0), px(y), px(x1), px(max(x1-6, x0)), px((y+y1)/2), px(x1), px(y1), px(x0)), "body")
	default: // no right edge: it may still happen
		d.path(fmt.Sprintf("M%s %sH%sV%sH%s", px(x1), px(y), px(x0), px(y1), px(x1)), "body")
		d.line(x1, y+barHeight/2, storyRight, y+barHeight/2, "maybe")
	}
	text := "label"
	if bar.inside {
		text = "label inside"
	}
	d.text(bar.labelX, y+barHeight/2+4.5, text, bar.label)
	d.end()
}

// drawOrder shows what makes most proofs: the last change that had certainly
// ended before the unexplained operation began. An arrow for every pair would
// say less.
func drawOrder(d *drawing, f checker.Anomaly, rows []storyRow, top float64) {
	if f.Unexplained < 0 || f.Unexplained >= len(f.Core) {
		return
	}
	bad := f.Core[f.Unexplained]
	before := -1
	for i, op := range f.Core {
		if op.Type == history.OK && !history.IsNull(op.Input) && op.Return < bad.Call && (before < 0 || op.Return > f.Core[before].Return) {
			before = i
		}
	}
	if before < 0 {
		return
	}
	var from, to [2]float64
	for r, row := range rows {
		y := top + float64(r)*rowHeight + rowHeight/2
		for _, bar := range row.bars {
			if bar.op == before {
				from = [2]float64{bar.x1, y}
			}
			if bar.op == f.Unexplained {
				to = [2]float64{bar.x0, y}
			}
		}
	}
	if from[1] == to[1] {
		return // one client: its row says it already
	}
	sign := 1.0
	if to[1] < from[1] {
		sign = -1
	}
	y0, y1 := from[1]+sign*barHeight/2, to[1]-sign*barHeight/2
	turn := y1 - sign*5
	d.path(fmt.Sprintf("M%s %sV%sH%sV%s", px(from[0]-2), px(y0), px(turn), px(to[0]+1), px(y1)), "order")
	said := fmt.Sprintf("%s ended %s before %s began", numeral(before+1), formatDuration(bad.Call-f.Core[before].Return), numeral(f.Unexplained+1))
	if w := textWidth(said, 11.5); to[0]-from[0] > w+16 {
		x := (from[0] + to[0] - w) / 2
		d.rect(x-5, turn-8, w+10, 16, "backing")
		d.text(x, turn+4, "order", said)
	}
}

// aroundLanes stacks the operations near the core, each in the first lane that
// is free; lost counts those beyond the last lane.
func aroundLanes(ops []history.Operation, a axis) (lanes [][]history.Operation, lost int) {
	var ends []float64
next:
	for _, op := range ops {
		if finish(op) < a.from() || op.Call > a.to() {
			continue
		}
		x0, x1 := a.x(op.Call), max(a.x(finish(op)), a.x(op.Call)+2)
		for i := range lanes {
			if ends[i]+1 < x0 {
				lanes[i], ends[i] = append(lanes[i], op), x1
				continue next
			}
		}
		if len(lanes) == aroundRows {
			lost++
			continue
		}
		lanes, ends = append(lanes, []history.Operation{op}), append(ends, x1)
	}
	return lanes, lost
}

func opTitle(op history.Operation) string {
	s := fmt.Sprintf("%s: %s, %s, %s", client(op), operationText(op, longValue), interval(op), ending(op))
	if op.Error != "" {
		s += ": " + visible.Cap(op.Error, longValue)
	}
	return s
}

func faultTitle(f checker.Fault) string {
	s := fmt.Sprintf("fault %d, %s on %s: %s", f.Step.ID, intent(f.Step), visible.Cap(strings.Join(hit(f), " "), longValue), state(f))
	if f.Injected >= 0 {
		s += ", from " + formatTime(f.Injected)
		if f.Healed >= 0 {
			s += " to " + formatTime(f.Healed)
		}
	}
	if f.Evidence != "" {
		s += "; " + visible.Cap(f.Evidence, 2*longValue)
	}
	return s
}

// storyText is the picture in words.
func storyText(f checker.Anomaly) string {
	lines := make([]string, len(f.Core))
	for i, op := range f.Core {
		lines[i] = fmt.Sprintf("%d: %s", i+1, opTitle(op))
	}
	return strings.Join(lines, ". ")
}
