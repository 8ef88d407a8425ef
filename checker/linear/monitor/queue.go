package monitor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"

	"nemesis/checker/linear/order"
	"nemesis/history"
)

// QueueKind is what an operation on a queue does.
type QueueKind uint8

const (
	// Enqueue put Value at the end.
	Enqueue QueueKind = iota
	// Dequeue took Value from the front.
	Dequeue
	// DequeueEmpty found the queue empty.
	DequeueEmpty
)

// QueueOp is an operation on a queue. A dequeue that crashed, of either kind, may have
// taken any value, or none; its Value says nothing.
type QueueOp struct {
	Span
	Kind  QueueKind
	Value int32
}

// Queue decides a first-in first-out queue of unique values, initially empty, with
// dequeues that found it empty and with crashed operations. Undecided when a value was
// enqueued twice. Time O(n log n).
//
// # Crashed operations
//
// A crashed enqueue of a value that nobody was given is left out: in any order it stands
// behind everything that was taken, unless a crashed dequeue took it, which is then left
// out too; what remains was answered alike, with the queue empty no less often.
//
// Let X be the values of completed enqueues that no completed dequeue returned, by the
// return er of their enqueues, and c1 ≤ c2 ≤ … the calls of crashed dequeues. Each may
// have taken one of X, at any moment from its call on. Claim: if there is an order, there
// is one in which the k-th of X was taken by the k-th crashed dequeue, as far as both
// last. The three conditions below never ask that a value stay: taking one only ever
// has to happen early enough (before a value behind it is returned, or for an empty answer).
// The moment by which the k-th must be taken, for the former, does not fall
// with er, as more values are behind one that was in earlier. So exchanging two dequeues
// into the order of calls keeps all these bounds. For empty answers, values a, b with
// er(a) ≤ er(b) taken from c ≤ c' on are certainly present in (er(a), c) and
// (er(b), c'), and crosswise in (er(a), c'), which holds both, and more. And if a
// value a of X stays while one with a later er is taken, the queue is certainly not
// empty from er(a) on, for ever; taking a instead only helps. So the k-th to the k-th it is.
// From here on taken values have a dequeue that returns late (history.Never−1), and
// those that stay have one at history.Never, which is behind all others.
//
// # Without empty answers
//
// A value is an enqueue and a dequeue. As an enqueue takes effect before its dequeue,
// shorten it to return no later than the dequeue, and the dequeue to be called no
// earlier than the enqueue; if that leaves an empty interval, the history is illegal.
// Now an order of the values respects real time if no value stands behind one whose
// enqueue was called after its own enqueue returned, nor likewise for dequeues. Such an
// order is necessary, as both come out of the queue in one order. It is also sufficient:
// give the i-th enqueue the moment e(i) = the latest call of enqueues 1…i, and the i-th
// dequeue d(i) = the latest call of dequeues 1…i or e(i), whichever is later. e(i) is in
// its interval, as no enqueue up to i was called after i's returned. d(i) is in its, for
// dequeue calls likewise, and for the call of the enqueue of some j ≤ i thus: if dequeue i
// returned before that call, then enqueue i, shortened, did too, and i must stand before j.
//
// The order is found by taking away, again and again, a value of which neither the
// enqueue nor the dequeue was called after any remaining one's returned. If there is
// none: let a be the remaining value whose enqueue returned first, and b likewise for
// dequeues. a's dequeue was called after b's returned, and b's enqueue after a's returned:
// two values in conflict. So pairs are all that can be wrong.
//
// # Empty answers
//
// A value is certainly present in the open interval from its enqueue's return to its
// dequeue's call, as shortened. An empty answer needs a moment p in its span inside no
// such interval. Given one for each empty answer, there is an order: put a value before
// p exactly when its dequeue was called by p. Its enqueue was then called by p too. And
// of the others the dequeue was called after p, so, p not being in the interval, the
// enqueue returned at p or later. So both can be done on their side of p. Sides agree
// with real time: if the enqueue of w returned before that of v was called, and v is before
// p, then w's enqueue returned before p, w is not present at p, so w's dequeue was called by
// p; if the dequeue of w returned before that of v was called, it was called by p as well.
// So sorting an order of values by side keeps it right, and raising all calls behind p to
// p makes none that is later than a return on that side. The moments e and d above, so
// computed, are by p before it and from p on behind it.
func Queue(ops []QueueOp, opt Options) order.Decision {
	return conclude("queue", ops, opt, decideQueue)
}

