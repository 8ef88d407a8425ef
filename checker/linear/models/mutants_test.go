package models

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/internal/world"
	"nemesis/checker/linear/order"
	"nemesis/history"
)

type step = func(state, input, output any) (bool, any)

// mutant is a subtly wrong variant of a kind: of its steps, of what is done with its
// operations before they are judged, or of what is read from the history.
type mutant struct {
	name  string
	step  func(right step) step
	ops   func(ops []porcupine.Operation) []porcupine.Operation
	parse func(o *history.Operation)
}

// ofAnyKind are mistakes with what the types of an operation mean.
var ofAnyKind = []mutant{
	{name: "a crashed operation never happens", ops: func(ops []porcupine.Operation) []porcupine.Operation {
		return slices.DeleteFunc(slices.Clone(ops), func(o porcupine.Operation) bool { return order.Crashed(&o) })
	}},
	{name: "a crashed operation happens by the client's time-out", ops: func(ops []porcupine.Operation) []porcupine.Operation {
		ops = slices.Clone(ops)
		for i := range ops {
			if order.Crashed(&ops[i]) {
				ops[i].Return = Source(&ops[i]).End
			}
		}
		return ops
	}},
	{name: "a failed operation may have happened", parse: func(o *history.Operation) {
		if o.Type == history.Fail {
			o.Type = history.Info
		}
	}},
	{name: "a crashed operation was called when it timed out", ops: func(ops []porcupine.Operation) []porcupine.Operation {
		ops = slices.Clone(ops)
		for i := range ops {
			if order.Crashed(&ops[i]) {
				ops[i].Call = Source(&ops[i]).End
			}
		}
		return ops
	}},
}

// when replaces the step of operations that match.
func when(match func(input, output any) bool, wrong step) func(step) step {
	return func(right step) step {
		return func(state, input, output any) (bool, any) {
			if match(input, output) {
				return wrong(state, input, output)
			}
			return right(state, input, output)
		}
	}
}

// without leaves out what unseen says.
func without(unseen func([]porcupine.Operation) []bool) func([]porcupine.Operation) []porcupine.Operation {
	return func(ops []porcupine.Operation) []porcupine.Operation {
		var kept []porcupine.Operation
		for i, gone := range unseen(ops) {
			if !gone {
				kept = append(kept, ops[i])
			}
		}
		return kept
	}
}

func asks(do deed) func(input, output any) bool {
	return func(input, _ any) bool { return input.(registerInput).do == do }
}

var ofRegisters = []mutant{
	{name: "a read sees anything", step: when(asks(read), func(s, _, _ any) (bool, any) { return true, s })},
	{name: "a write does not stay", step: when(asks(write), func(s, _, _ any) (bool, any) { return true, s })},
	{name: "the initial value can be read again", step: when(asks(read), func(s, _, out any) (bool, any) {
		v := out.(registerOutput).value
		return v == initial || v == s.(int32), s
	})},
	{name: "a write needs another value to be there", step: when(asks(write), func(s, in, _ any) (bool, any) {
		return s.(int32) != in.(registerInput).new, in.(registerInput).new
	})},
	{name: "a read sets what it saw", step: when(asks(read), func(_, _, out any) (bool, any) { return true, out.(registerOutput).value })},
}

var ofCAS = []mutant{
	{name: "a compare-and-set does not compare", step: when(asks(cas), func(_, in, _ any) (bool, any) { return true, in.(registerInput).new })},
	{name: "a compare-and-set does not set", step: when(asks(cas), func(s, in, _ any) (bool, any) { return s.(int32) == in.(registerInput).old, s })},
	{name: "a crashed compare-and-set does not compare", step: when(asks(cas), func(s, in, out any) (bool, any) {
		return out.(registerOutput).outcome == unknown || s.(int32) == in.(registerInput).old, in.(registerInput).new
	})},
	{name: "expected and new are exchanged", step: when(asks(cas), func(s, in, _ any) (bool, any) {
		return s.(int32) == in.(registerInput).new, in.(registerInput).old
	})},
	{name: "nobody saw what only a crashed compare-and-set saw", ops: without(func(ops []porcupine.Operation) []bool {
		seen := make(map[int32]bool)
		for i := range ops {
			if v, is := ops[i].Input.(registerInput).finds(ops[i].Output.(registerOutput)); is {
				seen[v] = true
			}
		}
		unseen := make([]bool, len(ops))
		for i := range ops {
			unseen[i] = order.Crashed(&ops[i]) && !seen[ops[i].Input.(registerInput).new]
		}
		return unseen
	})},
	{name: "nobody saw what was called after its observer's call", ops: without(func(ops []porcupine.Operation) []bool {
		early := slices.Clone(ops)
		for i := range early {
			if !order.Crashed(&early[i]) {
				early[i].Return = early[i].Call
			}
		}
		return unseenByRegister(early)
	})},
}

