// Package brute decides linearizability by trying every order: slow, written from the
// definition, and the judge of the fast checkers in their tests. It shares nothing with
// them but the type of an operation.
//
//	legal := brute.Legal(model, ops) // at most some twelve operations
package brute

import (
	"github.com/anishathalye/porcupine"

	"nemesis/history"
)

// Most is how many operations can be decided.
const Most = 32

// Legal reports whether the operations have an order. The model's states must be
// comparable. An operation with Return == history.Never may be left out of it.
func Legal(model porcupine.Model, ops []porcupine.Operation) bool {
	if len(ops) > Most {
		panic("brute: too many operations")
	}
	must := uint32(0)
	before := make([]uint32, len(ops))
	for i := range ops {
		if ops[i].Return != history.Never {
			must |= 1 << i
		}
		for j := range ops {
			if ops[j].Return < ops[i].Call {
				before[i] |= 1 << j
			}
		}
	}
	type at struct {
		done  uint32
		state any
	}
	failed := make(map[at]bool)
	var rest func(done uint32, state any) bool
	rest = func(done uint32, state any) bool {
		if done&must == must {
			return true
		}
		if failed[at{done, state}] {
			return false
		}
		for i := range ops {
			if done>>i&1 == 1 || before[i]&^done != 0 {
				continue
			}
			if ok, next := model.Step(state, ops[i].Input, ops[i].Output); ok && rest(done|1<<i, next) {
				return true
			}
		}
		failed[at{done, state}] = true
		return false
	}
	return rest(0, model.Init())
}

// Culprits lists the operations whose return is the earliest by which what was called
// has no order; none if there is one.
func Culprits(model porcupine.Model, ops []porcupine.Operation) []int {
	moment := history.Never
	for i := range ops {
		now := ops[i].Return
		if now < moment && !Legal(model, Until(ops, now)) {
			moment = now
		}
	}
	var culprits []int
	for i := range ops {
		if moment != history.Never && ops[i].Return == moment {
			culprits = append(culprits, i)
		}
	}
	return culprits
}

// Until is what was known at a moment: operations called by then, and those that had
// not returned by then crashed.
func Until(ops []porcupine.Operation, now int64) []porcupine.Operation {
	var known []porcupine.Operation
	for _, op := range ops {
		if op.Call > now {
			continue
		}
		if op.Return > now {
			op.Return = history.Never
		}
		known = append(known, op)
	}
	return known
}
