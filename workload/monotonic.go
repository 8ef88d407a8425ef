package workload

import (
	"nemesis/checker"
	checkmonotonic "nemesis/checker/monotonic"
	"nemesis/history"
	"nemesis/workload/generator"
)

// monotonic: chains of rows whose stamps, such as numbers of a sequence or times, are to grow in the order of the transactions that
// insert them. Each one reads the greatest value and inserts the next.
//
//	extend  value null  → [value, stamp]
//	chain   value null  → [[value, stamp], …], all rows in any order
var monotonic = Workload{
	Name:      "monotonic",
	Doc:       "transactions that take stamps, each on top of the one before; stamps grow in that order",
	Keys:      2,
	OpsPerKey: 200,
	Main: func(plan history.Workload) generator.Generator {
		ops := chainOps{each: orDefault(plan.OpsPerKey, 200), chains: make([]activeKey, orDefault(plan.Keys, 2))}
		for i := range ops.chains {
			ops.chains[i].name = keyName(i)
		}
		ops.used, ops.draws = len(ops.chains), drawsOf(plan, len(ops.chains))
		return generator.Unfold(ops, chainOps.next)
	},
	Final: func(_ history.Workload, used []string) generator.Generator {
		var reads []generator.Op
		for _, key := range newest(used, finalKeys) {
			reads = append(reads, generator.Op{Thread: generator.AnyThread, F: history.FChain, Key: key})
		}
		return eachThreadReads(reads)
	},
	Operations: []string{history.FExtend, history.FChain},
	Models:     checkmonotonic.Models(),
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{checkmonotonic.Checker()}, anyCheckers(plan)...)
	},
}

// chainOps works on a few chains at once. One gives way to a new one after so many operations.
type chainOps struct {
	each   int
	chains []activeKey
	used   int // chains so far
	draws  draws
}

func (c chainOps) next(ctx *generator.Context) (generator.Op, chainOps) {
	c.chains = append([]activeKey(nil), c.chains...)
	chain := &c.chains[c.draws.next(ctx.Rand)]
	op := generator.F(history.FExtend)
	op.Key = chain.name
	if ctx.Rand.IntN(10) == 0 { // a read shows all that was inserted so far
		op.F = history.FChain
	}
	if chain.written++; chain.written >= c.each {
		*chain = activeKey{name: keyName(c.used)}
		c.used++
	}
	return op, c
}