func acquires(input, _ any) bool { return input.(mutexInput).acquire }
func releases(input, _ any) bool { return !input.(mutexInput).acquire }

var ofMutexes = []mutant{
	{name: "it can be held twice", step: when(acquires, func(any, any, any) (bool, any) { return true, true })},
	{name: "it can be released twice", step: when(releases, func(any, any, any) (bool, any) { return true, false })},
	{name: "it is held at first", step: func(right step) step {
		return func(s, in, out any) (bool, any) { // false stands for held
			ok, next := right(!s.(bool), in, out)
			return ok, !next.(bool)
		}
	}},
	{name: "a crashed release has no effect", step: when(func(in, out any) bool { return releases(in, out) && out.(outcome) == unknown }, func(s, _, _ any) (bool, any) { return true, s })},
	{name: "a crashed release takes it", step: when(releases, func(s, _, out any) (bool, any) {
		return s.(bool) || out.(outcome) == unknown, s.(bool) && out.(outcome) == unknown
	})},
}

func readsSet(input, _ any) bool { return input.(setInput).read }
func addsSet(input, _ any) bool  { return !input.(setInput).read }

var ofSets = []mutant{
	{name: "a read may miss elements", step: when(readsSet, func(s, _, out any) (bool, any) {
		for _, v := range out.(packed).values() {
			if s.(bag).count(v) == 0 {
				return false, s
			}
		}
		return true, s
	})},
	{name: "a read may see elements too many", step: when(readsSet, func(s, _, out any) (bool, any) {
		for _, v := range s.(bag).values().values() {
			if _, has := out.(packed).find(v); !has {
				return false, s
			}
		}
		return true, s
	})},
	{name: "a read counts only", step: when(readsSet, func(s, _, out any) (bool, any) { return s.(bag).len() == out.(packed).len(), s })},
	{name: "the last element stays alone", step: when(addsSet, func(_, in, _ any) (bool, any) { return true, bag{}.with(in.(setInput).add) })},
	{name: "nobody saw what only the first read saw", ops: without(func(ops []porcupine.Operation) []bool {
		ops = slices.Clone(ops)
		for i := range ops {
			if ops[i].Input.(setInput).read {
				ops[i].Output = packed("")
				break
			}
		}
		return unseenBySet(ops)
	})},
}

func enqueues(input, _ any) bool { return input.(queueInput).enqueue }
func dequeues(input, _ any) bool { return !input.(queueInput).enqueue }

func fifoOf(values []int32) fifo {
	var q fifo
	for _, v := range values {
		q = q.with(v)
	}
	return q
}

var ofQueues = []mutant{
	{name: "last in, first out", step: when(enqueues, func(s, in, _ any) (bool, any) {
		return true, fifoOf(append([]int32{in.(queueInput).value}, s.(fifo).values()...))
	})},
	{name: "it is empty whenever it likes", step: when(func(in, out any) bool { return dequeues(in, out) && out.(queueOutput) == queueOutput{} }, func(s, _, _ any) (bool, any) { return true, s })},
	{name: "an element can be taken twice", step: when(dequeues, func(s, in, out any) (bool, any) {
		ok, _ := stepQueue(s, in, out)
		return ok, s
	})},
	{name: "an element enqueued twice is there once", step: when(enqueues, func(s, in, _ any) (bool, any) {
		if slices.Contains(s.(fifo).values(), in.(queueInput).value) {
			return true, s
		}
		return true, s.(fifo).with(in.(queueInput).value)
	})},
	{name: "a crashed dequeue takes nothing", step: when(func(in, out any) bool { return dequeues(in, out) && out.(queueOutput).outcome == unknown }, func(s, _, _ any) (bool, any) { return true, s })},
	{name: "any element can be taken", step: when(func(in, out any) bool { return dequeues(in, out) && out.(queueOutput).value != empty }, func(s, _, out any) (bool, any) {
		all := s.(fifo).values()
		i := slices.Index(all, out.(queueOutput).value)
		if i < 0 {
			return false, s
		}
		return true, fifoOf(slices.Delete(all, i, i+1))
	})},
	{name: "nobody can have taken what a crashed dequeue may have", ops: without(func(ops []porcupine.Operation) []bool {
		unseen := make([]bool, len(ops))
		for i := range ops {
			unseen[i] = order.Crashed(&ops[i]) && dequeues(ops[i].Input, nil)
		}
		return unseen
	})},
}

