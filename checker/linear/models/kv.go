package models

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// kvInput is a request to a store of strings; keys are independent, and the state is
// one key's string, as a rope. The answer of a get is the string it returned, every other answer
// is nil.
type kvInput struct {
	key, f, value string
}

func parseKV(ops []*history.Operation, opt Options) (Object, error) {
	object := Object{Operations: make([]porcupine.Operation, 0, len(ops))}
	first, err := history.DecodeText(opt.Init)
	if err != nil {
		return object, fmt.Errorf("read the initial value of a store: %w", err)
	}
	for i, o := range ops {
		if opt.stopped(i) {
			return object, ErrStopped
		}
		in := kvInput{key: o.Key, f: o.F}
		var out any
		var err error
		switch o.F {
		case history.FGet:
			if o.Type == history.OK {
				out, err = history.DecodeText(o.Output)
			}
		case history.FPut, history.FAppend:
			in.value, err = history.DecodeText(o.Input)
		default:
			err = fmt.Errorf("a store knows get, put and append")
		}
		if err != nil {
			return object, unreadable(o, err)
		}
		if o.Type == history.Fail || (o.F == history.FGet && o.Type != history.OK) {
			continue
		}
		op := operation(o)
		op.Input, op.Output = in, out
		object.Operations = append(object.Operations, op)
	}
	object.Model = porcupine.Model{
		Partition: byKey,
		Init:      func() any { return ropeOf(first) },
		Step: func(state, input, output any) (bool, any) {
			in, s := input.(kvInput), state.(*rope)
			switch in.f {
			case history.FGet:
				return s.is(output.(string)), state
			case history.FPut:
				return true, ropeOf(in.value)
			}
			return true, s.with(in.value)
		},
		Equal:         func(a, b any) bool { return a.(*rope).equal(b.(*rope)) },
		Hash:          func(s any) uint64 { return s.(*rope).sum() },
		DescribeState: func(s any) string { return fmt.Sprintf("%q", s.(*rope).String()) },
		DescribeOperation: func(input, output any) string {
			in := input.(kvInput)
			if in.f == history.FGet {
				return fmt.Sprintf("get %q of %q", in.key, output)
			}
			return fmt.Sprintf("%s %q to %q", in.f, in.value, in.key)
		},
	}
	object.Hints = engine.Hints{ReadOnly: func(input, _ any) bool {
		in := input.(kvInput)
		return in.f == history.FGet || (in.f == history.FAppend && in.value == "")
	}}
	object.Unseen = unseenByKV
	return object, nil
}

// unseenByKV finds crashed puts and appends of a text that no get returned, not even as
// a part.
//
// Where such an operation has effect, the key's string has its text in it from then on
// until the next put. A get in between would have returned a string with this text in it,
// and would have returned after the operation was called; so there is none. Without the operation
// only the strings in between are others, and puts and appends do not mind.
func unseenByKV(ops []porcupine.Operation) []bool {
	unseen := make([]bool, len(ops))
	for i := range ops {
		in := ops[i].Input.(kvInput)
		unseen[i] = order.Crashed(&ops[i]) && in.f != history.FGet && !slices.ContainsFunc(ops, func(o porcupine.Operation) bool {
			by := o.Input.(kvInput)
			return by.f == history.FGet && by.key == in.key && o.Return >= ops[i].Call && strings.Contains(o.Output.(string), in.value)
		})
	}
	return unseen
}

// byKey splits operations by key, keys in order of first use.
func byKey(ops []porcupine.Operation) [][]porcupine.Operation {
	at := make(map[string]int)
	var parts [][]porcupine.Operation
	for _, op := range ops {
		key := op.Input.(kvInput).key
		i, known := at[key]
		if !known {
			i = len(parts)
			at[key] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}
