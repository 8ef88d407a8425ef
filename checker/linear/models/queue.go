package models

import (
	"fmt"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/internal/values"
	"nemesis/checker/linear/engine"
	"nemesis/checker/linear/monitor"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// queueInput is a request to a queue. The state of one that is first in, first out is a
// fifo; unordered.go has the other.
type queueInput struct {
	enqueue bool
	value   int32
}

// queueOutput is what a dequeue returned; value is null's number when it found
// nothing. An unknown one took the oldest element, if there was one.
type queueOutput struct {
	outcome outcome
	value   int32
}

// empty is the number of null.
const empty int32 = 0

func parseQueue(ops []*history.Operation, opt Options) (Object, error) {
	object, table, err := readQueue(ops, opt, "a queue")
	if err != nil {
		return object, err
	}
	object.Model.Init = func() any { return fifo{} }
	object.Model.Step = stepQueue
	object.Model.Equal = func(a, b any) bool { return a.(fifo).equal(b.(fifo)) }
	object.Model.Hash = func(s any) uint64 { return hashNumber(s.(fifo).hash) }
	object.Model.DescribeState = func(s any) string { return pack(s.(fifo).values()...).text(table.Text, "[", "]") }
	object.Unseen = unseenByQueue
	object.Checks = []Check{{"queue", func(ops []porcupine.Operation, stop func() bool) order.Decision {
		return monitor.Queue(queueOps(ops), monitor.Options{Stop: stop})
	}}}
	return object, nil
}

// readQueue reads the operations of a queue of either sort, with what their models share,
// and the table of its values.
func readQueue(ops []*history.Operation, opt Options, noun string) (Object, *values.Table, error) {
	object := Object{Operations: make([]porcupine.Operation, 0, len(ops))}
	table := new(values.Table)
	_, _ = table.Number([]byte("null")) // the first number is empty
	for i, o := range ops {
		if opt.stopped(i) {
			return object, nil, ErrStopped
		}
		in, out := queueInput{}, queueOutput{}
		var err error
		switch o.F {
		case history.FEnqueue:
			in.enqueue = true
			if in.value, err = table.Number(o.Input); err == nil && in.value == empty {
				err = fmt.Errorf("null cannot be enqueued, as it is what a dequeue of an empty queue returns")
			}
		case history.FDequeue:
			if o.Type == history.OK {
				out.value, err = table.Number(o.Output)
			}
		default:
			err = fmt.Errorf("%s knows enqueue and dequeue", noun)
		}
		if err != nil {
			return object, nil, unreadable(o, err)
		}
		if o.Type == history.Fail {
			continue
		}
		if o.Type == history.Info {
			out.outcome = unknown
		}
		op := operation(o)
		op.Input, op.Output = in, out
		object.Operations = append(object.Operations, op)
	}
	object.Model = porcupine.Model{
		DescribeOperation: func(input, output any) string {
			in, out := input.(queueInput), output.(queueOutput)
			switch {
			case in.enqueue:
				return "enqueue " + table.Text(in.value)
			case out.outcome == unknown:
				return "dequeue"
			case out.value == empty:
				return "dequeue, nothing there"
			}
			return "dequeue " + table.Text(out.value)
		},
	}
	object.Hints = engine.Hints{ReadOnly: func(input, output any) bool {
		return !input.(queueInput).enqueue && output.(queueOutput) == queueOutput{done, empty}
	}}
	return object, table, nil
}

// queueOps are the operations as the checks take them.
func queueOps(ops []porcupine.Operation) []monitor.QueueOp {
	list := make([]monitor.QueueOp, len(ops))
	for i := range ops {
		in, out := ops[i].Input.(queueInput), ops[i].Output.(queueOutput)
		list[i] = monitor.QueueOp{Span: span(&ops[i]), Kind: monitor.Dequeue, Value: out.value}
		switch {
		case in.enqueue:
			list[i].Kind, list[i].Value = monitor.Enqueue, in.value
		case out == queueOutput{done, empty}:
			list[i].Kind = monitor.DequeueEmpty
		}
	}
	return list
}

func stepQueue(state, input, output any) (bool, any) {
	in, out, s := input.(queueInput), output.(queueOutput), state.(fifo)
	switch {
	case in.enqueue:
		return true, s.with(in.value)
	case out.outcome != unknown && out.value == empty:
		return s.len() == 0, state
	case s.len() == 0:
		return out.outcome == unknown, state
	}
	oldest, rest := s.take()
	return out.outcome == unknown || oldest == out.value, rest
}

// unseenByQueue finds crashed enqueues of elements that nobody can have taken out.
//
// Let no dequeue return v, and none be of unknown outcome. In an order in which an
// enqueue of v has effect, v is then never taken out, so nothing behind it is, and no
// dequeue after it finds the queue empty. Without the enqueue, the states after it
// lack this v, which was nowhere the oldest when an element was taken out: all answers
// stay the same. A dequeue of unknown outcome could have taken v away from in front of
// another element; where there is one, nothing is left out.
func unseenByQueue(ops []porcupine.Operation) []bool {
	unseen := make([]bool, len(ops))
	taken := make(map[int32]bool)
	for i := range ops {
		if in, out := ops[i].Input.(queueInput), ops[i].Output.(queueOutput); !in.enqueue {
			if out.outcome == unknown {
				return unseen
			}
			taken[out.value] = true
		}
	}
	for i := range ops {
		in := ops[i].Input.(queueInput)
		unseen[i] = order.Crashed(&ops[i]) && in.enqueue && !taken[in.value]
	}
	return unseen
}
