// Package listappend decides which levels of isolation transactions keep that append to lists
// and read them, up to strict serializability.
//
// Why lists: a read of a list shows not only what is there but in which order it
// came to be. As long as each value is appended to a key at most once, the reads
// of a key therefore give the order of its appends, and with it the order of the
// transactions that made them; no search is needed.
//
// Data passes through in four steps. columns.go makes numbers of keys, values and
// transactions, and of each key's reads the one list that they all begin. order.go finds what
// no order of the transactions allows: reads that contradict each other or their own
// transaction, values that nobody appended, that were refused, that are there twice, that are
// half of a transaction, or that are missing. graph.go joins transactions by what each must
// have come before or after (see package dependency):
//
//	ww  T1's append stands right before T2's in some key
//	wr  T2's read ends with T1's append
//	rw  T1's read ends right before T2's append: it did not see it
//	po  T1 was the last transaction of its process before T2
//	rt  T1 had returned before T2 was invoked
//
// cycles.go names the contradictions in every component of that graph, and explain.go tells
// the shortest of each class.
//
// Where transactions that only read may see an old state, as documented of some systems,
// no rt edge leads to them: such a transaction may stand anywhere before its return. Cycles
// without those edges have classes of their own, so that the weakest model that a
// contradiction breaks is known.
//
// What the types mean, for the transaction that writes a value and for the one that reads it:
//
//	writer  read by ok                            read by info or fail
//	ok      the writer comes first (wr)           nothing: what they read is not known
//	info    the same: it took effect after all    nothing
//	fail    G1a                                   nothing
//
// An info that was seen takes part without its own reads, and never comes before anything by
// real time. Everything but the search for the shortest cycle is near-linear in the length of
// the reads.
//
// Operations: F "txn", value a list of ["append", key, value] and ["r", key,
// list], the list null in the input.
//
// Example: T1 appends 3 to k and is acknowledged; later T2 reads k as [1,2], and T3 reads it
// as [1,2,3]. T1 comes before T2 (rt), T2 before T1 (rw, it did not see 3):
// G-single-realtime, a stale read.
package listappend

import (
	"context"
	"encoding/json"
	"fmt"

	"nemesis/checker"
	"nemesis/checker/transactions"
	"nemesis/history"
)

// Details is the form of Result.Details.
type Details struct {
	Transactions int `json:"transactions"`
	Keys         int `json:"keys"`
	Appends      int `json:"appends"`
	// Anomalies counts anomalies by class.
	Anomalies map[string]int `json:"anomalies,omitempty"`
	// Levels are those that the history allows and refutes; nil where not all was judged.
	Levels *transactions.Levels `json:"levels,omitempty"`
}

// Append judges list-append transactions as the package comment says.
func Append() checker.Checker { return listChecker{} }

type listChecker struct{}

func (listChecker) Name() string { return "append" }

func (listChecker) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	result := checker.Result{Checker: "append", Operations: len(log.Operations)}
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	return judge(ctx, result, log.Operations)
}

// anomalies looks for all anomalies. It reports false where the context ended before it had; of
// the cycles it has told none then.
func (h *columns) anomalies(ctx context.Context, found *checker.Anomalies) bool {
	defer func() { h.pace = nil }() // explanations are short, and told however late it is
	return checker.Paced(ctx, func(pace *checker.Pace) {
		h.pace = pace
		h.inspect(found)
		h.cycles(h.graph(false), found, false)
		if found.Has(transactions.LostToWriters) || found.Has(transactions.LostToReaders) {
			h.cycles(h.graph(true), found, true)
		}
	})
}

func judge(ctx context.Context, result checker.Result, ops []history.Operation) checker.Result {
	h, err := parse(ctx, ops)
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

	j := transactions.Judged(found, done, h.doubt, h.poisoned)
	result.Details, _ = json.Marshal(Details{Transactions: len(h.kind), Keys: len(h.keys), Appends: len(h.elements), Anomalies: j.Counts(), Levels: j.Levels()})
	result = j.Conclude(ctx, result, fmt.Sprintf("%s on %s have a serial order that respects real time",
		checker.Plural(len(h.kind), "transaction"), checker.Plural(len(h.keys), "key")), "")
	if acknowledged, unread := h.unread(); result.Outcome == checker.Valid && unread > 0 {
		result.Unread = &checker.Unread{Number: unread, All: acknowledged,
			Text: fmt.Sprintf("nothing is known of %d of %s, after which no read of their keys began", unread, checker.Plural(acknowledged, "acknowledged append"))}
		result.Summary += "; " + result.Unread.Text
	}
	return result
}
