package reports

import (
	"fmt"
	"time"

	"nemesis/checker/clocks"
	"nemesis/checker/liveness"
	"nemesis/history"
	"nemesis/reports/visible"
)

// What a run was held to, beside what was measured: bounds of liveness and of clocks.

// boundRow is one property of liveness.
type boundRow struct {
	Name, Promise, Bound, Longest, Where string
	Met, Violated, Open                  string
	Unasked                              string
	State                                string // in a word
	Class                                string
}

// promiseOf says what each property of liveness promises.
func promiseOf(property string) string {
	switch property {
	case "recovery":
		return "after a confirmed heal, every kind of operation is answered on every node"
	case "final":
		return "after the last heal, every kind of operation is answered on every node before the end"
	case "availability":
		return "while no more than a minority is hit, clients of the other nodes are answered"
	case "handover":
		return "whoever waits for a free resource gets it"
	case "decay":
		return "no operation stays open for longer"
	}
	return ""
}

// bounds are the properties with their bounds; none where nobody judged them.
func (r *Run) bounds() []boundRow {
	d, ok := details[liveness.Details](r, liveness.Checker(liveness.Options{}).Name())
	if !ok {
		return nil
	}
	var rows []boundRow
	for _, p := range d.Properties {
		row := boundRow{Name: visible.Cap(p.Name, shortValue), Promise: promiseOf(p.Name), Bound: "none promised", Longest: "–", Where: visible.Cap(p.Where, longValue),
			Met: number(p.Met), Violated: number(p.Violated), Open: number(p.Inconclusive)}
		if p.Bound > 0 {
			row.Bound = span(p.Bound)
		}
		if p.Met+p.Violated > 0 {
			row.Longest = span(p.Longest)
		}
		if p.Unasked > 0 {
			row.Unasked = fmt.Sprintf("in %s nobody asked", number(p.Unasked))
		}
		switch {
		case p.Violated > 0:
			row.State, row.Class = "✗ violated", "no"
		case p.Met > 0:
			row.State, row.Class = "✓ met", "yes"
		default:
			row.State, row.Class = "? inconclusive", "open"
		}
		rows = append(rows, row)
	}
	return rows
}

// promised is what the plan holds the system to, and in which units faults were measured.
func promised(p history.Plan) []string {
	var s []string
	add := func(d history.Duration, format string) {
		if d > 0 {
			s = append(s, fmt.Sprintf(format, span(int64(time.Duration(d)))))
		}
	}
	add(p.Workload.TTL, "leases last %s without renewal")
	if p.Workload.TTL == 0 {
		add(p.Timing.Lease, "leases last %s without renewal")
	}
	add(p.Timing.Election, "elections time out after %s")
	if p.Bounds != (history.Bounds{}) {
		s = append(s, fmt.Sprintf("monotonic clocks may be off by %.3g %%", 100*clocks.Rate(p.Bounds)))
		if most, ok := clocks.Offset(p.Bounds); ok {
			s = append(s, fmt.Sprintf("wall clocks may be off by %s", span(most)))
		}
	}
	add(p.Bounds.Recovery, "answers within %s of a heal")
	add(p.Bounds.Outage, "within %s of a fault that hits a minority")
	add(p.Bounds.Handover, "a free lease changes hands within %s")
	add(p.Bounds.Expiry, "a lease that ran out is gone within %s")
	return s
}

// excess is a time in which a node's clock was beyond the claim's bounds.
type excess struct{ Node, When, Why string }

const mostExcesses = 30

// excesses are those times, and how many more there were.
func (r *Run) excesses() (rows []excess, more int) {
	if r.Log == nil {
		return nil, 0
	}
	for _, w := range clocks.Windows(r.Log.Events, r.Plan.Bounds) {
		if len(rows) == mostExcesses {
			more++
			continue
		}
		to := "the end"
		if w.To != history.Never {
			to = moment(w.To)
		}
		rows = append(rows, excess{visible.Cap(w.Node, shortValue), moment(max(w.From, 0)) + " – " + to, visible.Cap(w.Why, 4*longValue)})
	}
	return rows, more
}
