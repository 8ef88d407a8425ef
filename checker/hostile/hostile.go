// Package hostile judges whether servers bore what no client of theirs sends: faults of kind
// history.HostileBytes.
//
// A server may refuse such input and close the connection. It must not end. So an exit that nemesis
// did not cause is an anomaly of class ends-on-input if, when it happened, such a fault was in force on
// its node and shown by evidence, and no other fault was in force on that node that may end a server. That
// a server stops answering others is for package liveness, and that it never serves again for package
// restart; that it forgets is for the checkers of the workload, which judge with this fault as with any other.
//
// It accuses nobody when the kernel killed the server (SIGKILL): for want of memory, it may be, and the
// machine may have too little. Such exits are told as inconclusive.
package hostile

import (
	"context"
	"fmt"

	"nemesis/checker"
	"nemesis/history"
)

// Name is the checker's name in verdict.json.
const Name = "hostile-input"

// Class is the anomaly that it finds.
const Class = "ends-on-input"

// Checker judges the exits of servers.
func Checker() checker.Checker { return judge{} }

type judge struct{}

func (judge) Name() string { return Name }

func (judge) Check(ctx context.Context, log *history.Log, _ checker.Budget) (result checker.Result) {
	result = checker.Result{Checker: Name, Outcome: checker.Unknown}
	if !checker.Paced(ctx, func(pace *checker.Pace) { look(pace, log, &result) }) {
		result.Summary = "the check " + checker.Stopped(ctx)
	}
	return result
}

// after is how long after the heal an exit still counts: a server may end late of what it read.
const after = int64(1e9)

// force is the time in which a fault may have acted.
type force struct {
	kind      string
	nodes     map[string]bool
	from, to  int64
	confirmed bool
	text      string
}

func look(pace *checker.Pace, log *history.Log, result *checker.Result) {
	pace.Step()
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return
	}
	faults := map[int]*force{}
	var exits []*history.Event
	for i := range log.Events {
		pace.Step()
		switch ev := &log.Events[i]; {
		case ev.Type == history.FaultChange && ev.Fault != nil && !ev.Fault.Skipped:
			f := faults[ev.Fault.ID]
			if f == nil {
				f = &force{kind: ev.Fault.Kind, nodes: map[string]bool{}, from: ev.Time, to: history.Never, text: ev.Fault.Description}
				faults[ev.Fault.ID] = f
			}
			for _, node := range ev.Fault.Nodes {
				f.nodes[node] = true
			}
			switch ev.Fault.Stage {
			case history.Active, history.Heal:
				f.confirmed = f.confirmed || ev.Fault.Confirmed
			case history.Healed:
				f.to = ev.Time
			}
		case ev.Type == history.ServerExit && ev.Exit != nil && !ev.Exit.Expected:
			exits = append(exits, ev)
		}
	}
	found := &checker.Anomalies{Worst: []checker.Class{{Name: Class, Breaks: []history.Model{history.NoInternalError}}}}
	inconclusive := 0
	for _, ev := range exits {
		pace.Step()
		var input *force
		others := false
		for _, f := range faults {
			switch {
			case !f.nodes[ev.Node] || f.from > ev.Time:
			case f.kind != history.HostileBytes:
				others = others || f.to == history.Never || f.to+after >= ev.Time
			case f.confirmed && (f.to == history.Never || f.to+after >= ev.Time) && (input == nil || f.from > input.from):
				input = f
			}
		}
		switch {
		case input == nil:
		case others || ev.Exit.Signal == "SIGKILL" || ev.Exit.Signal == "unknown":
			inconclusive++
		default:
			found.Add(Class, func() checker.Anomaly { return anomaly(ev, input) })
		}
	}
	if list := found.List(); len(list) > 0 {
		result.Outcome, result.Anomalies, result.Summary = checker.Violation, list, found.Summary()
		return
	}
	result.Outcome, result.Summary = checker.Valid, "no server ended of hostile input"
	if inconclusive > 0 {
		result.Summary = checker.Plural(inconclusive, "server") + " ended under hostile input, and something else may have ended them"
	}
}

func anomaly(ev *history.Event, f *force) checker.Anomaly {
	how := fmt.Sprintf("with status %d", ev.Exit.Code)
	if ev.Exit.Signal != "" {
		how = "by " + checker.Show(ev.Exit.Signal)
	}
	server := fmt.Sprintf("%s on %s", checker.Show(ev.Exit.Server), checker.Show(ev.Node))
	proof := []checker.ProofStep{
		{Text: fmt.Sprintf("From %s on: %s.", checker.Moment(f.from), checker.ShowLine(f.text))},
		{Text: fmt.Sprintf("At %s %s ended by itself, %s. No other fault was in force there.", checker.Moment(ev.Time), server, how)},
	}
	return checker.Anomaly{
		Sentence:    fmt.Sprintf("The server %s ended, %s, while it was sent input that is none of its protocol.", server, how),
		Rule:        "A server bears whatever arrives at its ports: it may close the connection, and it does not end.",
		Unexplained: -1,
		Proof:       proof,
	}
}
