// Package restart decides whether servers come up again once nothing holds them down.
//
// When everything is healed, a run waits until every server serves. One that has ended
// is started again, up to history.RestartAttempts times; if it ended each time, the
// history has a history.RestartFailed. That is an anomaly of class does-not-restart,
// with the end of the server's log as what it said itself.
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

	"nemesis/checker"
	"nemesis/history"
)

// Class is the anomaly that this package finds.
const Class = "does-not-restart"

// Checker judges whether servers came up again.
func Checker() checker.Checker { return judge{} }

type judge struct{}

func (judge) Name() string { return "restart" }

func (judge) Check(ctx context.Context, log *history.Log, _ checker.Budget) (result checker.Result) {
	result = checker.Result{Checker: "restart", Outcome: checker.Unknown}
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
	found := &checker.Anomalies{Worst: []checker.Class{{Name: Class, Breaks: []history.Model{history.Restartable}}}}
	inForce := map[int]bool{}
	troubled, inconclusive := false, 0
	for i := range log.Events {
		pace.Step()
		switch ev := &log.Events[i]; {
		case ev.Type == history.FaultChange && ev.Fault != nil && !ev.Fault.Skipped:
			inForce[ev.Fault.ID] = ev.Fault.Stage != history.Healed
		case ev.Type == history.Trouble:
			troubled = true
		case ev.Type == history.RestartFailed && ev.Restart != nil:
			if troubled || anyOf(inForce) || ev.Restart.Attempts < history.RestartAttempts {
				inconclusive++
				continue
			}
			found.Add(Class, func() checker.Anomaly { return anomaly(ev) })
		}
	}
	if list := found.List(); len(list) > 0 {
		result.Outcome, result.Anomalies, result.Summary = checker.Violation, list, found.Summary()
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

// anomaly tells of a server that did not come up.
func anomaly(ev *history.Event) checker.Anomaly {
	r := ev.Restart
	server := fmt.Sprintf("%s on %s", checker.Show(r.Server), checker.Show(ev.Node))
	how := fmt.Sprintf("with status %d", r.Code)
	if r.Signal != "" {
		how = "by " + checker.Show(r.Signal)
	}
	said := "Its log says nothing."
	if r.LastWords != "" {
		said = "Its log says: " + checker.ShowLine(r.LastWords)
	}
	return checker.Anomaly{
		Sentence: fmt.Sprintf("The server %s did not come up again after everything had been healed, although it was started %s.",
			server, times(r.Attempts)),
		Rule: fmt.Sprintf("A server that nothing holds down comes up when it is started, at the latest when it is started for the %s time.",
			ordinal(history.RestartAttempts)),
		Unexplained: -1,
		Proof: []checker.ProofStep{
			{Text: "Every fault had been undone, and nemesis had no trouble of its own."},
			{Text: fmt.Sprintf("%s was started %s and ended each time, the last time %s, by %s.", server, times(r.Attempts), how, checker.Moment(ev.Time))},
			{Text: said},
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