var ofUnorderedQueues = []mutant{
	{name: "the smallest comes out first", step: when(dequeues, func(s, in, out any) (bool, any) {
		ok, next := stepUnorderedQueue(s, in, out)
		return ok && (out.(queueOutput).outcome == unknown || s.(bag).len() == 0 || s.(bag).smallest() == out.(queueOutput).value), next
	})},
	{name: "it is empty whenever it likes", step: when(func(in, out any) bool { return dequeues(in, out) && out.(queueOutput) == queueOutput{} }, func(s, _, _ any) (bool, any) { return true, s })},
	{name: "an element can be taken twice", step: when(dequeues, func(s, in, out any) (bool, any) {
		ok, _ := stepUnorderedQueue(s, in, out)
		return ok, s
	})},
	{name: "an element enqueued twice is there once", step: when(enqueues, func(s, in, _ any) (bool, any) {
		if s.(bag).count(in.(queueInput).value) > 0 {
			return true, s
		}
		return stepUnorderedQueue(s, in, queueOutput{})
	})},
	{name: "a crashed dequeue takes nothing", step: when(func(in, out any) bool { return dequeues(in, out) && out.(queueOutput).outcome == unknown }, func(s, _, _ any) (bool, any) { return true, s })},
	{name: "a crashed dequeue takes all", step: when(func(in, out any) bool { return dequeues(in, out) && out.(queueOutput).outcome == unknown }, func(any, any, any) (bool, any) {
		return true, bag{}
	})},
	{name: "a dequeue takes all that are equal", step: when(func(in, out any) bool { return dequeues(in, out) && out.(queueOutput).value != empty }, func(s, in, out any) (bool, any) {
		ok, next := stepUnorderedQueue(s, in, out)
		rest := next.(bag)
		for rest.count(out.(queueOutput).value) > 0 {
			rest = rest.without(out.(queueOutput).value)
		}
		return ok, rest
	})},
	{name: "nobody can have taken what a crashed dequeue may have", ops: without(func(ops []porcupine.Operation) []bool {
		unseen := make([]bool, len(ops))
		for i := range ops {
			unseen[i] = order.Crashed(&ops[i]) && dequeues(ops[i].Input, nil)
		}
		return unseen
	})},
}

func adds(input, _ any) bool { return !input.(counterInput).read }

var ofCounters = []mutant{
	{name: "it never goes down", step: when(adds, func(s, in, _ any) (bool, any) { return true, s.(int64) + max(in.(counterInput).add, 0) })},
	{name: "it counts calls", step: when(adds, func(s, _, _ any) (bool, any) { return true, s.(int64) + 1 })},
	{name: "it stops at nothing", step: when(adds, func(s, in, _ any) (bool, any) { return true, max(s.(int64)+in.(counterInput).add, 0) })},
	{name: "a read may be one off", step: when(func(in, out any) bool { return !adds(in, out) }, func(s, _, out any) (bool, any) {
		d := s.(int64) - out.(int64)
		return -1 <= d && d <= 1, s
	})},
	{name: "an add sets", step: when(adds, func(_, in, _ any) (bool, any) { return true, in.(counterInput).add })},
}

func does(f string) func(input, output any) bool {
	return func(input, _ any) bool { return input.(kvInput).f == f }
}

var ofStores = []mutant{
	{name: "append puts", step: when(does("append"), func(_, in, _ any) (bool, any) { return true, ropeOf(in.(kvInput).value) })},
	{name: "append prepends", step: when(does("append"), func(s, in, _ any) (bool, any) { return true, ropeOf(in.(kvInput).value + s.(*rope).String()) })},
	{name: "put appends", step: when(does("put"), func(s, in, _ any) (bool, any) { return true, s.(*rope).with(in.(kvInput).value) })},
	{name: "a get may see less", step: when(does("get"), func(s, _, out any) (bool, any) { return strings.HasPrefix(s.(*rope).String(), out.(string)), s })},
	{name: "a get compares lengths", step: when(does("get"), func(s, _, out any) (bool, any) { return s.(*rope).len() == len(out.(string)), s })},
}

