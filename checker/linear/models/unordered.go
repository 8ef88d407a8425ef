package models

import (
	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/monitor"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

// parseUnorderedQueue reads a bag: a dequeue returns any element that is in it. The state
// is the packed elements in ascending order, equal ones side by side.
//
// A dequeue of unknown outcome takes the smallest element, as a step needs one answer.
// That is exact although it may have taken another: in an order in which it did, put it
// directly in front of the next empty answer, or leave it out if there is none. What it
// took is then there for longer, which only an empty answer can see. In front of that
// answer, as many such dequeues stand as there are elements, so whichever each takes, all
// are gone.
func parseUnorderedQueue(ops []*history.Operation, _ Options) (Object, error) {
	object, err := readQueue(ops, "an unordered queue")
	if err != nil {
		return object, err
	}
	object.Model.Step = stepUnorderedQueue
	object.Unseen = unseenByUnorderedQueue
	object.Checks = []Check{{"unordered-queue", func(ops []porcupine.Operation) order.Decision {
		return monitor.UnorderedQueue(queueOps(ops), monitor.Options{})
	}}}
	return object, nil
}

func stepUnorderedQueue(state, input, output any) (bool, any) {
	in, out, s := input.(queueInput), output.(queueOutput), state.(packed)
	switch {
	case in.enqueue:
		at, _ := s.find(in.value)
		return true, s[:4*at] + pack(in.value) + s[4*at:]
	case out.outcome == unknown:
		return true, s[min(4, len(s)):]
	case out.value == empty:
		return s.len() == 0, s
	}
	at, has := s.find(out.value)
	if !has {
		return false, s
	}
	return true, s[:4*at] + s[4*at+4:]
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
