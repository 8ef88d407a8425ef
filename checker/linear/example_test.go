package linear_test

import (
	"context"
	"fmt"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear"
	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// A register that only grows, as a term or an epoch does. The model is any that was
// written for Porcupine; the hint is optional.
func ExampleCheck() {
	type raise int // input: raise to this; its answer is nothing
	type read struct{}

	model := porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, input, output any) (bool, any) {
			if to, is := input.(raise); is {
				return true, max(state.(int), int(to))
			}
			return output.(int) == state.(int), state
		},
	}
	hints := engine.Hints{ReadOnly: func(input, _ any) bool { return input == read{} }}

	operations := []porcupine.Operation{
		{ClientId: 0, Input: raise(4), Call: 0, Return: 10},
		{ClientId: 1, Input: raise(9), Call: 5, Return: history.Never}, // it timed out
		{ClientId: 2, Input: read{}, Output: 9, Call: 20, Return: 30},
		{ClientId: 2, Input: read{}, Output: 4, Call: 40, Return: 50},
	}
	for _, n := range []int{3, 4} {
		result, err := linear.Check(context.Background(), model, operations[:n], linear.Options{Hints: hints})
		if err != nil {
			fmt.Println(err)
			return
		}
		d := result.Partitions[0].Decision
		switch result.Answer {
		case order.Legal:
			fmt.Println("in this order:", d.Order)
		case order.Illegal:
			fmt.Println("nothing explains operation", d.Culprit)
		case order.Undecided:
			fmt.Println("not decided:", d.Reason)
		}
	}
	// Output:
	// in this order: [0 1 2]
	// nothing explains operation 3
}
