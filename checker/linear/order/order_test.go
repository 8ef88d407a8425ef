package order

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/history"
)

// counter adds its input to the state and answers with the sum; a nil output is any.
var counter = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		sum := state.(int) + input.(int)
		return output == nil || output == sum, sum
	},
}

func TestAnOrderIsVerifiedByReplayingIt(t *testing.T) {
	ops := []porcupine.Operation{
		{Input: 1, Output: 1, Call: 0, Return: 2},
		{Input: 1, Output: 2, Call: 2, Return: 3},
		{Input: 5, Call: 1, Return: history.Never},
		{Input: 1, Output: 3, Call: 4, Return: 9},
	}
	for _, c := range []struct {
		name  string
		order []int
		says  string
	}{
		{"a linearization", []int{0, 1, 3}, ""},
		{"a crashed operation where it fits nobody", []int{0, 2, 1, 3}, "refuses operation 1 at position 2"},
		{"a crashed operation at the end", []int{0, 1, 3, 2}, ""},
		{"a crashed operation twice", []int{0, 1, 3, 2, 2}, "stands there twice"},
		{"one left out", []int{0, 1}, "operation 3 returned, but does not stand in the order"},
		{"one from nowhere", []int{0, 1, 3, 4}, "out of range"},
		{"one below zero", []int{-1}, "out of range"},
		{"against real time", []int{3, 0, 1}, "refuses operation 3"},
		{"nothing", nil, "operation 0 returned, but does not stand in the order"},
	} {
		t.Run(c.name, func(t *testing.T) { says(t, Verify(counter, ops, c.order), c.says) })
	}
}

func TestRealTimeCounts(t *testing.T) {
	ops := []porcupine.Operation{{Input: 1, Call: 0, Return: 2}, {Input: 1, Call: 2, Return: 3}, {Input: 1, Call: 3, Return: 4}}
	says(t, Verify(counter, ops, []int{1, 0, 2}), "") // equal times are concurrent
	says(t, Verify(counter, ops, []int{2, 0, 1}), "operation 0 at position 1 returned before one in front of it was invoked")
	says(t, Verify(counter, ops, []int{1, 2, 0}), "operation 0 at position 2 returned before one in front of it was invoked")
}

func TestAModelMayStepWithAContext(t *testing.T) {
	contextual := counter
	contextual.Step = nil
	contextual.StepContext = func(_ context.Context, state, input, output any) (bool, any) {
		return counter.Step(state, input, output)
	}
	ops := []porcupine.Operation{{Input: 1, Output: 1, Call: 0, Return: 2}}
	says(t, Verify(contextual, ops, []int{0}), "")
}

func says(t *testing.T, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("the verifier says %v, expected %q", err, want)
	}
}

// linearization is the definition, word by word.
func linearization(model porcupine.Model, ops []porcupine.Operation, order []int) bool {
	times := make([]int, len(ops))
	state := model.Init()
	for at, i := range order {
		if i < 0 || i >= len(ops) {
			return false
		}
		times[i]++
		for _, later := range order[at+1:] {
			if later >= 0 && later < len(ops) && ops[later].Return < ops[i].Call {
				return false
			}
		}
		ok, next := model.Step(state, ops[i].Input, ops[i].Output)
		if !ok {
			return false
		}
		state = next
	}
	for i := range ops {
		if times[i] > 1 || times[i] == 0 && ops[i].Return != history.Never {
			return false
		}
	}
	return true
}

// disagreement compares the verifier with the definition, on orders by moments inside of
// the operations, some of them bent.
func disagreement(rounds int) error {
	r := rand.New(rand.NewPCG(1, 2))
	right := 0
	for range rounds {
		ops := make([]porcupine.Operation, 1+r.IntN(5))
		moments := make([]int64, len(ops))
		var order []int
		for i := range ops {
			o := &ops[i]
			o.Call, o.Input = r.Int64N(12), 1+r.IntN(2)
			moments[i] = o.Call + r.Int64N(3)
			if o.Return = moments[i] + r.Int64N(3); r.IntN(5) == 0 {
				o.Return = history.Never
			}
			if o.Return != history.Never || r.IntN(2) == 0 {
				order = append(order, i)
			}
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(moments[a], moments[b]) })
		sum := 0
		for _, i := range order {
			if sum += ops[i].Input.(int); r.IntN(3) > 0 && ops[i].Return != history.Never {
				ops[i].Output = sum
			}
		}
		if len(order) > 0 && r.IntN(2) == 0 {
			a, b := r.IntN(len(order)), r.IntN(len(order))
			switch r.IntN(5) {
			case 0:
				order[a], order[b] = order[b], order[a]
			case 1:
				order = slices.Delete(order, a, a+1)
			case 2:
				order = append(order, order[a])
			case 3:
				order[a] = r.IntN(len(ops)+3) - 1
			case 4:
				ops[order[a]].Output = r.IntN(8)
			}
		}
		want := linearization(counter, ops, order)
		if want {
			right++
		}
		if err := Verify(counter, ops, order); (err == nil) != want {
			return fmt.Errorf("by the definition it is one: %t; the verifier says %v of %v in %+v", want, err, order, ops)
		}
	}
	if right < rounds/5 || right > rounds*4/5 {
		return fmt.Errorf("%d of %d orders are right; mend the generator", right, rounds)
	}
	return nil
}

func TestFuzzAgainstTheDefinition(t *testing.T) {
	if err := disagreement(20_000); err != nil {
		t.Error(err)
	}
}
