package listappend

import (
	"slices"

	"nemesis/checker/transactions/dependency"
)

// graph joins the transactions that took effect. withLost says whether appends that were
// told as lost are in it: what they contradict by real time would be told twice.
func (h *columns) graph(withLost bool) *dependency.Graph {
	order := dependency.NewOrder(h.kind, h.call, h.ret, h.process)
	tails := make([]tail, len(h.keys))
	auxiliary := order.Nodes()
	for k := range h.keys {
		tails[k] = h.tailOf(int32(k), int32(len(h.kind))+auxiliary, withLost)
		auxiliary += tails[k].fan.Nodes()
	}
	return dependency.Build(len(h.kind), int(auxiliary), func(g *dependency.Builder) {
		for k := range h.keys {
			h.pace.Step()
			if !h.keys[k].bad {
				h.emitOrder(g, int32(k), &tails[k])
			}
		}
		for t, kind := range h.kind {
			h.pace.Step()
			if kind&acknowledged != 0 {
				h.emitReads(g, int32(t), tails)
			}
		}
		order.Emit(g, h.pace)
	})
}

// emitOrder adds the ww edges of a key. Values without a writer that counts were told
// already; the chain goes on past them.
func (h *columns) emitOrder(g *dependency.Builder, k int32, t *tail) {
	last := int32(-1)
	for _, e := range h.keys[k].order {
		if !h.counts(e) {
			continue
		}
		if last >= 0 {
			g.Add(last, h.elements[e].writer, dependency.WW)
		}
		last = h.elements[e].writer
		if h.rules.noSkip {
			break
		}
	}
	if last >= 0 {
		for _, w := range t.fan.Writers {
			g.Add(last, w, dependency.WW)
		}
	}
	t.fan.Emit(g)
}

// emitReads adds the wr and rw edges of one transaction.
func (h *columns) emitReads(g *dependency.Builder, t int32, tails []tail) {
	for _, s := range h.stepsOf(t) {
		h.pace.Step()
		k := &h.keys[s.key]
		if s.is&(known|isOdd|own) != known || k.bad {
			continue
		}
		if e := h.lastOf(&s); e >= 0 {
			g.Add(h.elements[e].writer, t, dependency.WR)
		}
		if e := h.nextOf(&s); e >= 0 {
			g.Add(t, h.elements[e].writer, dependency.RW)
		} else {
			h.emitTail(g, t, s.key, &tails[s.key])
		}
	}
}

// lastOf is the last element of a list that counts, -1 for none.
func (h *columns) lastOf(s *step) int32 {
	order := h.keys[s.key].order
	for i := s.what - 1; i >= 0; i-- {
		if h.counts(order[i]) {
			return order[i]
		}
	}
	return -1
}

// nextOf is the first element behind a list that counts, -1 for none.
func (h *columns) nextOf(s *step) int32 {
	order := h.keys[s.key].order
	for _, e := range order[s.what:] {
		if h.counts(e) {
			return e
		}
	}
	return -1
}

// tail are the appends to a key that took effect and that nobody saw, with the writers of
// them. Lists only grow at their end, so these come after everything that was read, and
// whoever read all that was ever seen comes before each of them.
type tail struct {
	unseen []int32
	fan    dependency.Fan
}

func (h *columns) tailOf(k, base int32, withLost bool) tail {
	t := tail{fan: dependency.Fan{Base: base}}
	if h.keys[k].bad || h.rules.noUnseen {
		return t
	}
	for _, e := range h.keys[k].unseen {
		if h.elements[e].is&lost == 0 || withLost {
			t.unseen = append(t.unseen, e)
			t.fan.Writers = append(t.fan.Writers, h.elements[e].writer)
		}
	}
	return t
}

// emitTail adds the rw edges of a transaction that read all that was ever seen of a key.
func (h *columns) emitTail(g *dependency.Builder, t, k int32, tail *tail) {
	if h.rules.noTail {
		return
	}
	mine := func(s step) bool {
		h.pace.Step()
		return s.is&appends != 0 && s.key == k && !h.elements[s.what].seen()
	}
	tail.fan.EmitReader(g, t, len(tail.unseen) > 1 && slices.ContainsFunc(h.stepsOf(t), mine))
}
