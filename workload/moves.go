package workload

import (
	"context"
	"slices"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/workload/generator"
)

// movePace is how long it is from one move of a shard to the next, on average.
const movePace = time.Second

// movedRanges is how many ranges the numbers are cut into for moves beside other operations.
const movedRanges = 4

// withMoves makes the operations of a workload, and beside them moves of shards where the plan names who can own
// them: one worker does nothing else.
func withMoves(plan history.Workload, operations func(history.Workload) generator.Generator) generator.Generator {
	if len(plan.Owners) == 0 || plan.Concurrency < 2 {
		return operations(plan)
	}
	moves := &shardOps{ranges: movedRanges, owners: plan.Owners}
	admin := generator.Stagger(movePace, generator.Func(moves.move))
	plan.Concurrency--
	return generator.Reserve([]generator.Reserved{{Threads: 1, Generator: admin}}, operations(plan))
}

// withoutMoves shows a checker a history without moves: what the data is has nothing to do with where it is.
func withoutMoves(c checker.Checker) checker.Checker { return unmoved{c} }

type unmoved struct{ checker.Checker }

func (u unmoved) Check(ctx context.Context, log *history.Log, budget checker.Budget) checker.Result {
	if slices.ContainsFunc(log.Operations, isMove) {
		stays := *log
		stays.Operations = slices.DeleteFunc(slices.Clone(log.Operations), isMove)
		log = &stays
	}
	return u.Checker.Check(ctx, log, budget)
}

func isMove(o history.Operation) bool { return o.F == history.FMove }
