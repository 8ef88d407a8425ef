package ownership

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

// world writes a history down.
type world struct{ log history.Log }

func (w *world) do(process int, f, key string, kind history.Type, call, ret int64, input, output string) *history.Operation {
	o := history.Operation{
		Process: process, F: f, Key: key, Type: kind, Call: call, Return: ret, End: ret,
		Index: int64(2 * len(w.log.Operations)), Completion: int64(2*len(w.log.Operations) + 1),
		Input: json.RawMessage(input), Output: json.RawMessage(output),
	}
	if kind == history.Info {
		o.Return = history.Never
	}
	w.log.End = max(w.log.End, ret)
	w.log.Operations = append(w.log.Operations, o)
	return &w.log.Operations[len(w.log.Operations)-1]
}

// next is a process that nobody has used.
func (w *world) next() int { return 1000 + len(w.log.Operations) }

func (w *world) serve(owner, key string, epoch, call, ret int64) {
	grant, _ := json.Marshal(history.Grant{Owner: owner, Token: epoch})
	w.do(w.next(), "serve", key, history.OK, call, ret, "", string(grant))
}

func (w *world) move(to string, low, high uint64, kind history.Type, call, ret int64) {
	w.do(w.next(), "move", "", kind, call, ret, fmt.Sprintf(`{"low":%d,"high":%d,"to":%q}`, low, high, to), "")
}

// acquire grants a shard for 4 s.
func (w *world) acquire(process int, owner, key string, epoch, call, ret int64) {
	w.do(process, "acquire", key, history.OK, call, ret, "", fmt.Sprintf(`{"owner":%q,"token":%d,"ttl":4000}`, owner, epoch))
}

func (w *world) believes(process int, f, key, value string) {
	w.log.Events = append(w.log.Events, history.Event{Type: history.BeliefChange, F: f, Key: key, Process: process, Value: json.RawMessage(value)})
}

// runsFast lets the clock of n1 run at double speed.
func (w *world) runsFast(from, to int64) {
	spec := json.RawMessage(`{"change":{"of":"monotonic","rate":2}}`)
	for i, stage := range []history.Stage{history.Inject, history.Active, history.Heal, history.Healed} {
		at := []int64{from, from, to, to}[i]
		w.log.Events = append(w.log.Events, history.Event{Type: history.FaultChange, Time: at, Fault: &history.Fault{
			ID: 1, Kind: "clock-drift", Stage: stage, Nodes: []string{"n1"}, Confirmed: true,
			Effects: []history.Effect{{Node: "n1", Kind: "clock.change", Spec: spec}},
		}})
	}
}

func (w *world) done() *history.Log {
	slices.SortStableFunc(w.log.Operations, func(a, b history.Operation) int { return cmp.Compare(a.Call, b.Call) })
	slices.SortStableFunc(w.log.Events, func(a, b history.Event) int { return cmp.Compare(a.Time, b.Time) })
	return &w.log
}

func bounds() Options {
	return Options{Bounds: history.Bounds{ClockRate: 0.01, ClockOffset: -1}, TTL: 4 * time.Second}
}

func check(log *history.Log, options Options) checker.Result {
	return Checker(options).Check(context.Background(), log, checker.Budget{})
}

func classesOf(r checker.Result) []string {
	var names []string
	for _, f := range r.Anomalies {
		names = append(names, f.Class)
	}
	return names
}

func details(r checker.Result) Details {
	var d Details
	if err := json.Unmarshal(r.Details, &d); err != nil {
		panic(err)
	}
	return d
}
