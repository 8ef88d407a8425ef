package reports

import (
	"fmt"
	"html"
	"html/template"
	"strconv"
	"strings"

	"nemesis/reports/visible"
)

// drawing writes one SVG element. It is the only place of this package that
// makes markup without html/template, so it keeps two rules: every string
// passes through escape, and looks come from classes alone, because the page's
// content policy ignores style attributes.
type drawing struct {
	b             strings.Builder
	width, height float64
}

func escape(s string) string { return html.EscapeString(visible.Text(s)) }

// px writes a length with at most one decimal: a tenth of a pixel cannot be seen.
func px(v float64) string { return trimZeros(strconv.FormatFloat(v, 'f', 1, 64)) }

// formatSeconds writes nanoseconds as seconds with the given decimals.
func formatSeconds(ns int64, digits int) string {
	return strconv.FormatFloat(float64(ns)/1e9, 'f', digits, 64) + " s"
}

func (d *drawing) rect(x, y, w, h float64, class string) {
	fmt.Fprintf(&d.b, `<rect x="%s" y="%s" width="%s" height="%s" class="%s"/>`, px(x), px(y), px(max(w, 0)), px(max(h, 0)), class)
}

// described is a rect that tells more under the pointer and to screen readers.
func (d *drawing) described(x, y, w, h float64, class, title string) {
	fmt.Fprintf(&d.b, `<rect x="%s" y="%s" width="%s" height="%s" class="%s"><title>%s</title></rect>`,
		px(x), px(y), px(max(w, 0)), px(max(h, 0)), class, escape(title))
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&d.b, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`, px(x1), px(y1), px(x2), px(y2), class)
}

func (d *drawing) text(x, y float64, class, s string) {
	fmt.Fprintf(&d.b, `<text x="%s" y="%s" class="%s">%s</text>`, px(x), px(y), class, escape(s))
}

// path draws data made of numbers by this package.
func (d *drawing) path(data, class string) {
	if data != "" {
		fmt.Fprintf(&d.b, `<path d="%s" class="%s"/>`, data, class)
	}
}

// group opens <g>, with an anchor when id is not empty; end closes it.
func (d *drawing) group(id, class string) {
	d.b.WriteString("<g")
	if id != "" {
		fmt.Fprintf(&d.b, ` id="%s"`, escape(id))
	}
	if class != "" {
		fmt.Fprintf(&d.b, ` class="%s"`, class)
	}
	d.b.WriteString(">")
}

func (d *drawing) title(s string) { fmt.Fprintf(&d.b, "<title>%s</title>", escape(s)) }
func (d *drawing) end()           { d.b.WriteString("</g>") }

// svg is the finished element. Title and description are its text for those
// who cannot see it.
func (d *drawing) svg(class, title, description string) template.HTML {
	return template.HTML(fmt.Sprintf(
		`<svg class="%s" viewBox="0 0 %s %s" role="img" aria-label="%s"><desc>%s</desc>%s</svg>`,
		class, px(d.width), px(d.height), escape(title), escape(description), d.b.String()))
}

// textWidth estimates how wide s is drawn at the given font size. Nobody
// measures text here; too wide is better than overlapping.
func textWidth(s string, size float64) float64 {
	w := 0.0
	for _, r := range s {
		if r > 0x2e7f { // full-width scripts
			w += 1
		} else {
			w += 0.56
		}
	}
	return w * size
}
