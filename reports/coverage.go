package reports

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
)

// sight is something a run ought to have seen at least once to have tested
// much, and whether it did. A run can be valid because nothing happened; this
// list is how a reader finds out.
type coverageItem struct {
	Seen bool
	Text string
}

func (r *Run) coverage() []coverageItem {
	all := append(r.faultCoverage(), r.leaseCoverage()...)
	for _, c := range r.Verdict.Coverage {
		all = append(all, coverageItem{c.Met, visible.Cap(c.Text, 4*longValue)})
	}
	return all
}

// missed says what the faults of the run did not meet; "" when they met everything.
func (r *Run) missed() string {
	var missing []string
	for _, c := range r.Verdict.Coverage {
		if !c.Met {
			missing = append(missing, visible.Cap(c.Text, 4*longValue))
		}
	}
	all := len(r.Verdict.Coverage)
	switch {
	case all == 0:
		return ""
	case len(missing) == 0:
		return fmt.Sprintf("all %d things that faults ought to meet", all)
	}
	return fmt.Sprintf("%d of %d things that faults ought to meet; not met: %s", all-len(missing), all, strings.Join(missing, "; "))
}

func (r *Run) faultCoverage() []coverageItem {
	var s []coverageItem
	add := func(seen bool, format string, args ...any) {
		s = append(s, coverageItem{seen, fmt.Sprintf(format, args...)})
	}
	v := r.Verdict
	add(v.OK > 0, "%s succeeded, %s certainly did not happen, %s ended unknown",
		count(v.OK, "operation"), number(v.Fail), number(v.Info))
	var confirmed []checker.Fault
	byKind := map[string][2]int{}
	for _, f := range v.Faults {
		n := byKind[f.Step.Kind]
		n[1]++
		if f.Injected >= 0 && f.Confirmed {
			n[0]++
			confirmed = append(confirmed, f)
		}
		byKind[f.Step.Kind] = n
	}
	for _, kind := range append(append([]string(nil), r.Plan.Faults...), others(byKind, r.Plan.Faults)...) {
		n := byKind[kind]
		add(n[0] > 0, "%s: %d of %d confirmed", visible.Cap(kind, shortValue), n[0], n[1])
	}
	if len(r.Plan.Faults) == 0 {
		return append(s, r.coverageOfHistory(nil)...)
	}
	hits := map[string]bool{}
	for _, f := range confirmed {
		for _, n := range hit(f) {
			hits[n] = true
		}
	}
	var spared []string
	for _, n := range r.Plan.Cluster.Nodes {
		if !hits[n] {
			spared = append(spared, n)
		}
	}
	if len(spared) == 0 {
		add(true, "every node was hit by a confirmed fault")
	} else {
		add(false, "no confirmed fault hit %s", nodeList(spared))
	}
	return append(s, r.coverageOfHistory(confirmed)...)
}

// coverageOfHistory needs the history itself.
func (r *Run) coverageOfHistory(confirmed []checker.Fault) []coverageItem {
	if r.Log == nil {
		return nil
	}
	var s []coverageItem
	leaders, during := 0, 0
	var before []string
	for i := range r.Log.Events {
		ev := &r.Log.Events[i]
		if ev.Type != history.LeaderChange || len(ev.Leading()) == 0 {
			continue
		}
		now := nodesThatLead(ev)
		if before != nil && !slices.Equal(now, before) {
			leaders++
			if inForce(confirmed, ev.Time) {
				during++
			}
		}
		before = now
	}
	if before != nil {
		s = append(s, coverageItem{leaders > 0, fmt.Sprintf("the leader changed %s, %d of them while a confirmed fault was in force", count(leaders, "time"), during)})
	}
	for _, text := range rivals(r.Log.Events) {
		s = append(s, coverageItem{true, text})
	}
	if len(confirmed) == 0 {
		return s
	}
	// A merged, sorted list of spans makes this one pass over the operations.
	spans := union(confirmed, r.Log.End)
	in, ok := 0, 0
	at := 0
	for i := range r.Log.Operations {
		op := &r.Log.Operations[i]
		for at < len(spans) && spans[at][1] < op.Call {
			at++
		}
		if at < len(spans) && op.Call >= spans[at][0] {
			in++
			if op.Type == history.OK {
				ok++
			}
		}
	}
	return append(s, coverageItem{in > 0, fmt.Sprintf("%s began while a confirmed fault was in force; %s of them succeeded", count(in, "operation"), number(ok))})
}

