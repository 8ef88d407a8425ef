package linear

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/internal/brute"
	"nemesis/checker/linear/internal/world"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// certified says what is wrong with the core of a partition, by the definition.
func certified(model porcupine.Model, p Partition, core Core) error {
	if !core.Confirmed || len(core.At) != len(core.Operations) {
		return fmt.Errorf("not confirmed: %+v", core)
	}
	for i, at := range core.At {
		got, is := core.Operations[i], p.Operations[at]
		if got.Return == history.Never {
			is.Return = history.Never
		}
		if got.Call != is.Call || got.Return != is.Return || got.Input != is.Input || got.Output != is.Output {
			return fmt.Errorf("operation %d of the core is %+v, was %+v", i, got, is)
		}
	}
	starts := core.States
	if starts == nil {
		starts = []any{model.Init()}
	}
	for _, state := range starts {
		model.Init = func() any { return state }
		if brute.Legal(model, core.Operations) {
			return fmt.Errorf("the core has an order from %v: %+v", state, core)
		}
	}
	return nil
}

func TestEveryViolationOfCheckCanBeProved(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 7))
	proved := make(map[string]int)
	for n := range 1400 {
		name := world.Kinds()[n%len(world.Kinds())]
		ops := world.Simulate(name, r.IntN, world.Shape{Clients: 4, Operations: 10, Crash: 4, Often: 6})
		object := parsed(t, name, models.Options{}, ops)
		opt := Options{}
		if n%2 == 0 {
			opt = Options{Hints: object.Hints, Checks: object.Checks}
		}
		result, err := Check(context.Background(), object.Model, object.Operations, opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range result.Partitions {
			core, err := Prove(context.Background(), object.Model, p, opt)
			if p.Decision.Answer != order.Illegal {
				if err == nil || !strings.Contains(err.Error(), "nothing to prove") {
					t.Fatalf("a legal partition: %v", err)
				}
				continue
			}
			if err == nil {
				err = certified(object.Model, p, core)
			}
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, world.Draw(ops))
			}
			proved[name]++
		}
	}
	if len(proved) < len(world.Kinds()) {
		t.Errorf("proved %v; mend the generator", proved)
	}
}

func TestProveRejectsAWrongDecision(t *testing.T) {
	defective := Options{Checks: []models.Check{{Name: "defective", Decide: func([]porcupine.Operation, func() bool) order.Decision {
		return order.Decision{Answer: order.Illegal, Culprit: -1}
	}}}}
	ops := shelved(4)
	result, err := Check(context.Background(), shelf, ops, defective)
	if err != nil || result.Answer != order.Illegal {
		t.Fatalf("answer %d, %v", result.Answer, err)
	}
	if _, err := Prove(context.Background(), shelf, result.Partitions[0], defective); err == nil || !strings.Contains(err.Error(), "defective found no order where Porcupine finds one") {
		t.Error(err)
	}
}
