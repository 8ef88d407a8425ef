package models

import (
	"bytes"
	"fmt"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/internal/values"
	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/monitor"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// setInput is a request to a set; its state is a bag that has each element once. The answer
// of a read is the packed elements in ascending order, every other answer is nil.
type setInput struct {
	read bool
	add  int32
}

func parseSet(ops []*history.Operation, opt Options) (Object, error) {
	object := Object{Operations: make([]porcupine.Operation, 0, len(ops))}
	table := new(values.Table)
	for i, o := range ops {
		if opt.stopped(i) {
			return object, ErrStopped
		}
		in := setInput{}
		var out any
		var err error
		switch o.F {
		case history.FRead:
			in.read = true
			if o.Type == history.OK {
				seen := make([]int32, 0, min(bytes.Count(o.Output, []byte{','}), len(ops))+1)
				err = history.EachElement(o.Output, func(one []byte) error {
					v, err := table.Number(one)
					seen = append(seen, v)
					return err
				})
				out = sorted(seen)
			}
		case history.FAdd:
			in.add, err = table.Number(o.Input)
		default:
			err = fmt.Errorf("a set knows add and read")
		}
		if err != nil {
			return object, unreadable(o, err)
		}
		if o.Type == history.Fail || (in.read && o.Type != history.OK) {
			continue
		}
		op := operation(o)
		op.Input, op.Output = in, out
		object.Operations = append(object.Operations, op)
	}
	object.Model = porcupine.Model{
		Init: func() any { return bag{} },
		Step: func(state, input, output any) (bool, any) {
			in, s := input.(setInput), state.(bag)
			if in.read {
				return s.holds(output.(packed)), state
			}
			if s.count(in.add) > 0 {
				return true, state
			}
			return true, s.with(in.add)
		},
		Equal:         func(a, b any) bool { return a.(bag).equal(b.(bag)) },
		Hash:          func(s any) uint64 { return hashNumber(s.(bag).hash) },
		DescribeState: func(s any) string { return s.(bag).values().text(table.Text, "{", "}") },
		DescribeOperation: func(input, output any) string {
			if in := input.(setInput); !in.read {
				return "add " + table.Text(in.add)
			}
			return "read " + output.(packed).text(table.Text, "{", "}")
		},
	}
	object.Hints = engine.Hints{ReadOnly: func(input, _ any) bool { return input.(setInput).read }}
	object.Unseen = unseenBySet
	object.Checks = []Check{{"set", decideSet}}
	return object, nil
}

func decideSet(ops []porcupine.Operation, stop func() bool) order.Decision {
	list := make([]monitor.SetOp, len(ops))
	for i := range ops {
		in := ops[i].Input.(setInput)
		list[i] = monitor.SetOp{Span: span(&ops[i]), Read: in.read, Element: in.add}
		if in.read {
			list[i].Elements = ops[i].Output.(packed).values()
		}
	}
	return monitor.Set(list, monitor.Options{Stop: stop})
}

// unseenBySet finds crashed adds of elements that no read returned.
//
// Leaving such an add out of an order changes only states that no read stands in:
// elements never go away, so a read behind the add would have returned the element.
func unseenBySet(ops []porcupine.Operation) []bool {
	seen := make(map[int32]bool)
	for i := range ops {
		if ops[i].Input.(setInput).read {
			for _, v := range ops[i].Output.(packed).values() {
				seen[v] = true
			}
		}
	}
	unseen := make([]bool, len(ops))
	for i := range ops {
		if in := ops[i].Input.(setInput); order.Crashed(&ops[i]) {
			unseen[i] = in.read || !seen[in.add]
		}
	}
	return unseen
}
