package workload

import (
	"time"

	"nemesis/checker"
	"nemesis/checker/atleastonce"
	"nemesis/history"
	"nemesis/workload/generator"
)

// increment: one counter, incremented by all clients.
//
//	increment  null   → the new value
//
// It is for counters that cannot be read. Values show all the same which increments were lost and which were carried out twice;
// whether the latter is a violation is for the claim to say.
var increment = Workload{
	Name: "increment",
	Doc:  "increments of one counter, each of which returns the new value; values are unique and grow",
	Main: func(plan history.Workload) generator.Generator {
		ops := generator.Func(func(*generator.Context) generator.Op { return incrementOnce() })
		if plan.Rate > 0 {
			return ops
		}
		return generator.Stagger(incrementPace, ops)
	},
	Final: func(_ history.Workload, used []string) generator.Generator {
		if len(used) == 0 {
			return nil
		}
		return eachThreadReads([]generator.Op{incrementOnce()})
	},
	Operations: []string{history.FIncrement},
	Models:     objectModels,
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{atleastonce.Checker()}, anyCheckers(plan)...)
	},
}

// incrementPace keeps histories of a long run small enough for a person to look at.
const incrementPace = time.Second / 500

func incrementOnce() generator.Op {
	op := generator.F(history.FIncrement)
	op.Key = "c"
	return op
}
