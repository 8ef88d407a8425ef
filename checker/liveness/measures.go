package liveness

import (
	"slices"
	"sort"

	"nemesis/history"
)

// Stable recovery: in every later second at least so many of so many attempts succeed.
const (
	stableWindow = 1e9
	stableShare  = 10 // one in so many may be in vain
)

// measure fills in what is told and not judged.
func (w *work) measure() {
	for n := range w.calendar.pieces {
		w.pace.Step()
		p := &w.calendar.pieces[n]
		if p.whole && p.after != nil && p.after.fault != 0 && !p.after.lost {
			w.recoveries = append(w.recoveries, w.recovered(p))
		}
	}
	for _, c := range w.classes {
		w.pace.Step()
		if c.node == "" {
			continue
		}
		longest := Starvation{Node: c.node, F: c.f}
		c.waits(span{w.calendar.begin, w.calendar.end}, func(v wait) {
			if v.length() <= longest.Waited {
				return
			}
			if waited := c.demand.within(v.from, v.to); waited > longest.Waited {
				longest.From, longest.To, longest.Waited = v.from, v.to, waited
			}
		})
		if longest.Waited > 0 {
			w.starvations = append(w.starvations, longest)
		}
	}
	sort.SliceStable(w.starvations, func(a, b int) bool { return w.starvations[a].Waited > w.starvations[b].Waited })
}

// recovered measures what followed a heal.
func (w *work) recovered(p *piece) Recovery {
	r := Recovery{
		Fault: p.after.fault, Kind: p.after.kind, From: p.from, Until: p.to,
		First: -1, Stable: w.stable(p),
	}
	for _, c := range w.classes {
		w.pace.Step()
		first := c.first(p.span)
		switch {
		case c.node == "":
			if first.answered && (r.First < 0 || first.length() < r.First) {
				r.First = first.length()
			}
		case first.answered && r.Complete >= 0:
			if first.length() > r.Complete {
				r.Complete, r.Slowest = first.length(), c.String()
			}
		case !first.answered && c.demand.within(p.from, p.to) > 0:
			r.Complete, r.Slowest = -1, c.String()
		}
	}
	if r.First < 0 {
		r.Complete = -1
	}
	return r
}

// stable finds the end of the last second of a piece in which too many attempts were
// in vain.
func (w *work) stable(p *piece) int64 {
	type second struct{ served, vain int }
	seconds := map[int64]*second{}
	for i := firstCalled(w.log.Operations, p.from); i < len(w.log.Operations); i++ {
		w.pace.Step()
		o := &w.log.Operations[i]
		if o.Call > p.to {
			break
		}
		if o.F == history.FAcquire || o.End > p.to || !o.Asked() {
			continue
		}
		k := (o.End - p.from) / stableWindow
		if seconds[k] == nil {
			seconds[k] = &second{}
		}
		if answered(o) {
			seconds[k].served++
		} else {
			seconds[k].vain++
		}
	}
	worst, last := int64(-1), int64(-1) // the last one in vain, and the last one with an answer
	for k, s := range seconds {
		w.pace.Step()
		if s.vain*stableShare > s.served+s.vain {
			worst = max(worst, k)
		} else {
			last = max(last, k)
		}
	}
	if last < 0 || last < worst {
		return -1
	}
	return (worst + 1) * stableWindow
}

// firstCalled is the position of the first operation invoked at t or later.
func firstCalled(ops []history.Operation, t int64) int {
	return sort.Search(len(ops), func(i int) bool { return ops[i].Call >= t })
}

// byKind gathers the recoveries of each kind of fault.
func byKind(all []Recovery) []KindTimes {
	lengths := map[string][]int64{}
	unfinished := map[string]int{}
	var kinds []string
	for _, r := range all {
		if !slices.Contains(kinds, r.Kind) {
			kinds = append(kinds, r.Kind)
		}
		if r.Complete < 0 {
			unfinished[r.Kind]++
		} else {
			lengths[r.Kind] = append(lengths[r.Kind], r.Complete)
		}
	}
	slices.Sort(kinds)
	var out []KindTimes
	for _, k := range kinds {
		one := KindTimes{Kind: k, Unfinished: unfinished[k]}
		if t := times(lengths[k]); t != nil {
			one.Times = *t
		}
		out = append(out, one)
	}
	return out
}

// times are the quantiles of lengths; nil without any.
func times(lengths []int64) *Times {
	if len(lengths) == 0 {
		return nil
	}
	sorted := slices.Clone(lengths)
	slices.Sort(sorted)
	at := func(percent int) int64 { return sorted[(percent*len(sorted)+99)/100-1] }
	return &Times{len(sorted), sorted[0], at(50), at(95), sorted[len(sorted)-1]}
}
