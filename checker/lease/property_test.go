package lease

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"nemesis/checker"
)

// executions is how many a property is tried with; NEMESIS_EXECUTIONS asks for more.
func executions(t *testing.T) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv("NEMESIS_EXECUTIONS")); err == nil {
		return n
	}
	if testing.Short() {
		return 300
	}
	return 1500
}

func judgeWorld(w *world) checker.Result {
	return Checker(w.o).Check(context.Background(), w.log(), checker.Budget{})
}

func classesOf(r checker.Result) map[string]bool {
	found := make(map[string]bool)
	for _, f := range r.Findings {
		found[f.Class] = true
	}
	return found
}

func TestNoAlarmOnCorrectServices(t *testing.T) {
	outcomes := make(map[checker.Outcome]int)
	for n := range executions(t) {
		w := simulate(rand.New(rand.NewPCG(1, uint64(n))), "")
		r := judgeWorld(w)
		outcomes[r.Outcome]++
		if r.Outcome != checker.Valid && r.Outcome != checker.Vacuous {
			t.Fatalf("execution %d: %s: %s\n%v", n, r.Outcome, r.Summary, r.Findings[0].Proof)
		}
		if naive := w.refutable(); len(naive) > 0 {
			t.Fatalf("execution %d: the naive judge finds %v", n, naive)
		}
	}
	t.Log(outcomes)
	if outcomes[checker.Vacuous] > outcomes[checker.Valid]/10 {
		t.Errorf("too many executions test nothing: %v", outcomes)
	}
}

func TestNoAlarmWhateverRapidThinksOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		w := simulate(rand.New(rand.NewPCG(2, seed)), "")
		if r := judgeWorld(w); len(r.Findings) > 0 || r.Outcome == checker.Harness {
			t.Fatalf("%s: %s", r.Outcome, r.Summary)
		}
	})
}

func TestEverySeededViolationThatCanBeRefutedIsFound(t *testing.T) {
	for _, class := range []string{"two-holders", "early-expiry", "deposed-renewal", "resurrection", "token-reused",
		"token-order", "stale-write-accepted", "epoch-conflict", "stale-read", "overstay"} {
		t.Run(class, func(t *testing.T) {
			seeded, refutable, silent := 0, 0, 0
			for n := range executions(t) / 5 { // of each class
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
				// One fact can be told in several classes; of the seeded one the checker is
				// to find its own.
				names := class == "token-reused" || class == "token-order"
				if want[class] && !got[class] || len(want) > 0 && len(got) == 0 && !names {
					t.Fatalf("execution %d: the naive judge finds %v, the checker %v", n, want, got)
				}
				if len(want) == 0 {
					silent++
					// A token that is given out twice makes the second grant look like the first
					// come back, even where nobody was told of the second.
					if len(got) > 0 && !names && !(class == "overstay" && got["overstay"]) {
						t.Fatalf("execution %d: the naive judge finds nothing, the checker %v\n%v", n, got, r.Findings[0].Proof)
					}
				}
			}
			t.Logf("%d seeded, %d refutable as such, %d not at all", seeded, refutable, silent)
			if refutable == 0 {
				t.Errorf("the generator never makes a violation that can be refuted")
			}
		})
	}
}
