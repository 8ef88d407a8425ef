package workload

import (
	"time"

	"nemesis/checker"
	checkids "nemesis/checker/uniqueids"
	"nemesis/history"
	"nemesis/workload/generator"
)

// idsPace keeps histories of a long run small enough for a person to look at.
const idsPace = time.Second / 1000

// uniqueIDs: identifiers that nobody else gets.
//
//	generate  value null   → the identifier, a value of any kind
var uniqueIDs = Workload{
	Name: "unique-ids",
	Doc:  "asks for identifiers; none may be given out twice",
	Main: func(plan history.Workload) generator.Generator {
		ops := generator.Func(func(*generator.Context) generator.Op { return generator.F(history.FGenerate) })
		if plan.Rate > 0 {
			return ops
		}
		return generator.Stagger(idsPace, ops)
	},
	Final: func(history.Workload, []string) generator.Generator {
		return eachThreadReads([]generator.Op{generator.F(history.FGenerate)})
	},
	Operations: []string{history.FGenerate},
	Models:     objectModels,
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{checkids.Checker()}, anyCheckers(plan)...)
	},
}