// TestEveryMutantIsNoticed shows that the comparison with brute force is worth
// something: each subtly wrong variant is told from the right one.
func TestEveryMutantIsNoticed(t *testing.T) {
	for kind, mutants := range map[string][]mutant{
		"register": ofRegisters, "cas-register": append(slices.Clone(ofRegisters), ofCAS...), "mutex": ofMutexes,
		"set": ofSets, "queue": ofQueues, "unordered-queue": ofUnorderedQueues, "counter": ofCounters, "kv": ofStores,
	} {
		for _, m := range append(slices.Clone(mutants), ofAnyKind...) {
			t.Run(kind+": "+m.name, func(t *testing.T) {
				r := rand.New(rand.NewPCG(7, 8))
				for n := range 20000 {
					ops := world.Simulate(kind, r.IntN, world.Shape{Clients: 3, Operations: 3 + r.IntN(6), Crash: 4, Refuse: 8, Often: 6})
					legal := world.Legal(kind, ops)
					if judge(t, kind, m, ops) != legal {
						t.Logf("noticed after %d histories", n)
						return
					}
				}
				t.Error("not noticed in 20000 histories")
			})
		}
	}
}

func judge(t *testing.T, kind string, m mutant, ops []history.Operation) bool {
	var all []*history.Operation
	for i := range ops {
		o := ops[i]
		if m.parse != nil {
			m.parse(&o)
		}
		all = append(all, &o)
	}
	object := parse(t, kind, Options{}, all)
	if m.step != nil {
		object.Model.Step = m.step(object.Model.Step)
	}
	judged := object.Operations
	if m.ops != nil {
		judged = m.ops(judged)
	}
	return porcupine.CheckOperations(object.Model, judged)
}

// TestHintsAgreeWithTheirModels holds every hint to the model's own steps, in every state that
// any history here leads to.
func TestHintsAgreeWithTheirModels(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, kind := range world.Kinds() {
		for range 300 {
			ops := world.Simulate(kind, r.IntN, world.Shape{Clients: 3, Operations: 8, Crash: 4, Often: 3})
			var all []*history.Operation
			for i := range ops {
				all = append(all, &ops[i])
			}
			object := parse(t, kind, Options{ObserveFailures: r.IntN(2) == 0}, all)
			states := []any{object.Model.Init()}
			values := make(map[any]any) // value → the state that has it
			for i := range object.Operations {
				in, out := object.Operations[i].Input, object.Operations[i].Output
				for _, s := range slices.Clone(states) {
					ok, next := object.Model.Step(s, in, out)
					if object.Hints.ReadOnly(in, out) && next != s && ok {
						t.Fatalf("%s: %s is not read-only", kind, object.Model.DescribeOperation(in, out))
					}
					if ok && !slices.Contains(states, next) {
						states = append(states, next)
					}
					if object.Hints.Needs == nil {
						continue
					}
					if v, is := object.Hints.Needs(in, out); is && ok {
						if known, has := values[v]; has && known != s {
							t.Fatalf("%s: %s does not need what it says", kind, object.Model.DescribeOperation(in, out))
						}
						values[v] = s
					}
					if v, is := object.Hints.Makes(in, out); is && ok && next != s {
						if known, has := values[v]; has && known != next {
							t.Fatalf("%s: %s does not make what it says", kind, object.Model.DescribeOperation(in, out))
						}
						values[v] = next
					}
				}
			}
		}
	}
}

// TestRemovingUnobservedWritesChangesNoVerdict holds Unseen to brute force.
func TestRemovingUnobservedWritesChangesNoVerdict(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 3))
	for _, kind := range world.Kinds() {
		left := 0
		for range 3000 {
			ops := world.Simulate(kind, r.IntN, world.Shape{Clients: 3, Operations: 3 + r.IntN(6), Crash: 3, Often: 6})
			var all []*history.Operation
			for i := range ops {
				all = append(all, &ops[i])
			}
			object := parse(t, kind, Options{}, all)
			if object.Unseen == nil {
				break
			}
			kept := without(object.Unseen)(object.Operations)
			left += len(object.Operations) - len(kept)
			if got, want := porcupine.CheckOperations(object.Model, kept), world.Legal(kind, ops); got != want {
				t.Fatalf("%s: an order without the unseen: %v, should be %v:\n%s", kind, got, want, world.Draw(ops))
			}
		}
		t.Logf("%s: %d left out", kind, left)
	}
}
