package reference

import "slices"

// RowStep inserts or deletes a row, or says which of some rows were there: of one that was asked for
// by its key, or of those that a predicate matches.
type RowStep struct {
	Insert, Delete bool
	// Asked are the rows that a read is about, Found those of them that it found; Row the one that
	// is written. A read of an answered transaction by predicate asks for every row that matches.
	Asked, Found []int
	Row          int
	ByPredicate  bool
}

// RowTransaction is a transaction over rows. Steps of one that was not answered have no Found.
type RowTransaction struct {
	Process      int
	Call, Return int64
	Outcome      Outcome
	Steps        []RowStep
}

// Rows is a history of transactions over rows, each of which is inserted and deleted by at most one
// step, for trying.
type Rows struct {
	transactions []RowTransaction
	h            History // for the order of transactions only
}

// NewRows prepares a history.
func NewRows(transactions []RowTransaction) *Rows {
	r := &Rows{transactions: transactions}
	for _, t := range transactions {
		as := Transaction{Process: t.Process, Call: t.Call, Return: t.Return, Outcome: t.Outcome}
		for _, s := range t.Steps {
			if s.Insert || s.Delete {
				as.Steps = append(as.Steps, Step{Key: s.Row, Append: true})
			}
		}
		r.h.transactions = append(r.h.transactions, as)
	}
	return r
}

// run carries out a transaction where these rows are there.
func (r *Rows) run(t int, there uint32) (after uint32, is bool) {
	answered := r.transactions[t].Outcome == OK
	for _, s := range r.transactions[t].Steps {
		bit := uint32(1) << s.Row
		switch {
		case s.Insert:
			if there&bit != 0 {
				return there, false
			}
			there |= bit
		case s.Delete:
			if there&bit == 0 {
				return there, false
			}
			there &^= bit
		case answered:
			for _, k := range s.Asked {
				if slices.Contains(s.Found, k) != (there>>k&1 == 1) {
					return there, false
				}
			}
		}
	}
	return there, true
}

// Serial reports whether the transactions have a serial order that gives all answers.
func (r *Rows) Serial(order Order) bool {
	before, must := r.h.before(order), r.h.acknowledged()
	var rest func(done, there uint32) bool
	rest = func(done, there uint32) bool {
		if done&must == must {
			return true
		}
		for t := range r.transactions {
			if done>>t&1 == 1 || r.transactions[t].Outcome == Fail || before[t]&^done != 0 {
				continue
			}
			if after, is := r.run(t, there); is && rest(done|1<<t, after) {
				return true
			}
		}
		return false
	}
	return rest(0, 0)
}

// Snapshot reports whether the transactions have starts and commits, as History.Snapshot does; what
// a predicate matches is read from the snapshot.
func (r *Rows) Snapshot(order Order) bool {
	before, must := r.h.before(order), r.h.acknowledged()
	var rest func(started, committed, busy, there uint32) bool
	rest = func(started, committed, busy, there uint32) bool {
		if committed&must == must {
			return true
		}
		for t := range r.transactions {
			bit := uint32(1) << t
			var writes uint32
			for _, s := range r.transactions[t].Steps {
				if s.Insert || s.Delete {
					writes |= 1 << s.Row
				}
			}
			switch {
			case started&bit == 0:
				if r.transactions[t].Outcome == Fail || before[t]&^committed != 0 || busy&writes != 0 {
					continue
				}
				if _, is := r.run(t, there); is && rest(started|bit, committed, busy|writes, there) {
					return true
				}
			case committed&bit == 0:
				then := there
				for _, s := range r.transactions[t].Steps {
					if s.Insert {
						then |= 1 << s.Row
					}
					if s.Delete {
						then &^= 1 << s.Row
					}
				}
				if rest(started, committed|bit, busy&^writes, then) {
					return true
				}
			}
		}
		return false
	}
	return rest(0, 0, 0, 0)
}

// RowLevels are levels that are defined by what a graph must not have.
type RowLevels struct {
	ReadCommitted, ReadAtomic, RepeatableRead, ConsistentView bool
}

// glance is a row as a transaction saw it, which it had not written itself.
type glance struct {
	t, row int
	there  bool
}

