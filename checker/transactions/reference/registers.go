package reference

// Registers is a history of transactions that read and write registers, for trying: a Step
// with Append writes Value, one without reads List, which has one value or, where nothing was
// ever written, none.
type Registers struct {
	transactions []Transaction
	h            History // for the order of transactions only
	took         uint16
	wr, order    relation
	impossible   bool
}

// NewRegisters prepares a history in which every value is written once.
func NewRegisters(transactions []Transaction, order Order) *Registers {
	r := &Registers{transactions: transactions, h: History{transactions: transactions}}
	for t := range transactions {
		if transactions[t].Outcome == OK {
			r.took |= 1 << t
		}
	}
	for t := range transactions {
		for i, s := range transactions[t].Steps {
			if s.Append || transactions[t].Outcome != OK || len(s.List) == 0 {
				continue
			}
			w, final := r.writer(s.Key, s.List[0])
			if w < 0 || transactions[w].Outcome == Fail || !final && w != t {
				r.impossible = true
				continue
			}
			r.took |= 1 << w
			if w != t && !r.ownBefore(t, i) {
				r.wr[w] |= 1 << t
			}
		}
	}
	for t := range transactions {
		for u := range transactions {
			if t != u && r.took>>t&1 == 1 && r.took>>u&1 == 1 && r.h.comesBefore(t, u, order) {
				r.order[t] |= 1 << u
			}
		}
	}
	return r
}

func (r *Registers) writer(key int, value int64) (t int, final bool) {
	for t := range r.transactions {
		last := int64(0)
		there := false
		for _, s := range r.transactions[t].Steps {
			if s.Append && s.Key == key {
				last = s.Value
				there = there || s.Value == value
			}
		}
		if there {
			return t, last == value
		}
	}
	return -1, false
}

func (r *Registers) ownBefore(t, i int) bool {
	for _, s := range r.transactions[t].Steps[:i] {
		if s.Append && s.Key == r.transactions[t].Steps[i].Key {
			return true
		}
	}
	return false
}

// Internal: each transaction's reads agree with its own earlier steps.
func (r *Registers) Internal() bool {
	for _, t := range r.transactions {
		if t.Outcome != OK {
			continue
		}
		for i, read := range t.Steps {
			if read.Append {
				continue
			}
			for j := i - 1; j >= 0; j-- {
				if s := t.Steps[j]; s.Key == read.Key {
					if s.Append && (len(read.List) == 0 || read.List[0] != s.Value) || !s.Append && (len(read.List) != len(s.List) || len(s.List) > 0 && s.List[0] != read.List[0]) {
						return false
					}
					break
				}
			}
			for _, s := range t.Steps[i:] {
				if s.Append && s.Key == read.Key && len(read.List) > 0 && s.Value == read.List[0] {
					return false
				}
			}
		}
	}
	return true
}

// ReadCommitted: some order of versions leaves no G1.
func (r *Registers) ReadCommitted() bool { return !r.impossible && !r.wr.cyclic() }

// Visible reports whether there is one order of the transactions such that each read shows
// the last version among those transactions that its own sees: those that it read from, and
// that come before it in the order given to NewRegisters; transitive: and all that they see.
func (r *Registers) Visible(transitive bool) bool {
	sees := r.wr.or(r.order)
	if transitive {
		sees = sees.path()
	}
	if r.impossible || !r.Internal() || sees.cyclic() {
		return false
	}
	// Must stand before: each version that is seen, before the one that was read.
	must := sees
	for t := range r.transactions {
		for i, s := range r.transactions[t].Steps {
			if s.Append || r.transactions[t].Outcome != OK || r.ownBefore(t, i) {
				continue
			}
			for u := range r.transactions {
				if u == t || sees[u]>>t&1 == 0 || !r.writesKey(u, s.Key) {
					continue
				}
				if len(s.List) == 0 {
					return false
				}
				if w, _ := r.writer(s.Key, s.List[0]); w != u {
					must[u] |= 1 << w
				}
			}
		}
	}
	return !must.cyclic()
}

func (r *Registers) writesKey(t, key int) bool {
	for _, s := range r.transactions[t].Steps {
		if s.Append && s.Key == key {
			return true
		}
	}
	return false
}

// registers is what every key holds, 0 for nothing.
type registers [MostKeys]int64

func (r *Registers) run(t int, now registers) (registers, bool) {
	for _, s := range r.transactions[t].Steps {
		switch {
		case s.Append:
			now[s.Key] = s.Value
		case r.transactions[t].Outcome != OK:
		case len(s.List) == 0 && now[s.Key] != 0 || len(s.List) > 0 && now[s.Key] != s.List[0]:
			return now, false
		}
	}
	return now, true
}

// Serial reports whether the transactions have a serial order that gives all answers. Values
// are not 0.
func (r *Registers) Serial(order Order) bool {
	before := r.h.before(order)
	must := r.h.acknowledged()
	var rest func(done uint32, now registers) bool
	rest = func(done uint32, now registers) bool {
		if done&must == must {
			return true
		}
		for t := range r.transactions {
			if done>>t&1 == 1 || r.transactions[t].Outcome == Fail || before[t]&^done != 0 {
				continue
			}
			if then, is := r.run(t, now); is && rest(done|1<<t, then) {
				return true
			}
		}
		return false
	}
	return rest(0, registers{})
}

// Snapshot reports whether the transactions have starts and commits, as History.Snapshot does.
func (r *Registers) Snapshot(order Order) bool {
	before := r.h.before(order)
	must := r.h.acknowledged()
	var rest func(started, committed, busy uint32, now registers) bool
	rest = func(started, committed, busy uint32, now registers) bool {
		if committed&must == must {
			return true
		}
		for t := range r.transactions {
			bit := uint32(1) << t
			writes := r.h.writes(t)
			switch {
			case started&bit == 0:
				if r.transactions[t].Outcome == Fail || before[t]&^committed != 0 || busy&writes != 0 {
					continue
				}
				if _, is := r.run(t, now); is && rest(started|bit, committed, busy|writes, now) {
					return true
				}
			case committed&bit == 0:
				then := now
				for _, s := range r.transactions[t].Steps {
					if s.Append {
						then[s.Key] = s.Value
					}
				}
				if rest(started, committed|bit, busy&^writes, then) {
					return true
				}
			}
		}
		return false
	}
	return rest(0, 0, 0, registers{})
}
