package models

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/internal/fuzz"
	"nemesis/checker/linear/internal/world"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// judged is how many histories of each of so many kinds are compared.
const (
	judged, kinds = 1500, 8

	histories fuzz.Total = judged * kinds
)

// TestFuzzChecksAgainstPorcupine holds each kind's exact checks, and the engine with the
// kind's hints, to Porcupine with the same model, on histories longer than brute force
// can take.
func TestFuzzChecksAgainstPorcupine(t *testing.T) {
	if n := len(All()); n != kinds {
		t.Fatalf("there are %d kinds; bring the number up to date", n)
	}
	for _, kind := range All() {
		t.Run(kind.Name, func(t *testing.T) {
			var mutex sync.Mutex
			answers := make(map[string]*[3]int)
			n := histories.Compare(t, judged, func(first uint64, n int) error {
				for seed := first; seed < first+uint64(n); seed++ {
					found, err := compare(kind, seed)
					if err != nil {
						return fmt.Errorf("%s, seed %d: %w", kind.Name, seed, err)
					}
					mutex.Lock()
					for by, answer := range found {
						if answers[by] == nil {
							answers[by] = new([3]int)
						}
						answers[by][answer]++
					}
					mutex.Unlock()
				}
				return nil
			})
			for by, counts := range answers {
				t.Logf("%s: undecided, legal, illegal: %v", by, *counts)
				if !t.Failed() && (counts[order.Legal] < n/20 || counts[order.Illegal] < n/50) {
					t.Errorf("%s: undecided, legal, illegal: %v; the generator is not worth much", by, *counts)
				}
			}
		})
	}
}

// compare makes a history, and returns what everybody but Porcupine said about it.
func compare(kind Kind, seed uint64) (map[string]order.Answer, error) {
	r := rand.New(rand.NewPCG(seed, 9))
	ops := world.Simulate(kind.Name, r.IntN, world.Shape{
		Clients: 2 + r.IntN(2), Operations: 8 + r.IntN(16), Crash: []int{0, 12}[r.IntN(2)], Refuse: 10, Often: []int{0, 12, 25}[r.IntN(3)], Unique: r.IntN(4) > 0,
	})
	var all []*history.Operation
	for i := range ops {
		all = append(all, &ops[i])
	}
	object, err := kind.Parse(all, Options{})
	if err != nil {
		return nil, err
	}
	want := order.Illegal
	if porcupine.CheckOperations(object.Model, object.Operations) {
		want = order.Legal
	}
	answers := make(map[string]order.Answer)
	hold := func(by string, d order.Decision) error {
		answers[by] = d.Answer
		switch {
		case d.Answer == order.Undecided && d.Reason == "":
			return fmt.Errorf("%s is undecided without a reason", by)
		case d.Answer != order.Undecided && d.Answer != want:
			return fmt.Errorf("%s says %+v, Porcupine %d:\n%s", by, d, want, world.Draw(ops))
		case d.Answer == order.Legal:
			if err := order.Verify(object.Model, object.Operations, d.Order); err != nil {
				return fmt.Errorf("%s: %w\n%s", by, err, world.Draw(ops))
			}
		}
		return nil
	}
	for _, check := range object.Checks {
		if err := hold(check.Name, check.Decide(object.Operations, nil)); err != nil {
			return nil, err
		}
	}
	d := engine.Decide(context.Background(), object.Model, object.Operations, engine.Options{Hints: object.Hints})
	if d.Answer == order.Undecided {
		return nil, fmt.Errorf("the engine is undecided: %s", d.Reason)
	}
	return answers, hold("engine", d)
}
