package models

import (
	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/monitor"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// parseUnorderedQueue reads a bag: a dequeue returns any element that is in it. The state
// is a bag.
//
// A dequeue of unknown outcome takes the smallest element, as a step needs one answer.
// That is exact although it may have taken another: in an order in which it did, put it
// directly in front of the next empty answer, or leave it out if there is none. What it
// took is then there for longer, which only an empty answer can see. In front of that
// answer, as many such dequeues stand as there are elements, so whichever each takes, all
// are gone.
func parseUnorderedQueue(ops []*history.Operation, opt Options) (Object, error) {
	object, table, err := readQueue(ops, opt, "an unordered queue")
	if err != nil {
		return object, err
	}
	object.Model.Init = func() any { return bag{} }
	object.Model.Step = stepUnorderedQueue
	object.Model.Equal = func(a, b any) bool { return a.(bag).equal(b.(bag)) }
	object.Model.Hash = func(s any) uint64 { return hashNumber(s.(bag).hash) }
	object.Model.DescribeState = func(s any) string { return s.(bag).values().text(table.Text, "[", "]") }
	object.Unseen = unseenByUnorderedQueue
	object.Checks = []Check{{"unordered-queue", func(ops []porcupine.Operation, stop func() bool) order.Decision {
		return monitor.UnorderedQueue(queueOps(ops), monitor.Options{Stop: stop})
	}}}
	return object, nil
}

func stepUnorderedQueue(state, input, output any) (bool, any) {
	in, out, s := input.(queueInput), output.(queueOutput), state.(bag)
	switch {
	case in.enqueue:
		return true, s.with(in.value)
	case out.outcome == unknown && s.len() == 0:
		return true, state
	case out.outcome == unknown:
		return true, s.without(s.smallest())
	case out.value == empty:
		return s.len() == 0, state
	case s.count(out.value) == 0:
		return false, state
	}
	return true, s.without(out.value)
}

// unseenByUnorderedQueue finds crashed enqueues of elements that no dequeue returned.
//
// Take an order in which such an enqueue of v has effect. Leave it out, with the first
// dequeue of unknown outcome behind it that took a v, if there is one. States between the
// two, or for ever, lack one v, which nobody asked for; and a queue with one element less
// is empty no less often.
func unseenByUnorderedQueue(ops []porcupine.Operation) []bool {
	taken := make(map[int32]bool)
	for i := range ops {
		if in, out := ops[i].Input.(queueInput), ops[i].Output.(queueOutput); !in.enqueue && out.outcome != unknown {
			taken[out.value] = true
		}
	}
	unseen := make([]bool, len(ops))
	for i := range ops {
		in := ops[i].Input.(queueInput)
		unseen[i] = order.Crashed(&ops[i]) && in.enqueue && !taken[in.value]
	}
	return unseen
}
