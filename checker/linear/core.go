package linear

import (
	"context"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/order"
	"nemesis/history"
)

// A violation is told by its core: a few operations that have no order either.
// The core proves something about the whole history only if every step from the
// history to the core weakens it, that is, if an order of the one before always
// gives an order of the one after. These steps do, and nothing else is used:
//
//   - Cut after a moment t. Keep what was called by t; what had not returned by t
//     becomes crashed, with the answer it was going to give. Of an order, keep the
//     part up to t.
//   - Turn a completed operation into a crashed one, with its answer: it may still
//     stand where it stood.
//   - Drop an operation that changes no state, as a read does: the others' order stays.
//   - Drop crashed operations that nobody can have seen, where the kind of object
//     knows which (models.Object.Unseen has the proofs).
//   - Begin late: put the states that the object can have been in at some moment in
//     the place of what had returned by then (start.go has the proof).
//
// Deleting an operation that is seen by one that stays is not among them: without
// write(7), a good read of 7 would look like a violation. With these steps a
// write whose value nobody left in the core has seen does go, in two of them: it
// becomes crashed, and then nobody can have seen it.
//
// The report shows the operations of the core as they were recorded, completed
// ones completed. That is stronger than the weakened form which was judged, so it
// has no order either.

// A trial of the reduction that exceeds trialMemory (bytes of tables) proves nothing,
// and its operations stay; unlike a time, this is the same on every machine. coreTime
// bounds all trials of one object, opinionSteps the second opinion, and firstSteps the one
// that is asked before it is tried to make an accusation easier.
const (
	trialMemory  = 2 << 20
	coreTime     = 10 * time.Second
	opinionSteps = 3_000_000
	firstSteps   = 300_000
)

// weak is a weakened history: operations of an object, at these positions, of which
// some have become crashed.
type weak struct {
	ops []porcupine.Operation
	at  []int
	// from is how a history begins that begins late; nil for all others.
	from *beginning
}

func (w *weak) add(op porcupine.Operation, at int) {
	w.ops = append(w.ops, op)
	w.at = append(w.at, at)
}

// crash adds an operation as one that never returned, unless that says nothing.
func (s *subject) crash(w *weak, op porcupine.Operation, at int) {
	if s.hints.ReadOnly != nil && s.hints.ReadOnly(op.Input, op.Output) {
		return
	}
	op.Return = history.Never
	w.add(op, at)
}

// returns are the positions of completed operations by return.
func returns(ops []porcupine.Operation) []int {
	var by []int
	for i := range ops {
		if !order.Crashed(&ops[i]) {
			by = append(by, i)
		}
	}
	sort.SliceStable(by, func(a, b int) bool { return ops[by[a]].Return < ops[by[b]].Return })
	return by
}

// prefix is the history cut when the first k of its completed operations had
// returned; of those that return at one instant the later ones count as not
// returned yet.
func (s *subject) prefix(ops []porcupine.Operation, by []int, k int) weak {
	var cut weak
	if k == 0 {
		return cut
	}
	returned := make([]bool, len(ops))
	for _, i := range by[:k] {
		returned[i] = true
	}
	t := ops[by[k-1]].Return
	for i := range ops {
		switch {
		case ops[i].Call > t:
		case returned[i]:
			cut.add(ops[i], i)
		default:
			s.crash(&cut, ops[i], i)
		}
	}
	return cut
}

func (s *subject) try(ctx context.Context, w *weak) order.Answer {
	return s.everywhere(w, func(s *subject) order.Answer { return s.special(ctx, w.ops, trialMemory).Answer })
}

