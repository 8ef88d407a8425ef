package lease

import (
	"cmp"
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/checker/clocks"
	"nemesis/history"
)

// The classes, worst first.
var classes = []checker.Class{
	{Name: "two-holders", Breaks: []history.Model{history.MutualExclusion}},
	{Name: "early-expiry", Breaks: []history.Model{history.LeaseDuration}},
	{Name: "stale-write-accepted", Breaks: []history.Model{history.Fencing}},
	{Name: "deposed-renewal", Breaks: []history.Model{history.LeaseEnd}},
	{Name: "resurrection", Breaks: []history.Model{history.LeaseEnd}},
	{Name: "epoch-conflict", Breaks: []history.Model{history.FencingTokens}},
	{Name: "token-reused", Breaks: []history.Model{history.FencingTokens}},
	{Name: "token-order", Breaks: []history.Model{history.FencingTokens}},
	{Name: "stale-read", Breaks: []history.Model{history.LeaseReads, history.Linearizable}},
	{Name: "overstay", Breaks: []history.Model{history.BoundedExpiry}},
	{Name: "believed-overlap", Breaks: []history.Model{history.BelievedExclusion}},
}

// timed anomalies rest on clocks within the bounds, untimed ones on nothing but A1 and A2.
const (
	timed   = true
	untimed = false
)

// report collects what is found, apart by whether clocks were within their bounds.
type report struct {
	log              *history.Log
	windows          clocks.List
	faults           []checker.Fault
	inside, exceeded checker.Anomalies
	claimExclusion   bool
	gaps             checker.Gaps

	stalest  int64
	overlaps int
	longest  int64
	believed *checker.Anomaly
}

func newReport(log *history.Log, o Options) *report {
	r := &report{log: log, windows: clocks.Windows(log.Events, o.Bounds), faults: checker.FaultsOf(nil, log.Events), claimExclusion: o.ClaimExclusion, gaps: checker.GapsOf(log)}
	r.inside.Worst, r.exceeded.Worst = classes, classes
	return r
}

// add counts an anomaly whose argument speaks of [from, to].
func (r *report) add(class string, onClocks bool, from, to int64, tell func() telling) {
	if onClocks {
		if w, beyond := r.windows.During(from, to); beyond {
			r.exceeded.AddBeyond(class, checker.Beyond{Assumption: history.ClockError, Why: w.Why},
				func() checker.Anomaly { return r.anomaly(tell(), w.Why) })
			return
		}
	}
	r.inside.Add(class, func() checker.Anomaly { return r.anomaly(tell(), "") })
}

// overlap counts a believed overlap, which is a violation only where the workload
// promises exclusion to what is guarded, and the first client did not stand still with
// nemesis before it could hear that its hold was over.
func (r *report) overlap(a, b spell, tell func() telling) {
	r.overlaps++
	r.longest = max(r.longest, min(a.to, b.to)-b.from)
	if r.believed == nil {
		f := checker.Tell("believed-overlap", func() checker.Anomaly { return r.anomaly(tell(), "") })
		r.believed = &f
	}
	if r.claimExclusion && r.gaps.Within(a.from, min(a.to, b.to)) == 0 {
		r.add("believed-overlap", timed, a.from, min(a.to, b.to), tell)
	}
}

// telling is an anomaly before it is put in order: operations as the story names them,
// and steps about their positions in it.
type telling struct {
	key, claim, rule, state string
	ops                     []history.Operation
	culprit                 int
	steps                   []checker.ProofStep
	holds                   []checker.Hold
	from, to                int64 // for which faults are named
}

func step(text string, about ...int) checker.ProofStep {
	return checker.ProofStep{Text: text, Core: about}
}

func (r *report) anomaly(t telling, beyond string) checker.Anomaly {
	f := checker.Anomaly{Sentence: t.claim, Rule: t.rule, Key: t.key, State: t.state, Holds: t.holds, Unexplained: -1}
	order := make([]int, len(t.ops))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(t.ops[a].Call, t.ops[b].Call) })
	place := make([]int, len(t.ops))
	for n, i := range order {
		place[i] = n
		f.Core = append(f.Core, t.ops[i])
		if i == t.culprit {
			f.Unexplained = n
		}
	}
	for _, s := range append(t.steps, r.inForce(t.from, t.to)...) {
		var about []int
		for _, i := range s.Core {
			about = append(about, place[i])
		}
		f.Proof = append(f.Proof, checker.ProofStep{Text: s.Text, Core: about})
	}
	if beyond != "" {
		f.Proof = append(f.Proof, step("The argument takes clocks to be right, but "+beyond+"."))
	}
	f.Around = r.around(t)
	return f
}

// inForce names the faults at work in a stretch of time.
func (r *report) inForce(from, to int64) []checker.ProofStep {
	var list []checker.ProofStep
	for _, f := range r.faults {
		if f.Injected < 0 || f.Injected > to || f.Healed >= 0 && f.Healed < from {
			continue
		}
		whom := ""
		for i, n := range f.Nodes {
			if i > 0 {
				whom += ", "
			}
			whom += n
		}
		text := fmt.Sprintf("Fault %d (%s) was in force on %s from %s", f.Step.ID, f.Step.Kind, whom, checker.Moment(f.Injected))
		if f.Healed >= 0 {
			text += " to " + checker.Moment(f.Healed)
		}
		if !f.Confirmed {
			text += ", without evidence that it acted"
		}
		list = append(list, step(text+"."))
	}
	return list
}

// around are operations of the same resource near the story, for its picture.
func (r *report) around(t telling) []history.Operation {
	const most = 60
	var list []history.Operation
	if len(t.ops) == 0 {
		return nil
	}
	core := make(map[int64]bool)
	for _, o := range t.ops {
		core[o.Index] = true
	}
	from, _ := slices.BinarySearchFunc(r.log.Operations, t.from, func(o history.Operation, at int64) int { return cmp.Compare(o.Call, at) })
	for i := from; i < len(r.log.Operations) && len(list) < most; i++ {
		o := &r.log.Operations[i]
		if o.Call > t.to {
			break
		}
		if o.Key == t.key && !core[o.Index] {
			list = append(list, *o)
		}
	}
	return list
}
