package predicate

import (
	"slices"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/dependency"
	"nemesis/history"
)

// rules switches single rules off, for tests that must notice.
type rules struct {
	noInternal, noG1b, noUpdate, noFracture                      bool
	noItem, noPhantom, noDead, alwaysDead, alwaysUnborn, noForce bool
	itemsOnly                                                    bool // phantoms break repeatable read as well
	quiet                                                        bool // anomalies are not told
	cycles                                                       dependency.Rules
}

var (
	garbage    = transactions.ClassOf(transactions.Garbage)
	duplicates = transactions.ClassOf(transactions.Duplicates)
	g1a        = transactions.ClassOf(transactions.G1a)
	g1b        = transactions.ClassOf(transactions.G1b)
	futureRead = transactions.ClassOf(transactions.FutureRead)
	internal   = transactions.ClassOf(transactions.Internal)
	lostUpdate = transactions.ClassOf(transactions.LostUpdate)
	fractured  = transactions.ClassOf(transactions.FracturedRead)

	predicateReadMiss = checker.Class{Name: transactions.PredicateReadMiss, Breaks: []history.Model{history.ReadAtomic, history.RepeatableRead}}
	// fracturedPhantom is a fractured read of which repeatable read, without predicates, knows nothing.
	fracturedPhantom = checker.Class{Name: transactions.FracturedRead, Breaks: []history.Model{history.ReadAtomic, history.ConsistentView}}
)

// classes are all anomalies, worst first: those with phantoms stand behind those of items.
func classes() []checker.Class {
	var all []checker.Class
	add := func(c checker.Class) {
		same := func(other checker.Class) bool { return other.Name == c.Name && slices.Equal(other.Breaks, c.Breaks) }
		if !slices.ContainsFunc(all, same) {
			all = append(all, c)
		}
	}
	for _, c := range transactions.Classes() {
		add(c)
		if c.Name == transactions.Internal {
			add(predicateReadMiss)
		}
	}
	add(fracturedPhantom)
	for _, c := range transactions.PredicateClasses() {
		add(c)
	}
	return all
}

// took finds the transactions of unknown outcome that took effect: those of which something was
// seen.
func (h *table) took() {
	changed := true
	mark := func(t int32) {
		if t != nobody && h.kind[t]&(took|refused) == 0 {
			h.kind[t] |= took
			changed = true
		}
	}
	seen := func() {
		for changed {
			changed = false
			for k := range h.rows {
				h.pace.Step()
				if r := &h.rows[k]; r.deleter != nobody && h.kind[r.deleter]&took != 0 && !r.unfit {
					mark(r.inserter)
				}
			}
			for t := range h.saw {
				h.pace.Step()
				for _, s := range h.saw[t] {
					if s.state == present && !h.rows[s.row].unfit {
						mark(h.rows[s.row].inserter)
					}
				}
			}
		}
	}
	seen()
	// A delete that took effect found its row, whether or not its client was told.
	for k := range h.rows {
		r := &h.rows[k]
		if d := r.deleter; d != nobody && h.kind[d]&(took|acknowledged) == took && d != r.inserter && !r.unfit {
			h.saw[d] = append(h.saw[d], sight{int32(k), present})
		}
	}
	// So did one without which a missed row cannot be explained, at the levels above read committed.
	for changed = true; changed; {
		changed = false
		for t := range h.saw {
			for _, killer := range h.resolve(int32(t)) {
				mark(killer)
			}
		}
		if changed {
			seen()
			changed = true
		}
	}
	last := make(map[int]int32)
	for t := range h.kind {
		h.process[t] = nobody
		if h.kind[t]&took == 0 {
			continue
		}
		if before, is := last[h.ops[t].Process]; is {
			h.process[t] = before
		}
		last[h.ops[t].Process] = int32(t)
	}
	for t := range h.saw {
		for _, s := range h.saw[t] {
			if s.state == absent && h.matters(int32(t), s.row) {
				h.open++
			}
		}
	}
}

// matters reports whether there is a version of a row that a transaction may have missed.
func (h *table) matters(t, k int32) bool {
	r := &h.rows[k]
	return !r.unfit && r.inserter != nobody && r.inserter != t && r.inserter != r.deleter && h.kind[r.inserter]&took != 0
}

