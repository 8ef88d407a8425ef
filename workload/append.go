package workload

import (
	"slices"

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
	Keys:      4,
	OpsPerKey: 50,
	Main: func(plan history.Workload) generator.Generator {
		ops := appendOps{
			perKey: orDefault(plan.OpsPerKey, 50),
			keys:   make([]activeKey, orDefault(plan.Keys, 4)),
		}
		for i := range ops.keys {
			ops.keys[i].name = keyName(i)
		}
		ops.used = len(ops.keys)
		return generator.Unfold(ops, appendOps.next)
	},
	Final: func(_ history.Workload, used []string) generator.Generator {
		var reads []generator.Op
		for some := range slices.Chunk(newest(used, 4*finalKeys), 4) {
			var txn []history.MicroOp
			for _, key := range some {
				txn = append(txn, readOf(key))
			}
			reads = append(reads, txnOp(txn))
		}
		return eachThreadReads(reads)
	},
	Models: transactions.Decided(),
	Checkers: func(plan history.Plan) []checker.Checker {
		return append([]checker.Checker{listappend.Append()}, anyCheckers(plan)...)
	},
}

// maxTxn is how many reads and appends one transaction has at most.
const maxTxn = 4

// appendOps makes transactions over a handful of keys; a key that was appended to
// often enough gives way to a new one, since every read repeats its whole list.
type appendOps struct {
	perKey int
	keys   []activeKey
	used   int // keys so far
}

type activeKey struct {
	name     string
	appended int // also the last value
}

func (a appendOps) next(ctx *generator.Context) (generator.Op, appendOps) {
	a.keys = slices.Clone(a.keys)
	parts := 1 + ctx.Rand.IntN(maxTxn)
	txn := make([]history.MicroOp, 0, parts)
	for range parts {
		key := &a.keys[ctx.Rand.IntN(len(a.keys))]
		if ctx.Rand.IntN(2) == 0 {
			txn = append(txn, readOf(key.name))
			continue
		}
		key.appended++
		txn = append(txn, history.MicroOp{F: history.MicroAppend, Key: history.EncodeText(key.name), Value: history.EncodeInt(int64(key.appended))})
		if key.appended >= a.perKey {
			*key = activeKey{name: keyName(a.used)}
			a.used++
		}
	}
	return txnOp(txn), a
}

func readOf(key string) history.MicroOp {
	return history.MicroOp{F: history.MicroRead, Key: history.EncodeText(key)}
}

func txnOp(parts []history.MicroOp) generator.Op {
	return generator.Op{Thread: generator.AnyThread, F: history.FTransaction, Value: history.EncodeTransaction(parts)}
}

// KeysOf is which keys an operation touches: its Key, or for a transaction the keys
// of its parts, in order, each once. It understands only what a workload has made.
func KeysOf(ev *history.Event) []string {
	if ev.Key != "" {
		return []string{ev.Key}
	}
	if ev.F != history.FTransaction {
		return nil
	}
	var keys []string
	// What is no transaction has no keys.
	_ = history.EachMicroOp(ev.Value, func(op history.MicroOp) error {
		if key := op.KeyName(); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
		return nil
	})
	return keys
}
