package monitor

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/checker/linear/order"
)

func TestStories(t *testing.T) {
	at := func(call, ret int64) Span { return Span{call, ret} }
	ask := Options{Culprit: true}
	queue := func(ops ...QueueOp) order.Decision { return Queue(ops, ask) }
	bag := func(ops ...QueueOp) order.Decision { return UnorderedQueue(ops, ask) }
	in := func(v int32, s Span) QueueOp { return QueueOp{s, Enqueue, v} }
	out := func(v int32, s Span) QueueOp { return QueueOp{s, Dequeue, v} }
	none := func(s Span) QueueOp { return QueueOp{s, DequeueEmpty, 0} }
	log := func(ops ...LogOp) order.Decision { return Log(ops, ask) }
	add := func(v int32, s Span) LogOp { return LogOp{Span: s, Value: v} }
	saw := func(s Span, v ...int32) LogOp { return LogOp{Span: s, Read: true, Values: v} }
	set := func(ops ...SetOp) order.Decision { return Set(ops, ask) }
	put := func(v int32, s Span) SetOp { return SetOp{Span: s, Element: v} }
	list := func(s Span, v ...int32) SetOp { return SetOp{Span: s, Read: true, Elements: v} }
	count := func(ops ...CounterOp) order.Decision { return Counter(ops, ask) }
	plus := func(d int64, s Span) CounterOp { return CounterOp{Span: s, Delta: d} }
	is := func(v int64, s Span) CounterOp { return CounterOp{Span: s, Read: true, Value: v} }
	lock := func(ops ...MutexOp) order.Decision { return Mutex(ops, ask) }
	owned := func(ops ...MutexOp) order.Decision { return OwnedMutex(ops, ask) }
	take := func(owner int, s Span) MutexOp { return MutexOp{s, false, owner} }
	give := func(owner int, s Span) MutexOp { return MutexOp{s, true, owner} }
	id := func(v int64, s Span) IDOp { return IDOp{s, v} }

	const legal, illegal, undecided = order.Legal, order.Illegal, order.Undecided
	for _, story := range []struct {
		name     string
		got      order.Decision
		answer   order.Answer
		conflict []int
		culprit  int
	}{
		{"queue: nothing happened", queue(), legal, nil, -1},
		{"queue: first in, first out", queue(in(1, at(0, 1)), in(2, at(2, 3)), out(1, at(4, 5)), out(2, at(6, 7)), none(at(8, 9))), legal, nil, -1},
		{"queue: the second first", queue(in(1, at(0, 1)), in(2, at(2, 3)), out(2, at(4, 5))), illegal, []int{0, 1, 2}, 2},
		{"queue: the second first, as a crashed dequeue had the first", queue(in(1, at(0, 1)), in(2, at(2, 3)), out(0, at(4, never)), out(2, at(4, 5))), legal, nil, -1},
		{"queue: the crashed dequeue was called too late", queue(in(1, at(0, 1)), in(2, at(2, 3)), out(2, at(4, 5)), out(0, at(6, never))), illegal, []int{0, 1, 2, 3}, 2},
		{"queue: what nobody enqueued", queue(out(1, at(0, 1))), illegal, []int{0}, 0},
		{"queue: twice the same", queue(in(1, at(0, 1)), out(1, at(2, 3)), out(1, at(2, 4))), illegal, []int{1, 2}, 2},
		{"queue: out before in", queue(out(1, at(0, 1)), in(1, at(2, 3))), illegal, []int{0, 1}, 0},
		{"queue: a crashed enqueue came out", queue(in(1, at(0, never)), none(at(1, 2)), out(1, at(3, 4))), legal, nil, -1},
		{"queue: empty with something in it", queue(in(1, at(0, 1)), none(at(2, 3)), out(1, at(4, 5))), illegal, []int{0, 1}, 1},
		{"queue: empty between two that touch", queue(in(1, at(0, 1)), none(at(2, 9)), out(1, at(5, 6)), in(2, at(4, 5)), out(2, at(9, 9))), legal, nil, -1},
		{"queue: two values relay each other under an empty answer", queue(in(1, at(0, 1)), none(at(2, 5)), in(2, at(2, 3)), out(1, at(4, 5)), out(2, at(6, 7))), illegal, []int{0, 1}, 1},
		{"queue: a value enqueued twice", queue(in(1, at(0, 1)), in(1, at(2, 3))), undecided, nil, -1},
		{"queue: a return before the call", queue(in(1, at(3, 1))), undecided, nil, -1},

		{"unordered queue: the second first", bag(in(1, at(0, 1)), in(2, at(2, 3)), out(2, at(4, 5)), out(1, at(6, 7)), none(at(8, 9))), legal, nil, -1},
		{"unordered queue: what nobody enqueued", bag(out(1, at(0, 1))), illegal, []int{0}, 0},
		{"unordered queue: twice the same", bag(in(1, at(0, 1)), out(1, at(2, 3)), out(1, at(2, 4))), illegal, []int{1, 2}, 2},
		{"unordered queue: empty with something in it", bag(in(1, at(0, 1)), none(at(2, 3)), out(1, at(4, 5))), illegal, []int{0, 1}, 1},
		{"unordered queue: a crashed dequeue took one of two", bag(in(1, at(0, 1)), in(2, at(0, 1)), out(0, at(2, never)), out(1, at(3, 4)), none(at(5, 6))), legal, nil, -1},
		{"unordered queue: and not both", bag(in(1, at(0, 1)), in(2, at(0, 1)), out(0, at(2, never)), none(at(5, 6))), illegal, []int{0, 3}, 3},
		{"unordered queue: a value enqueued twice", bag(in(1, at(0, 1)), in(1, at(2, 3))), undecided, nil, -1},

		{"log: whole prefixes", log(add(1, at(0, 1)), saw(at(2, 3), 1), add(2, at(4, 5)), saw(at(6, 7), 1, 2)), legal, nil, -1},
		{"log: two stories", log(add(1, at(0, 9)), add(2, at(0, 9)), saw(at(0, 10), 1, 2), saw(at(0, 8), 2)), illegal, []int{2, 3}, 2},
		{"log: an acknowledged append is missing", log(add(1, at(0, 1)), saw(at(2, 3))), illegal, []int{0, 1}, 1},
		{"log: a crashed append appears", log(add(1, at(0, never)), saw(at(2, 3)), saw(at(4, 5), 1)), legal, nil, -1},
		{"log: read twice in one read", log(add(1, at(0, 1)), saw(at(2, 3), 1, 1)), illegal, []int{1}, 1},
		{"log: appended twice and read", log(add(1, at(0, 1)), add(1, at(0, 1)), saw(at(2, 3), 1)), undecided, nil, -1},

		{"set: any order of elements", set(put(1, at(0, 1)), put(2, at(0, 1)), list(at(2, 3), 2, 1)), legal, nil, -1},
		{"set: neither read holds the other", set(put(1, at(0, 9)), put(2, at(0, 9)), list(at(0, 10), 1), list(at(0, 8), 2)), illegal, []int{2, 3}, 2},
		{"set: an element goes away", set(put(1, at(0, never)), list(at(2, 3), 1), list(at(4, 5))), illegal, []int{1, 2}, 2},
		{"set: what nobody added", set(list(at(2, 3), 7)), illegal, []int{0}, 0},
		{"set: added twice and read", set(put(1, at(0, 1)), put(1, at(2, 3)), list(at(4, 5), 1)), undecided, nil, -1},

		{"counter: a lost increment", count(plus(1, at(0, 1)), plus(1, at(0, 1)), is(1, at(2, 3))), illegal, []int{1, 2}, 2},
		{"counter: a crashed increment counts or does not", count(plus(1, at(0, never)), is(0, at(2, 3)), is(1, at(4, 5))), legal, nil, -1},
		{"counter: half an increment", count(plus(2, at(0, 1)), is(1, at(0, 3))), illegal, []int{1}, 1},
		{"counter: reads against the order of values", count(plus(1, at(0, 9)), is(1, at(1, 2)), is(0, at(3, 4))), illegal, []int{1, 2}, 2},
		{"counter: the late increment is for the later read",
			count(is(2, at(0, 5)), is(1, at(0, 20)), plus(1, at(0, 30)), plus(1, at(0, 30)), plus(1, at(10, 12))), legal, nil, -1},
		{"counter: no increments at all", count(is(0, at(0, 1))), legal, nil, -1},
		{"counter: up and down within bounds", count(plus(1, at(0, 1)), plus(-1, at(0, 1)), is(0, at(2, 3))), undecided, nil, -1},
		{"counter: up and down out of bounds", count(plus(1, at(0, 1)), plus(-1, at(0, 1)), is(1, at(2, 3))), illegal, []int{2}, -1},

		{"mutex: taken twice", lock(take(1, at(0, 1)), take(2, at(2, 3))), illegal, []int{0, 1}, 1},
		{"mutex: a crashed release came between", lock(take(1, at(0, 1)), give(1, at(1, never)), take(2, at(2, 3))), legal, nil, -1},
		{"mutex: freed by anyone", lock(take(1, at(0, 1)), give(2, at(2, 3)), take(2, at(4, 5))), legal, nil, -1},
		{"owned mutex: freed by someone else", owned(take(1, at(0, 1)), give(2, at(2, 3))), illegal, []int{1}, 1},
		{"owned mutex: two holders", owned(take(1, at(0, 1)), give(1, at(6, 7)), take(2, at(2, 3)), give(2, at(4, 5))), illegal, []int{0, 1, 2, 3}, 2},
		{"owned mutex: a holder that died", owned(take(1, at(0, 1)), take(2, at(2, 3))), illegal, []int{0, 1}, 1},
		{"owned mutex: a crashed acquire", owned(take(1, at(0, never)), take(2, at(2, 3))), legal, nil, -1},
		{"owned mutex: an owner that lives on after a crash", owned(take(1, at(0, never)), give(1, at(2, 3))), undecided, nil, -1},

		{"ids: one id for two", IDs([]IDOp{id(1, at(0, 1)), id(2, at(0, 1)), id(1, at(2, 3))}, ask), illegal, []int{0, 2}, 2},
		{"ids: a crashed request has none", IDs([]IDOp{id(1, at(0, 1)), id(1, at(0, never))}, ask), legal, nil, -1},
	} {
		t.Run(story.name, func(t *testing.T) {
			if story.got.Answer != story.answer || story.got.Culprit != story.culprit {
				t.Errorf("answer %v with culprit %d, want %v with %d (%s)", story.got.Answer, story.got.Culprit, story.answer, story.culprit, story.got.Reason)
			}
			if diff := cmp.Diff(story.conflict, story.got.Conflict); diff != "" {
				t.Errorf("conflict (-want +got):\n%s", diff)
			}
			if story.got.By == "" || (story.got.Reason == "") != (story.answer != undecided) {
				t.Errorf("by %q, reason %q", story.got.By, story.got.Reason)
			}
		})
	}
}
