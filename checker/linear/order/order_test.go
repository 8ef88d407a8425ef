package order

import (
	"context"
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
