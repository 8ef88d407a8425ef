package listappend

import (
	"fmt"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/dependency"
)

const (
	ww = dependency.WW
	wr = dependency.WR
	rw = dependency.RW
	po = dependency.Process
	rt = dependency.Returned
)

// hop is one step of a cycle with what it rests on.
type hop struct {
	from, to int32
	kind     dependency.Kind
	// element proves it: what to appended (ww, rw) or read (wr); -1 for time and processes.
	element int32
	key     int32 // -1 likewise
	// old: by real time it comes before a transaction that only reads.
	old bool
}

// fracture is a transaction that saw one element of another one and missed the other.
type fracture struct{ saw, missed int32 }

// update is a transaction that missed an element and put its own behind it.
type update struct{ missed, own int32 }

// told is what stands for all anomalies of a class: the cycle, or the fracture or update of a
// transaction.
type told struct {
	cycles dependency.Class
	by     int32
	fracture
	update
}

// cycles tells the contradictions of every strongly connected component of a graph; beside
// what was found before, only those that refute more.
func (h *columns) cycles(g *dependency.Graph, found *checker.Anomalies, beside bool) {
	var all transactions.Smallest[told]
	var refuted transactions.Levels
	if beside {
		refuted = transactions.LevelsOf(found.List())
	}
	note := func(class checker.Class, part *dependency.Component, one told) {
		if !beside || refuted.Refute(class.Breaks) {
			all.Add(class, part, one)
		}
	}
	c := dependency.NewClassifier(h.pace, h.rules.cycles)
	dependency.Components(g, h.pace, func(part *dependency.Component) bool {
		for _, class := range c.Classify(part) {
			note(transactions.OfCycle(class), part, told{cycles: class})
		}
		h.facts(part, note)
		return true
	})
	for _, one := range all.All() {
		h.tell(c, one, found)
	}
}

// tell adds what stands for a class, once it is proved.
func (h *columns) tell(c *dependency.Classifier, one *transactions.Found[told], found *checker.Anomalies) {
	if h.quiet {
		found.AddCount(one.Class, one.Count, func() checker.Anomaly { return checker.Anomaly{} })
		return
	}
	var build func(fewest []int32) checker.Anomaly
	var core []int32
	switch one.Class.Name {
	case transactions.FracturedRead:
		core = []int32{h.elements[one.What.saw].writer, one.What.by}
		build = func([]int32) checker.Anomaly { return h.fractured(one.What.by, one.What.fracture) }
	case transactions.LostUpdate:
		core = h.updating(one.What.by, one.What.update)
		build = func([]int32) checker.Anomaly { return h.lostUpdate(one.What.by, one.What.update) }
	default:
		cycle := h.shortest(c, one)
		if err := h.verify(cycle); err != nil {
			h.doubt = fmt.Sprintf("a cycle of class %s could not be verified: %v; report it with this history", one.Class.Name, err)
			return
		}
		core, _ = h.members(cycle)
		build = func(fewest []int32) checker.Anomaly { return h.cycle(cycle, one.Class, fewest) }
	}
	fewest, err := h.confirm(core, one.What.cycles)
	if err != nil {
		h.doubt = fmt.Sprintf("an anomaly of class %s could not be confirmed: %v; report it with this history", one.Class.Name, err)
		return
	}
	found.AddCount(one.Class, one.Count, func() checker.Anomaly { return build(fewest) })
}

// facts looks for fractured reads and lost updates. Each of them makes a cycle over the data,
// with at most one rw edge.
func (h *columns) facts(part *dependency.Component, note func(checker.Class, *dependency.Component, told)) {
	waiting := make(map[int32]int32) // key → who read all of it and appends what nobody saw
	for _, t := range part.Members() {
		h.pace.Step()
		if h.kind[t]&acknowledged == 0 {
			continue
		}
		if f, is := h.fractureOf(t); is && !h.rules.noFracture {
			note(transactions.ClassOf(transactions.FracturedRead), part, told{by: t, fracture: f})
		}
		if u, is := h.updateOf(t, waiting); is && !h.rules.noUpdate {
			note(transactions.ClassOf(transactions.LostUpdate), part, told{by: t, update: u})
		}
	}
}

