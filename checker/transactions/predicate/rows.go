package predicate

import (
	"fmt"

	"nemesis/checker"
	"nemesis/checker/transactions/dependency"
	"nemesis/history"
)

// table is a history of transactions in numbers. A transaction is the operation of the same
// number.
type table struct {
	ops     []history.Operation
	pace    *checker.Pace
	rules   rules
	kind    []dependency.Fact
	call    []int64
	ret     []int64
	process []int32 // the transaction of its process before it that took effect, -1 for none
	rows    []row
	byKey   map[string]int32
	groups  map[string][]int32
	// saw is what each acknowledged transaction saw of rows that it had not written itself.
	saw      [][]sight
	details  Details
	open     int    // sights that stay open
	poisoned string // which row was written twice
	doubt    string // what was found and could not be verified
}

const (
	acknowledged = dependency.Acknowledged
	refused      = dependency.Refused
	took         = dependency.Took
	writes       = dependency.Writes
)

const nobody = -1

// row is one row of the closed set.
type row struct {
	key      string
	value    int64
	inserter int32 // nobody for none
	deleter  int32
	unfit    bool // inserted or deleted twice, so nobody knows whose it is
}

// state is which version of a row was seen.
type state uint8

const (
	present state = iota
	absent        // unborn or dead, and open which
	unborn
	dead
)

// sight is one row as a transaction saw it, or missed it.
type sight struct {
	row   int32
	state state
}

// load reads all transactions: first what they write, then what they saw.
func (h *table) load(found *checker.Anomalies) error {
	n := len(h.ops)
	h.kind, h.call, h.ret, h.process = make([]dependency.Fact, n), make([]int64, n), make([]int64, n), make([]int32, n)
	h.saw = make([][]sight, n)
	h.byKey, h.groups = make(map[string]int32), make(map[string][]int32)
	for t := range h.ops {
		h.pace.Step()
		o := &h.ops[t]
		h.call[t], h.ret[t] = o.Call, o.Return
		switch o.Type {
		case history.OK:
			h.kind[t] = acknowledged | took
		case history.Fail:
			h.kind[t] = refused
		}
		if err := h.each(int32(t), func(m history.MicroOp) error { return h.write(int32(t), m, found) }); err != nil {
			return err
		}
	}
	for t := range h.ops {
		h.pace.Step()
		if h.kind[t]&acknowledged == 0 {
			continue
		}
		l := looking{table: h, t: int32(t), own: make(map[int32]bool), first: make(map[int32]bool), found: found}
		if err := h.each(int32(t), l.step); err != nil {
			return err
		}
	}
	return nil
}

// each calls visit with every step of a transaction.
func (h *table) each(t int32, visit func(history.MicroOp) error) error {
	o := &h.ops[t]
	err := fmt.Errorf("predicate knows txn only")
	if o.F == history.FTransaction {
		value := o.Input
		if o.Type == history.OK {
			value = o.Output
		}
		err = history.EachMicroOp(value, visit)
	}
	if err != nil {
		return fmt.Errorf("read operation %d (%q) of the history: %w; the workload does not fit this checker", o.Index, o.F, err)
	}
	return nil
}

// row is the number of a row.
func (h *table) row(key string) int32 {
	k, known := h.byKey[key]
	if !known {
		k = int32(len(h.rows))
		h.byKey[key] = k
		h.rows = append(h.rows, row{key: key, inserter: nobody, deleter: nobody})
		group := history.RowGroup(key)
		h.groups[group] = append(h.groups[group], k)
	}
	return k
}

// write notes an insert or a delete.
func (h *table) write(t int32, m history.MicroOp, found *checker.Anomalies) error {
	switch m.F {
	case history.MicroInsert:
		value, err := history.DecodeInt(m.Value)
		if err != nil {
			return err
		}
		k := h.row(m.KeyName())
		r := &h.rows[k]
		h.kind[t] |= writes
		if !h.replaces(r.inserter, t) {
			h.poison(k, r.inserter, t, "inserted")
			return nil
		}
		r.inserter, r.value = t, value
	case history.MicroDelete:
		k := h.row(m.KeyName())
		r := &h.rows[k]
		h.kind[t] |= writes
		h.details.Deletes++
		if !h.replaces(r.deleter, t) {
			if before := r.deleter; h.kind[before]&h.kind[t]&acknowledged != 0 && before != t {
				if !h.rules.noUpdate {
					found.AddTo(lostUpdate, func() checker.Anomaly { return h.deletedTwice(before, t, k) })
				}
				r.unfit = true
				return nil
			}
			h.poison(k, r.deleter, t, "deleted")
			return nil
		}
		r.deleter = t
	case history.MicroRead, history.MicroPredicate:
	default:
		return fmt.Errorf("a step \"%s\" where \"insert\", \"delete\", \"r\" or \"rp\" belongs", checker.Show(m.F))
	}
	return nil
}

