package workload

import (
	"nemesis/checker"
	"nemesis/checker/linear"
	"nemesis/checker/linear/models"
	"nemesis/history"
	"nemesis/workload/generator"
)

// counter: many independent counters, each worked on by a few clients at once.
//
//	add    value 1         → adds one, exactly once
//	read   value null      → an integer, 0 while nothing was added
//
// A read that is higher than the number of additions begun shows one that was carried out twice, a read that is lower than
// that of those acknowledged one that was lost: so this is where systems that send requests again are tried. Every addition
// is of one, since histories of equal additions are decided exactly and in little time, however long they are.
var counter = Workload{
	Name:      "counter",
	Doc:       "adds of one and reads on independent counters; every add must count exactly once",
	Moves:     true,
	Keys:      2,
	OpsPerKey: 500,
	Main: func(plan history.Workload) generator.Generator {
		return withMoves(plan, counterMain)
	},
	Final:      readEach,
	Operations: []string{history.FAdd, history.FRead},
	Models:     objectModels,
	Checkers: func(plan history.Plan) []checker.Checker {
		kind, _ := models.Find("counter")
		return append([]checker.Checker{withoutMoves(linear.Claimed(plan.Claim.Model, kind, models.Options{}))}, anyCheckers(plan)...)
	},
}

func counterMain(plan history.Workload) generator.Generator {
	atOnce := orDefault(plan.Keys, 2)
	operations := orDefault(plan.OpsPerKey, 500)
	return generator.KeysByShare(plan.Concurrency/atOnce, generator.Unlimited, keyName, shares(plan), func(string) generator.Generator {
		return generator.Limit(operations, generator.Unfold(counterOps{}, counterOps.next))
	})
}

// counterOps add twice as often as they read: a read shows all that was wrong before it.
type counterOps struct{}

func (c counterOps) next(ctx *generator.Context) (generator.Op, counterOps) {
	if ctx.Rand.IntN(3) == 0 {
		return generator.F(history.FRead), c
	}
	op := generator.F(history.FAdd)
	op.Value = history.EncodeInt(1)
	return op, c
}
