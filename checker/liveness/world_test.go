package liveness

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

const s = int64(1e9)

// world writes a history down, in seconds.
type world struct {
	log  history.Log
	next int // the next process that nobody has used
}

// do records one operation. An info one ends when its client gave it up.
func (w *world) do(node, f string, kind history.Type, call, end int64) *history.Operation {
	w.next++
	return w.by(w.next, node, f, kind, call, end)
}

func (w *world) by(process int, node, f string, kind history.Type, call, end int64) *history.Operation {
	o := history.Operation{
		Process: process, Node: node, F: f, Type: kind, Call: call, Return: end, End: end,
		Index: int64(2 * len(w.log.Operations)), Completion: int64(2*len(w.log.Operations) + 1),
	}
	if kind == history.Info {
		o.Return, o.Error = history.Never, "timed out"
	}
	if kind == history.Fail {
		o.Error = "connection refused"
	}
	w.log.End = max(w.log.End, end)
	w.log.Operations = append(w.log.Operations, o)
	return &w.log.Operations[len(w.log.Operations)-1]
}

// works lets clients of a node do f twice a second from one moment to another, each
// time with success, or in vain.
func (w *world) works(node, f string, kind history.Type, from, to int64) {
	for at := from; at < to; at += s / 2 {
		w.do(node, f, kind, at, min(at+s/10, to))
	}
}

// ours lets clients of a node try to do f twice a second, and fail for a cause of ours.
func (w *world) ours(node, f string, cause history.Cause, from, to int64) {
	for at := from; at < to; at += s / 2 {
		w.do(node, f, history.Fail, at, min(at+s/1000, to)).Cause = cause
	}
}

// fault records all stages of one fault.
func (w *world) fault(id int, kind string, nodes []string, begin, healed int64) *history.Fault {
	f := &history.Fault{ID: id, Kind: kind, Nodes: nodes, Confirmed: true}
	for _, at := range []struct {
		stage history.Stage
		time  int64
	}{{history.Inject, begin}, {history.Active, begin}, {history.Heal, healed - s/10}, {history.Healed, healed}} {
		copied := *f
		copied.Stage = at.stage
		w.event(history.Event{Type: history.FaultChange, Time: at.time, Fault: &copied})
	}
	return w.log.Events[len(w.log.Events)-1].Fault
}

// observed is fault for one that was seen in force from one moment to another, all of it,
// and that something else undid, which was seen at ended; 0 when nothing did.
func (w *world) observed(kind string, nodes []string, begin, healed, seenFrom, seenUntil, ended int64) {
	w.fault(1, kind, nodes, begin, healed)
	for _, ev := range w.log.Events {
		if f := ev.Fault; f != nil && f.ID == 1 {
			if f.Stage == history.Heal {
				f.SeenFrom, f.SeenUntil = seenFrom, seenUntil
				f.Confirmed = seenUntil >= healed-s
			}
			if f.Stage == history.Heal || f.Stage == history.Healed {
				f.Ended = ended
			}
			if kind == "partition" {
				for _, other := range five[len(nodes):] {
					for _, n := range nodes {
						f.Links = append(f.Links, history.Link{From: n, To: other}, history.Link{From: other, To: n})
					}
				}
			}
		}
	}
}

func (w *world) event(ev history.Event) {
	w.log.End = max(w.log.End, ev.Time)
	w.log.Events = append(w.log.Events, ev)
}

func (w *world) phase(name string, at int64) {
	w.event(history.Event{Type: history.PhaseChange, Time: at, Message: name})
}

func (w *world) stall(from, to int64) {
	w.event(history.Event{Type: history.Stall, Time: to, Value: json.RawMessage(fmt.Sprint(to - from))})
}

// done sorts what was written down.
func (w *world) done() *history.Log {
	slices.SortStableFunc(w.log.Operations, func(a, b history.Operation) int { return cmp.Compare(a.Call, b.Call) })
	slices.SortStableFunc(w.log.Events, func(a, b history.Event) int { return cmp.Compare(a.Time, b.Time) })
	return &w.log
}

// five are the nodes of most stories; bounds of ten seconds hold them.
var five = []string{"n1", "n2", "n3", "n4", "n5"}

func ten() Options {
	return Options{
		Bounds: history.Bounds{Recovery: history.Duration(10 * time.Second), Outage: history.Duration(10 * time.Second),
			Handover: history.Duration(10 * time.Second), ClockRate: 0.01},
		TTL: 4 * time.Second, OpTimeout: 2 * time.Second, Nodes: five,
	}
}

func check(log *history.Log, options Options) (checker.Result, Details) {
	r := Checker(options).Check(context.Background(), log, checker.Budget{})
	var d Details
	if err := json.Unmarshal(r.Details, &d); err != nil {
		panic(fmt.Sprintf("%s: %s: %s", r.Outcome, r.Summary, err))
	}
	return r, d
}

// classesOf are the classes of the anomalies, worst first.
func classesOf(r checker.Result) []string {
	var names []string
	for _, f := range r.Anomalies {
		names = append(names, f.Class)
	}
	return names
}
