package models

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/monitor"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// counterInput is a request to a counter; its state is an int64, 0 at first. The
// answer of a read is the int64 it returned, every other answer is nil.
type counterInput struct {
	read bool
	add  int64
}

func parseCounter(ops []*history.Operation, opt Options) (Object, error) {
	object := Object{Operations: make([]porcupine.Operation, 0, len(ops))}
	for i, o := range ops {
		if opt.stopped(i) {
			return object, ErrStopped
		}
		in := counterInput{}
		var out any
		var err error
		switch o.F {
		case history.FRead:
			in.read = true
			if o.Type == history.OK {
				out, err = whole(o.Output)
			}
		case history.FAdd:
			in.add, err = whole(o.Input)
		default:
			err = fmt.Errorf("a counter knows add and read")
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
		Init: func() any { return int64(0) },
		Step: func(state, input, output any) (bool, any) {
			in := input.(counterInput)
			if in.read {
				return output.(int64) == state.(int64), state
			}
			return true, state.(int64) + in.add
		},
		Equal:         func(a, b any) bool { return a.(int64) == b.(int64) },
		Hash:          func(s any) uint64 { return hashNumber(uint64(s.(int64))) },
		DescribeState: func(s any) string { return strconv.FormatInt(s.(int64), 10) },
		DescribeOperation: func(input, output any) string {
			if in := input.(counterInput); !in.read {
				return fmt.Sprintf("add %d", in.add)
			}
			return fmt.Sprintf("read %d", output)
		},
	}
	object.Hints = engine.Hints{ReadOnly: func(input, _ any) bool {
		in := input.(counterInput)
		return in.read || in.add == 0
	}}
	object.Checks = []Check{{"counter", decideCounter}}
	// A crashed add of nothing changes nothing.
	object.Unseen = func(ops []porcupine.Operation) []bool {
		unseen := make([]bool, len(ops))
		for i := range ops {
			unseen[i] = order.Crashed(&ops[i]) && object.Hints.ReadOnly(ops[i].Input, nil)
		}
		return unseen
	}
	return object, nil
}

// whole reads a whole number. A number beyond 64 bits is none that a counter reaches.
func whole(raw json.RawMessage) (int64, error) {
	return history.DecodeInt(raw)
}

func decideCounter(ops []porcupine.Operation, stop func() bool) order.Decision {
	list := make([]monitor.CounterOp, len(ops))
	for i := range ops {
		in := ops[i].Input.(counterInput)
		list[i] = monitor.CounterOp{Span: span(&ops[i]), Read: in.read, Delta: in.add}
		if in.read {
			list[i].Value = ops[i].Output.(int64)
		}
	}
	return monitor.Counter(list, monitor.Options{Stop: stop})
}
