package monitor

import (
	"cmp"
	"container/heap"
	"fmt"

	"nemesis/checker/linear/order"
)

// CounterOp is an operation on a counter: an add of Delta, whose answer says nothing, or
// a read that returned Value.
type CounterOp struct {
	Span
	Read         bool
	Delta, Value int64
}

// Counter decides a counter that is initially 0. If all adds are of one delta, it is
// exact, in time O(n log n). Otherwise it only knows bounds: Illegal if a read is outside
// them, else Undecided (which of the adds sum up to a read is subset sum).
//
// # One delta
//
// Divide by it: adds are of 1 and a read of k saw k of them. Reads must be in real time
// as they are in value. Call the k-th add of an order slot k. It stands behind all
// reads of less than k and before all of k or more: at or after lo(k), the latest call of
// the former, and at or before hi(k), the earliest return of the latter; both grow with
// k. An add fits slot k if it returned at lo(k) or later and was called by hi(k). So the
// slots 1…K, with K the greatest read, must each get an add that fits, and every completed
// add a slot; behind K there are slots for all, which ask only for lo. This suffices:
// take the reads and slots as levels; the adds of two slots cannot be wrong in real time,
// see below, and everything else is what fitting means.
//
// The slots an add fits are a range, from the first whose hi is not before its call to the last
// whose lo is not after its return. Fill the slots in turn, each with the add of those
// whose range has begun that returned first. If some order fills all slots, so does this
// one, and if some order places all completed adds in time, so does this one: exchange
// the add it chose for that of the order, as in earliest-deadline-first schedules.
// (Crashed adds return last, so they are taken only if there is nothing else.) That an
// add came too late for its slot shows when the levels are put in order. And no
// add is placed behind one that was called after its return: it was called earlier, so
// its range had begun, and it returned earlier.
//
// # Many deltas
//
// A read saw every add that returned before its call, and none that was called after its
// return. Of the rest it may at most have seen all positive ones, or all negative ones.
func Counter(ops []CounterOp, opt Options) order.Decision {
	return conclude("counter", ops, opt, decideCounter)
}

// mostDelta keeps sums far from overflow.
const mostDelta = 1 << 32

func decideCounter(p *patience, ops []CounterOp) order.Decision {
	unit, adds := int64(0), 0
	mixed := false
	for i := range ops {
		p.spend()
		op := &ops[i]
		if op.Read {
			continue
		}
		if op.Delta == 0 || op.Delta < -mostDelta || op.Delta > mostDelta {
			return undecided(fmt.Sprintf("operation %d adds nothing, or very much", i))
		}
		if adds == 0 {
			unit = op.Delta
		}
		mixed = mixed || op.Delta != unit
		adds++
	}
	if mixed {
		return bounds(p, ops)
	}
	return count(p, ops, unit, adds)
}

// count decides a counter of one unit.
func count(p *patience, ops []CounterOp, unit int64, adds int) order.Decision {
	level := make([]int, len(ops))
	most := 0
	for i := range ops {
		p.spend()
		op := &ops[i]
		level[i] = absent
		if !op.Read || op.crashed() {
			continue
		}
		k := int64(0)
		if op.Value != 0 {
			if unit == 0 || op.Value%unit != 0 || op.Value/unit < 0 || op.Value/unit > int64(adds) {
				return illegal(i)
			}
			k = op.Value / unit
		}
		level[i] = 2 * int(k)
		most = max(most, int(k))
	}
	if _, conflict := levels(p, ops, level); conflict != nil {
		return illegal(conflict...)
	}
	// hi[k] names the read that slot k must not be behind.
	hi := make([]int, most+1)
	for k := range hi {
		hi[k] = -1
	}
	earlier := func(a, b int) int {
		if a < 0 || (b >= 0 && ops[b].Return < ops[a].Return) {
			return b
		}
		return a
	}
	for i := range ops {
		p.spend()
		if level[i] != absent {
			hi[level[i]/2] = earlier(hi[level[i]/2], i)
		}
	}
	for k := most; k > 0; k-- {
		hi[k-1] = earlier(hi[k-1], hi[k])
	}

	var calls []int
	for i := range ops {
		p.spend()
		if !ops[i].Read {
			calls = append(calls, i)
		}
	}
	sortBy(p, calls, func(a, b int) int { return cmp.Compare(ops[a].Call, ops[b].Call) })
	open := spans[CounterOp, *CounterOp]{ops: ops}
	for k := 1; k <= most; k++ {
		p.spend()
		for len(calls) > 0 && ops[calls[0]].Call <= ops[hi[k]].Return {
			heap.Push(&open, calls[0])
			calls = calls[1:]
		}
		if len(open.at) == 0 {
			return illegal(hi[k])
		}
		add := heap.Pop(&open).(int)
		level[add] = 2*k - 1
	}
	for _, add := range append(open.at, calls...) {
		if !ops[add].crashed() {
			level[add] = 2*most + 1
		}
	}
	out, conflict := levels(p, ops, level)
	if conflict != nil {
		return illegal(conflict...)
	}
	return legal(out)
}

// bounds looks for a read that no choice of adds explains.
func bounds(p *patience, ops []CounterOp) order.Decision {
	var reads, calls, returns []int
	for i := range ops {
		p.spend()
		switch {
		case !ops[i].Read:
			calls, returns = append(calls, i), append(returns, i)
		case !ops[i].crashed():
			reads = append(reads, i)
		}
	}
	byCall := func(a, b int) int { return cmp.Compare(ops[a].Call, ops[b].Call) }
	byReturn := func(a, b int) int { return cmp.Compare(ops[a].Return, ops[b].Return) }
	sortBy(p, calls, byCall)
	sortBy(p, returns, byReturn)
	least, greatest := make([]int64, len(ops)), make([]int64, len(ops))
	sortBy(p, reads, byCall)
	var up, down int64 // of the adds that had returned
	for _, i := range reads {
		p.spend()
		for ; len(returns) > 0 && ops[returns[0]].Return < ops[i].Call; returns = returns[1:] {
			up += max(ops[returns[0]].Delta, 0)
			down += min(ops[returns[0]].Delta, 0)
		}
		least[i], greatest[i] = up, down
	}
	sortBy(p, reads, byReturn)
	up, down = 0, 0 // of the adds that had been called
	for _, i := range reads {
		p.spend()
		for ; len(calls) > 0 && ops[calls[0]].Call <= ops[i].Return; calls = calls[1:] {
			up += max(ops[calls[0]].Delta, 0)
			down += min(ops[calls[0]].Delta, 0)
		}
		least[i], greatest[i] = least[i]+down, greatest[i]+up
		if v := ops[i].Value; v < least[i] || v > greatest[i] {
			return illegal(i)
		}
	}
	return undecided("the counter was given different deltas, and its reads are within their bounds")
}
