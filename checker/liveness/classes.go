package liveness

import (
	"fmt"
	"slices"
	"sort"

	"nemesis/checker"
	"nemesis/history"
)

// patience is how long after an attempt a client still counts as waiting: workers
// pause between attempts that fail.
const patience = 1e9

// class is the operations of one function, of all clients or of those of one node.
type class struct {
	f, node string // node "" is all
	// ops are positions in the log, by call.
	ops []int32
	// oks are the ends of the answered ones, ascending.
	oks []int64
	// calls and ends are of all of them, each ascending.
	calls, ends []int64
	// demand is when somebody waited for an answer, without lost time.
	demand spans
}

func (c *class) String() string {
	if c.node == "" {
		return fmt.Sprintf("every %s", checker.Show(c.f))
	}
	return fmt.Sprintf("%s on %s", checker.Show(c.f), checker.Show(c.node))
}

// answered reports whether the system served an operation: it was done, or refused
// for a reason that the system had to look at its state for.
func answered(o *history.Operation) bool {
	switch o.Type {
	case history.OK:
		return true
	case history.Fail:
		return o.Version != 0 || o.Error == "" || (len(o.Output) > 0 && string(o.Output) != "null")
	}
	return false
}

// gather sorts the operations into classes.
func (w *work) gather() {
	type name struct{ f, node string }
	byName := map[name]*class{}
	add := func(f, node string, i int) {
		c := byName[name{f, node}]
		if c == nil {
			c = &class{f: f, node: node}
			byName[name{f, node}] = c
			w.classes = append(w.classes, c)
		}
		c.ops = append(c.ops, int32(i))
	}
	for i := range w.log.Operations {
		w.pace.Step()
		o := &w.log.Operations[i]
		if o.F == history.FAcquire || slices.Contains(w.Skip, o.F) || !o.Asked() {
			continue
		}
		add(o.F, "", i)
		if o.Node != "" && o.F != history.FServe {
			add(o.F, o.Node, i)
		}
	}
	sort.Slice(w.classes, func(a, b int) bool {
		x, y := w.classes[a], w.classes[b]
		if x.node != y.node {
			return x.node < y.node
		}
		return x.f < y.f
	})
	for _, c := range w.classes {
		w.pace.Step()
		c.index(w.log, w.calendar.lost, answered)
	}
}

// index prepares what judging needs; served tells what is an answer.
func (c *class) index(log *history.Log, lost spans, served func(*history.Operation) bool) {
	var open []span
	for _, i := range c.ops {
		o := &log.Operations[i]
		open = append(open, span{o.Call, saturated(o.End, patience)})
		c.calls = append(c.calls, o.Call)
		c.ends = append(c.ends, o.End)
		if served(o) {
			c.oks = append(c.oks, o.Return)
		}
	}
	slices.Sort(c.oks)
	slices.Sort(c.ends)
	c.demand = union(open).minus(lost)
}

func saturated(t, more int64) int64 {
	if t > history.Never-more {
		return history.Never
	}
	return t + more
}

// attempts is how many operations were open at from or invoked until last. In a wait
// all of them are in vain, but for the one that ends it.
func (c *class) attempts(from, last int64) int {
	called := sort.Search(len(c.calls), func(i int) bool { return c.calls[i] > last })
	over := sort.Search(len(c.ends), func(i int) bool { return c.ends[i] > from })
	return max(called-over, 0)
}

// wait is a time without an answer.
type wait struct {
	span
	// answered: the end is an answer, not the end of the piece.
	answered bool
	// first: it starts with the piece, not with an answer.
	first bool
}

// waits calls visit for every wait of a piece, in order, one more than there are answers.
func (c *class) waits(p span, visit func(wait)) {
	from, first := p.from, true
	for i := sort.Search(len(c.oks), func(i int) bool { return c.oks[i] >= p.from }); i < len(c.oks) && c.oks[i] <= p.to; i++ {
		visit(wait{span{from, c.oks[i]}, true, first})
		from, first = c.oks[i], false
	}
	visit(wait{span{from, p.to}, false, first})
}

// first is the wait that starts with a piece.
func (c *class) first(p span) wait {
	i := sort.Search(len(c.oks), func(i int) bool { return c.oks[i] >= p.from })
	if i < len(c.oks) && c.oks[i] <= p.to {
		return wait{span{p.from, c.oks[i]}, true, true}
	}
	return wait{p, false, true}
}

// answer says what a wait tells of a bound.
type answer int

const (
	unclear answer = iota // neither
	met
	violated
)

