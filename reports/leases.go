package reports

import (
	"fmt"
	"html/template"
	"math"

	"nemesis/checker"
	"nemesis/checker/lease"
	"nemesis/history"
	"nemesis/reports/visible"
)

// leaseDetails is what the checker of leases counted; ok is false where none ran.
func (r *Run) leaseDetails() (lease.Details, bool) {
	return details[lease.Details](r, lease.Checker(lease.Options{}).Name())
}

// leaseCoverage is what a run with leases ought to have seen of them.
func (r *Run) leaseCoverage() []coverageItem {
	d, ok := r.leaseDetails()
	if !ok {
		return nil
	}
	s := []coverageItem{
		{d.Handovers > 0, fmt.Sprintf("%s of %s, %s to another client", count(d.Grants, "grant"), count(d.Resources, "resource"), count(d.Handovers, "hand-over"))},
		{d.Contested > 0, fmt.Sprintf("%s asked for while another held it", count(d.Contested, "grant"))},
		{d.Expiries > 0, fmt.Sprintf("%s that nobody had given up ran out", count(d.Expiries, "hold"))},
		{d.Refused > 0, fmt.Sprintf("%s refused as another held it, %s of who holds it", count(d.Refused, "attempt"), count(d.Looks, "look"))},
		{d.Renewals > 0, fmt.Sprintf("%s acknowledged; the longest hold certainly lasted %s", count(d.Renewals, "renewal"), formatDuration(d.LongestHold))},
	}
	if d.Rejected > 0 {
		s = append(s, coverageItem{true, fmt.Sprintf("%s rejected for an old token", count(d.Rejected, "write"))})
	}
	return s
}

// beside is a picture of what is told beside the verdict, or beside a finding.
type beside struct {
	Words   string
	Picture template.HTML
}

// believed is the first time two clients believed to hold one resource, unless it is a
// finding itself. It breaks no promise by itself, and explains what does.
func (r *Run) believed() *beside {
	d, ok := r.leaseDetails()
	if !ok || d.Believed == nil || d.Overlaps == 0 {
		return nil
	}
	for _, f := range r.findings() {
		if f.Class == d.Believed.Class {
			return nil
		}
	}
	words := fmt.Sprintf("%s two clients believed to hold the same, for %s at most. The first:", times(d.Overlaps), formatDuration(d.LongestOverlap))
	return &beside{words + " " + visible.Text(d.Believed.Sentence), drawLeases(0, *d.Believed, r.Verdict.Faults, r.Log)}
}

func times(n int) string {
	if n == 1 {
		return "Once"
	}
	return number(n) + " times"
}

// besideLoss shows who held a lock when something that it protects was lost: a finding
// about the set tells the add, and the beliefs of its two holders why it was in vain.
func (r *Run) besideLoss(n int, f checker.Anomaly) *beside {
	if r.Log == nil || f.Class != "lost-element" || len(f.Core) == 0 {
		return nil
	}
	add := f.Core[0]
	all := resourceHistoryOf(f, r.Log, history.Never)
	a, b, found := overlappingHold(all.holdSpans, add)
	if !found {
		return nil
	}
	first, second := a, b
	if b.from < a.from {
		first, second = b, a
	}
	told := checker.Anomaly{Class: "believed-overlap", Key: f.Key, Unexplained: 2, Core: []history.Operation{asBelief(first, f.Key, r.Log.End), asBelief(second, f.Key, r.Log.End), add}}
	return &beside{
		fmt.Sprintf("Client %d added it as holder from %s to %s; client %d acted as holder from %s to %s.",
			a.process, formatTime(a.from), formatTime(min(a.to, r.Log.End)), b.process, formatTime(b.from), formatTime(min(b.to, r.Log.End))),
		drawLeases(-n, told, r.Verdict.Faults, r.Log),
	}
}

// overlappingHold finds the hold in which an operation was done, and the one of another client that
// overlaps it nearest to that operation.
func overlappingHold(spans []holdSpan, op history.Operation) (own, other holdSpan, found bool) {
	for _, x := range spans {
		if x.process == op.Process && x.from <= op.Call && x.to >= op.Call {
			own, found = x, true
		}
	}
	if !found {
		return own, other, false
	}
	nearest := int64(math.MaxInt64)
	for _, x := range spans {
		if x.process == own.process || x.from >= own.to || x.to <= own.from {
			continue
		}
		away := max(0, max(x.from, own.from)-finish(op), op.Call-min(x.to, own.to))
		if away < nearest {
			nearest, other = away, x
		}
	}
	return own, other, nearest < math.MaxInt64
}

// asBelief is a hold as the checker of leases tells it.
func asBelief(x holdSpan, key string, end int64) history.Operation {
	to := max(min(x.to, end), x.from)
	return history.Operation{Index: -1, Completion: -1, Process: x.process, F: "believed", Key: key, Type: history.OK, Call: x.from, Return: to, End: to}
}
