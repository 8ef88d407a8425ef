package monitor

import (
	"cmp"
	"fmt"

	"nemesis/checker/linear/order"
)

// SetOp is an operation on a set: an add of Element, or a read that returned all of it.
type SetOp struct {
	Span
	// Read: Elements is what was read, in any order; otherwise Element was added.
	Read     bool
	Element  int32
	Elements []int32
}

// Set decides a set to which elements are only added and which is read whole,
// initially empty. Undecided when an element that was read was added twice. Time
// O(n log n + total length of the reads).
//
// Proof. The set only grows, so of two reads one holds the other: their distinct
// contents are a chain R1 ⊂ R2 ⊂ …. Call the adds of what Rk has and R(k−1) has not the
// layer Ek. A read of Rk saw all of Ek and nothing of E(k+1), so the levels
//
//	reads of nothing · E1 · reads of R1 · E2 · reads of R2 · … · adds that nobody read
//
// follow one another in every order, and any order by levels answers as was answered.
// Adds that crashed and that nobody read can be left out, for they stand behind all
// reads. One that was read happened.
//
// The chain is found with the reads sorted by size: each must hold all that was read
// so far, so it is enough to count how many of its elements were.
func Set(ops []SetOp, opt Options) order.Decision {
	return conclude("set", ops, opt, decideSet)
}

func decideSet(p *patience, ops []SetOp) order.Decision {
	level := make([]int, len(ops))
	var reads []int
	for i := range ops {
		p.spend()
		if ops[i].Read && !ops[i].crashed() {
			reads = append(reads, i)
		}
	}
	sortBy(p, reads, func(a, b int) int { return cmp.Compare(len(ops[a].Elements), len(ops[b].Elements)) })

	type seen struct {
		layer, last int32 // last is the latest read, as a place in reads, that had it
		add         int32
	}
	var found []seen
	places := numbersFor(len(ops))
	var wrong []int // reads that contradict each other or themselves; told when it is clear that all adds are unique
	layer := int32(0)
	for k, i := range reads {
		p.spend()
		before, had := len(found), 0
		for _, e := range ops[i].Elements {
			p.spend()
			at, known := places.get(e)
			switch {
			case !known:
				places.put(e, len(found))
				found = append(found, seen{layer: layer + 1, last: int32(k), add: -1})
				continue
			case found[at].last == int32(k):
				wrong = append(wrong, i)
			default:
				had++
			}
			found[at].last = int32(k)
		}
		if had < before && wrong == nil {
			wrong = append(wrong, i, reads[k-1])
		}
		if len(found) > before {
			layer++
		}
		level[i] = 2 * int(layer)
	}
	for i := range ops {
		p.spend()
		op := &ops[i]
		if op.Read {
			if op.crashed() {
				level[i] = absent
			}
			continue
		}
		at, known := places.get(op.Element)
		switch {
		case known && found[at].add >= 0:
			return undecided(fmt.Sprintf("operations %d and %d added the same element, and it was read", found[at].add, i))
		case known:
			found[at].add = int32(i)
			level[i] = 2*int(found[at].layer) - 1
		case op.crashed():
			level[i] = absent
		default:
			level[i] = 2*int(layer) + 1
		}
	}
	if wrong != nil {
		return illegal(wrong...)
	}
	for _, i := range reads {
		p.spend()
		for _, e := range ops[i].Elements {
			p.spend()
			if at, _ := places.get(e); found[at].add < 0 {
				return illegal(i)
			}
		}
	}
	out, conflict := levels(p, ops, level)
	if conflict != nil {
		return illegal(conflict...)
	}
	return legal(out)
}