// judge measures a wait of a class and compares it with a bound, which at least so
// many operations must have been subject to.
func (w *work) judge(c *class, v wait, bound int64, least int) (waited int64, a answer) {
	waited = c.demand.within(v.from, v.to)
	lost := w.calendar.lost.within(v.from, v.to)
	last := max(v.to-int64(w.OpTimeout), v.from)
	switch {
	case v.answered && (bound == 0 || waited+lost <= bound):
		return waited, met
	case bound > 0 && waited > bound && lost*checker.LostShare <= v.length() && c.attempts(v.from, last) >= least:
		return waited, violated
	}
	return waited, unclear
}

// note adds the longest wait met by a judgement to a property.
func (p *Property) note(waited int64, where fmt.Stringer) {
	if waited > p.Longest {
		p.Longest, p.Where = waited, where.String()
	}
}

// judgeClasses judges recovery, final and availability.
func (w *work) judgeClasses() {
	w.recovery = Property{Name: "recovery", Bound: int64(w.Bounds.Recovery)}
	w.final = Property{Name: "final", Bound: int64(w.Bounds.Recovery)}
	w.availability = Property{Name: "availability", Bound: int64(w.Bounds.Outage)}
	for n := range w.calendar.pieces {
		w.pace.Step()
		p := &w.calendar.pieces[n]
		told := map[string]bool{} // functions of which all clients together were told
		for _, c := range w.classes {
			w.pace.Step()
			switch {
			case p.whole:
				w.judgeWhole(p, c, told)
			case c.node != "" && p.spared[c.node]:
				w.judgeAvailable(p, c, told)
			}
		}
	}
}

// judgeWhole judges a class in a piece without faults: its first wait by Recovery if
// the piece follows a heal or ends the run, the others by Outage.
func (w *work) judgeWhole(p *piece, c *class, told map[string]bool) {
	first := c.first(p.span)
	if p.last {
		w.judgeFirst(&w.final, "never-recovered", p, c, first, told)
	}
	if p.after != nil && (first.answered || !p.last) {
		w.judgeFirst(&w.recovery, "slow-recovery", p, c, first, told)
	}
	w.judgeAvailable(p, c, told)
}

// judgeFirst judges the time to the first answer in a piece. For final any answer
// will do: that it came late is recovery's.
func (w *work) judgeFirst(property *Property, name string, p *piece, c *class, first wait, told map[string]bool) {
	waited, a := w.judge(c, first, property.Bound, MinAttempts)
	if first.answered && property == &w.final {
		a = met
	}
	switch a {
	case met:
		property.Met++
	case violated:
		property.Violated++
		w.tell(name, c, p, first, waited, *property, told)
	default:
		property.Inconclusive++
		if waited == 0 {
			property.Unasked++
		}
	}
	if first.answered || a == violated {
		property.note(waited, c)
	}
}

// judgeAvailable: no wait of a class, but the first after a heal, is longer than Outage.
func (w *work) judgeAvailable(p *piece, c *class, told map[string]bool) {
	bound := w.availability.Bound
	judged, asked, all := false, false, unclear
	longest, worst, broken := int64(0), int64(0), wait{}
	c.waits(p.span, func(v wait) {
		if p.whole && p.after != nil && v.first {
			return // recovery's
		}
		judged = true
		// Most waits are short, and none counts for more than its length.
		if v.answered && v.length() <= min(longest, bound) {
			all = max(all, met)
			return
		}
		waited, a := w.judge(c, v, bound, MinAttempts)
		asked = asked || waited > 0
		all = max(all, a)
		if v.answered || a == violated {
			longest = max(longest, waited)
		}
		if a == violated && waited > worst {
			worst, broken = waited, v
		}
	})
	switch {
	case !judged:
		return
	case all == violated:
		w.availability.Violated++
		w.tell("unavailable-without-quorum-loss", c, p, broken, worst, w.availability, told)
	case all == met:
		w.availability.Met++
	default:
		w.availability.Inconclusive++
		if !asked {
			w.availability.Unasked++
		}
	}
	w.availability.note(longest, c)
}

// judgeOpen looks for operations that clients never gave up.
func (w *work) judgeOpen() {
	limit := int64(3 * w.OpTimeout)
	w.decay = Property{Name: "decay", Bound: limit}
	if limit <= 0 || w.log.Truncated != "" {
		return
	}
	for i := range w.log.Operations {
		w.pace.Step()
		o := &w.log.Operations[i]
		to := min(o.End, w.calendar.end)
		open := to - o.Call
		if open > limit {
			open -= w.calendar.lost.within(o.Call, to)
		}
		if open > w.decay.Longest {
			w.decay.Longest, w.decay.Where = open, checker.Show(o.F+" on "+o.Node)
		}
		if open <= limit {
			w.decay.Met++
			continue
		}
		w.decay.Violated++
		w.found.Add("stuck-operation", func() checker.Anomaly { return w.stuck(o, open) })
	}
}
