package linear

import (
	"context"
	"slices"
	"sort"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/order"
)

// Bounds of what is tried to tell what the culprit could have found: more states than
// a sentence can hold are not worth anomaly.
const (
	mostArrangements = 4096
	mostStates       = 16
)

// before tells, in words, the states in which the operation at x of a core can have found
// the object, given the others, and why it is refused in each; nil when there are too many
// ways to tell.
func (s *subject) before(ctx context.Context, core *weak, x int) (all, refusals []string) {
	texts := make(map[string]string)
	known := false
	if core.from == nil {
		known = s.found(ctx, core.ops, x, texts)
	} else {
		known = !slices.ContainsFunc(core.from.states, func(state any) bool { return !s.at(state).found(ctx, core.ops, x, texts) })
	}
	if !known || len(texts) > mostStates {
		return nil, nil
	}
	for text := range texts {
		all = append(all, text)
	}
	sort.Strings(all)
	for _, text := range all {
		refusals = append(refusals, texts[text])
	}
	return all, refusals
}

// found adds to texts, in words, the states that before tells of a core that begins in
// the model's first state. Every state that some arrangement of the others leads to is
// tried as what a read in x's place saw. It is false when there are too many to tell.
func (s *subject) found(ctx context.Context, ops []porcupine.Operation, x int, texts map[string]string) bool {
	candidates, known := s.reachable(ops, x)
	if !known {
		return false
	}
	type found struct{ state any }
	equal := equality(s.model)
	model := s.model
	step := model.Step
	model.Step = func(state, input, output any) (bool, any) {
		if f, is := input.(found); is {
			return equal(state, f.state), state
		}
		return step(state, input, output)
	}
	trial := append([]porcupine.Operation(nil), ops...)
	for _, state := range candidates {
		trial[x].Input, trial[x].Output = found{state}, nil
		switch ask(model, trial, newLeash(ctx, len(trial), 100_000)).Answer {
		case order.Undecided:
			return false
		case order.Legal:
			text := s.describeState(state)
			texts[text] = ""
			if s.refusal != nil {
				texts[text] = s.refusal(state, &ops[x])
			}
		}
	}
	return true
}

// reachable are the different states that arrangements of the operations but x lead to,
// in which all is done that returned before x was called; it is false when there are
// too many arrangements.
func (s *subject) reachable(ops []porcupine.Operation, x int) ([]any, bool) {
	if len(ops) > 64 {
		return nil, false
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
	equal := equality(s.model)
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
			return nil, false
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
	return states, true
}

func (s *subject) describeState(state any) string {
	if s.model.DescribeState != nil {
		return s.model.DescribeState(state)
	}
	return ""
}
