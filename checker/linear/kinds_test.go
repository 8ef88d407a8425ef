package linear

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/checker"
	"nemesis/checker/linear/internal/world"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

func pointers(ops []history.Operation) []*history.Operation {
	var all []*history.Operation
	for i := range ops {
		all = append(all, &ops[i])
	}
	return all
}

func parsed(t testing.TB, kind string, opt models.Options, ops []history.Operation) models.Object {
	t.Helper()
	k, err := models.Find(kind)
	if err != nil {
		t.Fatal(err)
	}
	object, err := k.Parse(pointers(ops), opt)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// TestVerdictsOfEveryKindAgreeWithTryingEveryOrder holds the whole way from a history
// to an anomaly to brute force, and the model alone to Porcupine.
func TestVerdictsOfEveryKindAgreeWithTryingEveryOrder(t *testing.T) {
	for _, name := range world.Kinds() {
		t.Run(name, func(t *testing.T) {
			kind, err := models.Find(name)
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(5, 6))
			illegal := 0
			const histories = 1500
			for range histories {
				ops := world.Simulate(name, r.IntN, world.Shape{Clients: 3, Operations: 3 + r.IntN(6), Crash: 4, Refuse: 8, Often: 3})
				legal := world.Legal(name, ops)
				if !legal {
					illegal++
				}
				object := parsed(t, name, models.Options{}, ops)
				if got := porcupine.CheckOperations(object.Model, object.Operations); got != legal {
					t.Fatalf("Porcupine with this model finds an order: %v, should be %v:\n%s", got, legal, world.Draw(ops))
				}
				result := Checker(kind, models.Options{}).Check(context.Background(), &history.Log{Operations: ops}, checker.Budget{})
				want := checker.Violation
				if legal {
					want = checker.Valid
				}
				if result.Outcome != want {
					t.Fatalf("judged %s (%s), should be %s:\n%s", result.Outcome, result.Summary, want, world.Draw(ops))
				}
				for _, f := range result.Anomalies {
					if world.LegalFrom(name, f.Start, f.Core) {
						t.Fatalf("the core has an order:\n%s\nof\n%s", world.Draw(f.Core), world.Draw(ops))
					}
					if f.Unexplained < 0 || f.Sentence == "" || len(f.Proof) == 0 {
						t.Fatalf("nothing is explained: %+v", f)
					}
				}
			}
			if illegal < histories/20 || illegal > histories*19/20 {
				t.Errorf("%d of %d histories have no order: too one-sided to show anything", illegal, histories)
			}
			t.Logf("%d histories, %d without an order", histories, illegal)
		})
	}
}

// TestEveryAnswerOfCheckHasItsCertificate goes through the front door for programs.
func TestEveryAnswerOfCheckHasItsCertificate(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 6))
	for n := range 2000 {
		name := world.Kinds()[n%len(world.Kinds())]
		ops := world.Simulate(name, r.IntN, world.Shape{Clients: 4, Operations: 8, Crash: 4, Often: 8})
		object := parsed(t, name, models.Options{}, ops)
		// As a stranger would: the model and the operations, and nothing else.
		result, err := Check(context.Background(), object.Model, object.Operations, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if (result.Answer == order.Legal) != world.Legal(name, ops) {
			t.Fatalf("%s: answer %d:\n%s", name, result.Answer, world.Draw(ops))
		}
		for _, p := range result.Partitions {
			if p.Decision.Answer == order.Legal {
				if err := order.Verify(object.Model, p.Operations, p.Decision.Order); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
