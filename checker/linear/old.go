package linear

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"nemesis/checker"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// Systems that answer reads from a member's own copy document them as possibly old: a
// read returns a state that existed, and all else is linearizable. That model,
// linearizable-writes, is decided as linearizability of another history, in which each
// read is invoked at the start of the run.
//
// The two are the same. Suppose that reads are old. Take the order of the other
// operations that there is, and put each read behind one that left the state it
// returned, which happened before the read's response: no response in the other history
// comes before a read's invocation, so this order keeps to its times. The other way
// round, an order of the other history, with its reads left out, is one of the other
// operations; and each read stands behind what left its state, which was invoked before
// the read's response.
//
// Only what certainly read and did nothing else is moved: a compare-and-set that found
// another value went through the log, as a write does, and saw what was there.

// parse makes the object to judge of recorded operations, until ctx ends.
func (c objects) parse(ctx context.Context, recorded []*history.Operation) (models.Object, error) {
	opt := c.opt
	opt.Stop = func() bool { return ctx.Err() != nil }
	object, err := c.kind.Parse(recorded, opt)
	if err != nil || !c.old {
		return object, err
	}
	for i := range object.Operations {
		op := &object.Operations[i]
		if isRead(models.Source(op)) {
			op.Call = min(op.Call, 0)
		}
	}
	slices.SortStableFunc(object.Operations, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	return object, nil
}

func isRead(o *history.Operation) bool {
	return o != nil && o.Type == history.OK && (o.F == "read" || o.F == "get")
}

// byCall puts a core back into the order in which its operations were invoked, and tells
// where the culprit went.
func byCall(core []porcupine.Operation, culprit int) ([]porcupine.Operation, int) {
	at := make([]int, len(core))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int {
		return cmp.Compare(models.Source(&core[a]).Call, models.Source(&core[b]).Call)
	})
	sorted := make([]porcupine.Operation, len(core))
	for i, from := range at {
		sorted[i] = core[from]
	}
	return sorted, slices.Index(at, culprit)
}

// class is the name of the anomalies that are looked for, sought what there is without.
func (c objects) class() string {
	if c.old {
		return "non-linearizable-writes"
	}
	return "non-linearizable"
}

func (c objects) sought() string {
	if c.old {
		return "a linear order, even if reads are old"
	}
	return "a linear order"
}

// breaks is the weakest model that a key's core breaks: it may have no order even if its
// reads are old.
func (c objects) breaks(ctx context.Context, j *job) []history.Model {
	if c.old {
		return []history.Model{history.LinearizableWrites}
	}
	a := j.accusation
	if a != nil && a.from == nil && j.object != nil { // a late beginning knows nothing of reads before it
		w := weak{ops: slices.Clone(a.ops), at: a.at}
		for i := range w.ops {
			if isRead(models.Source(&w.ops[i])) {
				w.ops[i].Call = min(w.ops[i].Call, 0)
			}
		}
		if j.subject.try(ctx, &w) == order.Illegal {
			return []history.Model{history.LinearizableWrites}
		}
	}
	return []history.Model{history.Linearizable}
}

// twice judges by linearizable-writes, with most of the time there is, and then looks for
// what is not linearizable besides.
type twice struct{ objects }

func (c twice) Check(ctx context.Context, log *history.Log, budget checker.Budget) checker.Result {
	claimed := c.objects
	claimed.old = true
	first, cancel := ctx, context.CancelFunc(func() {})
	if deadline, bounded := ctx.Deadline(); bounded {
		first, cancel = context.WithDeadline(ctx, deadline.Add(-time.Until(deadline)/4))
	}
	defer cancel()
	result := claimed.Check(first, log, budget)
	if result.Outcome == checker.Harness {
		return result
	}
	var d Details
	if json.Unmarshal(result.Details, &d) != nil {
		return result
	}
	jobs, bad, err := c.objects.look(ctx, log, budget)
	if err != nil {
		return result
	}
	stricter := c.objects.conclude(checker.Result{Checker: c.Name()}, jobs, slices.DeleteFunc(bad, func(j *job) bool {
		return slices.Contains(d.Violating, j.key)
	}))
	switch stricter.Outcome {
	case checker.Violation:
		if len(stricter.Anomalies) == 0 { // nobody could show one
			d.Unsought = stricter.Summary
			break
		}
		if result.Outcome != checker.Violation {
			result.Beside, result.Outcome = result.Outcome, checker.Violation
			result.Summary = stricter.Summary + ", as old reads explain; " + result.Summary
		}
		result.Anomalies = append(result.Anomalies, stricter.Anomalies...)
		var more Details
		if json.Unmarshal(stricter.Details, &more) == nil {
			d.Old = more.Violating
		}
	case checker.Unknown:
		d.Unsought = stricter.Summary
	}
	result.Details, _ = json.Marshal(d)
	return result
}
