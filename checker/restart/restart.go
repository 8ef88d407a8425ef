// Package restart decides whether servers come up again once nothing holds them down.
//
// When everything is healed, a run waits until every server serves. One that has ended
// is started again, up to history.RestartAttempts times; if it ended each time, the
// history has a history.RestartFailed. That is an anomaly of class does-not-restart,
// with the end of the server's log as what it said itself.
//
// A server that runs and does not serve has another such event, when it was waited for in vain. Where
// the claim bounds recovery, and nemesis itself stood still for no more than what it waited
// beyond that bound, that is an anomaly of class does-not-serve. Where nothing is
// promised, the result is unknown: nobody knows what the run would have shown with that server.
//
// It accuses nobody when something else may be what holds the server down or ends it:
//
//   - a fault of the schedule that was injected and is not recorded as healed,
//   - a trouble of nemesis itself before that moment, such as an agent that was lost, a
//     node that could not be reached or an effect that could not be undone,
//   - fewer attempts than RestartAttempts, as in a run that was cut short.
//
// Those are counted as inconclusive.
package restart

import (
	"context"
	"fmt"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// Classes of anomalies.
const (
	NotRestarted = "does-not-restart"
	NotServing   = "does-not-serve"
)

// Checker judges whether servers came up again. Those that run are to serve within recovery; 0 promises nothing.
func Checker(recovery time.Duration) checker.Checker { return judge{recovery} }

type judge struct{ recovery time.Duration }

func (judge) Name() string { return "restart" }

func (j judge) Check(ctx context.Context, log *history.Log, _ checker.Budget) (result checker.Result) {
	result = checker.Result{Checker: "restart", Outcome: checker.Unknown}
	if !checker.Paced(ctx, func(pace *checker.Pace) { j.look(pace, log, &result) }) {
		result.Summary = "the check " + checker.Stopped(ctx)
	}
	return result
}

func (j judge) look(pace *checker.Pace, log *history.Log, result *checker.Result) {
	pace.Step()
	if err := checker.Validate(log); err != nil {
		result.Outcome, result.Summary = checker.Harness, err.Error()
		return
	}
	found := &checker.Anomalies{Worst: []checker.Class{
		{Name: NotRestarted, Breaks: []history.Model{history.Restartable}},
		{Name: NotServing, Breaks: []history.Model{history.BoundedRecovery}},
	}}
	inForce := map[int]bool{}
	troubled, inconclusive, silent := false, 0, 0
	for i := range log.Events {
		pace.Step()
		switch ev := &log.Events[i]; {
		case ev.Type == history.FaultChange && ev.Fault != nil && !ev.Fault.Skipped:
			inForce[ev.Fault.ID] = ev.Fault.Stage != history.Healed
		case ev.Type == history.Trouble:
			troubled = true
		case ev.Type == history.RestartFailed && ev.Restart != nil:
			switch {
			case troubled || anyOf(inForce):
				inconclusive++
			case ev.Restart.Waited > 0:
				began := ev.Time - int64(ev.Restart.Waited)
				waited := ev.Restart.Waited - history.Duration(checker.GapsOf(log).Within(began, ev.Time))
				if j.recovery == 0 || waited < history.Duration(j.recovery) {
					silent++
					continue
				}
				found.Add(NotServing, func() checker.Anomaly { return j.notServing(ev, waited) })
			case ev.Restart.Attempts < history.RestartAttempts:
				inconclusive++
			default:
				found.Add(NotRestarted, func() checker.Anomaly { return notRestarted(ev) })
			}
		}
	}
	if list := found.List(); len(list) > 0 {
		result.Outcome, result.Anomalies, result.Summary = checker.Violation, list, found.Summary()
		return
	}
	if silent > 0 {
		result.Summary = checker.Plural(silent, "server") + " ran and did not serve in the end, within no bound that the claim gives"
		return
	}
	result.Outcome, result.Summary = checker.Valid, "no server stayed down"
	if inconclusive > 0 {
		result.Summary = checker.Plural(inconclusive, "server") + " stayed down, and nothing shows that nemesis did not keep it there"
	}
}

func anyOf(set map[int]bool) bool {
	for _, is := range set {
		if is {
			return true
		}
	}
	return false
}

func named(ev *history.Event) string {
	return fmt.Sprintf("%s on %s", checker.Show(ev.Restart.Server), checker.Show(ev.Node))
}

func lastWords(r *history.Restart) checker.ProofStep {
	if r.LastWords == "" {
		return checker.ProofStep{Text: "Its log says nothing."}
	}
	return checker.ProofStep{Text: "Its log says: " + checker.ShowLine(r.LastWords)}
}

// undone is what both anomalies rest on.
var undone = checker.ProofStep{Text: "Every fault had been undone, and nemesis had no trouble of its own."}

// notServing tells of a server that ran in vain.
func (j judge) notServing(ev *history.Event, waited history.Duration) checker.Anomaly {
	server, why := named(ev), checker.ShowLine(ev.Restart.Unready)
	return checker.Anomaly{
		Sentence: fmt.Sprintf("The server %s ran and did not serve for %s after everything had been healed; promised are %s.",
			server, checker.Span(int64(waited)), checker.Span(int64(j.recovery))),
		Rule:        "A server that runs serves within the bound of recovery once everything is healed.",
		Unexplained: -1,
		Proof: []checker.ProofStep{
			undone,
			{Text: fmt.Sprintf("At %s %s still did not serve: it runs and %s.", checker.Moment(ev.Time), server, why)},
			lastWords(ev.Restart),
		},
	}
}

// notRestarted tells of a server that ended each time it was started.
func notRestarted(ev *history.Event) checker.Anomaly {
	r, server := ev.Restart, named(ev)
	how := fmt.Sprintf("with status %d", r.Code)
	if r.Signal != "" {
		how = "by " + checker.Show(r.Signal)
	}
	return checker.Anomaly{
		Sentence: fmt.Sprintf("The server %s did not come up again after everything had been healed, although it was started %s.",
			server, times(r.Attempts)),
		Rule: fmt.Sprintf("A server that nothing holds down comes up when it is started, at the latest when it is started for the %s time.",
			ordinal(history.RestartAttempts)),
		Unexplained: -1,
		Proof: []checker.ProofStep{
			undone,
			{Text: fmt.Sprintf("%s was started %s and ended each time, the last time %s, by %s.", server, times(r.Attempts), how, checker.Moment(ev.Time))},
			lastWords(r),
		},
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func ordinal(n int) string {
	switch n {
	case 1:
		return "first"
	case 2:
		return "second"
	case 3:
		return "third"
	}
	return fmt.Sprintf("%dth", n)
}
