// Package predicate judges transactions that insert and delete rows and read them by key and by
// predicate: what levels of isolation they keep, phantoms included.
//
// # Theory
//
// A row is inserted once and deleted at most once, so its versions are known: unborn, then its value,
// then dead. All rows that were ever asked for form a closed set. So a read by predicate tells of each
// row of the set that matches it: where the row is among the answers its value was read, and where it is
// not, the unborn or the dead version. These are the edges of Adya's graph (Weak Consistency, 1999):
//
//	ww  the delete of a row comes behind its insert
//	wr  who saw a row, or deleted it, comes behind its insert; who missed it since it was dead, behind its delete
//	rw  who saw a row comes before its delete (an item anti-dependency); who missed it since it was unborn comes
//	    before its insert (a predicate anti-dependency: a phantom)
//
// A read by key that finds nothing is one by predicate too, as unborn versions cannot be read.
//
// Which of the two a missed row was is open only if both its insert and its delete took effect, or may
// have. What the reader saw besides decides (resolve.go): if it saw another row of the insert, the unborn
// version would make a cycle with one anti-dependency, so the row was dead; if another row of the insert
// was certainly unborn, so was this one, or the same cycle is there already. Where nothing decides, no edge is
// made: the checker stays sound, and is no longer complete (complete in Details). The workload has
// rows in each group that are inserted with all others and never deleted, so that nothing stays open.
//
// # Levels
//
// Cycles are classified twice. Over ww, wr and item anti-dependencies they are as for other
// transactions, and the weakest level to exclude any of them is repeatable-read (G2-item). With predicate
// anti-dependencies, what is new breaks all levels of a kind but repeatable-read, which knows
// no predicates: G2 breaks serializable, G-single consistent-view, G-nonadjacent snapshot-isolation.
//
// What outcomes mean is as for list-append: an info that was seen took effect, a fail that was seen
// is an aborted read (G1a), and what info and fail read is unknown. A delete that was acknowledged saw
// the row.
//
// Operations: F "txn", value as in history/row.go.
package predicate

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
	Transactions int            `json:"transactions"`
	Rows         int            `json:"rows"`
	Deletes      int            `json:"deletes"`
	Predicates   int            `json:"predicates"` // reads by predicate that were answered
	Anomalies    map[string]int `json:"anomalies,omitempty"`
	// Open are missed rows of which nobody knows whether they were unborn or dead; Complete: none.
	Open     int  `json:"open,omitempty"`
	Complete bool `json:"complete,omitempty"`
	// Levels are those that the history allows, as far as is known, and refutes; nil where
	// not all was judged.
	Levels *transactions.Levels `json:"levels,omitempty"`
}

// Checker judges transactions over rows.
func Checker() checker.Checker { return predicates{} }

type predicates struct{}

func (predicates) Name() string { return "predicate" }

func (predicates) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	result := checker.Result{Checker: "predicate", Operations: len(log.Operations)}
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	h := &table{ops: log.Operations}
	found := &checker.Anomalies{Worst: classes()}
	var err error
	done := checker.Paced(ctx, func(pace *checker.Pace) { err = h.judge(pace, found) })
	h.pace = nil
	if err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	return h.conclude(ctx, result, found, done)
}

// judge reads the transactions and looks for all anomalies.
func (h *table) judge(pace *checker.Pace, found *checker.Anomalies) error {
	h.pace = pace
	if err := h.load(found); err != nil {
		return err
	}
	h.took()
	h.inspect(found)
	h.cycles(found)
	return nil
}

func (h *table) conclude(ctx context.Context, result checker.Result, found *checker.Anomalies, done bool) checker.Result {
	j := transactions.Judged(found, done, h.doubt, h.poisoned)
	d := h.details
	d.Transactions, d.Rows, d.Open, d.Complete = len(h.kind), len(h.rows), h.open, done && h.open == 0 && h.poisoned == ""
	d.Anomalies, d.Levels = j.Counts(), j.Levels()
	result.Details, _ = json.Marshal(d)
	on := fmt.Sprintf("%s on %s", checker.Plural(len(h.kind), "transaction"), checker.Plural(len(h.rows), "row"))
	sound := on + " have a serial order that respects real time"
	if !d.Complete {
		sound = fmt.Sprintf("nothing that %s tell is against a serial order that respects real time; of %s nobody knows whether they came before the insert or behind the delete",
			on, checker.Plural(h.open, "missed row"))
	}
	return j.Conclude(ctx, result, sound, "")
}
