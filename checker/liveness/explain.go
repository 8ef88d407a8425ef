package liveness

import (
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/history"
)

// How many operations an anomaly shows: in its core, and around it for the picture.
const (
	shown  = 6
	around = 60
)

// told reports whether a break of a class is only counted, since it was told for all
// clients together, and remembers it.
func (c *class) told(already map[string]bool, name string) bool {
	if c.node == "" {
		already[name+c.f] = true
		return false
	}
	return already[name+c.f]
}

// tell adds the anomaly of a class that waited too long.
func (w *work) tell(name string, c *class, p *piece, v wait, waited int64, property Property, told map[string]bool) {
	if c.told(told, name) {
		return
	}
	w.found.Add(name, func() checker.Anomaly {
		f := w.waitFinding(c, v)
		who := "No client"
		if c.node != "" {
			who = "No client of " + checker.Show(c.node)
		}
		bound := checker.Span(property.Bound)
		begin, allowed := w.beginning(p, v), "after the heal"
		switch name {
		case "never-recovered":
			f.Sentence = fmt.Sprintf("%s got an answer to a %s from %s until the run ended %s later, although all was well.",
				who, checker.Show(c.f), checker.Moment(v.from), checker.Span(v.length()))
			f.Rule = fmt.Sprintf("After the last heal every kind of operation is answered on every node within %s.", bound)
		case "slow-recovery":
			f.Sentence = fmt.Sprintf("%s got an answer to a %s in the %s after %s, although all was well.",
				who, checker.Show(c.f), checker.Span(v.length()), begin)
			f.Rule = fmt.Sprintf("After a heal every kind of operation is answered on every node within %s.", bound)
		default:
			allowed = "while no more than a minority is hit"
			f.Sentence = fmt.Sprintf("%s got an answer to a %s for %s, from %s, although %s.",
				who, checker.Show(c.f), checker.Span(v.length()), checker.Moment(v.from), w.condition(p))
			f.Rule = fmt.Sprintf("While no more than a minority of the nodes is hit, clients of the others wait at most %s.", bound)
		}
		f.State = fmt.Sprintf("%s from %s to %s", w.condition(p), checker.Moment(p.from), checker.Moment(p.to))
		f.Proof = slices.Concat([]checker.ProofStep{{Text: fmt.Sprintf("The wait began at %s: %s.", checker.Moment(v.from), begin)}},
			f.Proof, []checker.ProofStep{w.sum(v, waited, bound, allowed)})
		return f
	})
}

// tellFree adds the anomaly of a free resource that nobody was given.
func (w *work) tellFree(name string, r *resource, p *piece, v wait, waited int64) {
	w.found.Add(name, func() checker.Anomaly {
		f := w.waitFinding(&r.class, v)
		f.Key = r.key
		bound := checker.Span(w.handover.Bound)
		f.Sentence = fmt.Sprintf("Nobody got %s in %s from %s on, although nobody can have held it and clients asked for it.",
			checker.Show(r.key), checker.Span(v.length()), checker.Moment(v.from))
		if name == "wedged" {
			f.Sentence = fmt.Sprintf("Nobody ever got %s again from %s on, %s long, although nobody can have held it and clients asked for it.",
				checker.Show(r.key), checker.Moment(v.from), checker.Span(v.length()))
		}
		f.Rule = fmt.Sprintf("Within %s of its release, or of its latest end, a client that waits for a lease gets it.", bound)
		f.State = "nobody holds " + checker.Show(r.key)
		f.Proof = slices.Concat([]checker.ProofStep{{Text: fmt.Sprintf(
			"Every grant of %s, with all its renewals, had been released or had run out by %s, by the slowest clock allowed; %s.",
			checker.Show(r.key), checker.Moment(v.from), w.condition(p))}},
			f.Proof, []checker.ProofStep{w.sum(v, waited, bound, "for a free resource")})
		return f
	})
}

// sum is the step that compares what was measured with what is allowed.
func (w *work) sum(v wait, waited int64, bound, allowed string) checker.ProofStep {
	text := fmt.Sprintf("Of the %s until %s somebody waited %s; the bound %s is %s.",
		checker.Span(v.length()), checker.Moment(v.to), checker.Span(waited), allowed, bound)
	if lost := w.calendar.lost.within(v.from, v.to); lost > 0 {
		text += fmt.Sprintf(" Nemesis itself stood still or failed for %s of it, which does not count.", checker.Span(lost))
	}
	return checker.ProofStep{Text: text}
}

