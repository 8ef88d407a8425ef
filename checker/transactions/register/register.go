// Package register judges transactions that read and write registers: what levels of
// isolation they keep, as far as unique values tell.
//
// A read shows whose write it saw, but not which writes came before that one. So the order of
// a key's versions is inferred (order.go), and only as far as it is certain:
//
//   - nothing was there before the first write;
//   - a transaction that read a version and wrote another put its own behind;
//   - a transaction that read from another one, and of a key that this one wrote as well
//     read a third's version, has that version behind the other's, at every level from read
//     atomic or consistent view on;
//   - in the order of a process, or of time, its writes are versions in that order, at the
//     levels which respect that order.
//
// Complete, for values written once, are read committed, read atomic, and causal consistency
// with sessions (causal.go), by the saturations of Biswas and Enea (On the Complexity of
// Checking Transactional Consistency, 2019) and of AWDIT (2025). All other levels are sound:
// whoever is accused is guilty. To decide them would be to try orders, as they are NP-complete.
//
// Mini-transactions, in which every write of a key comes behind a read of it, leave no order
// open: each version says which one it replaced. Of such histories all levels are decided,
// soundly and completely, as in MTC (2025), if no write of unknown outcome was read. The same is so of
// keys that only one transaction wrote. Details say whether all keys are of these two sorts.
//
// What outcomes mean is as for list-append: a value of an info that was read shows that it
// took effect, one of a fail is an aborted read (G1a), and what info and fail read is unknown.
//
// Operations: F "txn", value a list of ["w", key, value] and ["r", key, value], null for what
// was never written.
package register

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/history"
)

// Details is the form of Result.Details.
type Details struct {
	Transactions int            `json:"transactions"`
	Keys         int            `json:"keys"`
	Writes       int            `json:"writes"`
	Anomalies    map[string]int `json:"anomalies,omitempty"`
	// Complete: every write comes behind a read of its key or is the only one, so that all levels are decided.
	Complete bool `json:"complete,omitempty"`
	// Levels are those that the history allows, as far as is known, and refutes; nil where
	// not all was judged.
	Levels *transactions.Levels `json:"levels,omitempty"`
}

// Checker judges transactions over registers.
func Checker() checker.Checker { return registers{} }

type registers struct{}

func (registers) Name() string { return "rw-register" }

func (registers) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	result := checker.Result{Checker: "rw-register", Operations: len(log.Operations)}
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	h, err := parse(ctx, log.Operations)
	if ctx.Err() != nil {
		result.Outcome, result.Summary = checker.Unknown, "reading the transactions "+checker.Stopped(ctx)
		return result
	}
	if err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	found := &checker.Anomalies{Worst: transactions.Classes()}
	done := h.anomalies(ctx, found)
	return h.conclude(ctx, result, found, done)
}

// anomalies looks for all anomalies. It reports false where the context ended before it had.
func (h *columns) anomalies(ctx context.Context, found *checker.Anomalies) bool {
	defer func() { h.pace = nil }() // explanations are short, and told however late it is
	return checker.Paced(ctx, func(pace *checker.Pace) {
		h.pace = pace
		h.inspect(found)
		o := h.infer()
		h.causal(found)
		h.cycles(o, found)
	})
}

func (h *columns) conclude(ctx context.Context, result checker.Result, found *checker.Anomalies, done bool) checker.Result {
	j := transactions.Judged(found, done, h.doubt, h.poisoned)
	d := Details{Transactions: len(h.kind), Keys: len(h.keys), Writes: len(h.versions), Complete: h.complete(), Anomalies: j.Counts(), Levels: j.Levels()}
	result.Details, _ = json.Marshal(d)
	on := fmt.Sprintf("%s on %s", checker.Plural(len(h.kind), "transaction"), checker.Plural(len(h.keys), "key"))
	if d.Complete {
		return j.Conclude(ctx, result, on+" have a serial order that respects real time", "")
	}
	return j.Conclude(ctx, result, on+" are read atomic and causally consistent; nothing that registers tell is against a serial order that respects real time",
		", as far as registers tell")
}

// complete reports whether the order of all versions that may have been read is known: each says
// which one it replaced, as its transaction read the key before it wrote it, and was acknowledged;
// or it is the only one of its key, and replaced the initial one.
func (h *columns) complete() bool {
	for k := range h.keys {
		if h.keys[k].unfit {
			return false
		}
		if len(h.keys[k].writers) < 2 {
			continue
		}
		for _, v := range h.keys[k].writers {
			w := h.versions[v].writer
			reads := func(s step) bool { return s.key == int32(k) && s.known && !s.own }
			if h.kind[w]&acknowledged == 0 || !slices.ContainsFunc(h.stepsOf(w), reads) {
				return false
			}
		}
	}
	return true
}
