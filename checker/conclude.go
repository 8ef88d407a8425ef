package checker

import (
	"context"

	"nemesis/history"
)

// Simple runs a check that is one pass over a history: it validates the history, looks for anomalies
// at a pace, and concludes. look returns the sentence for a history without any; its error says what makes no
// sense for this checker. Anomalies found outlive whatever stopped it.
func Simple(ctx context.Context, name string, log *history.Log, worst []Class, look func(*Pace, *Anomalies) (string, error)) Result {
	result := Result{Checker: name, Outcome: Unknown, Operations: len(log.Operations)}
	if err := Validate(log); err != nil {
		result.Outcome, result.Summary = Harness, err.Error()
		return result
	}
	found := &Anomalies{Worst: worst}
	var valid string
	var err error
	finished := Paced(ctx, func(pace *Pace) { valid, err = look(pace, found) })
	list := found.List()
	switch {
	case len(list) > 0:
		result.Outcome, result.Anomalies, result.Summary = Violation, list, found.Summary()
		switch {
		case !finished:
			result.Beside = Unknown
			result.Summary += "; the check " + Stopped(ctx)
		case err != nil:
			result.Beside = Harness
			result.Summary += "; " + err.Error()
		}
	case !finished:
		result.Summary = "the check " + Stopped(ctx)
	case err != nil:
		result.Outcome, result.Summary = Harness, err.Error()
	default:
		result.Outcome, result.Summary = Valid, valid
	}
	return result
}
