// Package atleastonce decides whether a system that may carry a request out again kept what is left: at least once.
//
// Such a system does not tell a request that its client sent again from a new one, as the specification of IronRSL
// (Hawblitzel and others, SOSP 2015, section 5.1) allows. There is an order of all executions in which
//
//   - each acknowledged operation has one between its call and its return, which gave its result,
//   - each operation may have others at any moment after its call,
//   - a refused operation has none.
//
// For two kinds of objects this is decided exactly, in O(n log n).
//
// # Counters (increment → the new value)
//
// Two increments never return the same value (shared-count), and one that is called after another had returned
// returns more (count-went-back). Conversely, if neither happened, take the acknowledged increments by value: each
// can be given a moment in its interval after those before it, and what is missing between two values are repetitions.
//
// A gap that no increment of unknown outcome fills shows that one was carried out twice (counted-twice): values below
// that of g which nobody got need as many increments of unknown outcome that were called before g returned. That breaks
// linearizability and not this promise. The three rules together decide linearizability: gaps need increments
// called early enough, and who fills one gap early enough fills each later one.
//
// # Registers (read, write)
//
// A read returns a value whose write was called before the read returned and was not refused (never-written). A read of
// nothing was not called after a write had been acknowledged or read (lost-write). Conversely, let each read of a value
// be preceded by a repetition of its write, and let the reads of nothing come first.
//
// A compare-and-set that was not refused counts as a write of its new value. What it expected is not looked at: the two
// rules stay sound with it, and are no longer complete.
package atleastonce

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"

	"nemesis/checker"
	"nemesis/history"
)

// Checker judges counters and registers by their operations, key by key.
func Checker() checker.Checker { return judge{} }

type judge struct{}

func (judge) Name() string { return "at-least-once" }

var classes = []checker.Class{
	{Name: "never-written", Breaks: []history.Model{history.AtLeastOnce, history.Integrity}},
	{Name: "lost-write", Breaks: []history.Model{history.AtLeastOnce, history.LinearizableWrites}},
	{Name: "shared-count", Breaks: []history.Model{history.AtLeastOnce, history.LinearizableWrites}},
	{Name: "count-went-back", Breaks: []history.Model{history.AtLeastOnce, history.LinearizableWrites}},
	{Name: "counted-twice", Breaks: []history.Model{history.LinearizableWrites}},
}

func (j judge) Check(ctx context.Context, log *history.Log, _ checker.Budget) (result checker.Result) {
	result = checker.Result{Checker: j.Name(), Outcome: checker.Unknown, Operations: len(log.Operations)}
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return result
	}
	found := &checker.Anomalies{Worst: classes}
	keys, unreadable := 0, error(nil)
	finished := checker.Paced(ctx, func(pace *checker.Pace) { keys, unreadable = look(pace, log, found) })
	list := found.List()
	switch {
	case len(list) > 0:
		result.Outcome, result.Anomalies, result.Summary = checker.Violation, list, found.Summary()
		if !finished {
			result.Beside = checker.Unknown
		}
	case !finished:
		result.Summary = "the check " + checker.Stopped(ctx)
	case unreadable != nil:
		result.Outcome, result.Summary = checker.Harness, unreadable.Error()
	default:
		result.Outcome = checker.Valid
		result.Summary = fmt.Sprintf("every answer on %s is that of one execution, between its call and its return", checker.Plural(keys, "key"))
	}
	return result
}

// look judges every key. The error is about an operation that makes no sense.
func look(pace *checker.Pace, log *history.Log, found *checker.Anomalies) (keys int, err error) {
	objects := map[string]*object{}
	var order []string
	for i := range log.Operations {
		pace.Step()
		o := &log.Operations[i]
		switch o.F {
		case history.FIncrement, history.FRead, history.FWrite, history.FCAS:
		default:
			continue
		}
		at := objects[o.Key]
		if at == nil {
			at = &object{key: o.Key}
			objects[o.Key] = at
			order = append(order, o.Key)
		}
		if e := at.add(o); e != nil && err == nil {
			err = fmt.Errorf("operation %d, %s of %s: %w", o.Index, o.F, checker.Show(o.Key), e)
		}
	}
	for _, key := range order {
		objects[key].judge(pace, found)
	}
	return len(order), err
}

