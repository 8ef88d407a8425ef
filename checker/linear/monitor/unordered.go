package monitor

import (
	"cmp"
	"sort"

	"nemesis/checker/linear/order"
)

// UnorderedQueue decides a queue that gives back its values in any order: a bag of unique
// values, initially empty, with dequeues that found it empty and with crashed operations.
// Undecided when a value was enqueued twice. Time O(n log n).
//
// # Without empty answers
//
// Values have nothing to do with one another. A value that was returned needs an enqueue
// that was called no later than the dequeue returned, and one dequeue. With the enqueue
// shortened to return no later than the dequeue, and the dequeue to be called no earlier
// than the enqueue (see Queue), the enqueue takes effect at the moment e and the
// dequeue at the moment d: if the intervals have a moment in common, both at the first
// one, the call of the dequeue, one directly behind the other; otherwise as late and as
// early as they can.
//
// # Empty answers
//
// An empty answer needs a moment p in its span at which no value is certainly present,
// that is, in no open interval between an enqueue's return and its dequeue's call. That is
// necessary. It is sufficient, as e and d are chosen above such that e < d only for
// values that are certainly present in (e, d), and at p the dequeues of d = p stand
// before the answer and the enqueues of e = p behind it.
//
// # Crashed operations
//
// A crashed enqueue of a value that nobody was given is left out: the value was in nobody's
// way, unless a crashed dequeue took it, which is then left out too. Crashed dequeues can
// only help empty answers, by ending the presence of values that nobody was given. That
// the k-th of these by the return of its enqueue is taken by the k-th crashed dequeue by
// call is proved with Queue; the argument there for empty answers needs no order of values.
func UnorderedQueue(ops []QueueOp, opt Options) order.Decision {
	return conclude("unordered-queue", ops, opt, decideUnorderedQueue)
}

func decideUnorderedQueue(p *patience, ops []QueueOp) order.Decision {
	items, takers, d := pair(p, ops)
	if items == nil {
		return d
	}
	take(p, ops, items, takers)
	empties, conflict := emptyMoments(p, ops, items)
	if conflict != nil {
		return illegal(conflict...)
	}
	return legal(scatter(p, items, empties))
}

// What takes effect at one moment does so in this order.
const (
	leaves  uint8 = iota // a dequeue whose enqueue was earlier
	lost                 // a crashed dequeue
	passes               // an enqueue with its dequeue
	isEmpty              // an empty answer
	enters               // an enqueue whose dequeue is later
)

// scatter writes down the order of moments.
func scatter(p *patience, items []item, empties []empty) []int {
	type effect struct {
		moment int64
		what   uint8
		op     int32
		next   int32 // the dequeue of a value that passes
	}
	all := make([]effect, 0, 2*len(items)+len(empties))
	for k := range items {
		p.spend()
		it := &items[k]
		isLost := it.deqReturn == takenLate
		if it.deq >= 0 && !isLost && it.deqCall <= it.enqReturn {
			all = append(all, effect{it.deqCall, passes, it.enq, it.deq})
			continue
		}
		all = append(all, effect{moment: it.enqReturn, what: enters, op: it.enq})
		switch {
		case isLost:
			n := sort.Search(len(empties), func(n int) bool { return empties[n].moment > it.enqReturn })
			if n < len(empties) {
				all = append(all, effect{moment: empties[n].moment, what: lost, op: it.deq})
			}
		case it.deq >= 0:
			all = append(all, effect{moment: it.deqCall, what: leaves, op: it.deq})
		}
	}
	for _, e := range empties {
		all = append(all, effect{moment: e.moment, what: isEmpty, op: int32(e.op)})
	}
	sortStable(p, all, func(a, b effect) int {
		return cmp.Or(cmp.Compare(a.moment, b.moment), cmp.Compare(a.what, b.what))
	})
	out := make([]int, 0, 2*len(items)+len(empties))
	for _, e := range all {
		out = append(out, int(e.op))
		if e.what == passes {
			out = append(out, int(e.next))
		}
	}
	return out
}
