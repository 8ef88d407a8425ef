// Package reference judges small histories of transactions straight from the definitions, by
// trying everything. It is slow, obvious, and shares no code with the checkers, which are held
// to it: in tests on random histories, and on the few transactions that are left of a
// violation before anybody is accused.
//
// A History is at most MostTransactions transactions over lists. Two definitions are tried by
// running them: Serial looks for an order in which the transactions, run one after another,
// give every answer; Snapshot for moments at which each starts, when it sees what was
// committed, and commits, such that no two that write the same key overlap. Everything else
// (levels.go) is Adya's and Cerone's definitions over relations between pairs of transactions.
package reference

import "slices"

// MostTransactions is how many transactions a History may have.
const MostTransactions = 16

// MostKeys is how many keys a History may have.
const MostKeys = 16

// Outcome says what is known of a transaction.
type Outcome uint8

const (
	// OK: it happened, with these answers.
	OK Outcome = iota
	// Info: it may have happened, at any time after its invocation.
	Info
	// Fail: it did not happen.
	Fail
)

// Transaction is one transaction of a list-append history.
type Transaction struct {
	Process      int
	Outcome      Outcome
	Call, Return int64
	Steps        []Step
}

// Step appends Value to Key's list or, without Append, reads it as List. Reads of transactions
// that are not OK mean nothing. Keys are 0, 1, 2, …
type Step struct {
	Key    int
	Append bool
	Value  int64
	List   []int64
}

// Order says which transactions must come before which others, whatever they did.
type Order uint8

const (
	// None: any order will do.
	None Order = iota
	// Processes: each process' transactions come in its own order.
	Processes
	// WritersInTime: a transaction that writes comes behind all that had returned before it
	// was invoked.
	WritersInTime
	// InTime: every transaction does, and each process' come in its own order.
	InTime
)

// History is what happened, made ready for trying.
type History struct {
	transactions []Transaction
	// Foreign: values that none of the transactions appends were appended by others, one
	// transaction each, at any time. That is what is left of a longer history.
	foreign bool
	// impossible: there is no order of some list's values.
	impossible bool
	keys       int
	// order are the lists that all reads of a key begin.
	order [MostKeys][]int64
	// place is, for each step of each transaction: of a read how many values it shows, of
	// an append where it stands, or Unseen.
	place [][]int
	// writer of each value of order; Nobody for a value of a foreign transaction.
	writer [MostKeys][]int
}

const (
	// Unseen is the place of an append that no read shows: behind all others.
	Unseen = -1
	nobody = -1
)

// New prepares a history. foreign says that values which none of the transactions appends
// were appended by others.
func New(transactions []Transaction, foreign bool) *History {
	h := &History{transactions: transactions, foreign: foreign, place: make([][]int, len(transactions))}
	for _, t := range transactions {
		for _, s := range t.Steps {
			h.keys = max(h.keys, s.Key+1)
			if t.Outcome == OK && !s.Append && len(s.List) > len(h.order[s.Key]) {
				h.order[s.Key] = s.List
			}
		}
	}
	for k := range h.keys {
		h.writer[k] = make([]int, len(h.order[k]))
		for i, v := range h.order[k] {
			h.writer[k][i] = nobody
			if slices.Index(h.order[k], v) != i {
				h.impossible = true
			}
		}
	}
	for t := range transactions {
		h.place[t] = make([]int, len(transactions[t].Steps))
		for i, s := range transactions[t].Steps {
			order := h.order[s.Key]
			switch {
			case s.Append:
				h.place[t][i] = slices.Index(order, s.Value)
				if at := h.place[t][i]; at >= 0 {
					h.writer[s.Key][at] = t
				}
			case transactions[t].Outcome == OK:
				h.place[t][i] = len(s.List)
				if !slices.Equal(s.List, order[:len(s.List)]) {
					h.impossible = true
				}
			}
		}
	}
	for k := range h.keys {
		for _, w := range h.writer[k] {
			if w == nobody && !foreign || w >= 0 && transactions[w].Outcome == Fail {
				h.impossible = true
			}
		}
	}
	return h
}

// lengths are how much of each list is there; beyond means that values which nobody saw
// stand behind all that was seen.
type lengths struct {
	of     [MostKeys]int16
	beyond uint32
}

