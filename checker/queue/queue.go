// Package queue accounts for every element of a queue: what was put into it comes out once.
//
// # Theory
//
// Count, for each element, how often it was enqueued, by acknowledged operations and by those of unknown
// outcome, and how often it was dequeued.
//
//   - unexpected-element: it was dequeued before anybody asked to enqueue it, or nobody did.
//   - aborted-element: it was dequeued, and whoever enqueued it was refused.
//   - duplicated-element: it was dequeued more often than it can have been enqueued.
//   - lost-element: it was acknowledged and never dequeued, although the queue was empty afterwards: a dequeue
//     that was invoked after the acknowledgement found nothing. A dequeue of unknown outcome may have taken one
//     element, so of the missing ones as many are excused as there were such dequeues. Where it is
//     known that the queue was drained (Options), the end of the history counts as such a dequeue.
//
// An element of an enqueue of unknown outcome that was dequeued is recovered, which is no anomaly. What was
// acknowledged and neither dequeued nor missed is left: nothing is known of it.
//
// The order of elements is not looked at; the models queue and unordered-queue decide
// linearizability. The accounting takes one pass, whatever the length of the history.
//
// Operations: F "enqueue" with the element as input, F "dequeue" with the element as output, null for
// none. Every Operation.Key is a queue of its own.
package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"nemesis/checker"
	"nemesis/checker/internal/values"
	"nemesis/history"
)

// Details is the form of Result.Details.
type Details struct {
	Attempted    int `json:"attempted"`
	Acknowledged int `json:"acknowledged"`
	Dequeued     int `json:"dequeued"`
	// Recovered elements were dequeued although nobody knew whether they had been enqueued.
	Recovered  int `json:"recovered"`
	Lost       int `json:"lost"`
	Duplicated int `json:"duplicated"`
	Unexpected int `json:"unexpected"`
	// Left were acknowledged, and neither dequeued nor missed.
	Left int `json:"left"`
}

// Options are what the history does not say.
type Options struct {
	// Drained: at the end clients dequeued until nothing was left.
	Drained bool
}

// The classes of anomalies.
const (
	Lost       = "lost-element"
	Duplicated = "duplicated-element"
	Aborted    = "aborted-element"
	Unexpected = "unexpected-element"
)

var classes = []checker.Class{
	{Name: Lost, Breaks: []history.Model{history.Linearizable}},
	{Name: Aborted, Breaks: []history.Model{history.Integrity}},
	{Name: Unexpected, Breaks: []history.Model{history.Integrity}},
	{Name: Duplicated, Breaks: []history.Model{history.Integrity}},
}

// Checker accounts for all elements.
func Checker(o Options) checker.Checker { return queue{o} }

type queue struct{ Options }

func (queue) Name() string { return "total-queue" }

func (q queue) Check(ctx context.Context, log *history.Log, _ checker.Budget) checker.Result {
	var d Details
	result := checker.Simple(ctx, q.Name(), log, classes, func(pace *checker.Pace, found *checker.Anomalies) (string, error) {
		accounts := map[string]*account{}
		var keys []string
		for i := range log.Operations {
			pace.Step()
			o := &log.Operations[i]
			a := accounts[o.Key]
			if a == nil {
				a = &account{key: o.Key, Options: q.Options}
				accounts[o.Key] = a
				keys = append(keys, o.Key)
			}
			if err := a.add(o); err != nil {
				return "", fmt.Errorf("read operation %d (%q) of the history: %w; the workload does not fit this checker", o.Index, o.F, err)
			}
		}
		for _, key := range keys {
			accounts[key].judge(pace, found, &d)
		}
		valid := fmt.Sprintf("%s acknowledged, none lost and none twice; %d dequeued, %d recovered", checker.Plural(d.Acknowledged, "element"), d.Dequeued, d.Recovered)
		if d.Left > 0 {
			valid += fmt.Sprintf("; of %d nothing is known, as nobody found the queue empty", d.Left)
		}
		return valid, nil
	})
	result.Details, _ = json.Marshal(d)
	if result.Outcome == checker.Valid && d.Left > 0 {
		result.Unread = &checker.Unread{Number: d.Left, All: d.Acknowledged,
			Text: fmt.Sprintf("nothing is known of %d of %s, which nobody dequeued before the queue was found empty", d.Left, checker.Plural(d.Acknowledged, "acknowledged element"))}
	}
	return result
}