// condition says in what state the cluster was in a piece.
func (w *work) condition(p *piece) string {
	if p.whole {
		return "no fault was in force"
	}
	return "the only fault in force was the " + p.why
}

// beginning says what a wait began with.
func (w *work) beginning(p *piece, v wait) string {
	switch {
	case !v.first:
		return "an earlier answer at " + checker.Moment(v.from)
	case p.after == nil:
		return "the workload's begin"
	case p.whole && p.after.lost:
		return fmt.Sprintf("the end of fault %d (%s), which something else had undone by %s", p.after.fault, p.after, checker.Moment(p.from))
	case p.whole && p.after.fault != 0:
		return fmt.Sprintf("the heal of fault %d (%s), confirmed at %s", p.after.fault, p.after, checker.Moment(p.from))
	case p.whole:
		return fmt.Sprintf("the end of the %s at %s", p.after, checker.Moment(p.from))
	}
	return fmt.Sprintf("the %s at %s", p.after, checker.Moment(p.from))
}

// waitFinding makes the parts that all anomalies have: what was asked in vain, and what
// ended the wait.
func (w *work) waitFinding(c *class, v wait) checker.Anomaly {
	f := checker.Anomaly{Unexplained: -1}
	var vain []int32
	late := int32(-1)
	for _, i := range c.ops {
		o := &w.log.Operations[i]
		switch {
		case o.Call > v.to:
		case v.answered && o.Type != history.Info && o.Return == v.to && late < 0:
			late = i
		case o.End > v.from && o.Call <= v.to:
			vain = append(vain, i)
		}
	}
	core := sample(vain, shown)
	if late >= 0 {
		core = append(core, late)
		slices.Sort(core)
	}
	for n, i := range core {
		o := w.log.Operations[i]
		f.Core = append(f.Core, o)
		text := fmt.Sprintf("Client %d's %s on %s was invoked at %s and %s.", o.Process, checker.Show(o.F), checker.Show(o.Node), checker.Moment(o.Call), ended(o))
		if i == late {
			text = fmt.Sprintf("Only client %d's %s, invoked at %s, was answered, at %s.", o.Process, checker.Show(o.F), checker.Moment(o.Call), checker.Moment(o.Return))
			f.Unexplained = n
		}
		f.Proof = append(f.Proof, checker.ProofStep{Text: text, Core: []int{n}})
	}
	if more := len(vain) - min(len(vain), shown); more > 0 {
		f.Proof = append(f.Proof, checker.ProofStep{Text: checker.Plural(more, "more operation") + " went the same way."})
	}
	for _, i := range sample(c.near(w.log, v), around) {
		if !slices.Contains(core, i) {
			f.Around = append(f.Around, w.log.Operations[i])
		}
	}
	return f
}

// near are the operations of a class during a wait and just around it.
func (c *class) near(log *history.Log, v wait) []int32 {
	margin := v.length() / 10
	var near []int32
	for _, i := range c.ops {
		if o := &log.Operations[i]; o.End >= v.from-margin && o.Call <= v.to+margin {
			near = append(near, i)
		}
	}
	return near
}

// sample is at most n of all, the first and the last among them.
func sample(all []int32, n int) []int32 {
	if len(all) <= n {
		return slices.Clone(all)
	}
	some := make([]int32, n)
	for k := range some {
		some[k] = all[k*(len(all)-1)/(n-1)]
	}
	return some
}

func ended(o history.Operation) string {
	text := checker.Ended(o)
	if o.Type == history.Info {
		text = "was given up at " + checker.Moment(o.End)
	} else {
		text = "was " + text
	}
	if o.Error != "" {
		text += fmt.Sprintf(" (%s)", checker.Show(o.Error))
	}
	return text
}

// stuck tells of an operation that its client never gave up.
func (w *work) stuck(o *history.Operation, open int64) checker.Anomaly {
	return checker.Anomaly{
		Sentence: fmt.Sprintf("Client %d's %s on %s was still open %s after it was invoked at %s.",
			o.Process, checker.Show(o.F), checker.Show(o.Node), checker.Span(open), checker.Moment(o.Call)),
		Rule:        fmt.Sprintf("No operation stays open longer than %s, three times the client's timeout.", checker.Span(w.decay.Bound)),
		Key:         o.Key,
		Core:        []history.Operation{*o},
		Unexplained: 0,
		Proof: []checker.ProofStep{{Core: []int{0}, Text: fmt.Sprintf("It was invoked at %s with a timeout of %s, and open until %s.",
			checker.Moment(o.Call), w.OpTimeout, checker.Moment(min(o.End, w.calendar.end)))}},
	}
}