// Levels tries every set of transactions of unknown outcome that may have happened, and whether each
// missed row was not there yet or not there any more.
func (r *Rows) Levels() (levels RowLevels) {
	var glances []glance
	internal, aborted := true, false
	inserter, deleter := map[int]int{}, map[int]int{}
	for t, one := range r.transactions {
		for _, s := range one.Steps {
			if s.Insert {
				inserter[s.Row] = t
			}
			if s.Delete {
				deleter[s.Row] = t
			}
		}
	}
	for t, one := range r.transactions {
		if one.Outcome != OK {
			continue
		}
		own, last := map[int]bool{}, map[int]bool{}
		look := func(k int, there bool) {
			if mine, is := own[k]; is {
				internal = internal && mine == there
				return
			}
			if w, is := inserter[k]; there && is && w == t { // not yet
				internal = false
				return
			}
			if was, is := last[k]; is && was && !there {
				internal = false
			}
			last[k] = there
			glances = append(glances, glance{t, k, there})
		}
		for _, s := range one.Steps {
			switch {
			case s.Insert:
				own[s.Row] = true
			case s.Delete:
				if there, is := own[s.Row]; !is || !there {
					look(s.Row, true)
				}
				own[s.Row] = false
			default:
				for _, k := range s.Asked {
					look(k, slices.Contains(s.Found, k))
				}
			}
		}
	}
	var unknown, must uint32
	for t, one := range r.transactions {
		switch one.Outcome {
		case OK:
			must |= 1 << t
		case Info:
			unknown |= 1 << t
		}
	}
	var open []int // glances that may be of either version
	for i, g := range glances {
		w, is := inserter[g.row]
		d, deleted := deleter[g.row]
		switch {
		case g.there && (!is || r.transactions[w].Outcome == Fail || deleted && d == w):
			aborted = true
		case !g.there && is && deleted && d != w && d != g.t && r.transactions[d].Outcome != Fail:
			open = append(open, i)
		}
	}
	if aborted {
		return levels
	}
	for some := unknown; ; some = (some - 1) & unknown {
		for choice := range 1 << len(open) {
			gone := map[int]bool{}
			for n, i := range open {
				gone[i] = choice>>n&1 == 1
			}
			r.weigh(must|some, glances, gone, inserter, deleter, internal, &levels)
		}
		if some == 0 {
			return levels
		}
	}
}

// weigh adds the levels that are kept if these transactions took effect and these glances missed what
// was gone.
func (r *Rows) weigh(took uint32, glances []glance, gone map[int]bool, inserter, deleter map[int]int, internal bool, levels *RowLevels) {
	var ww, wr, item, phantom relation
	has := func(all map[int]int, k int) (int, bool) {
		t, is := all[k]
		return t, is && took>>t&1 == 1
	}
	for k := range inserter {
		w, born := has(inserter, k)
		d, died := has(deleter, k)
		if died && !born {
			return // nobody deletes what is not there
		}
		if died && d != w {
			ww[w] |= 1 << d
		}
	}
	whole := true
	source := func(i int) int {
		g := glances[i]
		if g.there {
			w, _ := has(inserter, g.row)
			return w
		}
		if gone[i] {
			return deleter[g.row]
		}
		return -1
	}
	for i, g := range glances {
		w, born := has(inserter, g.row)
		d, died := has(deleter, g.row)
		switch {
		case g.there && !born:
			return
		case g.there:
			if w != g.t {
				wr[w] |= 1 << g.t
			}
			if died && d != g.t {
				item[g.t] |= 1 << d
			}
		case gone[i]:
			if !died {
				return
			}
			wr[d] |= 1 << g.t
		case born && w != g.t && !(died && d == w):
			phantom[g.t] |= 1 << w
		}
		for j, other := range glances {
			s := source(i)
			if other.t != g.t || s < 0 || s == g.t {
				continue
			}
			if other.there && deleter[other.row] == s && hasKey(deleter, other.row) {
				whole = false
			}
			w, is := inserter[other.row]
			d, del := deleter[other.row]
			if !other.there && !gone[j] && is && w == s && !(del && d == w) {
				whole = false
			}
		}
	}
	committed := ww.or(wr)
	if committed.cyclic() {
		return
	}
	levels.ReadCommitted = true
	levels.ReadAtomic = levels.ReadAtomic || internal && whole
	levels.RepeatableRead = levels.RepeatableRead || internal && !committed.or(item).cyclic()
	// Exactly one rw edge: its way back needs none.
	path := committed.path()
	single := false
	rw := item.or(phantom)
	for t := range r.transactions {
		for u := range r.transactions {
			single = single || rw[t]>>u&1 == 1 && (path[u]>>t&1 == 1 || t == u)
		}
	}
	levels.ConsistentView = levels.ConsistentView || !single
}

func hasKey(m map[int]int, k int) bool { _, is := m[k]; return is }