// account is one queue.
type account struct {
	Options
	key      string
	elements values.Table
	all      []element
	empty    *history.Operation   // the dequeue that found nothing and was invoked last
	unknown  []*history.Operation // dequeues of unknown outcome
}

// element is one value that was enqueued or dequeued.
type element struct {
	enqueued []*history.Operation // in order of their calls
	dequeued []*history.Operation
}

func (a *account) add(o *history.Operation) error {
	switch o.F {
	case history.FEnqueue:
		id, err := a.elements.Number(o.Input)
		if err != nil {
			return err
		}
		a.grow(id)
		a.all[id].enqueued = append(a.all[id].enqueued, o)
	case history.FDequeue:
		switch {
		case o.Type == history.Info:
			a.unknown = append(a.unknown, o)
		case o.Type == history.OK && history.IsNull(o.Output):
			if a.empty == nil || o.Call > a.empty.Call {
				a.empty = o
			}
		case o.Type == history.OK:
			id, err := a.elements.Number(o.Output)
			if err != nil {
				return err
			}
			a.grow(id)
			a.all[id].dequeued = append(a.all[id].dequeued, o)
		}
	default:
		return fmt.Errorf("a queue knows %s and %s", history.FEnqueue, history.FDequeue)
	}
	return nil
}

func (a *account) grow(id int32) {
	for int(id) >= len(a.all) {
		a.all = append(a.all, element{})
	}
}

// judge counts every element once.
func (a *account) judge(pace *checker.Pace, found *checker.Anomalies, d *Details) {
	var missing []*history.Operation // acknowledged enqueues of what nobody got
	for id := range a.all {
		pace.Step()
		e := &a.all[id]
		possible, acknowledged := 0, 0
		var last *history.Operation // the acknowledged enqueue that returned last
		for _, o := range e.enqueued {
			d.Attempted++
			switch o.Type {
			case history.OK:
				acknowledged++
				possible++
				if last == nil || o.Return > last.Return {
					last = o
				}
			case history.Info:
				possible++
			}
		}
		d.Acknowledged += acknowledged
		d.Dequeued += len(e.dequeued)
		first := a.early(e)
		switch {
		case first != nil && possible == 0 && len(e.enqueued) > 0:
			d.Unexpected++
			found.Add(Aborted, func() checker.Anomaly { return a.aborted(e, first) })
		case first != nil:
			d.Unexpected++
			found.Add(Unexpected, func() checker.Anomaly { return a.unexpected(e, first) })
		case len(e.dequeued) > possible:
			d.Duplicated++
			found.Add(Duplicated, func() checker.Anomaly { return a.twice(e, possible) })
		case len(e.dequeued) > acknowledged:
			d.Recovered += len(e.dequeued) - acknowledged
		case len(e.dequeued) < acknowledged && a.missed(last):
			missing = append(missing, last)
		case len(e.dequeued) < acknowledged:
			d.Left++
		}
	}
	// Each dequeue of unknown outcome may have taken one of them.
	excused := 0
	for _, o := range a.unknown {
		if a.Drained || a.empty != nil && o.Call <= a.empty.Return {
			excused++
		}
	}
	if lost := len(missing) - excused; lost > 0 {
		d.Lost += lost
		slices.SortFunc(missing, func(x, y *history.Operation) int { return int(x.Index - y.Index) })
		found.AddCount(classes[0], lost, func() checker.Anomaly { return a.lost(missing, excused) })
	} else {
		d.Left += len(missing)
	}
}

// early is a dequeue that got the element before it can have been enqueued; nil for none.
func (a *account) early(e *element) *history.Operation {
	for _, got := range e.dequeued {
		possible := false
		for _, put := range e.enqueued {
			possible = possible || put.Type != history.Fail && put.Call <= got.Return
		}
		if !possible {
			return got
		}
	}
	return nil
}

// missed reports whether the queue was empty after an enqueue had been acknowledged.
func (a *account) missed(put *history.Operation) bool {
	return a.Drained || a.empty != nil && put.Return < a.empty.Call
}
