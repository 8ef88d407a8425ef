// Package engine decides whether the operations on one object have a linear order,
// for any model.
//
// It searches depth first over configurations. A configuration is where the object may
// stand in the middle of a linear order: how many operations have returned (the
// barrier), which of the open ones have taken effect already, the state this led to,
// and how many of the crashed ones were used up. An operation is put into the order
// just in time: when the next one to return forces something to happen. Some
// configuration behind the last return means that the history is legal, and the way
// there is the order; when all are tried, it is illegal.
//
//	d := engine.Decide(ctx, model, ops, engine.Options{Hints: hints})
//	switch d.Answer {
//	case order.Legal:     // d.Order is a linearization
//	case order.Illegal:   // d.Culprit is the first operation that cannot be explained
//	case order.Undecided: // d.Reason says what ran out, d.Passed how far it got
//	}
//
// Data passes through three stages. prepare turns operations into numbers (problem):
// calls and returns in order, equal operations in one class, a window slot for each
// operation while it is open. The search walks configurations, asking steps for what
// the model does and memo whether it was here before. Where crashed operations make
// going deep a waste it first tries to refute a relaxed history, then goes breadth first.
// Last, the culprit of an illegal history is found. The reductions, named and proved in
// reductions.go, keep the number of configurations small; each can be switched off.
//
// The package is pure: no goroutines, no clock, no randomness. What it takes for
// granted is what Porcupine takes for granted: Step is a pure function, Equal is an
// equivalence, and Equal states behave alike. (Without Equal, == decides, by which a state
// that holds a NaN differs from itself: the search takes longer, and is no less right.)
package engine

import (
	"context"
	"fmt"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/order"
)

// Hints are what a model may tell besides its steps. Each is optional; each only
// makes the search faster, never changes its answer, if it tells the truth. A false one
// may give an order that order.Verify refuses. What the model says in the course of a
// search is held against the hints, and where it contradicts one nothing is called
// illegal; but what a false hint kept from being asked is not found out.
type Hints struct {
	// ReadOnly: this operation with this answer changes no state whatever. (That it
	// leaves some states unchanged is not enough.)
	ReadOnly func(input, output any) bool
	// Needs is the value that the object must have for the step to be accepted, Makes
	// the value that the object has after it, wherever it changes the object at all; ok
	// is false when there is no such single value. Values are comparable, and equal
	// exactly when the states are. An operation that does not tell what it makes is
	// taken to make anything, unless it is ReadOnly.
	Needs func(input, output any) (value any, ok bool)
	Makes func(input, output any) (value any, ok bool)
	// Overwrites: this operation with this answer is accepted in every state, and leads
	// from all of them to one and the same.
	Overwrites func(input, output any) bool
}

// Options are the bounds of a decision and what is known about the model. The zero
// value has no memory bound, knows nothing, and leaves no reduction out.
type Options struct {
	Hints Hints
	// Memory bounds the engine's own tables, in bytes; 0 is no bound. The states that
	// the model makes are counted at a flat rate, as nobody knows their size.
	Memory int64
	// Without is the set of reductions to leave out, to test that none of them
	// changes an answer.
	Without Reduction

	// cut is the number of remembered configurations from which on the search tries to
	// close what is behind it; see Cuts. 0 is the usual number.
	cut int
	// broad makes the search go breadth first from the beginning.
	broad bool
	// defects are deliberate mistakes, for the tests that show how soon the tests
	// notice them.
	defects defect
}

// Decide decides whether ops, the operations on one object in any order, have a linear
// order under the model. Of the model only Init, Step (or StepContext), Equal and Hash
// are used; ops are taken as they are, not partitioned. An operation with Return ==
// history.Never crashed. The context bounds the time.
func Decide(ctx context.Context, model porcupine.Model, ops []porcupine.Operation, opt Options) order.Decision {
	for i := range ops {
		if ops[i].Return < ops[i].Call {
			return undecided(fmt.Sprintf("operation %d returns before its call; such a history cannot be judged", i))
		}
	}
	steps, err := newSteps(ctx, model, opt, len(ops))
	if err != nil {
		return undecided(err.Error())
	}
	s := newSearch(ctx, steps, prepare(steps, ops, opt), opt)
	d := s.decide()
	if d.Answer == order.Illegal {
		d.Culprit = culprit(ctx, steps, s.problem, opt, s.deepest, max(s.deepest, s.bound))
	}
	return d
}

func undecided(reason string) order.Decision {
	return order.Decision{Answer: order.Undecided, Culprit: -1, Reason: reason, By: name}
}

const name = "engine"

// culprit finds the operation with the earliest return such that what was invoked by
// then has no order already, after a search of everything found none; -1 when the
// context or the memory bound did not suffice.
//
// Let deepest be the last barrier that a configuration of the search stood at. It got
// there, so what was invoked by the barrier before has an order. Had the search looked
// at the past alone, nothing would pass this barrier, and it would be the answer. But
// look-ahead also gives configurations up for what is to come. It knows by which
// barrier they would have come to an end, so the answer lies between deepest and the
// latest such barrier; where these differ, it is found by deciding prefixes. In a
// prefix an operation that is still open is a crashed one: it need not have happened.
func culprit(ctx context.Context, st *steps, whole *problem, opt Options, low, high int32) int {
	for middle := high - 1; low < high; middle = low + (high-low)/2 {
		s := newSearch(ctx, st, whole.prefix(st, middle, opt), opt)
		switch s.decide().Answer {
		case order.Undecided:
			return -1
		case order.Legal:
			low = middle + 1
		case order.Illegal:
			low, high = max(low, s.deepest), min(middle, max(s.deepest, s.bound))
		}
	}
	return int(whole.returns[low])
}
