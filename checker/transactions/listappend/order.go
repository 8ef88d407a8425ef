package listappend

import (
	"slices"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/dependency"
)

// rules switches single rules off, for tests that must notice.
type rules struct {
	noFuture, noInternal, noIntermediate, noLost, noDirty bool // of single transactions and values
	noOwn, noSwap, noSkip, noTail, noUnseen               bool // of the graph
	noFracture, noUpdate                                  bool // of components
	cycles                                                dependency.Rules
	// quiet tells no anomaly in full.
	quiet bool
}

// within is what one transaction has done to one key so far.
type within struct {
	by int32 // 1 + the transaction
	// base is the length of the last list that was read, -1 for none.
	base int32
	// appended counts the appends since then, place is where the first of them stands, and
	// inRow tells that the others stand behind it.
	appended, place int32
	inRow           bool
	// element is the last append.
	element int32
	any     bool // it has appended
}

// inspect looks at every transaction by itself, and at every value that was read: what no
// order of the transactions allows.
func (h *columns) inspect(found *checker.Anomalies) {
	here := make([]within, len(h.keys))
	for t := range h.kind {
		h.pace.Step()
		h.inspectOne(int32(t), here, found)
	}
	for i := range h.elements {
		h.pace.Step()
		h.inspectElement(int32(i), found)
	}
	for k := range h.keys {
		h.pace.Step()
		h.dirtyUpdate(int32(k), found)
	}
}

func (h *columns) inspectOne(t int32, here []within, found *checker.Anomalies) {
	steps := h.stepsOf(t)
	judged := h.kind[t]&acknowledged != 0
	wrong := ""
	at := int32(0)
	for i := range steps {
		h.pace.Step()
		s := &steps[i]
		k := &h.keys[s.key]
		w := &here[s.key]
		if w.by != t+1 {
			*w = within{by: t + 1, base: -1}
		}
		if s.is&appends != 0 {
			e := &h.elements[s.what]
			if e.writer != t {
				continue // twice, and told
			}
			if w.any {
				last := &h.elements[w.element]
				last.is |= superseded
				if earlier := w.element; e.place >= 0 && (last.place > e.place || last.place < 0) && !k.bad && !h.rules.noSwap {
					found.Add(transactions.IncompatibleOrder, func() checker.Anomaly { return h.swapped(s.key, earlier, s.what) })
				}
			}
			if w.base >= 0 && e.place >= 0 && e.place < w.base && wrong == "" && !h.rules.noFuture {
				wrong, at = transactions.FutureRead, s.key
			}
			if w.appended == 0 {
				w.place, w.inRow = e.place, e.place >= 0
			} else {
				w.inRow = w.inRow && e.place == w.place+w.appended
			}
			w.appended++
			w.any, w.element = true, s.what
			continue
		}
		if w.any && !h.rules.noOwn {
			s.is |= own
		}
		if s.is&known == 0 || k.unfit || !judged {
			continue
		}
		if s.is&isOdd != 0 {
			h.inspectOdd(t, s, found)
			if wrong == "" {
				wrong, at = h.oddWithin(t, i), s.key
			}
			w.base, w.appended = -1, 0
			continue
		}
		fits := w.appended == 0 || w.inRow && s.what == w.place+w.appended
		if w.base >= 0 {
			fits = fits && s.what == w.base+w.appended
		}
		if !fits && wrong == "" && !h.rules.noInternal {
			wrong, at = transactions.Internal, s.key
		}
		w.base, w.appended = s.what, 0
		if s.what > 0 && !h.rules.noIntermediate {
			h.intermediateRead(t, k.order[s.what-1], found)
		}
	}
	if wrong != "" {
		found.Add(wrong, func() checker.Anomaly { return h.within(t, wrong, at) })
	}
}

// intermediateRead tells of a list that ends within the appends of another transaction.
func (h *columns) intermediateRead(t, e int32, found *checker.Anomalies) {
	one := &h.elements[e]
	if one.writer < 0 || one.writer == t || h.kind[one.writer]&refused != 0 {
		return
	}
	again := one.is&superseded != 0
	if !again && one.writer > t { // whose own steps are yet to be looked at
		for _, s := range h.steps[one.step+1 : h.first[one.writer+1]] {
			h.pace.Step()
			again = again || s.is&appends != 0 && s.key == one.key
		}
	}
	if again {
		found.Add(transactions.G1b, func() checker.Anomaly { return h.intermediate(t, e) })
	}
}

