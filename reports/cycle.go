package reports

import (
	"fmt"
	"html/template"
	"math"

	"nemesis/checker"
	"nemesis/reports/visible"
)

// The picture of a cycle: its transactions on an ellipse, clockwise, an arrow from each to the
// one that it must come before. What a transaction did not see is drawn in red and dashed.

const (
	cycleWidth  = 1000
	memberSize  = 15 // radius
	mostMembers = 16 // of larger cycles only the sentences are told
	bow         = 26 // how far an arrow is bent outwards
	apart       = 13 // how far its words are from it
)

// edgeWords say what an arrow means, and how it is drawn.
var edgeWords = map[string]struct{ text, class string }{
	"ww":       {"overwritten by", ""},
	"wr":       {"read by", ""},
	"rw":       {"did not see", " missed"},
	"process":  {"earlier in its process than", " time"},
	"realtime": {"returned before", " time"},
}

// drawCycle draws the cycle of an anomaly, "" if it has none.
func drawCycle(f checker.Anomaly) template.HTML {
	n := len(f.Cycle)
	if n < 2 || n > mostMembers {
		return ""
	}
	for _, e := range f.Cycle {
		if e.From < 0 || e.From >= len(f.Core) || e.To < 0 || e.To >= len(f.Core) {
			return ""
		}
	}
	rx, ry := 250.0, 40+14*float64(n)
	if n == 2 {
		ry = 0
	}
	d := &drawing{width: cycleWidth, height: 2*ry + 110}
	cx, cy := d.width/2, d.height/2
	at := func(i int) (x, y float64) { // two lie beside each other, more begin at the top
		angle := 2*math.Pi*float64(i)/float64(n) - math.Pi/2
		if n == 2 {
			angle -= math.Pi / 2
		}
		return cx + rx*math.Cos(angle), cy + ry*math.Sin(angle)
	}
	for i, e := range f.Cycle {
		x1, y1 := at(i)
		x2, y2 := at((i + 1) % n)
		d.arrow(x1, y1, x2, y2, e.Kind)
	}
	words := ""
	for i, e := range f.Cycle {
		x, y := at(i)
		op := f.Core[e.From]
		d.group("", "")
		d.title(operationText(op, longValue))
		fmt.Fprintf(&d.b, `<circle cx="%s" cy="%s" r="%d" class="member"/>`, px(x), px(y), memberSize)
		d.text(x, y+4.5, "middle", numeral(e.From+1))
		d.end()
		side, class := x+memberSize+8, "haloed"
		if x < cx-1 {
			side, class = x-memberSize-8, "last haloed"
		}
		d.text(side, y-4, class, client(op))
		d.text(side, y+11, class+" muted", visible.Cap(operationText(op, 40), 40))
		words += fmt.Sprintf("%s %s %s. ", numeral(e.From+1), edgeWords[e.Kind].text, numeral(e.To+1))
	}
	return d.svg("cycle", fmt.Sprintf("A cycle of %d transactions", n), words)
}

// arrow draws an edge between two members, bent to its left, with its word.
func (d *drawing) arrow(x1, y1, x2, y2 float64, kind string) {
	length := math.Hypot(x2-x1, y2-y1)
	if length == 0 {
		return
	}
	nx, ny := (y2-y1)/length, -(x2-x1)/length
	mx, my := (x1+x2)/2+2*bow*nx, (y1+y2)/2+2*bow*ny // control point: the middle is bent by half
	from, to := towards(x1, y1, mx, my, memberSize), towards(x2, y2, mx, my, memberSize+7)
	word := edgeWords[kind]
	d.path(fmt.Sprintf("M%s %sQ%s %s %s %s", px(from[0]), px(from[1]), px(mx), px(my), px(to[0]), px(to[1])), "edge"+word.class)
	tip := towards(x2, y2, mx, my, memberSize)
	ux, uy := (tip[0]-to[0])/7, (tip[1]-to[1])/7
	d.path(fmt.Sprintf("M%s %sL%s %sL%s %sZ", px(tip[0]), px(tip[1]), px(to[0]-4*uy), px(to[1]+4*ux), px(to[0]+4*uy), px(to[1]-4*ux)), "head"+word.class)
	d.text((x1+x2)/2+(bow+apart)*nx, (y1+y2)/2+(bow+apart)*ny+4, "middle haloed", visible.Cap(kind, 20)+": "+word.text)
}

// towards is the point that lies some way from one point to another.
func towards(x, y, tox, toy, way float64) [2]float64 {
	length := math.Hypot(tox-x, toy-y)
	if length == 0 {
		return [2]float64{x, y}
	}
	return [2]float64{x + (tox-x)*way/length, y + (toy-y)*way/length}
}
