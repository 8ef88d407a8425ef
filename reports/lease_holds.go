package reports

import (
	"encoding/json"
	"sort"

	"nemesis/checker"
	"nemesis/history"
)

// holdSpan is a stretch of time in which a client acted as the holder of a resource, as it
// believed itself, or else from the answer to its acquire to its release.
type holdSpan struct {
	process  int
	token    int64
	from, to int64  // to is history.Never when nobody told its end
	end      string // how it ended, "" when nobody told
}

// resourceHistory is what the history tells of one resource: who held it and who tried to.
type resourceHistory struct {
	holdSpans []holdSpan
	// operations are the operations on the resource, by Call.
	operations []history.Operation
	// renewed are the acknowledged renewals in the background.
	renewed []notice
	// gone are the moments at which somebody who watches saw a client's grant disappear.
	gone  []notice
	nodes map[int]string // whom each client talks to
}

// notice is something that a client learned, or did, besides its operations.
type notice struct {
	process int
	at      int64
}

// resourceHistoryOf reads what the history tells of a finding's resource up to a time.
// Without a history it uses the finding's own operations.
func resourceHistoryOf(f checker.Anomaly, log *history.Log, until int64) resourceHistory {
	t := resourceHistory{nodes: map[int]string{}}
	if log == nil {
		for _, op := range append(append([]history.Operation(nil), f.Core...), f.Around...) {
			if op.Index >= 0 {
				t.operations = append(t.operations, op)
			}
		}
		sort.SliceStable(t.operations, func(i, j int) bool { return t.operations[i].Call < t.operations[j].Call })
	} else {
		for i := range log.Operations {
			op := &log.Operations[i]
			if op.Call > until {
				break
			}
			if op.Key == f.Key {
				t.operations = append(t.operations, *op)
			}
		}
		t.readBeliefs(f.Key, log.Events)
	}
	for _, op := range t.operations {
		t.nodes[op.Process] = op.Node
	}
	if len(t.holdSpans) == 0 {
		t.readGrants()
	}
	return t
}

func (t *resourceHistory) readBeliefs(key string, events []history.Event) {
	open := map[int]int{}
	for i := range events {
		ev := &events[i]
		// Who keeps a session alive tells of no key: it is about all that the client holds.
		if ev.Type != history.BeliefChange || ev.Key != key && (ev.Key != "" || ev.F == history.BeliefEnter) {
			continue
		}
		b, err := history.DecodeBelief(ev.Value)
		if err != nil {
			continue
		}
		if ev.Key == key {
			t.nodes[ev.Process] = ev.Node
		}
		end := func(how string) {
			if at, is := open[ev.Process]; is {
				t.holdSpans[at].to, t.holdSpans[at].end = b.At, how
				delete(open, ev.Process)
			}
		}
		switch ev.F {
		case history.BeliefEnter:
			end("began anew")
			open[ev.Process] = len(t.holdSpans)
			t.holdSpans = append(t.holdSpans, holdSpan{process: ev.Process, token: b.Token, from: b.At, to: history.Never})
		case history.BeliefExit:
			end("stopped")
		case history.BeliefLost:
			end("told of the loss")
		case history.BeliefRenewed:
			if b.Sent > 0 {
				t.renewed = append(t.renewed, notice{ev.Process, b.Sent})
			}
		case history.BeliefGone:
			t.gone = append(t.gone, notice{ev.Process, b.At})
		}
	}
}

// readGrants is for clients that tell no beliefs.
func (t *resourceHistory) readGrants() {
	open := map[int]int{}
	for _, op := range t.operations {
		switch at, is := open[op.Process]; {
		case op.F == history.FAcquire && op.Type == history.OK:
			open[op.Process] = len(t.holdSpans)
			t.holdSpans = append(t.holdSpans, holdSpan{process: op.Process, token: grantIn(op.Output).Token, from: op.Return, to: history.Never})
		case op.F == history.FRelease && op.Type != history.Fail && is:
			t.holdSpans[at].to, t.holdSpans[at].end = op.Call, "gave it up"
			delete(open, op.Process)
		}
	}
}

// grantIn is the grant that a value tells, empty when it tells none.
func grantIn(raw json.RawMessage) history.Grant {
	g, _ := history.DecodeGrant(raw)
	return g
}

// within are the holds that touch [from, to].
func (t *resourceHistory) within(from, to int64) []holdSpan {
	var in []holdSpan
	for _, x := range t.holdSpans {
		if x.from <= to && x.to >= from {
			in = append(in, x)
		}
	}
	return in
}

// lanes are the clients to draw, most telling first: those of the finding, those who
// held it, those who tried; lost is how many more tried.
func (t *resourceHistory) lanes(f checker.Anomaly, from, to int64) (processes []int, lost int) {
	known := map[int]bool{}
	add := func(process int) {
		if known[process] {
			return
		}
		known[process] = true
		if len(processes) == mostLanes {
			lost++
			return
		}
		processes = append(processes, process)
	}
	for _, h := range f.Holds {
		add(h.Process)
	}
	for _, op := range f.Core {
		add(op.Process)
	}
	for _, x := range t.within(from, to) {
		add(x.process)
	}
	for _, op := range t.operations {
		if op.F == history.FAcquire && op.Call <= to && finish(op) >= from {
			add(op.Process)
		}
	}
	return processes, lost
}