// inspectOdd looks at a list that fits no order.
func (h *columns) inspectOdd(t int32, s *step, found *checker.Anomalies) {
	list := h.odd[s.what]
	there := make(map[int32]bool, len(list))
	twice := false
	for _, e := range list {
		h.pace.Step()
		if there[e] && !twice {
			twice = true
			found.Add(transactions.Duplicates, func() checker.Anomaly { return h.duplicated(t, e) })
		}
		there[e] = true
	}
	order := h.keys[s.key].order
	for i, e := range list[:min(len(list), len(order))] {
		if e != order[i] {
			found.Add(transactions.IncompatibleOrder, func() checker.Anomaly { return h.incompatible(t, s.key, list, i) })
			break
		}
	}
	if n := len(list); n > 0 {
		h.intermediateRead(t, list[n-1], found)
	}
}

// oddWithin is what is wrong, if anything, with the i-th step of a transaction in the light
// of its own earlier ones; the step is a read of a list that fits no order.
func (h *columns) oddWithin(t int32, i int) string {
	steps := h.stepsOf(t)
	list := h.listOf(&steps[i])
	var mine, before []int32
	read := false
	for j := range steps[:i] {
		h.pace.Step()
		switch s := &steps[j]; {
		case s.key != steps[i].key:
		case s.is&appends != 0:
			mine = append(mine, s.what)
		case s.is&known != 0:
			before, mine, read = h.listOf(s), nil, true
		}
	}
	if read && !slices.Equal(list, slices.Concat(before, mine)) || len(list) < len(mine) || !slices.Equal(list[len(list)-len(mine):], mine) {
		return transactions.Internal
	}
	for _, e := range list[:len(list)-len(mine)] {
		h.pace.Step()
		if !read && h.elements[e].writer == t && h.elements[e].step > h.first[t]+int32(i) {
			return transactions.FutureRead
		}
	}
	return ""
}

// inspectElement looks at a value that was read, or that should have been.
func (h *columns) inspectElement(e int32, found *checker.Anomalies) {
	one := &h.elements[e]
	k := &h.keys[one.key]
	switch {
	case k.unfit:
	case one.seen() && one.writer < 0:
		found.Add(transactions.Garbage, func() checker.Anomaly { return h.garbage(one.reader, e) })
	case one.seen() && h.kind[one.writer]&refused != 0:
		found.Add(transactions.G1a, func() checker.Anomaly { return h.aborted(one.reader, e) })
	case one.seen() || one.writer < 0 || h.kind[one.writer]&acknowledged == 0 || h.rules.noLost:
	case k.lastWriter.call > h.ret[one.writer]:
		one.is |= lost
		found.AddTo(transactions.LostToWriters, func() checker.Anomaly { return h.lost(e, k.lastWriter.by) })
	case k.last.call > h.ret[one.writer]:
		one.is |= lost
		found.AddTo(transactions.LostToReaders, func() checker.Anomaly { return h.lost(e, k.last.by) })
	}
}

// dirtyUpdate looks for a value of a transaction that took effect behind one of a
// transaction that was refused.
func (h *columns) dirtyUpdate(k int32, found *checker.Anomalies) {
	if h.keys[k].unfit || h.rules.noDirty {
		return
	}
	aborted := int32(-1)
	for _, e := range h.keys[k].order {
		h.pace.Step()
		switch w := h.elements[e].writer; {
		case w < 0:
		case h.kind[w]&refused != 0:
			aborted = e
		case aborted >= 0 && h.kind[w]&took != 0:
			found.Add(transactions.DirtyUpdate, func() checker.Anomaly { return h.dirty(k, aborted, e) })
			return
		}
	}
}

// unread counts the acknowledged appends, and those of them that no read tells of: none
// shows them, and none of their key began later.
func (h *columns) unread() (all, unread int) {
	for i := range h.elements {
		one := &h.elements[i]
		if one.writer < 0 || h.kind[one.writer]&acknowledged == 0 {
			continue
		}
		all++
		if !one.seen() && h.keys[one.key].last.call <= h.ret[one.writer] {
			unread++
		}
	}
	return all, unread
}
