package monitor

import (
	"cmp"
	"container/heap"
	"fmt"

	"nemesis/checker/linear/order"
	"nemesis/checker/linear/zone"
	"nemesis/history"
)

// MutexOp is an acquire or, with Release, a release that succeeded or crashed. Owner is
// who did it, for OwnedMutex.
type MutexOp struct {
	Span
	Release bool
	Owner   int
}

// Mutex decides a lock, initially free, that anyone may release: acquire needs it
// free, release needs it held. Exact, in time O(n log n).
//
// Proof. In an order acquires and releases alternate, so the kind of each next one is
// known. Build the order from the front: of the operations of that kind that
// can be next (called no later than any remaining completed one returned), take the one
// that returned first. This is right: let an order go on with x instead of our y. If y
// stands later in it, exchange the two: they do the same; y can be next; and x can stand
// where y stood, for it returned no earlier than y, so no earlier than what stands before
// was called. If y is not in the order, it crashed, then so did x, and y can take its
// place. A crashed operation returned last, so it is used only if no completed one can be
// next; then the order has no other way to go on, and one that is complete needs none.
func Mutex(ops []MutexOp, opt Options) order.Decision {
	return conclude("mutex", ops, opt, decideMutex)
}

func decideMutex(p *patience, ops []MutexOp) order.Decision {
	calls := make([]int, len(ops))
	var returns []int // of completed ones
	for i := range ops {
		p.spend()
		calls[i] = i
		if !ops[i].crashed() {
			returns = append(returns, i)
		}
	}
	sortBy(p, calls, func(a, b int) int { return cmp.Compare(ops[a].Call, ops[b].Call) })
	sortBy(p, returns, func(a, b int) int { return cmp.Compare(ops[a].Return, ops[b].Return) })
	placed := make([]bool, len(ops))
	out := make([]int, 0, len(ops))
	acquires, releases := &spans[MutexOp, *MutexOp]{ops: ops}, &spans[MutexOp, *MutexOp]{ops: ops}
	next, other := acquires, releases
	for {
		p.spend()
		for len(returns) > 0 && placed[returns[0]] {
			returns = returns[1:]
		}
		if len(returns) == 0 {
			return legal(out)
		}
		first := returns[0]
		for len(calls) > 0 && ops[calls[0]].Call <= ops[first].Return {
			kind := acquires
			if ops[calls[0]].Release {
				kind = releases
			}
			heap.Push(kind, calls[0])
			calls = calls[1:]
		}
		if len(next.at) == 0 {
			if len(out) > 0 {
				return illegal(out[len(out)-1], first)
			}
			return illegal(first)
		}
		i := heap.Pop(next).(int)
		placed[i] = true
		out = append(out, i)
		next, other = other, next
	}
}

// OwnedMutex decides a lock, initially free, that only its holder may release, and that
// nobody can acquire twice. Undecided if an owner did two things at once, or anything
// after an operation that crashed: owners must be retired then. Time O(n log n).
//
// Proof. An owner's operations are in order, and between two of its operations nobody
// else can change whether it holds the lock. So they alternate, acquire first. A last
// acquire that crashed can be left out, as nothing needs it; so can a last release that
// crashed without a hold. A last release that crashed and ends a hold may as well have
// happened, behind its call, which only frees the lock. What is left are holds: an
// acquire and a release, or an acquire for ever. Nothing may come between the two, which
// makes holds the blocks that package zone arranges; a hold for ever has its release
// called at history.Never, so that it conflicts with any that must stand behind it.
func OwnedMutex(ops []MutexOp, opt Options) order.Decision {
	return conclude("owned mutex", ops, opt, decideOwned)
}

func decideOwned(p *patience, ops []MutexOp) order.Decision {
	sorted := make([]int, len(ops))
	for i := range sorted {
		sorted[i] = i
	}
	sortBy(p, sorted, func(a, b int) int {
		if d := cmp.Compare(ops[a].Owner, ops[b].Owner); d != 0 {
			return d
		}
		return cmp.Compare(ops[a].Call, ops[b].Call)
	})
	for k := 1; k < len(sorted); k++ {
		if a, b := &ops[sorted[k-1]], &ops[sorted[k]]; a.Owner == b.Owner && a.Return >= b.Call {
			return undecided(fmt.Sprintf("owner %d did operation %d before its operation %d was over", a.Owner, sorted[k], sorted[k-1]))
		}
	}

	type hold struct{ acquire, release int } // release is -1 for a hold for ever
	var holds []hold
	var blocks []zone.Block
	for k := 0; k < len(sorted); k++ {
		i := sorted[k]
		if ops[i].crashed() {
			continue
		}
		if ops[i].Release {
			return illegal(i)
		}
		h, last := hold{i, -1}, history.Never
		if k+1 < len(sorted) && ops[sorted[k+1]].Owner == ops[i].Owner {
			switch next := sorted[k+1]; {
			case ops[next].Release:
				h.release, last = next, ops[next].Call
				k++
			case !ops[next].crashed():
				return illegal(i, next)
			}
		}
		blocks = append(blocks, zone.Block{FirstReturn: ops[i].Return, LastCall: last, ID: int32(len(holds))})
		holds = append(holds, h)
	}
	a, b, ok := zone.Arrange(blocks)
	if !ok {
		var conflict []int
		for _, h := range []hold{holds[a.ID], holds[b.ID]} {
			if conflict = append(conflict, h.acquire); h.release >= 0 {
				conflict = append(conflict, h.release)
			}
		}
		return illegal(conflict...)
	}
	out := make([]int, 0, len(ops))
	for _, block := range blocks {
		h := holds[block.ID]
		if out = append(out, h.acquire); h.release >= 0 {
			out = append(out, h.release)
		}
	}
	return legal(out)
}
