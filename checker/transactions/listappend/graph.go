package listappend

import (
	"slices"

	"nemesis/checker/transactions/dependency"
)

// barriers are the auxiliary nodes of real time. The node of a place in the order of
// invocations leads to what was invoked from there on, up to the next such place, and to the
// node of that one. A transaction leads to the node of the first that was invoked after it
// had returned.
type barriers struct {
	at   []int32 // for each transaction, the node of its place, -1 for none
	of   []int32 // for each transaction, the place after its return, -1 for none
	some int32
}

// realTime makes barriers. Intervals are closed: a transaction invoked at the very moment
// another returned is concurrent with it.
func (h *columns) realTime() barriers {
	n := len(h.kind)
	b := barriers{at: make([]int32, n), of: make([]int32, n)}
	for t := range n {
		b.at[t], b.of[t] = -1, -1
	}
	for t := range n {
		if h.kind[t]&acknowledged == 0 {
			continue
		}
		if place := h.after(int32(t)); int(place) < n {
			b.of[t], b.at[place] = place, 0
		}
	}
	for t := range n {
		if b.at[t] == 0 {
			b.at[t] = int32(n) + b.some
			b.some++
		}
	}
	return b
}

func (h *columns) emitTime(g *dependency.Builder, b *barriers) {
	now := int32(-1)
	for t, kind := range h.kind {
		h.pace.Step()
		if at := b.at[t]; at >= 0 {
			if now >= 0 {
				g.Add(now, at, dependency.Returned)
			}
			now = at
		}
		if kind&took == 0 {
			continue
		}
		if place := b.of[t]; place >= 0 {
			g.Add(int32(t), b.at[place], dependency.Returned)
		}
		if now >= 0 {
			if kind&writes != 0 {
				g.Add(now, int32(t), dependency.Invoked)
			} else {
				g.Add(now, int32(t), dependency.InvokedReader)
			}
		}
		if before := h.process[t]; before >= 0 {
			g.Add(before, int32(t), dependency.Process)
		}
	}
}

// graph joins the transactions that took effect. withLost says whether appends that were
// told as lost are in it: what they contradict by real time would be told twice.
func (h *columns) graph(withLost bool) *dependency.Graph {
	times := h.realTime()
	tails := make([]tail, len(h.keys))
	auxiliary := times.some
	for k := range h.keys {
		tails[k] = h.tailOf(int32(k), int32(len(h.kind))+auxiliary, withLost)
		auxiliary += tails[k].nodes()
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
		h.emitTime(g, &times)
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
	for i, e := range t.unseen {
		w := h.elements[e].writer
		if last >= 0 {
			g.Add(last, w, dependency.WW)
		}
		if len(t.unseen) > 1 {
			upTo, from := t.upTo(i), t.from(i)
			g.Add(upTo, w, dependency.Spread)
			g.Add(from, w, dependency.Spread)
			if i > 0 {
				g.Add(upTo, t.upTo(i-1), dependency.Spread)
				g.Add(t.from(i-1), from, dependency.Spread)
			}
		}
	}
}

// emitReads adds the wr and rw edges of one transaction.
func (h *columns) emitReads(g *dependency.Builder, t int32, tails []tail) {
	for _, s := range h.stepsOf(t) {
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

// tail are the appends to a key that took effect and that nobody saw, and the auxiliary nodes
// that stand for them. Lists only grow at their end, so these come after everything that was
// read. Whoever read all that was ever seen comes before each of them; two chains of nodes,
// one leading to all writers up to the i-th and one to all from the i-th, keep that linear.
type tail struct {
	unseen []int32
	base   int32
}

func (t *tail) nodes() int32 {
	if len(t.unseen) < 2 {
		return 0
	}
	return 2 * int32(len(t.unseen))
}

func (t *tail) upTo(i int) int32 { return t.base + 2*int32(i) }
func (t *tail) from(i int) int32 { return t.base + 2*int32(i) + 1 }

func (h *columns) tailOf(k, base int32, withLost bool) tail {
	t := tail{base: base}
	if h.keys[k].bad || h.rules.noUnseen {
		return t
	}
	t.unseen = h.keys[k].unseen
	for i, e := range t.unseen {
		if h.elements[e].is&lost == 0 || withLost {
			continue
		}
		kept := append([]int32(nil), t.unseen[:i]...)
		for _, e := range t.unseen[i:] {
			if h.elements[e].is&lost == 0 {
				kept = append(kept, e)
			}
		}
		t.unseen = kept
		break
	}
	return t
}

// emitTail adds the rw edges of a transaction that read all that was ever seen of a key.
func (h *columns) emitTail(g *dependency.Builder, t, k int32, tail *tail) {
	last := len(tail.unseen) - 1
	switch {
	case last < 0 || h.rules.noTail:
		return
	case last == 0:
		g.Add(t, h.elements[tail.unseen[0]].writer, dependency.RW)
		return
	}
	// Between the reader's own places, the others.
	begin := 0
	reach := func(from, to int) {
		switch {
		case from > to:
		case to == last:
			g.Add(t, tail.from(from), dependency.RW)
		case from == 0:
			g.Add(t, tail.upTo(to), dependency.RW)
		default: // rare: one transaction, several unseen appends
			for _, e := range tail.unseen[from : to+1] {
				g.Add(t, h.elements[e].writer, dependency.RW)
			}
		}
	}
	mine := func(s step) bool { return s.is&appends != 0 && s.key == k && !h.elements[s.what].seen() }
	if slices.ContainsFunc(h.stepsOf(t), mine) {
		for i, e := range tail.unseen {
			if h.elements[e].writer == t {
				reach(begin, i-1)
				begin = i + 1
			}
		}
	}
	reach(begin, last)
}
