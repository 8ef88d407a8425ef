package reports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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
			row.Bound = formatDuration(p.Bound)
		}
		if p.Met+p.Violated > 0 {
			row.Longest = formatDuration(p.Longest)
		}
		if p.Unasked > 0 {
			row.Unasked = fmt.Sprintf("in %s nobody asked", number(p.Unasked))
		}
		switch {
		case p.Violated > 0:
			row.State, row.Class = "✗ violated", "no"
		case p.Met > 0:
			row.State, row.Class = "✓ met", "yes"
		case p.Inconclusive > 0:
			row.State, row.Class = "? inconclusive", "open"
		default:
			row.State, row.Class = "– nothing to judge", "open"
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
			s = append(s, fmt.Sprintf(format, formatDuration(int64(time.Duration(d)))))
		}
	}
	add(p.Workload.TTL, "leases last %s without renewal")
	if p.Workload.TTL == 0 {
		add(p.Timing.Lease, "leases last %s without renewal")
	}
	add(p.Timing.Election, "elections time out after %s")
	if p.Claim.Bounds != (history.Bounds{}) {
		s = append(s, fmt.Sprintf("monotonic clocks may be off by %.3g %%", 100*clocks.Rate(p.Claim.Bounds)))
		if most, ok := clocks.Offset(p.Claim.Bounds); ok {
			s = append(s, fmt.Sprintf("wall clocks may be off by %s", formatDuration(most)))
		}
	}
	add(p.Claim.Bounds.Recovery, "answers within %s of a heal")
	add(p.Claim.Bounds.Outage, "within %s of a fault that hits a minority")
	add(p.Claim.Bounds.Handover, "a free lease changes hands within %s")
	add(p.Claim.Bounds.Expiry, "a lease that ran out is gone within %s")
	return s
}

// excess is a time in which a node's clock was beyond the claim's bounds.
type excess struct {
	Node, When string
	Faults     string // that changed it, by number
	Why        []string
	Findings   string // that rest on a moment of it, by number
}

const (
	mostExcesses = 30
	mostWhys     = 2
	// Windows closer together than this are told as one: a drift is measured anew with
	// every sample.
	excessGap = int64(time.Second)
)

// excesses are those times, each node's joined where they touch, and how many more
// there were.
func (r *Run) excesses() (rows []excess, more int) {
	if r.Log == nil {
		return nil, 0
	}
	for _, group := range joined(clocks.Windows(r.Log.Events, r.Plan.Claim.Bounds)) {
		if len(rows) == mostExcesses {
			more++
			continue
		}
		rows = append(rows, r.excess(group))
	}
	return rows, more
}

// joined gathers the windows of each node that touch, in the order of their begin.
func joined(windows clocks.List) []clocks.List {
	var groups []clocks.List
	ends := map[string]int64{}
	last := map[string]int{}
	for _, w := range windows {
		at, is := last[w.Node]
		if !is || w.From > ends[w.Node] && w.From-ends[w.Node] > excessGap {
			at = len(groups)
			groups = append(groups, nil)
			last[w.Node], ends[w.Node] = at, w.To
		}
		groups[at] = append(groups[at], w)
		ends[w.Node] = max(ends[w.Node], w.To)
	}
	return groups
}

// excess tells one group. What lasted longest says best what happened; the many
// measurements within it say the same.
func (r *Run) excess(group clocks.List) excess {
	from, to := max(group[0].From, 0), group[0].To
	for _, w := range group {
		to = max(to, w.To)
	}
	x := excess{Node: visible.Cap(group[0].Node, shortValue), When: formatTime(from) + " – the end"}
	if to != history.Never {
		x.When = formatTime(from) + " – " + formatTime(to)
	}
	byLength := slices.Clone(group)
	slices.SortStableFunc(byLength, func(a, b clocks.Window) int { return cmp.Compare(b.To-b.From, a.To-a.From) })
	for _, w := range byLength {
		why := visible.Cap(w.Why, 4*longValue)
		switch {
		case slices.Contains(x.Why, why):
		case len(x.Why) < mostWhys:
			x.Why = append(x.Why, why)
		}
	}
	if n := len(group); n > mostWhys {
		x.Why = append(x.Why, fmt.Sprintf("%s in all", count(n, "such window")))
	}
	for _, f := range during(r.Verdict.Faults, from, to) {
		if strings.HasPrefix(f.Step.Kind, "clock-") && slices.Contains(hit(f), group[0].Node) {
			x.Faults = listed(x.Faults, fmt.Sprintf("%d (%s)", f.Step.ID, visible.Cap(f.Step.Kind, shortValue)))
		}
	}
	for i, f := range r.findings() {
		begin, end := window(f.Core)
		if len(f.Holds) > 0 {
			begin = max(begin, f.Holds[0].Counted)
		}
		if begin <= to && end >= from && i < mostFindings {
			x.Findings = listed(x.Findings, fmt.Sprint(i+1))
		}
	}
	return x
}

func listed(list, one string) string {
	if list == "" {
		return one
	}
	return list + ", " + one
}
