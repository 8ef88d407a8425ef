package linear

import (
	"context"
	"sort"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/order"
)

// Bounds of what is tried to tell what the culprit could have found: more states than
// a sentence can hold are not worth finding.
const (
	mostArrangements = 4096
	mostStates       = 16
)

// before tells, in words, the states in which the operation at x can have found the
// object, given the others; nil when there are too many ways to tell. Every state that
// some arrangement of the others leads to is tried as what a read in x's place saw.
func (s *subject) before(ctx context.Context, ops []porcupine.Operation, x int) []string {
	candidates := s.reachable(ops, x)
	if candidates == nil {
		return nil
	}
	type found struct{ state any }
	equal := s.equal()
	model := s.model
	step := model.Step
	model.Step = func(state, input, output any) (bool, any) {
		if f, is := input.(found); is {
			return equal(state, f.state), state
		}
		return step(state, input, output)
	}
	trial := append([]porcupine.Operation(nil), ops...)
	texts := make(map[string]bool)
	for _, state := range candidates {
		trial[x].Input, trial[x].Output = found{state}, nil
		switch ask(model, trial, newLeash(ctx, len(trial), 100_000)).Answer {
		case order.Undecided:
			return nil
		case order.Legal:
			texts[s.describeState(state)] = true
		}
	}
	if len(texts) > mostStates {
		return nil
	}
	var all []string
	for text := range texts {
		all = append(all, text)
	}
	sort.Strings(all)
	return all
}

// reachable are the different states that arrangements of the operations but x lead to,
// in which all is done that returned before x was called.
func (s *subject) reachable(ops []porcupine.Operation, x int) []any {
	if len(ops) > 64 {
		return nil
	}
	must := uint64(0)                 // before x
	needs := make([]uint64, len(ops)) // before each
	for i := range ops {
		for j := range ops {
			if j != x && ops[j].Return < ops[i].Call {
				needs[i] |= 1 << j
			}
		}
	}
	must = needs[x]
	equal := s.equal()
	type place struct {
		done  uint64
		state any
	}
	seen := make(map[uint64][]any)
	var states []any
	work := []place{{0, s.model.Init()}}
	add := func(list []any, state any) ([]any, bool) {
		for _, old := range list {
			if equal(old, state) {
				return list, false
			}
		}
		return append(list, state), true
	}
	for n := 0; len(work) > 0; n++ {
		if n == mostArrangements {
			return nil
		}
		p := work[len(work)-1]
		work = work[:len(work)-1]
		if p.done&must == must {
			states, _ = add(states, p.state)
		}
		for i := range ops {
			if i == x || p.done&(1<<i) != 0 || p.done&needs[i] != needs[i] {
				continue
			}
			ok, next := s.model.Step(p.state, ops[i].Input, ops[i].Output)
			if !ok {
				continue
			}
			done := p.done | 1<<i
			var fresh bool
			if seen[done], fresh = add(seen[done], next); fresh {
				work = append(work, place{done, next})
			}
		}
	}
	return states
}

func (s *subject) equal() func(a, b any) bool {
	if s.model.Equal != nil {
		return s.model.Equal
	}
	return func(a, b any) bool { return a == b }
}

func (s *subject) describeState(state any) string {
	if s.model.DescribeState != nil {
		return s.model.DescribeState(state)
	}
	return ""
}
