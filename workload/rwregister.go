package workload

import (
	"nemesis/checker"
	"nemesis/checker/transactions"
	checkregister "nemesis/checker/transactions/register"
	"nemesis/history"
	"nemesis/workload/generator"
)

// rwRegister: transactions over registers. Each write of a key comes behind a read of it in
// the same transaction, so that every version says which one it replaced: of such
// mini-transactions the checker decides all levels of isolation.
//
//	txn    value [["r","k3",null],["w","k3",7],["r","k4",null]]  → the same with each null of an "r" filled in: 6, or null for what was never written
//
// Written values are unique per key: 1, 2, 3, … in the order of invocation.
var rwRegister = Workload{
	Name:      "rw-register",
	Doc:       "transactions that read registers and write what they read; must be strictly serializable",
	Keys:      activeKeys,
	OpsPerKey: 100,
	Main: func(plan history.Workload) generator.Generator {
		return transactionsOf(plan, history.MicroWrite, 100)
	},
	Final:      readAllKeys,
	Operations: []string{history.FTransaction},
	Models:     transactions.Decided(),
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{checkregister.Checker()}, anyCheckers(plan)...)
	},
}
