package linear

import (
	"context"
	"slices"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/explain"
	"nemesis/checker/linear/order"
)

// Where values repeat, or where a value is what a long chain of operations made of it,
// a core of operations alone must keep the whole chain, and nobody reads that. Such a
// core may begin late instead: with the states in one of which the object must have
// been at some moment, in place of what had returned by then.
//
// The step. Take a history H and a moment t. Let P be the operations that had
// returned by t, O those called by t that had not (the crashed ones among them), and
// F those called after t. Let S hold every state to which some order of P, with any of
// O as crashed operations, leads. The history that begins at t is F with all of O as
// crashed operations, which begins in any one state of S. It has no order when it has
// none from any of these states.
//
// This weakens: if H has an order, so has the history that begins at t. For take an
// order of H and cut it behind the last member of P.
//
//   - In front of the cut is no member of F. Whatever is in front of a member of P and
//     does not belong to P was called before that one returned, so by t.
//   - So in front of the cut are all of P and some of O, in an order that keeps to
//     their times. It leads to a state of S.
//   - Behind the cut are all of F and the rest of O, each once and in an order that
//     keeps to their times, and the model accepts each in turn, from that state on. The
//     members of O in front of the cut may be left out, as crashed operations may.
//
// What is lost is which of O were used up in front of the cut, and that one that
// returned must have happened: O may happen again. If that is what the
// contradiction rests on, the history that begins at t has an order, and an earlier
// moment is tried. Where P is all that was called by t, nothing is lost at all: then t
// is a quiescent point.
//
// A larger S than the smallest weakens further, so S need not be exact to be sound; a
// smaller one would be a mistake. Two ways are used to be sure of it (see states): each of its
// members has an order that order.Verify has replayed, and that there are no others is
// the decision that P and O, followed by an operation that sees some other state, have no order.
// Porcupine is asked the same.

// Bounds of a core that begins late.
const (
	// mostStarts is how many states a reader can be asked to keep in mind.
	mostStarts = 8
	// enoughStarts is how many moments that do are compared.
	enoughStarts = 4
)

// beginning is what a history that begins late has in place of the operations before.
type beginning struct {
	// moment is when, states all in one of which the object can have been then.
	moment int64
	states []any
	// before is the number of operations that had returned by then, open that of those
	// called that had not and may have changed something.
	before, open int
}

// defect is a deliberate mistake in the step, for the tests that show that it would be
// noticed.
type defect uint8

const (
	forgetsOpen defect = 1 << iota // what was called by the moment and had not returned happens no more
	closesOpen                     // what had not returned by the moment cannot have happened yet
	keepsOpen                      // what had not returned by the moment must still happen
	losesStates                    // one state stands for all
	splitsTies                     // what is called at the very moment was called after it
)

// at is the subject with an object that is in this state at first. The special checks
// know no other beginning than the model's; hints hold wherever an object begins.
func (s *subject) at(state any) *subject {
	from := *s
	from.checks = nil
	from.model.Init = func() any { return state }
	return &from
}

// everywhere is one answer about all the states in which a weakened history may
// begin: Illegal when there is no order from any of them, Legal when there is one from
// some.
func (s *subject) everywhere(w *weak, answer func(*subject) order.Answer) order.Answer {
	if w.from == nil {
		return answer(s)
	}
	all := order.Illegal
	for _, state := range w.from.states {
		switch answer(s.at(state)) {
		case order.Legal:
			return order.Legal
		case order.Undecided:
			all = order.Undecided
		}
	}
	return all
}

// begin is a history, cut when the first k of its completed operations had returned,
// that begins when the first j of them had. It is false when the object may have been in
// too many states then, or it was not found out in which.
func (s *subject) begin(ctx context.Context, ops []porcupine.Operation, by []int, j, k int) (weak, bool) {
	before := s.prefix(ops, by, j)
	from := &beginning{moment: ops[by[j-1]].Return, before: j, open: len(before.ops) - j}
	if s.defects&splitsTies != 0 {
		before.ops = slices.DeleteFunc(before.ops, func(o porcupine.Operation) bool { return o.Call == from.moment })
	}
	if s.defects&closesOpen != 0 {
		before.ops = slices.DeleteFunc(before.ops, func(o porcupine.Operation) bool { return order.Crashed(&o) })
	}
	if from.states = s.states(ctx, before.ops, from.moment); from.states == nil {
		return weak{}, false
	}
	if s.defects&losesStates != 0 {
		from.states = from.states[:1]
	}
	gone := make(map[int]bool, j)
	for _, i := range by[:j] {
		gone[i] = true
	}
	cut := s.prefix(ops, by, k)
	w := weak{from: from}
	for n, i := range cut.at {
		switch {
		case gone[i]:
		case ops[i].Call > from.moment || s.defects&keepsOpen != 0 || s.defects&splitsTies != 0 && ops[i].Call == from.moment:
			w.add(cut.ops[n], i)
		case s.defects&forgetsOpen == 0:
			s.crash(&w, cut.ops[n], i)
		}
	}
	return w, true
}

// elsewhere is what an operation asks that finds the object in no state of a list. Only
// the model and the hints of looking know it.
type elsewhere struct{}

