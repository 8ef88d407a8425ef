package scenarios

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/go-cmp/cmp"

	"nemesis/checker"
	"nemesis/checker/linear/models"
	"nemesis/history"
)

// judge asks Porcupine.
func judge(t *testing.T, ops []history.Operation) porcupine.CheckResult {
	t.Helper()
	if err := checker.Validate(&history.Log{Operations: ops}); err != nil {
		t.Fatal(err)
	}
	kind, err := models.Find("cas-register")
	if err != nil {
		t.Fatal(err)
	}
	at := make([]*history.Operation, len(ops))
	for i := range ops {
		at[i] = &ops[i]
	}
	object, err := kind.Parse(at, models.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return porcupine.CheckOperationsTimeout(object.Model, object.Operations, 10*time.Second)
}

func TestEveryScenarioHasItsVerdictByConstruction(t *testing.T) {
	for _, r := range []Register{
		{Clients: 1, Operations: 40, Values: 1},
		{Clients: 3, Operations: 200, Values: 3},
		{Clients: 4, Operations: 200},
		{Clients: 4, Operations: 150, Values: 4, Crashed: 4},
		{Clients: 4, Operations: 200, Values: 4, Crashed: 4, Guess: true},
		{Clients: 3, Operations: 150, Crashed: 5},
	} {
		for seed := range uint64(10) {
			name := fmt.Sprintf("%+v seed %d", r, seed)
			r.Stale = false
			ops, err := r.Generate(rand.New(rand.NewPCG(seed, 1)))
			if err != nil {
				t.Fatal(err)
			}
			crashed := 0
			for _, o := range ops {
				if o.Type == history.Info {
					crashed++
				}
			}
			if len(ops) != r.Operations || crashed != r.Crashed {
				t.Errorf("%s: %d operations, %d crashed", name, len(ops), crashed)
			}
			if got := judge(t, ops); got != porcupine.Ok {
				t.Errorf("%s: valid by construction, judged %s", name, got)
			}
			if r.Values == 1 {
				continue // nothing can be gone
			}
			r.Stale = true
			if ops, err = r.Generate(rand.New(rand.NewPCG(seed, 1))); err != nil {
				t.Logf("%s: %v", name, err)
				continue
			}
			if got := judge(t, ops); got == porcupine.Ok {
				t.Errorf("%s: a violation by construction, judged %s", name, got)
			}
		}
	}
}

func TestFailedPutsInBothWaysAndBothVerdicts(t *testing.T) {
	for _, atOnce := range []bool{false, true} {
		if got := judge(t, FailedPuts(8, atOnce, false)); got != porcupine.Ok {
			t.Errorf("at once %t: valid by construction, judged %s", atOnce, got)
		}
		if got := judge(t, FailedPuts(8, atOnce, true)); got != porcupine.Illegal {
			t.Errorf("at once %t: a violation by construction, judged %s", atOnce, got)
		}
	}
}

func TestOneOfManyKeysIsViolated(t *testing.T) {
	ops, err := Keys(rand.New(rand.NewPCG(1, 1)), 5, Register{Clients: 3, Operations: 100, Stale: true})
	if err != nil {
		t.Fatal(err)
	}
	byKey := map[string][]history.Operation{}
	for _, o := range ops {
		byKey[o.Key] = append(byKey[o.Key], o)
	}
	bad := 0
	for _, part := range byKey {
		if judge(t, part) == porcupine.Illegal {
			bad++
		}
	}
	if len(ops) != 500 || len(byKey) != 5 || bad != 1 {
		t.Errorf("%d operations on %d keys, %d violated", len(ops), len(byKey), bad)
	}
}

func TestAHistoryFileOfEventsIsTheSameHistory(t *testing.T) {
	ops, err := Keys(rand.New(rand.NewPCG(3, 4)), 3, Register{Clients: 3, Operations: 60, Crashed: 5})
	if err != nil {
		t.Fatal(err)
	}
	log, err := history.Pair(Events(ops))
	if err != nil {
		t.Fatal(err)
	}
	for i := range ops { // what a file does not hold, or numbers anew
		ops[i].Index, ops[i].Completion = log.Operations[i].Index, log.Operations[i].Completion
		if ops[i].Type == history.Info {
			ops[i].End = log.Operations[i].End
		}
	}
	if diff := cmp.Diff(ops, log.Operations); diff != "" {
		t.Error(diff)
	}
}

func TestTheSameSeedIsTheSameHistory(t *testing.T) {
	r := Register{Clients: 4, Operations: 200, Values: 3, Crashed: 3, Stale: true}
	one, err := r.Generate(rand.New(rand.NewPCG(5, 6)))
	two, _ := r.Generate(rand.New(rand.NewPCG(5, 6)))
	if err != nil || cmp.Diff(one, two) != "" {
		t.Error(err, cmp.Diff(one, two))
	}
}

func TestScenarioWithoutAStaleReadIsRefused(t *testing.T) {
	if _, err := (Register{Clients: 2, Operations: 10, Values: 1, Stale: true}).Generate(rand.New(rand.NewPCG(1, 1))); err == nil {
		t.Error("a register with one value was made stale")
	}
}
