// Package serverlog makes findings of what servers say of themselves in their logs: a
// panic, a data race, a failed assertion, corrupted data.
//
// It has two halves. When a run collects the logs, a Scanner searches each of them for the
// messages of the runtimes of Go, C, C++, Rust and Java, of sanitizers, and of the system
// itself; what it finds goes into the history as events of type history.ServerComplaint. The
// checker judges those events alone, so that a recorded run is judged the same later.
//
// A message counts wherever it stands in the log, whatever faults were in force: a server
// that is cut off, killed, started again or short of time may refuse and end, and does not
// break. Three things are no findings:
//
//   - words that are not the server's own. Every pattern must fit from the first byte of a
//     line on, and a Go panic needs its stack behind it. What a client sent stands inside a
//     line, or quoted.
//   - what a server says after a fault of its disk (kinds that begin with disk). To end by
//     a panic is the right answer to a disk that fails.
//   - what a server says for lack of something that its node should have: memory, space on its disk,
//     files it may open.
//
// Lines of the last two kinds are counted as inconclusive.
//
// It does not see what a run does not collect: the middle of a log of more than 16 MiB, and
// what is said after the logs were collected.
package serverlog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"nemesis/checker"
	"nemesis/history"
)

// Name is the checker's name in verdict.json.
const Name = "server-log"

// diskFault begins the kinds of faults of disks.
const diskFault = "disk"

// Checker judges what servers said of themselves.
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

func look(pace *checker.Pace, log *history.Log, result *checker.Result) {
	pace.Step()
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return
	}
	var lines []*history.Event
	exits := map[server][]*history.Event{} // those that nemesis did not cause
	badDisk := map[string]bool{}           // nodes whose disk had a fault
	for i := range log.Events {
		pace.Step()
		switch ev := &log.Events[i]; {
		case ev.Type == history.FaultChange && ev.Fault != nil && !ev.Fault.Skipped && strings.HasPrefix(ev.Fault.Kind, diskFault):
			for _, node := range ev.Fault.Nodes {
				badDisk[node] = true
			}
		case ev.Type == history.ServerExit && ev.Exit != nil && !ev.Exit.Expected:
			who := server{ev.Node, ev.Exit.Server}
			exits[who] = append(exits[who], ev)
		case ev.Type == history.ServerComplaint && ev.Log != nil:
			lines = append(lines, ev)
		}
	}
	// Logs are collected from all nodes at once, in any order.
	slices.SortStableFunc(lines, func(a, b *history.Event) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Log.File, b.Log.File), cmp.Compare(a.Log.Line, b.Log.Line))
	})
	found := &checker.Anomalies{Worst: classes(lines)}
	inconclusive := 0
	for _, ev := range lines {
		pace.Step()
		if badDisk[ev.Node] || starved(ev.Log) {
			inconclusive++
			continue
		}
		found.Add(ev.Log.Class, func() checker.Anomaly { return anomaly(ev, exits[server{ev.Node, ev.Log.Server}]) })
	}
	if list := found.List(); len(list) > 0 {
		result.Outcome, result.Anomalies, result.Summary = checker.Violation, list, found.Summary()
		return
	}
	result.Outcome, result.Summary = checker.Valid, "no server says that it is broken"
	if inconclusive > 0 {
		result.Summary = checker.Plural(inconclusive, "message") + " of servers that they are broken came from nodes whose disk had a fault, or that had too little memory, space or files, which proves nothing"
	}
}

// lacks are what servers say when their node denies them something, in the words of the system's errors.
var lacks = []string{"no space left on device", "disk quota exceeded", "too many open files", "cannot allocate memory",
	"resource temporarily unavailable", "read-only file system", "input/output error", "failed to create new os thread"}

// starved reports whether a server complains of its node.
func starved(line *history.LogLine) bool {
	if line.Class == OutOfMemory {
		return true
	}
	return slices.ContainsFunc(append([]string{line.Text}, line.Then...), func(text string) bool {
		text = strings.ToLower(text)
		return slices.ContainsFunc(lacks, func(lack string) bool { return strings.Contains(text, lack) })
	})
}

type server struct{ node, name string }

// classes are the classes there are, the known ones worst first, and before them those that
// only a system has.
func classes(lines []*history.Event) []checker.Class {
	breaks := []history.Model{history.NoInternalError}
	order := []string{Corruption, DataRace, MemoryError, Assertion, Panic, UncaughtException}
	var own []string
	for _, ev := range lines {
		if class := ev.Log.Class; !slices.Contains(order, class) && !slices.Contains(own, class) {
			own = append(own, class)
		}
	}
	slices.Sort(own)
	var all []checker.Class
	for _, name := range append(own, order...) {
		all = append(all, checker.Class{Name: name, Breaks: breaks})
	}
	return all
}

// anomaly tells of a line of a log.
func anomaly(ev *history.Event, exits []*history.Event) checker.Anomaly {
	l := ev.Log
	who := checker.Show(cmp.Or(l.Server, l.File)) + " on " + checker.Show(ev.Node)
	what := cmp.Or(said[l.Class], checker.Show(l.Class))
	where := fmt.Sprintf("line %d of nodes/%s/%s", l.Line, checker.Show(ev.Node), checker.Show(l.File))
	when := ""
	if l.Stamp != "" {
		when = ", at or after " + checker.Show(l.Stamp) + " by its own clock"
	}
	a := checker.Anomaly{
		Sentence:    fmt.Sprintf("The log of %s tells of %s: %s", who, what, checker.ShowLine(l.Text)),
		Rule:        "A server does not break by itself, whatever happens to its network, its clock or its peers: it finds its own state sound.",
		Unexplained: -1,
		Proof:       []checker.ProofStep{{Text: fmt.Sprintf("It stands in %s%s.", where, when)}},
	}
	var then []string
	for _, line := range l.Then {
		if strings.TrimSpace(line) != "" {
			then = append(then, checker.ShowLine(line))
		}
	}
	if len(then) > 0 {
		a.Proof = append(a.Proof, checker.ProofStep{Text: "The log goes on: " + strings.Join(then, " / ")})
	}
	if l.Count > 1 {
		a.Proof = append(a.Proof, checker.ProofStep{Text: fmt.Sprintf("The log has %d messages of this class.", l.Count)})
	}
	for _, exit := range exits[:min(1, len(exits))] {
		how := fmt.Sprintf("with status %d", exit.Exit.Code)
		if exit.Exit.Signal != "" {
			how = "by " + checker.Show(exit.Exit.Signal)
		}
		a.Proof = append(a.Proof, checker.ProofStep{Text: fmt.Sprintf("%s ended by itself at %s, %s.", who, checker.Moment(exit.Time), how)})
	}
	return a
}
