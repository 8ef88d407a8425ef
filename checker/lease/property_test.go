package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"nemesis/checker"
	tried "nemesis/checker/internal/executions"
)

// executions is how many a property is tried with; NEMESIS_EXECUTIONS asks for more.
func executions(t *testing.T) int {
	t.Helper()
	if testing.Short() {
		return tried.Count(300)
	}
	return tried.Count(1500)
}

func judgeWorld(w *world) checker.Result {
	return Checker(w.o).Check(context.Background(), w.log(), checker.Budget{})
}

func classesOf(r checker.Result) map[string]bool {
	found := make(map[string]bool)
	for _, f := range r.Anomalies {
		found[f.Class] = true
	}
	return found
}

func TestNoAlarmOnCorrectServices(t *testing.T) {
	if err := noAlarm(executions(t)); err != nil {
		t.Error(err)
	}
}

// noAlarm says on which correct execution the checker raises an alarm.
func noAlarm(executions int) error {
	valid := 0
	for n := range executions {
		w := simulate(rand.New(rand.NewPCG(1, uint64(n))), "")
		r := judgeWorld(w)
		switch r.Outcome {
		case checker.Valid:
			valid++
		case checker.Vacuous:
		default:
			return fmt.Errorf("execution %d: %s: %s\n%+v", n, r.Outcome, r.Summary, r.Anomalies)
		}
		// The naive judge is slow, and here only to be judged itself.
		if naive := w.refutable(); n < 1000 && len(naive) > 0 {
			return fmt.Errorf("execution %d: the naive judge finds %v", n, naive)
		}
	}
	if valid < executions*9/10 {
		return fmt.Errorf("only %d of %d executions test anything", valid, executions)
	}
	return nil
}

func TestNoAlarmOnRandomCorrectExecutions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		w := simulate(rand.New(rand.NewPCG(2, seed)), "")
		if r := judgeWorld(w); len(r.Anomalies) > 0 || r.Outcome == checker.Harness {
			t.Fatalf("%s: %s", r.Outcome, r.Summary)
		}
	})
}

// seeds are the violations that the simulator can commit.
var seeds = []string{"two-holders", "early-expiry", "deposed-renewal", "resurrection", "token-reused",
	"token-order", "stale-write-accepted", "epoch-conflict", "stale-read", "overstay"}

func TestEverySeededViolationThatCanBeRefutedIsFound(t *testing.T) {
	for _, class := range seeds {
		t.Run(class, func(t *testing.T) {
			told, err := everySeeded(class, executions(t)/5)
			t.Log(told)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// alike are classes that tell the same fact where several operations show it: a hold that
// was over in the sight of another, renewed or looked at again.
var alike = map[string][]string{
	"two-holders":     {"deposed-renewal"},
	"deposed-renewal": {"two-holders", "early-expiry"},
	"resurrection":    {"stale-read"},
}

// everySeeded says on which execution with one violation the checker and the naive judge
// do not agree.
func everySeeded(class string, executions int) (summary string, err error) {
	seeded, refutable, silent := 0, 0, 0
	for n := range executions {
		w := simulate(rand.New(rand.NewPCG(3, uint64(n))), class)
		if w.seed == class {
			continue // there was no opportunity
		}
		seeded++
		r := judgeWorld(w)
		got, want := classesOf(r), w.refutable()
		if want[class] {
			refutable++
		}
		// One fact can be told in several classes; of the seeded one the checker is to
		// find its own, or one that is alike. A token that is given out twice makes the
		// second grant look like the first come back, even where nobody was told of the
		// second.
		// Two holders of whom the first could also renew later are told by either fact.
		if class == "two-holders" && got["deposed-renewal"] {
			got[class] = true
		}
		names := class == "token-reused" || class == "token-order"
		told := got[class] || slices.ContainsFunc(alike[class], func(c string) bool { return got[c] })
		if want[class] && !told || len(want) > 0 && len(got) == 0 && !names {
			return "", fmt.Errorf("execution %d: the naive judge finds %v, the checker %v", n, want, got)
		}
		if len(want) == 0 {
			silent++
			// To find what was really done where the naive judge gives up is no alarm.
			if len(got) > 0 && !names && !got[class] {
				return "", fmt.Errorf("execution %d: the naive judge finds nothing, the checker %v\n%v", n, got, r.Anomalies[0].Proof)
			}
		}
	}
	summary = fmt.Sprintf("%d seeded, %d refutable as such, %d not at all", seeded, refutable, silent)
	if refutable == 0 {
		return summary, errors.New("the generator never makes a violation that can be refuted")
	}
	return summary, nil
}