// firstBarrier finds the earliest cut that has no order, of a history that has
// none: by[:k] have returned by then. Cuts only weaken, so this can be searched by
// halves; guess is a position that may be the answer, or -1. exact tells that the
// cut just before it does have an order.
func (s *subject) firstBarrier(ctx context.Context, ops []porcupine.Operation, by []int, guess int) (k int, exact bool) {
	low, high := 0, len(by) // prefix(low) has an order or is not known not to; prefix(high) has none
	exact = true
	probe := func(mid int) {
		cut := s.prefix(ops, by, mid)
		switch s.try(ctx, &cut) {
		case order.Illegal:
			high = mid
		case order.Undecided:
			exact = false
			low = mid
		case order.Legal:
			low = mid
		}
	}
	if at := slices.Index(by, guess); guess >= 0 && at >= 0 {
		if at+1 < high {
			probe(at + 1)
		}
		if high == at+1 && at > low {
			probe(at)
		}
	}
	for high-low > 1 && ctx.Err() == nil {
		probe((low + high) / 2)
	}
	return high, exact && high-low == 1
}

// weaken keeps what keep says of a cut as it is, turns the rest into crashed
// operations, and drops what nobody can have seen.
func (s *subject) weaken(cut *weak, keep []bool) weak {
	w := weak{from: cut.from}
	for i := range cut.ops {
		if keep[i] || order.Crashed(&cut.ops[i]) {
			w.add(cut.ops[i], cut.at[i])
		} else {
			s.crash(&w, cut.ops[i], cut.at[i])
		}
	}
	if s.unseen == nil {
		return w
	}
	unseen := s.unseen(w.ops)
	n := 0
	for i := range w.ops {
		if !unseen[i] {
			w.ops[n], w.at[n] = w.ops[i], w.at[i]
			n++
		}
	}
	w.ops, w.at = w.ops[:n], w.at[:n]
	return w
}

// accusation is what a violation rests on: a weakened history without an order.
type accusation struct {
	weak
	// culprit is the position, in the object's operations, of the one whose return
	// leaves no order, where there was one until then if exact.
	culprit int
	exact   bool
	// Porcupine's answer about the weakened history: Illegal confirms, Legal refutes,
	// and then the checker contradicts itself and must not accuse.
	opinion order.Answer
	// late is the same accusation as one that begins late, when it has been made already.
	late *accusation
}

// accuse cuts a history without an order behind its culprit and looks for a part of
// what is left that suffices: the operations that guess gives for a culprit, else the
// last 8 that returned, the last 32, 128, …. d is the decision that there is no order.
func (s *subject) accuse(ctx context.Context, ops []porcupine.Operation, d order.Decision, guess func(culprit int) []int) accusation {
	by := returns(ops)
	k, exact := s.firstBarrier(ctx, ops, by, d.Culprit)
	cut := s.prefix(ops, by, k)
	a := accusation{weak: cut, culprit: by[k-1], exact: exact}
	last := returns(cut.ops)
	keep := make([]bool, len(cut.ops))
	suffices := func() bool {
		w := s.weaken(&cut, keep)
		if s.try(ctx, &w) != order.Illegal {
			return false
		}
		a.weak = w
		return true
	}
	for _, i := range append(guess(a.culprit), a.culprit) {
		if at, is := slices.BinarySearch(cut.at, i); is {
			keep[at] = true
		}
	}
	for size := 8; !suffices() && size < len(last) && ctx.Err() == nil; size *= 4 {
		for _, i := range last[len(last)-size:] {
			keep[i] = true
		}
	}
	if a.opinion = s.second(ctx, &a.weak, firstSteps); a.opinion == order.Undecided {
		ctx, cancel := context.WithTimeout(ctx, coreTime)
		defer cancel()
		if a.late = s.late(ctx, ops, by, k, a); a.late != nil {
			a.opinion = a.late.opinion
		}
	}
	if a.opinion == order.Undecided {
		a.opinion = s.second(ctx, &a.weak, opinionSteps)
	}
	return a
}

// second is Porcupine's opinion.
func (s *subject) second(ctx context.Context, w *weak, steps int64) order.Answer {
	return s.everywhere(w, func(s *subject) order.Answer {
		return ask(s.model, w.ops, newLeash(ctx, len(w.ops), steps)).Answer
	})
}

