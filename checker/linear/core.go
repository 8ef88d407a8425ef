package linear

import (
	"sort"
	"time"

	"nemesis/history"
)

// A violation is told by its core: a few operations that have no order either.
// The core proves something about the whole history only if every step from the
// history to the core weakens it, that is, if an order of the one before always
// gives an order of the one after. These steps do, and nothing else is used:
//
//   - Cut after a moment t. Keep what was called by t; what had not returned by t
//     becomes crashed. Of an order, keep the part up to t and put the rest of what
//     was called at the end.
//   - Drop a read. It changes nothing, so the others' order stays.
//   - Turn a completed operation into a crashed one: its interval grows and any
//     answer fits.
//   - Drop crashed operations that nobody can have seen (see normalise.go).
//
// Deleting an operation that is seen by one that stays is not among them: without
// write(7), a good read of 7 would look like a violation. With these steps a
// write whose value nobody left in the core has seen does go, in two of them: it
// becomes crashed, and then nobody can have seen it.
//
// The report shows the operations of the core as they were recorded, completed
// ones completed. That is stronger than the weakened form which was judged, so it
// has no order either.

// trialSteps bounds one trial of the reduction, coreTime all of one key's. A trial
// that runs out proves nothing, and its operations stay. Ten times as many steps
// make the cores of 79 violations in etcd logs 5 % smaller and take six times as long.
func trialSteps(ops []op) int64 { return 20_000 + 50*int64(len(ops)) }

const coreTime = 10 * time.Second

// core is a violation made small.
type core struct {
	// ops are the core's operations as they stood when the history was cut: what
	// had not returned by then is crashed. They have no order.
	ops []op
	// unexplained is the position in ops of the operation whose return leaves no
	// order, where there was one until then; -1 when that could not be established.
	unexplained int
	// confirmed: a search without any rewriting found no order of the weakened core.
	confirmed bool
	// refuted: it found one. The checker contradicts itself and must not accuse.
	refuted bool
}

// barriers are the positions of completed operations by return.
func barriers(ops []op) []int {
	var order []int
	for i := range ops {
		if !ops[i].crashed {
			order = append(order, i)
		}
	}
	sort.SliceStable(order, func(a, b int) bool { return ops[order[a]].ret < ops[order[b]].ret })
	return order
}

// prefix is the history cut when the first k of its completed operations had
// returned; of those that return at one instant the later ones count as not
// returned yet.
func prefix(ops []op, order []int, k int) []op {
	if k == 0 {
		return nil
	}
	returned := make(map[int]bool, k)
	for _, i := range order[:k] {
		returned[i] = true
	}
	t := ops[order[k-1]].ret
	var cut []op
	for i := range ops {
		switch {
		case ops[i].call > t:
		case returned[i]:
			cut = append(cut, ops[i])
		default:
			cut = appendCrashed(cut, ops[i])
		}
	}
	return cut
}

// appendCrashed adds o as an operation of unknown outcome; a read then says nothing.
func appendCrashed(ops []op, o op) []op {
	if o.kind == read {
		return ops
	}
	o.crashed, o.ret = true, history.Never
	return append(ops, o)
}

// firstBarrier finds the earliest cut that has no order, of a history that has
// none. Cuts only weaken, so this can be searched by halves. exact tells that the
// cut just before it does have an order.
func firstBarrier(ops []op, order []int, guard *guard) (k int, exact bool) {
	low, high := 0, len(order) // prefix(low) has an order or is not known not to; prefix(high) has none
	exact = true
	for high-low > 1 {
		mid := (low + high) / 2
		switch try(prefix(ops, order, mid), guard, 0) {
		case illegal:
			high = mid
		case undecided:
			exact = false
			low = mid
		case legal:
			low = mid
		}
	}
	return high, exact
}

// barrierTime is the return of the operation that first leaves no order.
func barrierTime(ops []op, guard *guard) int64 {
	order := barriers(ops)
	k, _ := firstBarrier(ops, order, guard)
	return ops[order[k-1]].ret
}

func try(ops []op, guard *guard, steps int64) answer {
	normal, _, _ := normalise(ops)
	leash := guard.leash(coreTime, steps)
	defer leash.end()
	return search(normal, leash)
}

// reduce makes a core of a history without an order.
func reduce(ops []op, guard *guard) core {
	order := barriers(ops)
	k, exact := firstBarrier(ops, order, guard)
	cut := prefix(ops, order, k)
	culprit := ops[order[k-1]].source

	// Every cut before the culprit's return has an order, so no core is without it.
	var others []int
	for i := range cut {
		if !cut[i].crashed && cut[i].source != culprit {
			others = append(others, i)
		}
	}
	// Reads are tried first: a write that is seen stays in the core anyway, and a
	// read that only pins it down is one operation more.
	sort.SliceStable(others, func(a, b int) bool { return cut[others[a]].kind == read && cut[others[b]].kind != read })
	deadline := time.Now().Add(coreTime)
	others = ddmin(others, func(keep []int) bool {
		return time.Now().Before(deadline) && try(weaken(cut, keep, culprit), guard, trialSteps(cut)) == illegal
	})

	weak := weaken(cut, others, culprit)
	c := core{unexplained: -1}
	leash := guard.leash(coreTime, 0)
	switch search(weak, leash) {
	case illegal:
		c.confirmed = true
	case legal:
		c.refuted = true
	}
	leash.end()

	in := make(map[int]bool, len(weak))
	for i := range weak {
		in[weak[i].source] = true
	}
	for i := range cut {
		if in[cut[i].source] {
			if exact && cut[i].source == culprit {
				c.unexplained = len(c.ops)
			}
			c.ops = append(c.ops, cut[i])
		}
	}
	return c
}

// weaken keeps the given positions of cut and the culprit as they are, turns the
// others into crashed operations, and drops what nobody can have seen.
func weaken(cut []op, keep []int, culprit int) []op {
	kept := make(map[int]bool, len(keep))
	for _, i := range keep {
		kept[i] = true
	}
	var weak []op
	for i := range cut {
		if kept[i] || cut[i].source == culprit {
			weak = append(weak, cut[i])
		} else {
			weak = appendCrashed(weak, cut[i])
		}
	}
	return drop(weak)
}

// ddmin returns a subset of items for which bad still holds and from which no
// single item can be removed: delta debugging, large pieces first. bad holds for
// items, and is asked about O(n log n) subsets where few items matter.
func ddmin(items []int, bad func([]int) bool) []int {
	for size := len(items); size > 0; {
		removed := false
		for from := 0; from < len(items); {
			to := min(from+size, len(items))
			rest := append(append([]int(nil), items[:from]...), items[to:]...)
			if bad(rest) {
				items, removed = rest, true
			} else {
				from = to
			}
		}
		if size == 1 && removed {
			continue // what one removal made superfluous
		}
		size /= 2
	}
	return items
}
