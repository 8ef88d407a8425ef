package workload

import (
	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/checker/transactions/listappend"
	"nemesis/history"
	"nemesis/workload/generator"
)

// appends: transactions over lists. A list that is read whole tells the order of
// all appends before it, so that the checker knows the versions of each key
// instead of guessing them.
//
//	txn    value [["append","k3",7],["r","k3",null]]  → the same with each null filled in: [7] or null
//
// Appended values are unique per key: 1, 2, 3, … in the order of invocation.
var appends = Workload{
	Name:      "append",
	Doc:       "transactions that read and append to lists; must be strictly serializable",
	Keys:      activeKeys,
	OpsPerKey: 50,
	Main: func(plan history.Workload) generator.Generator {
		return transactionsOf(plan, history.MicroAppend, 50)
	},
	Final:      readAllKeys,
	Models:     transactions.Decided(),
	Operations: []string{history.FTransaction},
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{listappend.Append()}, anyCheckers(plan)...)
	},
}
