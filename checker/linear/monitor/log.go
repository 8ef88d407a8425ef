package monitor

import (
	"fmt"
	"slices"

	"nemesis/checker/linear/order"
)

// LogOp is an operation on a log: an append of Value, or a read that returned all of it.
type LogOp struct {
	Span
	// Read: Values is what was read; otherwise Value was appended.
	Read   bool
	Value  int32
	Values []int32
}

// Log decides a log to which unique values are appended and which is read whole,
// initially empty. Undecided when a value that was read was appended twice. Time
// O(n log n + total length of the reads).
//
// Proof. The log only grows, so of two reads one returned a prefix of the other: all are
// prefixes of the longest, L. Reads that returned k values took effect after the append
// of the k-th value of L and before that of the next; so the levels
//
//	reads of nothing · append of L[0] · reads of L[:1] · append of L[1] · … · reads of L · appends that nobody read
//
// follow one another in every order, and any order by levels answers as was answered.
// Appends that crashed and that nobody read can be left out of any order, for they
// stand behind all reads. One that was read happened.
func Log(ops []LogOp, opt Options) order.Decision {
	return conclude("log", ops, opt, decideLog)
}

func decideLog(p *patience, ops []LogOp) order.Decision {
	longest := -1
	for i := range ops {
		p.spend()
		if ops[i].Read && !ops[i].crashed() && (longest < 0 || len(ops[i].Values) > len(ops[longest].Values)) {
			longest = i
		}
	}
	var whole []int32
	if longest >= 0 {
		whole = ops[longest].Values
	}
	place := numbersFor(len(ops))
	for at, v := range whole {
		p.spend()
		place.put(v, at)
	}
	level := make([]int, len(ops))
	appender := make([]int, len(whole))
	for at := range appender {
		appender[at] = -1
	}
	for i := range ops {
		p.spend()
		op := &ops[i]
		if op.Read {
			continue
		}
		at, read := place.get(op.Value)
		switch {
		case !read && op.crashed():
			level[i] = absent
		case !read:
			level[i] = 2*len(whole) + 1
		case appender[at] >= 0:
			return undecided(fmt.Sprintf("operations %d and %d appended the same value, and it was read", appender[at], i))
		default:
			appender[at] = i
			level[i] = 2*at + 1
		}
	}
	for _, i := range appender {
		p.spend()
		// A value that stands there twice has two places, but one appender.
		if i < 0 {
			return illegal(longest)
		}
	}
	for i := range ops {
		p.spend()
		op := &ops[i]
		switch {
		case !op.Read:
		case op.crashed():
			level[i] = absent
		case !slices.Equal(op.Values, whole[:len(op.Values)]):
			return illegal(longest, i)
		default:
			level[i] = 2 * len(op.Values)
		}
	}
	out, conflict := levels(p, ops, level)
	if conflict != nil {
		return illegal(conflict...)
	}
	return legal(out)
}
