package register

import (
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/dependency"
	"nemesis/checker/transactions/proof"
)

var fracturedRead = transactions.ClassOf(transactions.FracturedRead)

// cycles names the contradictions of the graph: first those of read atomic, which is decided by
// wr and inferred edges alone, then those of every component.
func (h *columns) cycles(o *order, found *checker.Anomalies) {
	for _, l := range o.links {
		if l.later == initial {
			found.AddTo(fracturedRead, func() checker.Anomaly { return h.missed(l) })
		}
	}
	var all transactions.Smallest[dependency.Class]
	c := dependency.NewClassifier(h.pace, h.rules.cycles)
	dependency.Components(h.graph(o), h.pace, func(part *dependency.Component) bool {
		classes := c.Classify(part)
		committed := func(class dependency.Class) bool {
			return class.Variant == dependency.Data && class.Shape <= dependency.G1c
		}
		if c.Contradictory(part) && !slices.ContainsFunc(classes, committed) {
			all.Add(fracturedRead, part, dependency.Class{Shape: dependency.GSingle})
		}
		for _, class := range classes {
			all.Add(transactions.OfCycle(class), part, class)
		}
		return true
	})
	why := func(e dependency.Hop, name func(int32) string) string { return h.because(o, e, name).why }
	doubt := proof.Tell(c, all.All(), found, h.rules.quiet, why, func(witness []dependency.Hop, class checker.Class) checker.Anomaly {
		return h.cycle(o, witness, class)
	})
	if doubt != "" {
		h.doubt = doubt
	}
}

// hop is one step of a cycle with what it rests on.
type hop struct {
	dependency.Hop
	key int32 // -1 for time and processes
	why string
}

// because says what each step rests on. t names transactions.
func (h *columns) because(o *order, e dependency.Hop, t func(int32) string) hop {
	switch e.Kind {
	case dependency.Returned:
		return hop{e, -1, fmt.Sprintf("%s had returned at %s when %s was invoked at %s", t(e.From), checker.Moment(h.op(e.From).Return), t(e.To), checker.Moment(h.op(e.To).Call))}
	case dependency.Process:
		return hop{e, -1, fmt.Sprintf("client %d ran %s before %s", h.op(e.From).Process, t(e.From), t(e.To))}
	case dependency.Inferred:
		l := o.linked(h, e.From, e.To)
		first, later := &h.versions[l.first], &h.versions[l.later]
		return hop{e, first.key, fmt.Sprintf("%s saw another write of %s and read %s of %s, which %s wrote, so that this stands behind the %s that %s wrote",
			t(l.by), t(e.From), h.text(l.later), h.name(later.key), t(e.To), h.text(l.first), t(e.From))}
	}
	reader := e.From
	if e.Kind == dependency.WR {
		reader = e.To
	}
	for _, s := range h.stepsOf(reader) {
		if !h.external(&s) {
			continue
		}
		if e.Kind == dependency.WR {
			if h.source(&s) == e.From {
				return hop{e, s.key, fmt.Sprintf("%s read %s of %s, which %s wrote", t(e.To), h.text(s.what), h.name(s.key), t(e.From))}
			}
			continue
		}
		v := h.versionOf(e.To, s.key)
		if v < 0 || v == s.what {
			continue
		}
		if why := h.behind(o, e, &s, v, t); why != "" {
			return hop{e, s.key, fmt.Sprintf("%s read %s of %s, and not the %s of %s: %s", t(e.From), h.text(s.what), h.name(s.key), h.text(v), t(e.To), why)}
		}
	}
	return hop{e, -1, ""}
}

// behind says why version v stands behind the one that a step read, "" if it is not known to.
func (h *columns) behind(o *order, e dependency.Hop, s *step, v int32, t func(int32) string) string {
	if s.what == initial {
		return "nothing was there before anybody wrote"
	}
	w := h.source(s)
	if w == nobody {
		return ""
	}
	switch e.Kind {
	case dependency.RWProcess:
		if h.ops[w].Process == h.ops[e.To].Process && w < e.To {
			return fmt.Sprintf("client %d wrote that one later", h.ops[w].Process)
		}
		return ""
	case dependency.RWTime:
		if h.kind[w]&acknowledged != 0 && h.ret[w] < h.call[e.To] {
			return fmt.Sprintf("the write of what it read had returned at %s, before %s was invoked at %s", checker.Moment(h.ret[w]), t(e.To), checker.Moment(h.call[e.To]))
		}
		return ""
	}
	for _, theirs := range h.stepsOf(e.To) {
		if h.external(&theirs) && theirs.key == s.key && theirs.what == s.what {
			return fmt.Sprintf("%s read %s as well before it wrote", t(e.To), h.text(s.what))
		}
	}
	if l := o.linkedTo(h, s.what, e.To); l != nil {
		return fmt.Sprintf("%s saw another write of the transaction that wrote %s and read %s", t(l.by), h.text(s.what), h.text(v))
	}
	return ""
}
