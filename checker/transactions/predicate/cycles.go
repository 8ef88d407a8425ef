package predicate

import (
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/dependency"
	"nemesis/checker/transactions/proof"
)

// cycles names the contradictions of the graph: first those without phantoms, then those that
// only are there with them.
func (h *table) cycles(found *checker.Anomalies) {
	time := dependency.NewOrder(h.kind, h.call, h.ret, h.process)
	c := dependency.NewClassifier(h.pace, h.rules.cycles)
	var all transactions.Smallest[dependency.Class]
	type known struct {
		cycles dependency.Class
		member int32
	}
	var items []known
	dependency.Components(h.graph(time, true), h.pace, func(part *dependency.Component) bool {
		for _, class := range c.Classify(part) {
			items = append(items, known{class, part.Members()[0]})
			all.Add(transactions.OfCycle(class), part, class)
		}
		return true
	})
	if !h.rules.itemsOnly {
		dependency.Components(h.graph(time, false), h.pace, func(part *dependency.Component) bool {
			classes := c.Classify(part)
			committed := func(class dependency.Class) bool {
				return class.Variant == dependency.Data && class.Shape <= dependency.G1c
			}
			if c.Contradictory(part) && !slices.ContainsFunc(classes, committed) {
				all.Add(fracturedPhantom, part, dependency.Class{Shape: dependency.GSingle})
			}
			for _, class := range classes {
				within := func(k known) bool {
					_, is := slices.BinarySearch(part.Members(), k.member)
					return is && k.cycles == class
				}
				if class.Shape > dependency.G1c && !slices.ContainsFunc(items, within) {
					all.Add(transactions.OfPredicateCycle(class), part, class)
				}
			}
			return true
		})
	}
	why := func(e dependency.Hop, name func(int32) string) string {
		_, why := h.because(e, name)
		return why
	}
	if doubt := proof.Tell(c, all.All(), found, h.rules.quiet, why, h.cycle); doubt != "" {
		h.doubt = doubt
	}
}

// because says what a step rests on, "" if on nothing, and the row, -1 for none. t names transactions.
func (h *table) because(e dependency.Hop, t func(int32) string) (k int32, why string) {
	from, to := h.ops[e.From], h.ops[e.To]
	switch e.Kind {
	case dependency.Returned:
		if from.Return < to.Call {
			return -1, fmt.Sprintf("%s had returned at %s when %s was invoked at %s", t(e.From), checker.Moment(from.Return), t(e.To), checker.Moment(to.Call))
		}
		return -1, ""
	case dependency.Process:
		if from.Process == to.Process && e.From < e.To {
			return -1, fmt.Sprintf("client %d ran %s before %s", from.Process, t(e.From), t(e.To))
		}
		return -1, ""
	case dependency.WW:
		for k := range h.rows {
			if r := &h.rows[k]; r.inserter == e.From && r.deleter == e.To {
				return int32(k), fmt.Sprintf("%s deleted row %s, which %s inserted", t(e.To), h.name(int32(k)), t(e.From))
			}
		}
		return -1, ""
	}
	reader := e.From
	if e.Kind == dependency.WR || e.Kind == dependency.Inferred {
		reader = e.To
	}
	for _, s := range h.saw[reader] {
		r := &h.rows[s.row]
		name := h.name(s.row)
		switch {
		case e.Kind == dependency.WR && s.state == present && r.inserter == e.From:
			return s.row, fmt.Sprintf("%s saw row %s, which %s inserted", t(e.To), name, t(e.From))
		case e.Kind == dependency.Inferred && s.state == dead && r.deleter == e.From:
			return s.row, fmt.Sprintf("%s did not see row %s, which %s deleted and which was there before: %s saw what %s had written, which inserted it or follows that",
				t(e.To), name, t(e.From), t(e.To), t(r.inserter))
		case e.Kind == dependency.RW && s.state == present && r.deleter == e.To:
			return s.row, fmt.Sprintf("%s saw row %s, which %s deleted", t(e.From), name, t(e.To))
		case e.Kind == dependency.RW && s.state == unborn && r.inserter == e.To:
			return s.row, fmt.Sprintf("%s asked for row %s and did not find it, and %s inserted it", t(e.From), name, t(e.To))
		}
	}
	return -1, ""
}