// item is one value's way through the queue.
type item struct {
	enq, deq int32 // operations; deq is -1 when the value stays
	// The shortened intervals of both.
	enqCall, enqReturn, deqCall, deqReturn int64
}

const (
	takenLate = history.Never - 1
	stays     = history.Never
)

func decideQueue(p *patience, ops []QueueOp) order.Decision {
	items, takers, d := pair(p, ops)
	if items == nil {
		return d
	}
	take(p, ops, items, takers)
	line, conflict := lineUp(p, items)
	if conflict != nil {
		return illegal(conflict...)
	}
	empties, conflict := emptyMoments(p, ops, items)
	if conflict != nil {
		return illegal(conflict...)
	}
	return legal(merge(p, items, line, empties))
}

// pair joins enqueues and dequeues to items; takers are the crashed dequeues by call.
// Without items the decision is made.
func pair(p *patience, ops []QueueOp) (items []item, takers []int32, d order.Decision) {
	number := numbersFor(len(ops))
	items = make([]item, 0, len(ops)/2+1)
	for i := range ops {
		p.spend()
		if op := &ops[i]; op.Kind == Enqueue {
			if k, known := number.get(op.Value); known {
				return nil, nil, undecided(fmt.Sprintf("operations %d and %d enqueued the same value", items[k].enq, i))
			}
			number.put(op.Value, len(items))
			items = append(items, item{enq: int32(i), deq: -1, enqCall: op.Call, enqReturn: op.Return, deqCall: stays, deqReturn: stays})
		}
	}
	for i := range ops {
		p.spend()
		op := &ops[i]
		switch {
		case op.Kind == Enqueue:
		case op.crashed():
			takers = append(takers, int32(i))
		case op.Kind == Dequeue:
			k, known := number.get(op.Value)
			if !known {
				return nil, nil, illegal(i)
			}
			it := &items[k]
			if it.deq >= 0 {
				return nil, nil, illegal(int(it.deq), i)
			}
			if op.Return < it.enqCall {
				return nil, nil, illegal(int(it.enq), i)
			}
			it.deq, it.deqCall, it.deqReturn = int32(i), max(op.Call, it.enqCall), op.Return
			it.enqReturn = min(it.enqReturn, op.Return)
		}
	}
	items = slices.DeleteFunc(items, func(it item) bool { return it.deq < 0 && it.enqReturn == history.Never })
	slices.SortStableFunc(takers, func(a, b int32) int { p.spend(); return cmp.Compare(ops[a].Call, ops[b].Call) })
	return items, takers, d
}

// take gives crashed dequeues the values that nobody was given, in order. It is
// for lineUp to find out if one that must be taken was not, or too late.
func take(p *patience, ops []QueueOp, items []item, takers []int32) {
	if len(takers) == 0 {
		return
	}
	var left []int32
	for k := range items {
		p.spend()
		if items[k].deq < 0 {
			left = append(left, int32(k))
		}
	}
	slices.SortStableFunc(left, func(a, b int32) int { p.spend(); return cmp.Compare(items[a].enqReturn, items[b].enqReturn) })
	for n := range min(len(left), len(takers)) {
		it := &items[left[n]]
		it.deq = takers[n]
		it.deqCall, it.deqReturn = max(ops[it.deq].Call, it.enqCall), takenLate
	}
}

// lineUp finds the order of values, or two operations pairs that forbid one.
func lineUp(p *patience, items []item) (line []int32, conflict []int) {
	by := func(key func(*item) int64) []int32 {
		sorted := make([]int32, len(items))
		for k := range sorted {
			sorted[k] = int32(k)
		}
		sortStable(p, sorted, func(a, b int32) int { return cmp.Compare(key(&items[a]), key(&items[b])) })
		return sorted
	}
	enqCalls := by(func(it *item) int64 { return it.enqCall })
	enqReturns := by(func(it *item) int64 { return it.enqReturn })
	deqCalls := by(func(it *item) int64 { return it.deqCall })
	deqReturns := by(func(it *item) int64 { return it.deqReturn })

	gone := make([]bool, len(items))
	ready := make([]uint8, len(items)) // how many of its two calls are early enough
	line = make([]int32, 0, len(items))
	var free []int32
	admit := func(calls []int32, call func(*item) int64, first int64) []int32 {
		for len(calls) > 0 && call(&items[calls[0]]) <= first {
			if ready[calls[0]]++; ready[calls[0]] == 2 {
				free = append(free, calls[0])
			}
			calls = calls[1:]
		}
		return calls
	}
	for len(line) < len(items) {
		p.spend()
		for gone[enqReturns[0]] {
			enqReturns = enqReturns[1:]
		}
		for gone[deqReturns[0]] {
			deqReturns = deqReturns[1:]
		}
		a, b := &items[enqReturns[0]], &items[deqReturns[0]]
		enqCalls = admit(enqCalls, func(it *item) int64 { return it.enqCall }, a.enqReturn)
		deqCalls = admit(deqCalls, func(it *item) int64 { return it.deqCall }, b.deqReturn)
		if len(free) == 0 {
			for _, op := range []int32{a.enq, a.deq, b.enq, b.deq} {
				if op >= 0 {
					conflict = append(conflict, int(op))
				}
			}
			return nil, conflict
		}
		for _, k := range free {
			gone[k] = true
		}
		line = append(line, free...)
		free = free[:0]
	}
	return line, nil
}

