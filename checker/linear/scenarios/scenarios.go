// Package scenarios makes histories of known verdict, to measure and to test
// checkers with.
//
// Clients are simulated in three steps. First every operation gets an interval
// and, within it, the moment of its effect (register.go). Then effects are applied
// in the order of moments, which gives every answer; so the order of moments is a
// linear order, and the history is valid by construction. Last, where a violation
// is asked for, one read late in the history is made to answer with a value
// that is certainly gone: all that could leave it behind had returned before some
// other write was invoked, and that had returned before the read was (stale.go).
// So the history is a violation by construction too.
//
//	rng := rand.New(rand.NewPCG(1, 2))
//	operations, err := scenarios.Register{Clients: 5, Operations: 1000, Values: 5}.Generate(rng)
//
// FailedPuts makes the histories that many writes of unknown outcome leave, and Keys
// one of many registers at once. Everything follows from the seed.
package scenarios

import (
	"cmp"
	"encoding/json"
	"slices"

	"nemesis/history"
)

// Events are the events of operations, in order of time, for a history file. Where an
// invocation and a completion fall on the same moment, the invocation comes first, as
// such operations are concurrent. Operations that never returned have no completion.
func Events(ops []history.Operation) []history.Event {
	events := make([]history.Event, 0, 2*len(ops))
	for i := range ops {
		o := &ops[i]
		ev := history.Event{Time: o.Call, Type: history.Invoke, Process: o.Process, F: o.F, Key: o.Key, Value: o.Input}
		events = append(events, ev)
		if o.Return != history.Never {
			ev.Time, ev.Type, ev.Value = o.Return, o.Type, o.Output
			events = append(events, ev)
		}
	}
	slices.SortStableFunc(events, func(a, b history.Event) int {
		if d := cmp.Compare(a.Time, b.Time); d != 0 {
			return d
		}
		return cmp.Compare(rank(a.Type), rank(b.Type))
	})
	for i := range events {
		events[i].Index = int64(i)
	}
	return events
}

func rank(t history.Type) int {
	if t == history.Invoke {
		return 0
	}
	return 1
}

// number sorts operations by call and gives them indexes.
func number(ops []history.Operation) []history.Operation {
	slices.SortStableFunc(ops, func(a, b history.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for i := range ops {
		ops[i].Index, ops[i].Completion = int64(2*i), int64(2*i+1)
		if ops[i].Type == history.Info {
			ops[i].Completion = -1
		}
	}
	return ops
}

// value is a register's value as JSON; 0 is the initial null.
func value(v int) json.RawMessage {
	if v == 0 {
		return history.EncodeNull()
	}
	return history.EncodeInt(int64(v))
}