// A core of plenty operations or fewer is good enough, however it begins; one that begins
// with the model's first state is not even looked for among more than many when there is
// another of no more than legible that Porcupine confirms, or among more than hopeless
// when there is any other.
const (
	plenty   = 4
	legible  = 8
	many     = 32
	hopeless = 500
)

// reduce makes an accusation of ops as small as the steps can make it.
func (s *subject) reduce(ctx context.Context, ops []porcupine.Operation, a accusation) accusation {
	ctx, cancel := context.WithTimeout(ctx, coreTime)
	defer cancel()
	small := s.smallest(ctx, ops, a)
	if small.opinion == order.Undecided && small.from == nil {
		small.opinion = s.second(ctx, &small.weak, opinionSteps)
	}
	return *small
}

func (s *subject) smallest(ctx context.Context, ops []porcupine.Operation, a accusation) *accusation {
	early := func() *accusation {
		small := a
		small.weak = s.shrink(ctx, &a.weak, a.culprit)
		small.opinion = s.second(ctx, &small.weak, firstSteps)
		return &small
	}
	late := func() *accusation {
		if a.late != nil {
			return a.late
		}
		by := returns(ops)
		return s.late(ctx, ops, by, slices.Index(by, a.culprit)+1, a)
	}
	if len(a.ops) <= many {
		small := early()
		if small.weight() <= plenty {
			return small
		}
		return better(small, late())
	}
	small := late()
	if small != nil && (len(a.ops) > hopeless || small.weight() <= legible && small.opinion != order.Undecided) {
		return small
	}
	return better(early(), small)
}

// better is the easier to read of two accusations that Porcupine has the same to say
// about, else the one about which it has something to say. The second may be nil.
func better(a, b *accusation) *accusation {
	switch {
	case b == nil:
		return a
	case (a.opinion == order.Undecided) != (b.opinion == order.Undecided):
		if a.opinion == order.Undecided {
			return b
		}
		return a
	case b.weight() < a.weight():
		return b
	}
	return a
}

// both is the opinion about a proof of two parts.
func both(a, b order.Answer) order.Answer {
	switch {
	case a == order.Legal || b == order.Legal:
		return order.Legal
	case a == order.Illegal && b == order.Illegal:
		return order.Illegal
	}
	return order.Undecided
}

// shrink turns as many operations into crashed ones, and drops as many of these, as the
// steps allow; from what is left nothing more can be taken, unless time ran out.
func (s *subject) shrink(ctx context.Context, whole *weak, culprit int) weak {
	// Every cut before the culprit's return has an order, so no core is without it.
	var others []int
	keep := make([]bool, len(whole.ops))
	for i := range whole.ops {
		if whole.at[i] == culprit {
			keep[i] = true
		} else if !order.Crashed(&whole.ops[i]) {
			others = append(others, i)
		}
	}
	// Reads are tried first: a write that is seen stays in the core anyway, and a
	// read that only pins it down is one operation more.
	looks := func(i int) bool {
		return s.hints.ReadOnly != nil && s.hints.ReadOnly(whole.ops[i].Input, whole.ops[i].Output)
	}
	sort.SliceStable(others, func(i, j int) bool { return looks(others[i]) && !looks(others[j]) })
	with := func(others []int) weak {
		k := slices.Clone(keep)
		for _, i := range others {
			k[i] = true
		}
		return s.weaken(whole, k)
	}
	others = ddmin(ctx, others, func(others []int) bool {
		w := with(others)
		return s.try(ctx, &w) == order.Illegal
	})
	return with(others)
}

// ddmin returns a subset of items for which bad still holds and from which no
// single item can be removed: delta debugging, large pieces first. bad holds for
// items, and is asked about O(n log n) subsets where few items matter. When ctx ends, what
// is left by then is returned.
func ddmin(ctx context.Context, items []int, bad func([]int) bool) []int {
	for size := len(items); size > 0 && ctx.Err() == nil; {
		removed := false
		for from := 0; from < len(items) && ctx.Err() == nil; {
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
