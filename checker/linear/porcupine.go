package linear

import (
	"context"
	"reflect"
	"sync/atomic"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/order"
)

// Porcupine is the second opinion on every violation, and the last resort for models
// that nothing else can judge. Four things keep it from giving a wrong answer, or none.
//
// It silently misjudges an operation without a return, and has no notion of one that
// may not have happened. Crashed operations therefore return at history.Never and
// are allowed in every state, without effect where the model refuses them: placed at
// the end, such an operation is as good as left out.
//
// Its own time limit cannot be told from an answer and counts no steps, so it is not
// used: once the leash is pulled no step is allowed any more, the search soon finds
// nothing left to try, and its "illegal" is read as undecided. A "legal" needs every
// step to have been allowed, so it stands.
//
// It compares states with == when the model has no Equal, which panics for slices and maps.
// They count as different here: it then remembers in vain, and is no less right.
//
// It searches in a goroutine of its own, where a panic of the model's would end the whole
// process. So that is caught there, pulls the leash, and goes on in whoever asked.

// leash bounds one search: it is pulled when its context ends, or when the search has
// taken its number of steps.
type leash struct {
	ctx    context.Context
	left   int64 // steps
	pulled atomic.Bool
	// failed is what the model's panic said, if it had one.
	failed any
}

// porcupineMemory is what Porcupine may remember at once, in bytes: it keeps a bit for
// every operation of the history with each of its steps.
const porcupineMemory = 256 << 20

// newLeash bounds a search among n operations by the context and by steps, less where
// they would take too much memory. Steps make what is found in vain the same on a slow
// machine as on a fast one.
func newLeash(ctx context.Context, n int, steps int64) *leash {
	return &leash{ctx: ctx, left: min(steps, 8*porcupineMemory/int64(n+512))}
}

func (l *leash) step() bool {
	if l.left <= 0 || l.ctx.Err() != nil {
		l.pulled.Store(true)
	}
	l.left--
	return !l.pulled.Load()
}

// catch ends a panic of the model's. It is to be deferred.
func (l *leash) catch() {
	if p := recover(); p != nil {
		l.failed = p
		l.pulled.Store(true)
	}
}

// answer is an operation's output with what Porcupine must know besides.
type answer struct {
	output  any
	crashed bool
}

// ask has Porcupine decide. A Legal decision has its order.
func ask(model porcupine.Model, ops []porcupine.Operation, l *leash) order.Decision {
	d := order.Decision{By: "porcupine", Culprit: -1}
	if len(ops) == 0 {
		d.Answer = order.Legal
		return d
	}
	step, equal, hash := model.Step, equality(model), model.Hash
	model.Partition, model.PartitionEvent, model.StepContext = nil, nil, nil
	model.DescribeOperation, model.DescribeState = nil, nil
	model.Step = func(state, input, output any) (ok bool, next any) {
		if !l.step() {
			return false, state
		}
		defer l.catch()
		a := output.(answer)
		ok, next = step(state, input, a.output)
		if !ok && a.crashed {
			return true, state
		}
		return ok, next
	}
	model.Equal = func(a, b any) bool {
		defer l.catch()
		return equal(a, b)
	}
	if hash != nil {
		model.Hash = func(state any) uint64 {
			defer l.catch()
			return hash(state)
		}
	}
	entries := make([]porcupine.Operation, len(ops))
	for i := range ops {
		entries[i] = ops[i]
		entries[i].Output = answer{ops[i].Output, order.Crashed(&ops[i])}
	}
	result, info := porcupine.CheckOperationsVerbose(model, entries, 0)
	if l.failed != nil {
		panic(l.failed)
	}
	switch {
	case result == porcupine.Ok:
		d.Answer = order.Legal
		d.Order = effective(step, model.Init(), ops, info)
	case l.pulled.Load():
		d.Reason = "ran out of steps"
		if l.ctx.Err() != nil {
			d.Reason = outOfTime
		}
	default:
		d.Answer = order.Illegal
	}
	return d
}

// equality is how a model compares states. States that == cannot compare are different.
func equality(model porcupine.Model) func(a, b any) bool {
	if model.Equal != nil {
		return model.Equal
	}
	return func(a, b any) bool {
		return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
	}
}

// effective is the order found, without crashed operations that had no effect in it.
func effective(step func(state, input, output any) (bool, any), state any, ops []porcupine.Operation, info porcupine.LinearizationInfo) []int {
	for _, found := range info.PartialLinearizations()[0] {
		if len(found) < len(ops) {
			continue
		}
		var kept []int
		for _, i := range found {
			ok, next := step(state, ops[i].Input, ops[i].Output)
			if ok {
				kept = append(kept, i)
				state = next
			}
		}
		return kept
	}
	return nil
}
