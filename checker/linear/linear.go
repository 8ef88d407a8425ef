// Package linear decides whether objects behaved as if there were only one copy of
// each: linearizability, of any sequential model.
//
// A history is linearizable when every operation that happened can be given one
// moment between its invocation and its response, such that taking the moments in
// order explains every answer. Independent objects are judged one by one, as a
// history is linearizable exactly when each object's part of it is (Herlihy and
// Wing's locality).
//
// Check is the front door for programs: any porcupine.Model and its operations in, a
// decision with a certificate for each partition out. Checker is the one for runs: it
// takes the operations of a history apart by key, has each key judged as one of the
// kinds of package models, several at a time, within budgets, and makes anomalies.
//
// Data passes through in four steps, one file each. Route (route.go) asks the
// cheapest exact check first and the generic engine last; an order is believed only
// when order.Verify has replayed it. Reduce (core.go) makes a violation small, by steps
// that only ever weaken it. A second opinion (porcupine.go) on what is left comes from
// Porcupine, which shares no code with what found it; where the two disagree nobody is
// accused. Package explain says it in words.
//
// Example: write(7) returns, write(9) returns, then a read is invoked and returns
// 7. The read's moment comes after both writes', and the register then holds 9:
// no order fits, and these three operations are the whole proof.
//
//	result, err := linear.Check(ctx, model, operations, linear.Options{})
//	if result.Answer == order.Illegal { … }
//
// Check and Prove are public API for programs of others; nemesis itself uses Checker. Both
// have an example.
package linear

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/anishathalye/porcupine"

	"nemesis/checker"
	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
)

// Options tell what is known besides the model. The zero value is right for any
// model written for Porcupine.
type Options struct {
	// Hints make the generic engine faster.
	Hints engine.Hints
	// Checks are tried in front of the engine, in this order.
	Checks []models.Check
	// Memory bounds what searches may hold at once, in bytes; 0 is no bound.
	Memory int64
	// Parallel is how many partitions may be judged at once; 0 means one per CPU.
	Parallel int
}

// Partition is one independent part of a history with its decision, whose positions are
// indexes into Operations.
type Partition struct {
	Operations []porcupine.Operation
	Decision   order.Decision
}

// Result is the answer about a whole history: Illegal when one partition is, else
// Undecided when one is, else Legal.
type Result struct {
	Answer     order.Answer
	Partitions []Partition
}

// Check decides whether a history is linearizable. Models and operations are
// Porcupine's, with one addition: an operation that never returned has Return ==
// history.Never, and may have taken effect at any moment after its Call, or never.
//
// A history that no clients can have recorded is an error. When ctx ends, partitions
// not decided by then are Undecided; once one is Illegal, so are those that are hard to
// decide. Models must be pure and safe for concurrent use.
func Check(ctx context.Context, model porcupine.Model, ops []porcupine.Operation, opt Options) (Result, error) {
	if model.Init == nil || (model.Step == nil && model.StepContext == nil) {
		return Result{}, fmt.Errorf("check a history: the model lacks Init or Step; give both")
	}
	if err := validate(ops); err != nil {
		return Result{}, err
	}
	parts := [][]porcupine.Operation{ops}
	if model.Partition != nil {
		parts = model.Partition(ops)
	}
	s := newSubject(model, opt.Hints, opt.Checks)
	result := Result{Answer: order.Legal, Partitions: make([]Partition, len(parts))}
	parallel := atOnce(opt.Parallel, len(parts))
	share := opt.Memory / int64(max(parallel, 1))
	each(len(parts), parallel, func(i int) {
		result.Partitions[i] = Partition{parts[i], s.quick(ctx, parts[i], share)}
	})
	enough := slices.ContainsFunc(result.Partitions, func(p Partition) bool { return p.Decision.Answer == order.Illegal })
	for i := range parts { // what is hard gets all the memory, one after the other
		p := &result.Partitions[i]
		switch {
		case p.Decision.Answer != order.Undecided || ctx.Err() != nil:
		case enough:
			p.Decision.Reason = givenUp
		default:
			p.Decision = s.search(ctx, parts[i], opt.Memory)
		}
	}
	for i := range result.Partitions {
		switch a := result.Partitions[i].Decision.Answer; {
		case a == order.Illegal:
			result.Answer = order.Illegal
		case a == order.Undecided && result.Answer == order.Legal:
			result.Answer = order.Undecided
		}
	}
	return result, nil
}

// validate reports the first way in which operations cannot be the record of
// single-threaded clients. Client ids are optional in Porcupine: when all are the same,
// they say nothing.
func validate(ops []porcupine.Operation) error {
	byCall := make([]int, len(ops))
	clients := false
	for i := range ops {
		if ops[i].Return < ops[i].Call {
			return fmt.Errorf("validate the history: operation %d returns at %d, before its call at %d; time goes backwards, record it again", i, ops[i].Return, ops[i].Call)
		}
		byCall[i] = i
		clients = clients || ops[i].ClientId != ops[0].ClientId
	}
	if !clients {
		return nil
	}
	earlier := func(a, b int) int { return cmp.Compare(ops[a].Call, ops[b].Call) }
	if !slices.IsSortedFunc(byCall, earlier) { // most come sorted
		slices.SortStableFunc(byCall, earlier)
	}
	last := make(map[int]int)
	for _, i := range byCall {
		if p, has := last[ops[i].ClientId]; has && ops[i].Call < ops[p].Return {
			return fmt.Errorf("validate the history: client %d calls operation %d at %d while its operation %d is open; give each client one operation at a time, and none after one that never returned", ops[i].ClientId, i, ops[i].Call, p)
		}
		last[ops[i].ClientId] = i
	}
	return nil
}

// each calls work for 0 … n-1, a few at a time.
func each(n, parallel int, work func(int)) {
	if atOnce(parallel, n) <= 1 {
		for i := range n {
			work(i)
		}
		return
	}
	queue := make(chan int)
	var wait sync.WaitGroup
	for range atOnce(parallel, n) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := range queue {
				work(i)
			}
		}()
	}
	for i := range n {
		queue <- i
	}
	close(queue)
	wait.Wait()
}

// safely keeps a defect in a model or a check from ending the process.
func safely(work func() order.Decision) (d order.Decision) {
	defer func() {
		if p := recover(); p != nil {
			d = order.Decision{Culprit: -1, Reason: "the checker itself failed, please report it: " + checker.Show(fmt.Sprint(p))}
		}
	}()
	return work()
}
