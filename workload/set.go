package workload

import (
	"time"

	"nemesis/checker"
	checkset "nemesis/checker/set"
	"nemesis/history"
	"nemesis/workload/generator"
)

// set: one set that only grows, read whole now and then.
//
//	add    value 7
//	list   value null       → all elements, as a JSON array in any order
//
// Elements are unique: 1, 2, 3, … in the order of invocation.
var set = Workload{
	Name:      "set",
	Doc:       "adds to one set and full reads of it; nothing may be lost, late or twice",
	Moves:     true,
	Keys:      1,
	OpsPerKey: 0,
	Main: func(plan history.Workload) generator.Generator {
		return withMoves(plan, setMain)
	},
	Final: func(history.Workload, []string) generator.Generator {
		return eachThreadReads([]generator.Op{generator.F(history.FList)})
	},
	Operations: []string{history.FAdd, history.FList},
	Models:     objectModels,
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{withoutMoves(checkset.Full())}, anyCheckers(plan)...)
	},
}

func setMain(plan history.Workload) generator.Generator {
	ops := generator.Unfold(setOps{}, setOps.next)
	if plan.Rate > 0 {
		return ops
	}
	return generator.Stagger(setPace, ops)
}

const (
	// setPace keeps the set small when the plan sets no rate: a read returns every
	// element, and a system as fast as it can would make reads of megabytes.
	setPace = time.Second / 400
	// addsPerList is how many adds lie between two reads at the beginning. Later it
	// is a share of the set's size, so that all reads together grow with the number
	// of adds and not with its square.
	addsPerList  = 20
	listFraction = 50
)

type setOps struct {
	added  int
	listed int // the number of elements when it was read last
}

func (s setOps) next(*generator.Context) (generator.Op, setOps) {
	if s.added-s.listed >= max(addsPerList, s.added/listFraction) {
		s.listed = s.added
		return generator.F(history.FList), s
	}
	s.added++
	op := generator.F(history.FAdd)
	op.Value = history.EncodeInt(int64(s.added))
	return op, s
}
