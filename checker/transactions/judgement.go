package transactions

import (
	"context"

	"nemesis/checker"
)

// Judgement is what a checker of transactions has found, and how far it came.
type Judgement struct {
	// Anomalies are what was found.
	Anomalies []checker.Anomaly
	// Found sums them up.
	Found *checker.Anomalies
	// Done: nothing ended the check before it was through.
	Done bool
	// Doubt is what was found and could not be verified, Poisoned what the workload should not have done, such as
	// writing a value twice; "" for nothing.
	Doubt, Poisoned string
}

// Judged is a Judgement of what was found.
func Judged(found *checker.Anomalies, done bool, doubt, poisoned string) Judgement {
	return Judgement{found.List(), found, done, doubt, poisoned}
}

// Counts are how many anomalies there are of each class; nil for none.
func (j Judgement) Counts() map[string]int {
	if len(j.Anomalies) == 0 {
		return nil
	}
	counts := make(map[string]int)
	for _, a := range j.Anomalies {
		counts[a.Class] += a.Count
	}
	return counts
}

// Levels are those that the history allows and refutes; nil where not all was judged.
func (j Judgement) Levels() *Levels {
	if !j.Done || j.Poisoned+j.Doubt != "" {
		return nil
	}
	levels := LevelsOf(j.Anomalies)
	return &levels
}

// Conclude gives a result its anomalies, outcome and summary. Sound is what to say where there is nothing to say against the
// history, limits what to add to the levels where there is, "" for nothing.
func (j Judgement) Conclude(ctx context.Context, result checker.Result, sound, limits string) checker.Result {
	result.Anomalies = j.Anomalies
	trouble, outcome := "", checker.Unknown // of several troubles that of a cycle which may be missing is the worst
	add := func(text string) {
		if trouble != "" {
			trouble += "; "
		}
		trouble += text
	}
	if !j.Done {
		add("judging the transactions " + checker.Stopped(ctx))
	}
	if j.Doubt != "" {
		add(j.Doubt)
	}
	if j.Poisoned != "" {
		if trouble == "" {
			outcome = checker.Harness
		}
		add(j.Poisoned)
	}
	switch {
	case len(j.Anomalies) > 0:
		result.Outcome, result.Summary = checker.Violation, j.Found.Summary()
		if levels := j.Levels(); levels != nil {
			result.Summary += "; " + levels.String() + limits
		}
		if trouble != "" {
			result.Beside = outcome
			result.Summary += "; " + trouble
		}
	case trouble != "":
		result.Outcome, result.Summary = outcome, trouble
	default:
		result.Outcome, result.Summary = checker.Valid, sound
	}
	return result
}