// empty is an empty answer with the moment at which it was true.
type empty struct {
	op     int
	moment int64
}

// emptyMoments finds for each empty answer the first moment of its span at which no
// value was certainly present.
func emptyMoments(p *patience, ops []QueueOp, items []item) (empties []empty, conflict []int) {
	for i := range ops {
		p.spend()
		if ops[i].Kind == DequeueEmpty && !ops[i].crashed() {
			empties = append(empties, empty{op: i})
		}
	}
	if empties == nil {
		return nil, nil
	}
	type stretch struct {
		from, to int64 // open
		item     int
	}
	var present []stretch
	for k := range items {
		p.spend()
		if it := &items[k]; it.enqReturn < it.deqCall {
			present = append(present, stretch{it.enqReturn, it.deqCall, k})
		}
	}
	slices.SortFunc(present, func(a, b stretch) int { p.spend(); return cmp.Compare(a.from, b.from) })
	joined := present[:0]
	for _, s := range present {
		if n := len(joined); n > 0 && s.from < joined[n-1].to {
			joined[n-1].to = max(joined[n-1].to, s.to)
			continue
		}
		joined = append(joined, s)
	}
	for k := range empties {
		p.spend()
		e := &empties[k]
		op := &ops[e.op]
		e.moment = op.Call
		// The last stretch that began before the call is the only one it can be in.
		at := sort.Search(len(joined), func(n int) bool { return joined[n].from >= op.Call }) - 1
		if at >= 0 && joined[at].to > op.Call {
			if e.moment = joined[at].to; e.moment > op.Return {
				return nil, []int{int(items[joined[at].item].enq), e.op}
			}
		}
	}
	slices.SortStableFunc(empties, func(a, b empty) int { p.spend(); return cmp.Compare(a.moment, b.moment) })
	return empties, nil
}

// merge writes down the order: between two moments at which the queue was empty, the
// values whose dequeues were called by then.
func merge(p *patience, items []item, line []int32, empties []empty) []int {
	if len(empties) > 0 {
		side := func(k int32) int {
			return sort.Search(len(empties), func(n int) bool { return items[k].deqCall <= empties[n].moment })
		}
		slices.SortStableFunc(line, func(a, b int32) int { p.spend(); return cmp.Compare(side(a), side(b)) })
	}
	out := make([]int, 0, 2*len(items)+len(empties))
	last := int64(math.MinInt64)
	enqueued, dequeued := int64(math.MinInt64), int64(math.MinInt64)
	for n := 0; ; n++ {
		upTo := stays
		if n < len(empties) {
			upTo = empties[n].moment
		}
		some := 0
		for some < len(line) && items[line[some]].deqCall <= upTo {
			some++
		}
		group := line[:some]
		line = line[some:]
		// Enqueue moments only grow, and so do dequeue moments: two sorted streams.
		enqueued, dequeued = max(enqueued, last), max(dequeued, last)
		in := 0
		for k := range group {
			p.spend()
			it := &items[group[k]]
			at := max(dequeued, it.deqCall)
			for in < len(group) && (in <= k || max(enqueued, items[group[in]].enqCall) <= at) {
				enqueued = max(enqueued, items[group[in]].enqCall)
				out = append(out, int(items[group[in]].enq))
				in++
			}
			dequeued = max(at, enqueued)
			if it.deq >= 0 {
				out = append(out, int(it.deq))
			}
		}
		if n == len(empties) {
			return out
		}
		out = append(out, empties[n].op)
		last = upTo
	}
}
