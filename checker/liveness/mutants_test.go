package liveness

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule, slightly wrong, must be noticed by the executions whose truth is known.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	in := all.In
	in("classes.go",
		[3]string{"nobody need have asked", "waited = c.demand.within(v.from, v.to)", "waited = v.length()"},
		[3]string{"lost time counts as well", "union(open).minus(lost)", "union(open)"},
		[3]string{"however much was lost", "lost*checker.LostShare <= v.length() && ", ""},
		[3]string{"what was never sent was asked", " || !o.Asked() {", " {"},
		[3]string{"one attempt is enough", ">= least:", ">= 1:"},
		[3]string{"an attempt may begin at the very end", "max(v.to-int64(w.OpTimeout), v.from)", "v.to"},
		[3]string{"the first wait after a heal is never late", "p.after != nil && (first.answered || !p.last)", "p.after != nil && !p.last"},
		[3]string{"the first wait after a heal counts twice", "if p.whole && p.after != nil && v.first {", "if false {"})
	in("calendar.go",
		[3]string{"failures of the control side leave no gap", "span{g.From, g.To}", "span{g.From, g.From}"},
		[3]string{"a run without enough time to judge is judged", "checker.ControlSideOf(log).TooMuch()", "false"},
		[3]string{"who was hit must serve", "p.spared[n] = !hit[n]", "p.spared[n] = true"},
		[3]string{"a majority may be hit", "2*len(hit) < len(c.nodes)", "len(hit) < len(c.nodes)"},
		[3]string{"any fault disturbs its nodes only", "t.contained && t.settled <= from && t.undo > from", "t.settled <= from && t.undo > from"},
		[3]string{"a fault is over when its heal begins", "t.over = ev.Time\n", "t.over = t.undo\n"})
	in("handover.go",
		[3]string{"a renewal does not count", `case history.FAcquire, history.FRenew, history.FRelease:`, `case history.FAcquire, history.FRelease:`},
		[3]string{"a release ends nothing", "r.end(o.Process, named(grant), o.Return)", "_ = r"},
		[3]string{"clocks are never slow", "max(1-clocks.Rate(w.Bounds), 0)", "1+3*clocks.Rate(w.Bounds)"},
		[3]string{"faults do not prolong a lease", "h.to = max(h.to, reach[k])", "h.to = max(h.to, 0)"})
	mutants.Hunt(t, `func Caught(string) error {
	var met, unclear int
	var all [3]int
	for seed := range uint64(1500) {
		if err := differs(seed, &all); err != nil {
			return err
		}
	}
	for seed := range uint64(200) {
		for _, err := range []error{keeps(seed, &met, &unclear), waits(seed), unfit(seed), hands(seed, &met), keepsBack(seed)} {
			if err != nil {
				return err
			}
		}
	}
	return nil
}
`, all)
}
