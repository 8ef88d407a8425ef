package campaign

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
)

// Write writes a night's outputs into its directory.
func Write(dir string, n Night) error {
	junit, err := n.JUnit()
	if err != nil {
		return err
	}
	page, err := n.Page(dir)
	if err != nil {
		return err
	}
	for _, file := range []struct {
		name string
		text []byte
	}{{JUnitFile, junit}, {SummaryFile, n.Summary()}, {IndexFile, page}} {
		if err := history.WriteFile(filepath.Join(dir, file.name), 0o644, file.text); err != nil {
			return err
		}
	}
	// The last: whoever finds it can rely on the others.
	return writeJSON(filepath.Join(dir, NightFile), n)
}

//go:embed page.html
var pageText string

// nightsShown is how many nights the page goes back, tonight included.
const nightsShown = 30

// Page is index.html: one static file that asks the network for nothing and has no
// script. Links lead to the runs' own reports, where these are in dir.
func (n Night) Page(dir string) ([]byte, error) {
	t, err := template.New("page").Funcs(template.FuncMap{"text": visible.Text, "slug": slug, "plural": checker.Plural}).Parse(pageText)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", IndexFile, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, n.view(dir)); err != nil {
		return nil, fmt.Errorf("write %s: %w", IndexFile, err)
	}
	return b.Bytes(), nil
}

// slug is a class for a state.
func slug(s any) string { return strings.ReplaceAll(fmt.Sprint(s), " ", "-") }

type pageView struct {
	Night
	When    string
	Metrics []Metric
	Took    string
	Counts  []pageCount
	Finds   []pageFinding
	Canary  []pageCanary
	Nights  []pageNight
	Rows    []pageRow
	Runs    []pageRun
	More    int
}

type pageCount struct {
	State checker.Outcome
	Count int
}

type pageFinding struct {
	FindingState
	Rate, Link, Replay string
}

type pageCanary struct {
	CanaryState
	Link string
}

type pageNight struct {
	Night, Day string
	Outcome    checker.Outcome
}

type pageRow struct {
	CellState
	Link string
	// Past are the states of the nights, oldest first; "" where it was not there.
	Past    []pageNight
	Figures []pageFigure
}

// pageFigure is one metric: tonight's value and its course.
type pageFigure struct {
	Name, Value, Usual string
	Alarm              bool
	Points             string // of an SVG polyline, 100 by 20
	Last               [2]string
}

type pageRun struct {
	Result
	Link, Seconds string
}

// runsShown bounds the table of runs; results.jsonl has all.
const runsShown = 1000

func (n Night) view(dir string) pageView {
	v := pageView{Night: n, Metrics: Metrics(), When: n.Began.UTC().Format("2006-01-02 15:04 UTC"), Took: n.Ended.Sub(n.Began).Round(time.Second).String()}
	link := func(run string) string { return reportLink(dir, run) }
	counts := map[checker.Outcome]int{}
	for _, c := range n.Cells {
		counts[c.State]++
	}
	for _, o := range []checker.Outcome{checker.Violation, Quarantined, checker.Exceeded, checker.Harness, checker.Unknown, checker.Vacuous, NotRun, LeftOut, checker.Valid} {
		if counts[o] > 0 {
			v.Counts = append(v.Counts, pageCount{o, counts[o]})
		}
	}
	for _, f := range n.Findings {
		p := pageFinding{FindingState: f, Link: link(f.Dir)}
		if f.Repeats > 0 {
			p.Rate = Rate{f.Repeated, f.Repeats}.String()
		}
		if f.Dir != "" {
			p.Replay = "nemesis replay " + filepath.Join(dir, filepath.FromSlash(f.Dir))
		}
		v.Finds = append(v.Finds, p)
	}
	for _, c := range n.Canaries {
		v.Canary = append(v.Canary, pageCanary{c, link(c.Dir)})
	}
	past := n.past[max(0, len(n.past)-nightsShown+1):]
	rows := make([]map[string]Row, len(past))
	for i, p := range past {
		v.Nights = append(v.Nights, pageNight{p.Night, p.Began.UTC().Format("01-02"), p.Outcome})
		rows[i] = map[string]Row{}
		for _, row := range p.Rows {
			rows[i][row.Cell] = row
		}
	}
	v.Nights = append(v.Nights, pageNight{n.Night, n.Began.UTC().Format("01-02"), n.Outcome})
	for _, c := range n.Cells {
		row := pageRow{CellState: c, Link: link(c.Dir)}
		var course []Row
		for i, p := range past {
			old := rows[i][c.Name]
			course = append(course, old)
			row.Past = append(row.Past, pageNight{Night: p.Night, Outcome: checker.Outcome(old.State)})
		}
		row.Past = append(row.Past, pageNight{Night: n.Night, Outcome: c.State})
		for _, m := range Metrics() {
			row.Figures = append(row.Figures, n.figure(m, c, append(slices.Clone(course), c.Row)))
		}
		v.Rows = append(v.Rows, row)
	}
	for _, r := range n.results[:min(len(n.results), runsShown)] {
		v.Runs = append(v.Runs, pageRun{r, link(r.Dir), fmt.Sprintf("%.0f", time.Duration(r.Took).Seconds())})
	}
	v.More = len(n.results) - len(v.Runs)
	return v
}

func (n Night) figure(m Metric, c CellState, course []Row) pageFigure {
	f := pageFigure{Name: m.Name}
	var before []float64
	top := 0.0
	for i, row := range course {
		v := m.of(row)
		top = max(top, v)
		if i < len(course)-1 && v > 0 {
			before = append(before, v)
		}
	}
	if v := m.of(c.Row); v > 0 {
		f.Value = m.show(v)
	}
	if len(before) > 0 {
		f.Usual = m.show(median(before))
	}
	f.Alarm = slices.ContainsFunc(n.Alarms, func(a Alarm) bool { return a.Cell == c.Name && a.Metric == m.Name })
	if top == 0 {
		return f
	}
	var points []string
	step := 100 / math.Max(float64(nightsShown-1), 1)
	for i, row := range course {
		v := m.of(row)
		if v <= 0 {
			continue
		}
		x, y := fmt.Sprintf("%.1f", 100-step*float64(len(course)-1-i)), fmt.Sprintf("%.1f", 19-18*v/top)
		points = append(points, x+","+y)
		f.Last = [2]string{x, y}
	}
	if len(points) > 1 {
		f.Points = strings.Join(points, " ")
	}
	return f
}

// reportLink is the link to a run's report, "" when the report is not there.
func reportLink(dir, run string) string {
	if run == "" {
		return ""
	}
	if !exists(filepath.Join(dir, filepath.FromSlash(run), history.ReportFile)) {
		return ""
	}
	return run + "/" + history.ReportFile
}
