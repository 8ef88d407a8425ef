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

// A violation among many operations, and the few of them that prove it.
func ExampleProve() {
	model := porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, input, output any) (bool, any) {
			if to, is := input.(int); is { // a write
				return true, to
			}
			return output == state, state
		},
	}
	var operations []porcupine.Operation
	for i := range 100 {
		at := int64(i) * 10
		operations = append(operations, porcupine.Operation{Input: i, Call: at, Return: at + 5})
	}
	operations = append(operations, porcupine.Operation{ClientId: 1, Input: "read", Output: 97, Call: 2000, Return: 2010})

	ctx := context.Background()
	result, err := linear.Check(ctx, model, operations, linear.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	core, err := linear.Prove(ctx, model, result.Partitions[0], linear.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("states when the core begins:", core.States)
	for _, op := range core.Operations {
		fmt.Println(op.Input, "returned", op.Output)
	}
	fmt.Println("Porcupine finds no order either:", core.Confirmed)
	// Output:
	// states when the core begins: [99]
	// read returned 97
	// Porcupine finds no order either: true
}
