package workload

import (
	"slices"

	"nemesis/history"
	"nemesis/workload/generator"
)

const (
	// maxTxn is how many reads and writes one transaction draws at most.
	maxTxn = 4
	// activeKeys is how many keys transactions use at once.
	activeKeys = 4
)

// transactionsOf makes transactions that read and, by the function, append or write; a key is
// left after so many writes, unless the plan says how many.
func transactionsOf(plan history.Workload, f string, perKey int) generator.Generator {
	ops := transactionOps{f: f, perKey: orDefault(plan.OpsPerKey, perKey), keys: make([]activeKey, orDefault(plan.Keys, activeKeys))}
	ops.draws = drawsOf(plan, len(ops.keys))
	for i := range ops.keys {
		ops.keys[i].name = keyName(i)
	}
	ops.used = len(ops.keys)
	return generator.Unfold(ops, transactionOps.next)
}

// transactionOps makes transactions over a handful of keys; a key that was written
// often enough gives way to a new one, since every read of a list repeats all of it.
type transactionOps struct {
	f      string // append, or w
	perKey int
	keys   []activeKey
	used   int // keys so far
	draws  draws
}

type activeKey struct {
	name    string
	written int // also the last value
}

func (a transactionOps) next(ctx *generator.Context) (generator.Op, transactionOps) {
	a.keys = slices.Clone(a.keys)
	parts := 1 + ctx.Rand.IntN(maxTxn)
	txn := make([]history.MicroOp, 0, 2*parts)
	for range parts {
		key := &a.keys[a.draws.next(ctx.Rand)]
		name := history.EncodeText(key.name)
		if ctx.Rand.IntN(2) == 0 {
			txn = append(txn, readOf(key.name))
			continue
		}
		met := func(m history.MicroOp) bool { return string(m.Key) == string(name) }
		if a.f == history.MicroWrite && !slices.ContainsFunc(txn, met) {
			txn = append(txn, readOf(key.name))
		}
		key.written++
		txn = append(txn, history.MicroOp{F: a.f, Key: name, Value: history.EncodeInt(int64(key.written))})
		if key.written >= a.perKey {
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

// readAllKeys reads the keys that were used last, a few in one transaction.
func readAllKeys(_ history.Workload, used []string) generator.Generator {
	return readTogether(newest(used, 4*finalKeys), 4)
}

// readTogether lets every worker read keys, so many in one transaction.
func readTogether(keys []string, together int) generator.Generator {
	var reads []generator.Op
	for some := range slices.Chunk(keys, together) {
		var txn []history.MicroOp
		for _, key := range some {
			txn = append(txn, readOf(key))
		}
		reads = append(reads, txnOp(txn))
	}
	return eachThreadReads(reads)
}

// KeysOf is which keys an operation touches: its Key, or for a transaction the keys
// of its parts, in order, each once; of rows that are written or asked for by predicate, their groups. It understands only what a workload has made.
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
		key := op.KeyName()
		switch op.F {
		case history.MicroInsert, history.MicroDelete:
			key = history.RowGroup(key)
		case history.MicroPredicate:
			p, err := history.DecodePredicate(op.Key)
			if err != nil {
				return err
			}
			key = p.Group
		}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
		return nil
	})
	return keys
}
