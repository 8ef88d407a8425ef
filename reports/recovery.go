package reports

import (
	"encoding/json"
	"fmt"

	"nemesis/checker/stats"
	"nemesis/reports/visible"
)

// details reads what the named checker left for reports; ok is false when it did
// not run or did not get that far.
func details[T any](r *Run, name string) (d T, ok bool) {
	for _, c := range r.Verdict.Results {
		if c.Checker == name && len(c.Details) > 0 && json.Unmarshal(c.Details, &d) == nil {
			return d, true
		}
	}
	return d, false
}

// recovery is what the page tells of availability: only what the checker
// measured, so that the page and verdict.json agree.
type recovery struct {
	Measured bool
	Overall  string
	Nodes    []nodeOutage
	Windows  []outageRow
	More     int
	Columns  []string // names of the nodes in Heals
	Heals    []healRow
	Counts   []functionRow
}

type outageRow struct{ From, To, Span, Attempts string }

type nodeOutage struct{ Node, OK, Windows, Total, Longest string }

type healRow struct {
	Fault      int
	Kind, When string
	Overall    duration
	Nodes      []duration
}

// duration is a length as text; Bad when it never came.
type duration struct {
	Text string
	Bad  bool
}

type functionRow struct {
	F, OK, Fail, Info, P50, P95, P99, Max string
	Errors                                []string
}

const mostOutages = 50

func (r *Run) recovery() recovery {
	var out recovery
	if d, ok := details[stats.Unavailability](r, stats.Availability().Name()); ok {
		out.Measured = true
		out.Overall = "Some operation succeeded at all times."
		if n := len(d.Overall.Windows); n > 0 {
			out.Overall = fmt.Sprintf("Nothing succeeded in %s, %s together, the longest of %s.", count(n, "window"), formatDuration(d.Overall.Total), formatDuration(d.Overall.Longest))
		}
		for i, w := range d.Overall.Windows {
			if i == mostOutages {
				out.More = len(d.Overall.Windows) - i
				break
			}
			row := outageRow{formatTime(w.From), formatTime(w.To), formatDuration(w.To - w.From), count(w.Attempts, "attempt")}
			if w.Open {
				row.To = "the end"
			}
			out.Windows = append(out.Windows, row)
		}
		for _, n := range d.Nodes[:min(len(d.Nodes), mostNodes)] {
			row := nodeOutage{visible.Cap(n.Node, shortValue), number(n.OK), number(len(n.Windows)), "–", "–"}
			if len(n.Windows) > 0 {
				row.Total, row.Longest = formatDuration(n.Total), formatDuration(n.Longest)
			}
			out.Nodes = append(out.Nodes, row)
			out.Columns = append(out.Columns, row.Node)
		}
		for i, h := range d.Recoveries {
			if i == mostFaults {
				break
			}
			row := healRow{Fault: h.Fault, Kind: visible.Cap(h.Kind+" "+h.Shape, shortValue), When: formatTime(h.Healed), Overall: took(h.Overall)}
			for _, n := range h.Nodes[:min(len(h.Nodes), mostNodes)] {
				row.Nodes = append(row.Nodes, took(n.Took))
			}
			out.Heals = append(out.Heals, row)
		}
	}
	if d, ok := details[stats.Counts](r, stats.Stats().Name()); ok {
		for _, f := range d.Functions[:min(len(d.Functions), mostNodes)] {
			row := functionRow{F: visible.Cap(f.F, shortValue), OK: number(f.OK), Fail: number(f.Fail), Info: number(f.Info)}
			if f.OK > 0 {
				row.P50, row.P95, row.P99, row.Max = formatDuration(f.Latency.P50), formatDuration(f.Latency.P95), formatDuration(f.Latency.P99), formatDuration(f.Latency.Max)
			}
			for _, e := range f.Errors {
				row.Errors = append(row.Errors, number(e.Count)+" × "+visible.Cap(e.Text, 2*longValue))
			}
			out.Counts = append(out.Counts, row)
		}
	}
	return out
}

func took(ns int64) duration {
	if ns < 0 {
		return duration{"not before the next fault", true}
	}
	return duration{formatDuration(ns), false}
}

// outages are the windows that the drawing shows.
func (r *Run) outages() stats.Unavailability {
	d, _ := details[stats.Unavailability](r, stats.Availability().Name())
	return d
}