// run has a transaction run on lists, and reports whether it gives its answers.
func (h *History) run(t int, now lengths) (lengths, bool) {
	for i, s := range h.transactions[t].Steps {
		at := h.place[t][i]
		if !s.Append && h.transactions[t].Outcome != OK {
			continue
		}
		if s.Append && at == Unseen {
			at = len(h.order[s.Key])
		}
		// Only what foreign transactions append may be missing.
		for int(now.of[s.Key]) < at && h.writer[s.Key][now.of[s.Key]] == nobody {
			now.of[s.Key]++
		}
		if int(now.of[s.Key]) != at || now.beyond>>s.Key&1 == 1 && !(s.Append && at == len(h.order[s.Key])) {
			return now, false
		}
		switch {
		case s.Append && at == len(h.order[s.Key]):
			now.beyond |= 1 << s.Key
		case s.Append:
			now.of[s.Key]++
		}
	}
	return now, true
}

func (h *History) writes(t int) (keys uint32) {
	for _, s := range h.transactions[t].Steps {
		if s.Append {
			keys |= 1 << s.Key
		}
	}
	return keys
}

// before are, for each transaction, those that must come before it.
func (h *History) before(order Order) []uint32 {
	all := make([]uint32, len(h.transactions))
	for t := range all {
		for u := range all {
			if h.comesBefore(u, t, order) {
				all[t] |= 1 << u
			}
		}
	}
	return all
}

func (h *History) comesBefore(u, t int, order Order) bool {
	one, two := &h.transactions[u], &h.transactions[t]
	if u == t || one.Outcome != OK {
		return false
	}
	inTime := one.Return < two.Call
	inProcess := one.Process == two.Process && u < t
	switch order {
	case Processes:
		return inProcess
	case WritersInTime:
		return inTime && h.writes(t) != 0
	case InTime:
		return inTime || inProcess
	}
	return false
}

// acknowledged are the transactions that must happen.
func (h *History) acknowledged() (must uint32) {
	for t := range h.transactions {
		if h.transactions[t].Outcome == OK {
			must |= 1 << t
		}
	}
	return must
}

// Serial reports whether the transactions have a serial order that gives all answers.
func (h *History) Serial(order Order) bool {
	if h.impossible {
		return false
	}
	must, before := h.acknowledged(), h.before(order)
	failed := make([]bool, 1<<len(h.transactions))
	var rest func(done uint32, now lengths) bool
	rest = func(done uint32, now lengths) bool {
		if done&must == must {
			return true
		}
		if failed[done] {
			return false
		}
		failed[done] = true
		for t := range h.transactions {
			if done>>t&1 == 1 || h.transactions[t].Outcome == Fail || before[t]&^done != 0 {
				continue
			}
			if then, is := h.run(t, now); is && rest(done|1<<t, then) {
				return true
			}
		}
		return false
	}
	return rest(0, lengths{})
}

// Snapshot reports whether the transactions have starts and commits such that each sees what
// was committed at its start, and no two that are under way at once write the same key. A
// transaction starts after those that must come before it have committed.
func (h *History) Snapshot(order Order) bool {
	if h.impossible {
		return false
	}
	must, before := h.acknowledged(), h.before(order)
	failed := make(map[uint64]bool)
	var rest func(started, committed, busy uint32, now lengths) bool
	rest = func(started, committed, busy uint32, now lengths) bool {
		if committed&must == must {
			return true
		}
		at := uint64(started)<<32 | uint64(committed)
		if failed[at] {
			return false
		}
		failed[at] = true
		for t := range h.transactions {
			bit := uint32(1) << t
			writes := h.writes(t)
			switch {
			case started&bit == 0:
				if h.transactions[t].Outcome == Fail || before[t]&^committed != 0 || busy&writes != 0 {
					continue
				}
				if then, is := h.run(t, now); is && rest(started|bit, committed, busy|writes, h.without(t, then, now.beyond)) {
					return true
				}
			case committed&bit == 0:
				if rest(started, committed|bit, busy&^writes, h.with(t, now)) {
					return true
				}
			}
		}
		return false
	}
	return rest(0, 0, 0, lengths{})
}

// without takes a transaction's own appends back from lists that it has just run on: nobody
// else sees them before it commits. beyond is what it was before.
func (h *History) without(t int, now lengths, beyond uint32) lengths {
	now.beyond = beyond
	for i := len(h.place[t]) - 1; i >= 0; i-- {
		if s, at := h.transactions[t].Steps[i], h.place[t][i]; s.Append && at != Unseen {
			now.of[s.Key] = int16(at)
		}
	}
	return now
}

// with adds a transaction's appends. Nobody else wrote those keys since it started.
func (h *History) with(t int, now lengths) lengths {
	for i, s := range h.transactions[t].Steps {
		switch at := h.place[t][i]; {
		case !s.Append:
		case at == Unseen:
			now.beyond |= 1 << s.Key
		default:
			now.of[s.Key] = int16(at + 1)
		}
	}
	return now
}