// external reports whether a step tells what others did.
func (h *columns) external(s *step) bool {
	return s.is&(known|isOdd|own) == known && !h.keys[s.key].bad
}

// fractureOf finds a transaction of which t saw one append, as the last one of a list, and
// missed another.
func (h *columns) fractureOf(t int32) (fracture, bool) {
	steps := h.stepsOf(t)
	for i := range steps {
		if !h.external(&steps[i]) {
			continue
		}
		saw := h.lastOf(&steps[i])
		if saw < 0 || h.elements[saw].writer == t {
			continue
		}
		for _, theirs := range h.stepsOf(h.elements[saw].writer) {
			if theirs.is&appends == 0 {
				continue
			}
			for j := range steps {
				h.pace.Step()
				if mine := &steps[j]; mine.key == theirs.key && mine.key != steps[i].key && h.external(mine) &&
					(h.elements[theirs.what].place < 0 || h.elements[theirs.what].place >= mine.what) {
					return fracture{saw, theirs.what}, true
				}
			}
		}
	}
	return fracture{}, false
}

// updateOf finds an append of t behind one of somebody else that t's last read of the key had
// not shown.
func (h *columns) updateOf(t int32, waiting map[int32]int32) (update, bool) {
	steps := h.stepsOf(t)
	for i := range steps {
		if steps[i].is&appends == 0 || h.keys[steps[i].key].bad {
			continue
		}
		var read *step
		for j := range steps[:i] {
			h.pace.Step()
			if steps[j].key != steps[i].key {
				continue
			}
			if steps[j].is&appends != 0 {
				read = nil
				break // not the first append
			}
			if h.external(&steps[j]) {
				read = &steps[j]
			}
		}
		if read == nil {
			continue
		}
		e := &h.elements[steps[i].what]
		next := h.nextOf(read)
		switch {
		case next >= 0 && next != steps[i].what && (e.place < 0 || h.elements[next].place < e.place) && h.elements[next].writer != t:
			return update{next, steps[i].what}, true
		case next < 0 && e.place < 0:
			if other, is := waiting[steps[i].key]; is {
				return update{other, steps[i].what}, true
			}
			waiting[steps[i].key] = steps[i].what
		}
	}
	return update{}, false
}

// shortest is the cycle that stands for a class, with what each step rests on.
func (h *columns) shortest(c *dependency.Classifier, one *transactions.Found[told]) []hop {
	witness, _ := c.Shortest(one.Part, one.What.cycles)
	cycle := make([]hop, len(witness))
	for i, e := range witness {
		cycle[i] = hop{from: e.From, to: e.To, kind: e.Kind, element: -1, key: -1, old: e.Reader}
		if e.Kind == ww || e.Kind == wr || e.Kind == rw {
			cycle[i].element = h.evidence(&cycle[i])
			cycle[i].key = h.elements[cycle[i].element].key
		}
	}
	return cycle
}

// evidence finds the element that an edge of the data rests on.
func (h *columns) evidence(e *hop) int32 {
	if e.kind == ww {
		for _, s := range h.stepsOf(e.to) {
			if s.is&appends == 0 || h.keys[s.key].bad {
				continue
			}
			place := h.elements[s.what].place
			if place < 0 {
				place = int32(len(h.keys[s.key].order))
			}
			before := step{key: s.key, what: place}
			if last := h.lastOf(&before); last >= 0 && h.elements[last].writer == e.from {
				return s.what
			}
		}
	}
	reader := e.to
	if e.kind == rw {
		reader = e.from
	}
	for _, s := range h.stepsOf(reader) {
		if !h.external(&s) {
			continue
		}
		if e.kind == wr {
			if last := h.lastOf(&s); last >= 0 && h.elements[last].writer == e.from {
				return last
			}
			continue
		}
		if next := h.nextOf(&s); next >= 0 {
			if h.elements[next].writer == e.to {
				return next
			}
			continue
		}
		for _, unseen := range h.keys[s.key].unseen {
			if h.elements[unseen].writer == e.to {
				return unseen
			}
		}
	}
	return -1
}
