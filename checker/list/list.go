// Package list decides whether transactions that append to lists and read them
// behaved as if they had run one after another, in an order that respects real
// time: strict serializability of list-append.
//
// Why lists: a read of a list shows not only what is there but in which order it
// came to be. As long as each value is appended to a key at most once, the reads
// of a key therefore give the order of its appends, and with it the order of the
// transactions that made them; no search is needed.
//
// Data passes through in four steps, one file each. Parse (parse.go) numbers keys,
// values and transactions. Order (order.go) takes the longest read of each key as
// the order of its appends, and finds what no order allows: reads that are not a
// prefix of it, values that nobody appended, that were refused, that are there
// twice, that are half of a transaction, or that are missing. Graph (graph.go)
// joins transactions by what each must have come before or after:
//
//	ww  T1's append stands right before T2's in some key
//	wr  T2's read ends with T1's append
//	rw  T1's read ends right before T2's append: it did not see it
//	rt  T1 had returned before T2 was invoked
//
// Cycles (cycles.go) finds transactions that would have to come before themselves
// and names the kind of contradiction by its edges, after Adya: G0 (ww only), G1c
// (ww and wr), G-single (exactly one rw), G2 (more), each with "-realtime" when it
// takes rt. Explain (explain.go) tells the shortest one.
//
// Where transactions that only read may see an old state, as documented of some systems,
// no rt edge leads to them: such a transaction may stand anywhere before its return. Cycles
// without those edges are sought first, so that the weakest model that a contradiction
// breaks is known.
//
// What the types mean: ok happened, with these reads; fail certainly did not, and
// a value of it that is read nevertheless is an aborted read (G1a); info may have
// happened: it takes part when one of its values was seen, without its own reads,
// and never comes before anything by real time. Everything but the search for the
// shortest cycle is near-linear in the length of the reads: real time takes one
// node per completion instead of one edge per pair. Memory is proportional to the
// log's own, so the memory budget is not watched here.
//
// Operations: F "txn", value a list of ["append", key, value] and ["r", key,
// list], the list null in the input.
//
// Example: T1 appends 3 to k and is acknowledged; later T2 reads k as [1,2]. T1
// comes before T2 (rt), T2 before T1 (rw, it did not see 3): G-single-realtime, a
// stale read.
package list

import (
	"context"
	"encoding/json"
	"fmt"

	"nemesis/checker"
	"nemesis/history"
)

// Details is the form of Result.Details.
type Details struct {
	Transactions int `json:"transactions"`
	Keys         int `json:"keys"`
	Appends      int `json:"appends"`
	// Anomalies counts anomalies by class.
	Anomalies map[string]int `json:"anomalies,omitempty"`
}

// Append judges list-append transactions as the package comment says. claimed is the model
// that the system is held to: the anomalies are the same for all, but what one of them
// hides is looked for where the claim allows that one. "" is strict serializability.
func Append(claimed history.Model) checker.Checker {
	return appends{claimed != "" && !claimed.Implies(history.StrictSerializable)}
}

// appends: weak means that the claim allows some of what breaks strict serializability.
type appends struct{ weak bool }

func (appends) Name() string { return "append" }

func (a appends) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	result := checker.Result{Checker: "append", Operations: len(log.Operations)}
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	return judge(ctx, result, log.Operations, a.weak)
}

func judge(ctx context.Context, result checker.Result, ops []history.Operation, weak bool) checker.Result {
	h, err := parse(ctx, ops)
	if ctx.Err() != nil {
		result.Outcome, result.Summary = checker.Unknown, "reading the transactions "+checker.Stopped(ctx)
		return result
	}
	if err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	found := &checker.Anomalies{Worst: classes}
	var g *graph
	done := checker.Paced(ctx, func(pace *checker.Pace) {
		h.pace = pace
		h.order(found)
		g = h.graph(weak)
	})
	h.pace = nil // explanations are short, and told however late it is
	if done {
		h.cycles(ctx, g, found) // looks at the time itself: of a cycle that is there, it tells the best that it has found by then
	}

	d := Details{Transactions: len(h.txns), Keys: len(h.keys), Appends: len(h.elements)}
	result.Anomalies = found.List()
	if len(result.Anomalies) > 0 {
		d.Anomalies = make(map[string]int)
		for _, f := range result.Anomalies {
			d.Anomalies[f.Class] += f.Count
		}
	}
	result.Details, _ = json.Marshal(d)
	switch {
	case len(result.Anomalies) > 0:
		result.Outcome, result.Summary = checker.Violation, found.Summary()
		switch {
		case !done || ctx.Err() != nil: // a cycle may be told that is allowed where there is a worse one
			result.Beside = checker.Unknown
		case h.poisoned != "":
			result.Beside = checker.Harness
		}
	case !done:
		result.Outcome, result.Summary = checker.Unknown, "judging the transactions "+checker.Stopped(ctx)
	case h.poisoned != "":
		result.Outcome, result.Summary = checker.Harness, h.poisoned
	default:
		result.Outcome = checker.Valid
		result.Summary = fmt.Sprintf("%s on %s have a serial order that respects real time", checker.Plural(len(h.txns), "transaction"), checker.Plural(len(h.keys), "key"))
		if acknowledged, unread := h.unread(); unread > 0 {
			result.Unread = &checker.Unread{Number: unread, All: acknowledged,
				Text: fmt.Sprintf("nothing is known of %d of %s, after which no read of their keys began", unread, checker.Plural(acknowledged, "acknowledged append"))}
			result.Summary += "; " + result.Unread.Text
		}
	}
	if len(result.Anomalies) > 0 && h.poisoned != "" {
		result.Summary += "; " + h.poisoned
	}
	return result
}

// classes are all there are, worst first: what no isolation level allows, then
// what ever stronger ones forbid. Those of real time are there twice: transactions that
// only read may be the reason, as where a read is old, or have nothing to do with it.
var classes = []checker.Class{
	lostAppend, {Name: "aborted-read", Breaks: []history.Model{history.ReadCommitted}},
	{Name: "phantom-value", Breaks: []history.Model{history.Integrity}},
	{Name: "duplicated-value", Breaks: []history.Model{history.ReadUncommitted}},
	{Name: "incompatible-order", Breaks: []history.Model{history.ReadCommitted}},
	{Name: "intermediate-read", Breaks: []history.Model{history.ReadCommitted}},
	{Name: "internal", Breaks: []history.Model{history.ReadAtomic}},
	{Name: "G0", Breaks: []history.Model{history.ReadUncommitted}},
	{Name: "G1c", Breaks: []history.Model{history.ReadCommitted}},
	{Name: "G-single", Breaks: []history.Model{history.ConsistentView, history.RepeatableRead}},
	{Name: "G2", Breaks: []history.Model{history.RepeatableRead}},
	ofWriters("G0-realtime"), ofWriters("G1c-realtime"), ofWriters("G-single-realtime"), ofWriters("G2-realtime"),
	lostToReaders, ofReaders("G1c-realtime"), ofReaders("G-single-realtime"), ofReaders("G2-realtime"),
}

// An acknowledged append that no later transaction saw is lost to those that write as
// well, or only to those that read, which may have read what is old.
var (
	lostAppend    = ofWriters("lost-append")
	lostToReaders = ofReaders("lost-append")
)

func ofWriters(name string) checker.Class {
	return checker.Class{Name: name, Breaks: []history.Model{history.StrictSerializableWrites}}
}

func ofReaders(name string) checker.Class {
	return checker.Class{Name: name, Breaks: []history.Model{history.StrictSerializable}}
}