// object is what happened to one key.
type object struct {
	key        string
	increments []counted            // acknowledged
	unknown    []*history.Operation // increments of unknown outcome
	writes     map[string]*history.Operation
	seen       *history.Operation // the first to return of the acknowledged writes and the reads of a value
	reads      []read             // acknowledged
}

type counted struct {
	*history.Operation
	value int64
}

type read struct {
	*history.Operation
	value string // "" for nothing
}

func (o *object) add(op *history.Operation) error {
	switch {
	case op.Type == history.Fail:
	case op.F == history.FIncrement && op.Type != history.OK:
		o.unknown = append(o.unknown, op)
	case op.F == history.FIncrement:
		n, err := history.DecodeInt(op.Output)
		if err == nil && n < 1 {
			err = fmt.Errorf("no counter is at %d after an increment", n)
		}
		if err != nil {
			return err
		}
		o.increments = append(o.increments, counted{op, n})
	case op.F == history.FWrite || op.F == history.FCAS:
		value, err := valueOf(op)
		if err != nil {
			return err
		}
		if o.writes == nil {
			o.writes = map[string]*history.Operation{}
		}
		if had := o.writes[value]; had == nil || op.Call < had.Call {
			o.writes[value] = op
		}
		o.saw(op, value)
	case op.Type == history.OK:
		value, err := valueOf(op)
		if err != nil {
			return err
		}
		o.reads = append(o.reads, read{op, value})
		o.saw(op, value)
	}
	return nil
}

// saw notes that there is a value by the time the operation has returned.
func (o *object) saw(op *history.Operation, value string) {
	if value != "" && (o.seen == nil || op.Return < o.seen.Return) {
		o.seen = op
	}
}

// valueOf is what a write or a compare-and-set put into the register, or a read found there; "" is nothing.
func valueOf(op *history.Operation) (string, error) {
	value := op.Output
	switch op.F {
	case history.FWrite:
		value = op.Input
	case history.FCAS:
		both, err := history.DecodeCompareAndSet(op.Input)
		if err != nil {
			return "", err
		}
		value = both.New
	}
	if history.IsNull(value) {
		return "", nil
	}
	canonical, err := history.Canonical(value)
	return string(canonical), err
}

func (o *object) judge(pace *checker.Pace, found *checker.Anomalies) {
	o.count(pace, found)
	for _, r := range o.reads {
		pace.Step()
		w := o.writes[r.value]
		unwritten := w == nil || r.Return < w.Call
		switch {
		case !unwritten:
		case r.value == "" && o.seen != nil && o.seen.Return < r.Call:
			found.Add("lost-write", func() checker.Anomaly { return o.lost(r, o.seen) })
		case r.value != "":
			found.Add("never-written", func() checker.Anomaly { return o.invented(r, w) })
		}
	}
}

// count judges increments, by their values.
func (o *object) count(pace *checker.Pace, found *checker.Anomalies) {
	slices.SortStableFunc(o.increments, func(a, b counted) int { return cmp.Compare(a.value, b.value) })
	slices.SortFunc(o.unknown, func(a, b *history.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var latest *counted // of lower values, the one that was called last
	distinct, repeated := int64(0), int64(0)
	for i := range o.increments {
		pace.Step()
		g := &o.increments[i]
		if i > 0 && o.increments[i-1].value == g.value {
			before := &o.increments[i-1]
			found.Add("shared-count", func() checker.Anomaly { return o.shared(before, g) })
			continue
		}
		if latest != nil && g.Return < latest.Call {
			later := latest
			found.Add("count-went-back", func() checker.Anomaly { return o.back(g, later) })
		}
		possible := sort.Search(len(o.unknown), func(k int) bool { return o.unknown[k].Call > g.Return })
		if missing := g.value - 1 - distinct; missing-int64(possible) > repeated { // one more than was told
			repeated = missing - int64(possible)
			found.Add("counted-twice", func() checker.Anomaly { return o.twice(g, missing, possible) })
		}
		distinct++
		if latest == nil || g.Call > latest.Call {
			latest = g
		}
	}
}
