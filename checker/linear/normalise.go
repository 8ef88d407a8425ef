package linear

import "nemesis/history"

// An operation of unknown outcome costs a search dearly: it may take effect at
// any later moment, so each one doubles what there is to try. Two rewritings
// remove most of them. Each keeps the answer: the result has a linear order
// exactly when the given history has one. Failed operations and unanswered reads
// are gone already.
//
// # Drop what nobody can have seen
//
// Say that an operation o may see an operation w when o sees the value that w
// makes and w was called no later than o returned (a crashed o never returns).
// Let K be the smallest set that holds every completed operation and, with every
// member, all that it may see; let D be the rest. All of D is crashed. Then the
// history H has an order exactly when H without D has one.
//
// From right to left: put the members of D at the end of the order, where they
// are allowed to be and any answer of theirs fits.
//
// From left to right: take an order of H, remove D, and move every compare-and-set
// of unknown outcome that had no effect to the end. Let o be a remaining completed
// operation, or one with effect, that sees a value; in H that value was made by the
// last operation with effect before o, or is the initial one. That maker is not in
// D: it lies before o, so it was called before o returned, so o may see it, and o
// is in K. So it is still there and still the last one with effect before o, and o
// still sees the same. Writes see nothing, and always fit.
//
// # Tighten what somebody has seen
//
// Let value v be made by exactly one operation w of H, and not be the initial
// value, and let a completed operation o see v. In every order of H, w then stands
// before o, with effect, and o's moment is not later than o's return. So giving w
// the return of the earliest such o changes no order: an order of H has w before
// o, and o before everything called after o returned, which is all that the new
// return asks for; and every order of the tightened history is one of H, whose
// intervals are longer. When w is itself a compare-and-set it now certainly saw
// its expected value, and passes the bound on to whoever made that.
//
// A bound before w's own call is no interval at all; such a history has no order,
// and w is left as it is for the search to say so. Uniqueness is verified per
// value, among all operations that may have happened; where it fails, nothing is
// tightened.

// normalise applies both rewritings. It returns the operations kept, in their
// given order, and how many were dropped and tightened.
func normalise(ops []op) (kept []op, dropped, tightened int) {
	kept = drop(ops)
	dropped = len(ops) - len(kept)
	return kept, dropped, tighten(kept)
}

// drop returns K, in a new slice.
func drop(ops []op) []op {
	makers := make(map[int32][]int)
	for i := range ops {
		if ops[i].crashed && ops[i].makes() {
			makers[ops[i].new] = append(makers[ops[i].new], i)
		}
	}
	keep := make([]bool, len(ops))
	var work []int
	for i := range ops {
		if !ops[i].crashed {
			keep[i] = true
			work = append(work, i)
		}
	}
	for len(work) > 0 {
		o := &ops[work[len(work)-1]]
		work = work[:len(work)-1]
		if !o.sees() {
			continue
		}
		rest := makers[o.old][:0:0]
		for _, w := range makers[o.old] {
			switch {
			case keep[w]:
			case ops[w].call <= o.ret:
				keep[w] = true
				work = append(work, w)
			default:
				rest = append(rest, w)
			}
		}
		makers[o.old] = rest
	}
	kept := make([]op, 0, len(ops))
	for i := range ops {
		if keep[i] {
			kept = append(kept, ops[i])
		}
	}
	return kept
}

// tighten lowers the returns of crashed operations in place and counts them.
func tighten(ops []op) int {
	const several = -1
	maker := make(map[int32]int)
	for i := range ops {
		if !ops[i].makes() {
			continue
		}
		if _, taken := maker[ops[i].new]; taken || ops[i].new == initial {
			maker[ops[i].new] = several
		} else {
			maker[ops[i].new] = i
		}
	}
	bound := make(map[int]int64)
	for i := range ops {
		if ops[i].crashed {
			continue
		}
		// Follow the chain of compare-and-sets that this operation proves; a chain
		// is followed again only to lower a bound, so it ends.
		o, ret := &ops[i], ops[i].ret
		for o.sees() {
			w, known := maker[o.old]
			if !known || w == several || !ops[w].crashed {
				break
			}
			if b, bounded := bound[w]; bounded && b <= ret {
				break
			}
			bound[w] = ret
			o = &ops[w]
		}
	}
	n := 0
	for w, b := range bound {
		if b >= ops[w].call && b < history.Never {
			// The outcome is known now: it happened.
			ops[w].ret, ops[w].crashed = b, false
			n++
		}
	}
	return n
}