func inForce(faults []checker.Fault, t int64) bool { return len(during(faults, t, t)) > 0 }

// union merges the spans of faults into ascending disjoint ones.
func union(faults []checker.Fault, end int64) [][2]int64 {
	var spans [][2]int64
	for _, f := range faults {
		to := f.Healed
		if to < 0 {
			to = end
		}
		spans = append(spans, [2]int64{f.Injected, to})
	}
	sort.Slice(spans, func(i, j int) bool { return spans[i][0] < spans[j][0] })
	var merged [][2]int64
	for _, s := range spans {
		if n := len(merged); n > 0 && s[0] <= merged[n-1][1] {
			merged[n-1][1] = max(merged[n-1][1], s[1])
		} else {
			merged = append(merged, s)
		}
	}
	return merged
}

func others(kinds map[string][2]int, known []string) []string {
	listed := map[string]bool{}
	for _, k := range known {
		listed[k] = true
	}
	var rest []string
	for k := range kinds {
		if !listed[k] {
			rest = append(rest, k)
		}
	}
	sort.Strings(rest)
	return rest
}

// planTree is the plan as a numbered tree, with the moment of each finding
// marked where the schedule had got to.
func (r *Run) planTree() string {
	p := r.Plan
	var b strings.Builder
	line := func(depth int, format string, args ...any) {
		b.WriteString(strings.Repeat("   ", depth))
		b.WriteString(visible.Text(fmt.Sprintf(format, args...)))
		b.WriteByte('\n')
	}
	line(0, "%s %s %s", p.System.Name, p.System.Version, r.options())
	if p.System.Binary != "" {
		line(1, "binary %s", p.System.Binary)
	}
	line(1, "on %s (%s)", strings.Join(p.Cluster.Nodes, " "), p.Cluster.Spec)
	if p.Cluster.InsecureHostKeys {
		line(2, "any host key is accepted (--insecure-host-keys)")
	}
	rate := "as fast as they can"
	if p.Workload.Rate > 0 {
		rate = trimZeros(fmt.Sprintf("%.2f", p.Workload.Rate)) + " operations/s"
	}
	line(1, "workload %s: %s %s, %s at once, %s on each", p.Workload.Name, count(p.Workload.Concurrency, "client"), rate,
		count(p.Workload.Keys, "key"), count(p.Workload.OpsPerKey, "operation"))
	line(1, "for %s, seed %d, operations wait %s", p.TimeLimit, p.Seed, p.OpTimeout)
	if list := promised(p); len(list) > 0 {
		line(1, "held to: %s", strings.Join(list, ", "))
	}
	if len(p.Schedule) == 0 {
		line(1, "no faults")
		return b.String()
	}
	required := ""
	if p.RequireFaults {
		required = ", each required"
	}
	line(1, "%s drawn from %s%s", count(len(p.Schedule), "fault"), strings.Join(p.Faults, ", "), required)
	fates := map[int]checker.Fault{}
	for _, f := range r.Verdict.Faults {
		fates[f.Step.ID] = f
	}
	findings := r.findings()
	for _, s := range p.Schedule {
		nodes := strings.Join(s.Nodes, " ")
		f, fired := fates[s.ID]
		if fired {
			nodes = strings.Join(hit(f), " ")
		}
		text := fmt.Sprintf("%3d  at %-8s for %-8s %s → %s", s.ID, s.At, s.Hold, intent(s), nodes)
		if fired && !f.Confirmed {
			text += "   (" + state(f) + ")"
		}
		for i, found := range findings {
			if op, ok := culprit(found); ok && fired && f.Injected >= 0 {
				at := op.Call
				if at >= f.Injected && (f.Healed < 0 || at <= f.Healed) {
					text += fmt.Sprintf("   ◀ finding %d, %s", i+1, formatTime(at))
				}
			}
		}
		line(1, "%s", text)
	}
	return b.String()
}
