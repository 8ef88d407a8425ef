// Package order is what a linearizability check concludes, and the few lines that
// verify it.
//
// A check of one object's operations ends in a Decision. A Legal one carries its
// certificate: the order in which the operations took effect. Verify replays that
// order against the model and against real time; it shares no code with any
// checker, so a wrong Legal needs the same mistake made twice. (An Illegal one has a
// small core of operations as its certificate, made and confirmed elsewhere.)
//
//	d := engine.Decide(ctx, model, ops, engine.Options{})
//	if d.Answer == order.Legal {
//		err := order.Verify(model, ops, d.Order) // nil
//	}
//
// Operations are Porcupine's, so that any model written for it can be used. One
// that never returned has Return == history.Never: it may have taken effect at
// any moment after its Call, or never. Its Output must be one that the model accepts
// wherever the operation is possible.
package order

import (
	"context"
	"fmt"

	"github.com/anishathalye/porcupine"

	"nemesis/history"
)

// Answer is what a check concludes.
type Answer int8

const (
	// Undecided: a budget ran out, or this checker does not know such histories.
	Undecided Answer = iota
	// Legal: there is an order.
	Legal
	// Illegal: there is none.
	Illegal
)

// Decision is the conclusion about one object. Positions are indexes into the
// operations that were given.
type Decision struct {
	Answer Answer
	// Order is, for Legal, how the operations took effect. Crashed ones that had no
	// effect are left out.
	Order []int
	// Culprit is, for Illegal, the operation with the earliest return such that what
	// was invoked by then has no order already; -1 when that was not found out.
	Culprit int
	// Conflict is, for Illegal, the few operations between which a special check found
	// the contradiction, for explanations; nil when it does not know. It is no proof
	// by itself: what links them may be other operations.
	Conflict []int
	// Passed of Returns operations were explained at the deepest point of an
	// Undecided search.
	Passed, Returns int
	// Reason says, for Undecided, what ran out or what was not understood.
	Reason string
	// By names the checker: zone, engine, porcupine, ….
	By string
}

// Crashed reports whether an operation never returned.
func Crashed(op *porcupine.Operation) bool { return op.Return == history.Never }

// Verify replays an order. It is nil exactly when the order is a linearization:
// every operation that returned stands in it once and no crashed one twice, none
// stands after one that was invoked only after its return (equal times are
// concurrent), and the model accepts each in turn. Time O(n) and n steps.
func Verify(model porcupine.Model, ops []porcupine.Operation, order []int) error {
	return VerifyContext(context.Background(), model, ops, order)
}

// VerifyContext is Verify that ends with ctx's error when ctx ends before it.
func VerifyContext(ctx context.Context, model porcupine.Model, ops []porcupine.Operation, order []int) error {
	seen := make([]bool, len(ops))
	step := model.Step
	if step == nil {
		step = func(state, input, output any) (bool, any) {
			return model.StepContext(context.Background(), state, input, output)
		}
	}
	state := model.Init()
	latest := int64(-1 << 63) // the latest call so far
	for at, i := range order {
		if at%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if i < 0 || i >= len(ops) || seen[i] {
			return fmt.Errorf("verify order: position %d names operation %d, which is out of range or stands there twice", at, i)
		}
		seen[i] = true
		op := &ops[i]
		if op.Return < latest {
			return fmt.Errorf("verify order: operation %d at position %d returned before one in front of it was invoked", i, at)
		}
		latest = max(latest, op.Call)
		ok, next := step(state, op.Input, op.Output)
		if !ok {
			return fmt.Errorf("verify order: the model refuses operation %d at position %d", i, at)
		}
		state = next
	}
	for i := range ops {
		if !seen[i] && !Crashed(&ops[i]) {
			return fmt.Errorf("verify order: operation %d returned, but does not stand in the order", i)
		}
	}
	return nil
}