// looking is the subject that knows the operation elsewhere as well.
func (s *subject) looking(states []any) *subject {
	equal, step, hints := equality(s.model), s.model.Step, s.hints
	look := *s
	look.checks, look.model.StepContext = nil, nil
	look.model.Step = func(state, input, output any) (bool, any) {
		if _, is := input.(elsewhere); is {
			return !slices.ContainsFunc(states, func(known any) bool { return equal(state, known) }), state
		}
		return step(state, input, output)
	}
	value := func(hint func(input, output any) (any, bool)) func(input, output any) (any, bool) {
		if hint == nil {
			return nil
		}
		return func(input, output any) (any, bool) {
			if _, is := input.(elsewhere); is {
				return nil, false
			}
			return hint(input, output)
		}
	}
	look.hints = engine.Hints{
		ReadOnly: func(input, output any) bool {
			_, is := input.(elsewhere)
			return is || hints.ReadOnly != nil && hints.ReadOnly(input, output)
		},
		Needs: value(hints.Needs),
		Makes: value(hints.Makes),
		Overwrites: func(input, output any) bool {
			_, is := input.(elsewhere)
			return !is && hints.Overwrites != nil && hints.Overwrites(input, output)
		},
	}
	return &look
}

// afterwards is the operations, followed by elsewhere.
func afterwards(ops []porcupine.Operation, moment int64) []porcupine.Operation {
	return append(slices.Clip(ops), porcupine.Operation{Input: elsewhere{}, Call: moment + 1, Return: moment + 1})
}

// states are all states in which the object can be when all operations have returned
// that do, by the moment; nil when these are more than mostStarts, or when that was not
// found out. Each is the end of an order that was found and verified.
func (s *subject) states(ctx context.Context, ops []porcupine.Operation, moment int64) []any {
	ops = afterwards(ops, moment)
	var states []any
	for len(states) <= mostStarts {
		d := s.looking(states).search(ctx, ops, firstMemory(len(ops)))
		switch d.Answer {
		case order.Undecided:
			return nil
		case order.Illegal:
			return states // none only if the operations had no order
		}
		state := s.model.Init()
		for _, i := range d.Order {
			if i == len(ops)-1 {
				break
			}
			_, state = s.model.Step(state, ops[i].Input, ops[i].Output)
		}
		states = append(states, state)
	}
	return nil
}

// doubt has Porcupine look for other states than those found.
func (s *subject) doubt(ctx context.Context, ops []porcupine.Operation, by []int, from *beginning) order.Answer {
	trial := afterwards(s.prefix(ops, by, from.before).ops, from.moment)
	return ask(s.looking(from.states).model, trial, newLeash(ctx, len(trial), opinionSteps)).Answer
}

// late makes an accusation of ops, with the culprit at by[k-1], into the one that begins
// late that is the easiest to read; nil when there is none.
func (s *subject) late(ctx context.Context, ops []porcupine.Operation, by []int, k int, a accusation) *accusation {
	var best weak
	found := 0
	for _, j := range moments(ops, by, k) {
		if found == enoughStarts || ctx.Err() != nil {
			break
		}
		w, known := s.begin(ctx, ops, by, j, k)
		if !known || s.try(ctx, &w) != order.Illegal {
			continue
		}
		w = s.shrink(ctx, &w, a.culprit)
		if found == 0 || w.weight() < best.weight() {
			best = w
		}
		found++
	}
	if found == 0 {
		return nil
	}
	a.weak = best
	a.opinion = both(s.doubt(ctx, ops, by, best.from), s.second(ctx, &best, opinionSteps))
	return &a
}

// moments are those to be tried as beginnings, as numbers of operations that have returned.
// The last one before the culprit at by[k-1] was called comes first, as the least has
// happened since. From there they go back, at first one by one and then ever farther;
// all those are among them at which fewer operations are open than at any later one, as the
// fewer are open, the less the step loses.
func moments(ops []porcupine.Operation, by []int, k int) []int {
	last := k - 1
	for last > 0 && ops[by[last-1]].Return >= ops[by[k-1]].Call {
		last--
	}
	calls := make([]int64, len(ops))
	for i := range ops {
		calls[i] = ops[i].Call
	}
	slices.Sort(calls)
	var all []int
	least, far := len(ops), 0
	for back := 0; back < last; back++ {
		j := last - back
		called, _ := slices.BinarySearch(calls, ops[by[j-1]].Return+1)
		if open := called - j; open < least {
			least = open
		} else if back != far {
			continue
		}
		if back >= far {
			far = back + max(1, back/4)
		}
		all = append(all, j)
	}
	return all
}

// start is a beginning in words.
func (s *subject) start(from *beginning) *explain.Start {
	start := &explain.Start{Moment: from.moment, Before: from.before, Open: from.open}
	for _, state := range from.states {
		start.States = append(start.States, s.describeState(state))
	}
	slices.Sort(start.States)
	start.States = slices.Compact(start.States)
	return start
}

// weight is how much there is to read in a core.
func (w *weak) weight() int {
	if w.from == nil {
		return len(w.ops)
	}
	return len(w.ops) + len(w.from.states)
}
