// Package workload says what clients do to a system and how that is judged.
//
// A Workload is a pair: generators that make operations, and checkers that read
// the history of them. The two belong together, because what a checker can
// prove depends on what was asked: written values are unique, so that every read
// names the write it saw; keys are independent and short-lived, so that each has a
// history small enough to search. The operations' names and values, documented
// with each workload, are the language that a system's client must speak.
//
// A run takes a workload from All, runs Main under a time limit while faults come
// and go, heals everything, runs Final, and hands the history to Checkers:
//
//	w, err := workload.Find("register")
//	main := generator.TimeLimit(time.Minute, w.Main(plan))
package workload

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/checker/hostile"
	"nemesis/checker/liveness"
	"nemesis/checker/restart"
	"nemesis/checker/serverlog"
	"nemesis/checker/stats"
	"nemesis/history"
	"nemesis/workload/generator"
)

// Workload is what clients do and how it is judged.
type Workload struct {
	// Name is what the user types: register.
	Name string
	// Doc is one line for `nemesis list workloads`.
	Doc string
	// Main makes the operations of the run; it need not end by itself. It does not
	// keep to the plan's rate: whoever runs it does.
	Main func(history.Workload) generator.Generator
	// Final makes the reads after everything is healed; it must end by itself.
	// used are the keys the history touched (see KeysOf), in order of first use.
	Final func(plan history.Workload, used []string) generator.Generator
	// Checkers look for anomalies in the history of the workload.
	Checkers func(history.Plan) []checker.Checker
	// Operations are those that a client must speak, Optional those that are left out where it
	// does not (history.Workload.Without). None: the workload needs a client in Go.
	Operations, Optional []string
	// Models are the consistency models that they decide, the strongest first; none for a
	// workload that is about other things.
	Models []history.Model
	// Defaults for flags that the user left out; 0 means the command's own default.
	Keys      int
	OpsPerKey int
	// TTL is how long its leases last without renewal; 0 for a workload without leases.
	TTL time.Duration
	// Owners: its plan names who can own shards, which are the nodes.
	Owners bool
	// Moves: where its plan names owners, shards are moved beside its own operations.
	Moves bool
}

// All is every workload, in the order in which they are listed.
func All() []Workload {
	return []Workload{register, appends, rwRegister, bank, longFork, predicate, set, counter, queue, logs, monotonic, uniqueIDs, lease, lock, fenced, election, shards, ring, increment}
}

// Find returns the workload of that name, or an error that lists the names there are.
func Find(name string) (Workload, error) {
	var names []string
	for _, w := range All() {
		if w.Name == name {
			return w, nil
		}
		names = append(names, w.Name)
	}
	return Workload{}, fmt.Errorf("find workload %q: there is none of that name, choose one of %s", name, strings.Join(names, ", "))
}

// anyCheckers look for what can be seen in the history of any workload.
func anyCheckers(plan history.Plan) []checker.Checker {
	any := []checker.Checker{liveness.Checker(liveness.ForPlan(plan)), restart.Checker(time.Duration(plan.Claim.Bounds.Recovery)), serverlog.Checker(), stats.Stats(), stats.Availability()}
	if slices.ContainsFunc(plan.Schedule, func(s history.Step) bool { return s.Kind == history.HostileBytes }) {
		any = append(any, hostile.Checker())
	}
	return any
}

// objectModels are those that checkers of single objects decide: strict serializability of
// operations on one object each is linearizability.
var objectModels = []history.Model{history.StrictSerializable, history.Linearizable, history.StrictSerializableWrites, history.LinearizableWrites}

const (
	// finalKeys is how many keys, the ones used last, are read back at the end. A
	// long run uses thousands; the faults' effects on the early ones were seen by
	// the reads of the run itself.
	finalKeys = 50
	// finalTries is how often one final read is tried until it succeeds, and
	// finalLimit how long all of them together may take.
	finalTries = 10
	finalLimit = 30 * time.Second
)

// eachThreadReads lets every worker, and so every node, do all the operations one
// after another, each until it succeeds.
func eachThreadReads(ops []generator.Op) generator.Generator {
	var all []generator.Generator
	for _, op := range ops {
		try := generator.Repeat(finalTries, generator.Ops(op))
		all = append(all, generator.UntilOK(try))
	}
	return generator.TimeLimit(finalLimit, generator.EachThread(generator.Sequence(all...)))
}

// readEach lets every worker read each of the keys that were used last.
func readEach(_ history.Workload, used []string) generator.Generator {
	var reads []generator.Op
	for _, key := range newest(used, finalKeys) {
		reads = append(reads, generator.Op{Thread: generator.AnyThread, F: history.FRead, Key: key})
	}
	return eachThreadReads(reads)
}

// newest is the last n of keys.
func newest(keys []string, n int) []string { return keys[max(0, len(keys)-n):] }

// orDefault is n, or what the workload takes when the plan leaves it open.
func orDefault(n, byDefault int) int {
	if n > 0 {
		return n
	}
	return byDefault
}