// resolve finds out which of the rows that a transaction missed were unborn and which were dead, and
// returns whose deletes those were.
func (h *table) resolve(t int32) (killers []int32) {
	sights := h.saw[t]
	var sources, missed []int32 // whom it saw something of, and whom it certainly came before
	note := func(list *[]int32, w int32) {
		if w != t && !slices.Contains(*list, w) {
			*list = append(*list, w)
		}
	}
	for i := range sights {
		s := &sights[i]
		r := &h.rows[s.row]
		switch {
		case s.state == present && r.inserter != nobody && h.kind[r.inserter]&took != 0:
			note(&sources, r.inserter)
			continue
		case s.state == present || !h.matters(t, s.row):
			continue
		case s.state == absent && r.deleter != nobody && slices.Contains(sights[i+1:], sight{s.row, present}):
			s.state = unborn // for it was seen later
		case r.deleter == nobody || r.deleter == t || h.kind[r.deleter]&refused != 0 || h.rules.alwaysUnborn:
			s.state = unborn
		}
		if s.state == unborn {
			note(&missed, r.inserter)
		}
	}
	for changed := true; changed; {
		changed = false
		for i := range sights {
			h.pace.Step()
			s := &sights[i]
			r := &h.rows[s.row]
			if s.state == dead {
				note(&sources, r.deleter)
				killers = append(killers, r.deleter)
			}
			if s.state != absent || !h.matters(t, s.row) {
				continue
			}
			switch {
			case slices.Contains(missed, r.inserter) && !h.rules.alwaysDead:
				s.state = unborn // adds nothing to what is known
			case (slices.Contains(sources, r.inserter) || h.rules.alwaysDead) && !h.rules.noForce:
				s.state, changed = dead, true
			}
		}
	}
	return killers
}

// inspect looks for anomalies of single reads.
func (h *table) inspect(found *checker.Anomalies) {
	for t := range h.saw {
		h.pace.Step()
		reader := int32(t)
		for _, s := range h.saw[t] {
			r := &h.rows[s.row]
			switch {
			case s.state != present || r.unfit:
			case r.inserter == nobody: // it deleted a row that nobody inserted
				found.AddTo(garbage, func() checker.Anomaly { return h.fromNowhere(reader, history.Row{Key: r.key}) })
			case h.kind[r.inserter]&refused != 0:
				found.AddTo(g1a, func() checker.Anomaly { return h.aborted(reader, s.row) })
			case r.inserter == r.deleter && !h.rules.noG1b:
				found.AddTo(g1b, func() checker.Anomaly { return h.intermediate(reader, s.row) })
			}
		}
		h.fractures(reader, found)
	}
}

// fractures looks for transactions that one saw in part.
func (h *table) fractures(t int32, found *checker.Anomalies) {
	if h.rules.noFracture {
		return
	}
	for _, seen := range h.saw[t] {
		source := h.sourceOf(seen)
		if source == nobody || source == t {
			continue
		}
		for _, other := range h.saw[t] {
			h.pace.Step()
			r := &h.rows[other.row]
			switch {
			case r.unfit || r.inserter == r.deleter:
			case other.state == present && r.deleter == source && r.deleter != t:
				class := fractured
				if seen.state != present {
					class = fracturedPhantom
				}
				found.AddTo(class, func() checker.Anomaly { return h.inPart(t, source, seen.row, other.row) })
			case other.state == unborn && r.inserter == source:
				found.AddTo(fracturedPhantom, func() checker.Anomaly { return h.inPart(t, source, seen.row, other.row) })
			}
		}
	}
}

// sourceOf is the transaction whose version a sight shows; nobody for the unborn one and where it is not
// known.
func (h *table) sourceOf(s sight) int32 {
	r := &h.rows[s.row]
	w := int32(nobody)
	switch {
	case r.unfit:
	case s.state == present:
		w = r.inserter
	case s.state == dead:
		w = r.deleter
	}
	if w == nobody || h.kind[w]&took == 0 {
		return nobody
	}
	return w
}

// graph joins the transactions that took effect; items: without what rests on missed rows.
func (h *table) graph(time *dependency.Order, items bool) *dependency.Graph {
	return dependency.Build(len(h.kind), int(time.Nodes()), func(g *dependency.Builder) {
		for k := range h.rows {
			h.pace.Step()
			if r := &h.rows[k]; h.born(r) && r.deleter != nobody && h.kind[r.deleter]&took != 0 {
				g.Add(r.inserter, r.deleter, dependency.WW)
			}
		}
		for t := range h.saw {
			for _, s := range h.saw[t] {
				h.pace.Step()
				r := &h.rows[s.row]
				if !h.born(r) {
					continue
				}
				killed := r.deleter != nobody && h.kind[r.deleter]&took != 0
				switch {
				case s.state == present:
					g.Add(r.inserter, int32(t), dependency.WR)
					if killed && !h.rules.noItem {
						g.Add(int32(t), r.deleter, dependency.RW)
					}
				case items:
				case s.state == unborn && !h.rules.noPhantom:
					g.Add(int32(t), r.inserter, dependency.RW)
				case s.state == dead && killed && !h.rules.noDead:
					g.Add(r.deleter, int32(t), dependency.Inferred)
				}
			}
		}
		time.Emit(g, h.pace)
	})
}

// born reports whether a row came to be, for others to see.
func (h *table) born(r *row) bool {
	return !r.unfit && r.inserter != nobody && r.inserter != r.deleter && h.kind[r.inserter]&took != 0
}
