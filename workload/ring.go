package workload

import (
	"time"

	"nemesis/checker"
	"nemesis/checker/ownership"
	"nemesis/history"
	"nemesis/workload/generator"
)

// ring: a lock goes around the nodes by itself, and every node is asked again and again whether it holds it.
//
//	serve  null   on the key "lock" → a grant with the node that holds as its owner and the epoch as its token; a node
//	              that does not hold refuses
//
// Two nodes never hold in one epoch, and whoever is asked after somebody held in an epoch does not hold in an earlier one.
// That is judged by the checker of shards: a lock is a shard that changes its owner by itself.
var ring = Workload{
	Name: "ring",
	Doc:  "every node is asked whether it holds a lock that goes around; an epoch has one holder, and epochs only grow",
	Main: func(plan history.Workload) generator.Generator {
		asks := generator.Func(func(*generator.Context) generator.Op { return askHolder() })
		if plan.Rate > 0 {
			return asks
		}
		return generator.Stagger(ringPace, asks)
	},
	Final: func(_ history.Workload, used []string) generator.Generator {
		if len(used) == 0 {
			return nil
		}
		ask := generator.Repeat(int(finalLimit/finalAskPace), generator.Ops(askHolder()))
		return generator.TimeLimit(finalLimit, generator.EachThread(generator.UntilOK(generator.Delay(finalAskPace, ask))))
	},
	Checkers: func(plan history.Plan) []checker.Checker {
		held := ownership.ForPlan(plan)
		held.Automatic = true
		return append([]checker.Checker{ownership.Checker(held)}, anyCheckers(plan)...)
	},
}

const (
	ringPace = time.Second / 200
	// finalAskPace is the time from one question to the next of a worker that waits for its node to hold.
	finalAskPace = 50 * time.Millisecond
	// ringKey is what the lock is called.
	ringKey = "lock"
)

func askHolder() generator.Op {
	op := generator.F(history.FServe)
	op.Key = ringKey
	return op
}