// replaces reports whether a writer takes the place of the one before it: of a refused one, or of
// none. A refused one never does.
func (h *table) replaces(before, t int32) bool {
	return before == nobody || h.kind[before]&refused != 0
}

func (h *table) poison(k, before, t int32, what string) {
	if h.kind[t]&refused != 0 {
		return // which had no effect
	}
	h.rows[k].unfit = true
	if h.poisoned == "" {
		h.poisoned = fmt.Sprintf("row %s is %s by operation %d and again by operation %d; the workload must do so once, and the row was not judged",
			h.name(k), what, h.ops[before].Index, h.ops[t].Index)
	}
}

// looking is one acknowledged transaction while its steps are read.
type looking struct {
	*table
	t     int32
	own   map[int32]bool // rows that it wrote so far, and whether they are there
	first map[int32]bool // rows that it saw so far, and whether they were there the last time
	found *checker.Anomalies
}

func (l *looking) step(m history.MicroOp) error {
	switch m.F {
	case history.MicroInsert:
		l.own[l.row(m.KeyName())] = true
	case history.MicroDelete:
		k := l.row(m.KeyName())
		if there, own := l.own[k]; !own || !there {
			l.see(k, true, false) // which it was for the delete
		}
		l.own[k] = false
	case history.MicroRead:
		k, known := l.byKey[m.KeyName()]
		switch {
		case history.IsNull(m.Value) && known:
			l.see(k, false, false)
		case !history.IsNull(m.Value):
			l.answered(history.Row{Key: m.KeyName(), Value: m.Value}, nil)
		}
	case history.MicroPredicate:
		return l.predicate(m)
	}
	return nil
}

// predicate reads what a read by predicate found and what it missed.
func (l *looking) predicate(m history.MicroOp) error {
	p, err := history.DecodePredicate(m.Key)
	if err != nil {
		return err
	}
	l.details.Predicates++
	there := make(map[string]bool)
	err = history.EachRow(m.Value, func(r history.Row) error {
		if there[r.Key] {
			l.found.AddTo(duplicates, func() checker.Anomaly { return l.twice(l.t, r) })
			return nil
		}
		there[r.Key] = true
		l.answered(r, &p)
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range l.groups[p.Group] {
		l.pace.Step()
		if r := &l.rows[k]; !there[r.key] && r.inserter != nobody && p.Matches(r.value) {
			l.see(k, false, true)
		}
	}
	return nil
}

// answered judges a row that was among the answers.
func (l *looking) answered(r history.Row, p *history.Predicate) {
	k, known := l.byKey[r.Key]
	value, err := history.DecodeInt(r.Value)
	wrong := !known || err != nil || l.rows[k].inserter == nobody || l.rows[k].value != value
	if p != nil && !wrong {
		wrong = !p.Matches(value) || history.RowGroup(r.Key) != p.Group
	}
	if wrong && !(known && l.rows[k].unfit) {
		l.found.AddTo(garbage, func() checker.Anomaly { return l.fromNowhere(l.t, r) })
		return
	}
	l.see(k, true, p != nil)
}

// see notes that a row was there or not, and compares it with the transaction's own steps before.
func (l *looking) see(k int32, there, byPredicate bool) {
	if own, is := l.own[k]; is {
		if own != there && !l.rules.noInternal {
			l.contradicts(k, there, byPredicate)
		}
		return
	}
	r := &l.rows[k]
	if there && r.inserter == l.t && !r.unfit {
		l.found.AddTo(futureRead, func() checker.Anomaly { return l.ahead(l.t, k) })
		return
	}
	before, seen := l.first[k]
	if seen && before && !there && !l.rules.noInternal {
		l.contradicts(k, there, byPredicate)
	}
	l.first[k] = there
	if seen && before == there || r.unfit {
		return
	}
	s := sight{k, present}
	if !there {
		s.state = absent
	}
	l.saw[l.t] = append(l.saw[l.t], s)
}

func (l *looking) contradicts(k int32, there, byPredicate bool) {
	class := internal
	if byPredicate && !there {
		class = predicateReadMiss
	}
	l.found.AddTo(class, func() checker.Anomaly { return l.within(l.t, k, there) })
}

func (h *table) name(k int32) string { return checker.Show(h.rows[k].key) }
