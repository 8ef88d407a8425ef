// Package executables judges runs of executables of the user's (workload executables): each
// is a test by itself, which says by its exit status what it found. Nothing else is known of
// what it did, so nothing is proved: it is the workload of last resort.
//
//   - 0: it found nothing wrong.
//   - 75 (EX_TEMPFAIL), or no end within its time: it could not tell, and such an operation is
//     one of unknown outcome.
//   - Any other: it found something wrong, and that is a finding.
//
// A check for the end (eventually_, finally_) that never came to an answer leaves the run
// undecided. The cost is one pass.
package executables

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"nemesis/checker"
	"nemesis/history"
)

const name = "executables"

// FailedTest is the class of what executables found.
const FailedTest = "failed-test"

// Checker judges runs of executables. final are those that must come to an answer in the end.
func Checker(final []string) checker.Checker { return executables{final} }

type executables struct{ final []string }

func (executables) Name() string { return name }

func (c executables) Check(ctx context.Context, log *history.Log, _ checker.Budget) (r checker.Result) {
	if !checker.Paced(ctx, func(pace *checker.Pace) { r = c.look(pace, log) }) {
		return checker.Result{Checker: name, Outcome: checker.Unknown, Summary: "the check " + checker.Stopped(ctx)}
	}
	return r
}

func (c executables) look(pace *checker.Pace, log *history.Log) checker.Result {
	r := checker.Result{Checker: name, Outcome: checker.Valid}
	found := map[string]*checker.Anomaly{}
	var order []string
	answered := map[string]bool{}
	pace.Step()
	for i := range log.Operations {
		pace.Step()
		o := &log.Operations[i]
		if o.F != history.FRun {
			continue
		}
		r.Operations++
		if o.Type != history.OK {
			continue
		}
		end, err := history.DecodeExitStatus(o.Output)
		if err != nil {
			r.Outcome, r.Summary = checker.Harness, fmt.Sprintf("read operation %d of the history: %v", o.Index, err)
			return r
		}
		answered[o.Key] = true
		if end.Status == 0 {
			continue
		}
		if a := found[o.Key]; a != nil {
			a.Count++
			continue
		}
		found[o.Key] = tell(*o, end)
		order = append(order, o.Key)
	}
	for _, executable := range order {
		r.Anomalies = append(r.Anomalies, *found[executable])
	}
	silent := slices.DeleteFunc(slices.Clone(c.final), func(f string) bool { return answered[f] })
	switch {
	case len(r.Anomalies) > 0:
		r.Outcome = checker.Violation
		r.Summary = fmt.Sprintf("%s found something wrong (%s)", checker.Plural(len(order), "executable"), checker.Show(strings.Join(order, ", ")))
	case len(silent) > 0:
		r.Outcome = checker.Unknown
		r.Summary = fmt.Sprintf("%s came to no answer in the end; give it more time by --op-timeout", checker.Show(strings.Join(silent, ", ")))
	default:
		r.Summary = fmt.Sprintf("%s of executables found nothing wrong", checker.Plural(r.Operations, "run"))
	}
	return r
}

// tell makes the finding of one run.
func tell(o history.Operation, end history.ExitStatus) *checker.Anomaly {
	a := checker.Tell(FailedTest, func() checker.Anomaly {
		said := "and said nothing"
		if end.Said != "" {
			said = "and said: " + checker.ShowLine(end.Said)
		}
		return checker.Anomaly{
			Key:         o.Key,
			Sentence:    fmt.Sprintf("%s ended with exit status %d at %s, %s", checker.Show(o.Key), end.Status, checker.Moment(o.Return), said),
			Rule:        "A test that belongs to the system finds nothing wrong: it ends with exit status 0, or with 75 where it cannot tell.",
			Unexplained: 0,
			Core:        []history.Operation{o},
			Proof:       []checker.ProofStep{{Text: fmt.Sprintf("Client %d started it at %s.", o.Process, checker.Moment(o.Call)), Core: []int{0}}},
		}
	})
	return &a
}
