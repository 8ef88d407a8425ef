package engine

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear/order"
)

// everyWay decides a history in every way there is, and holds the answers to what trying
// every order says: Porcupine does not take all models here.
func everyWay(o object, ops []porcupine.Operation, want order.Answer) error {
	if legal := everyOrder(o.model, ops); legal != (want == order.Legal) {
		return fmt.Errorf("there is an order: %t", legal)
	}
	for _, opt := range ways() {
		opt.Hints, opt.Memory = o.hints, 1<<24 // a broken search may not end otherwise
		d := Decide(context.Background(), o.model, ops, opt)
		var err error
		switch {
		case d.Answer != want:
			err = fmt.Errorf("decided %+v", d)
		case want == order.Legal:
			err = order.Verify(o.model, ops, d.Order)
		}
		if err != nil {
			return fmt.Errorf("without %b, cut %d, broad %t: %w", opt.Without, opt.cut, opt.broad, err)
		}
	}
	return nil
}

// corner is a history in a corner of the definition, which random ones rarely get into.
type corner struct {
	name string
	ops  []porcupine.Operation
	want order.Answer
}

func write(v int, from, to int64) porcupine.Operation {
	if to == never {
		return op('w', v, 0, unknown, from, to)
	}
	return op('w', v, 0, done, from, to)
}

func read(v int, from, to int64) porcupine.Operation { return op('r', 0, 0, v, from, to) }

func swap(a, b int, from, to int64) porcupine.Operation {
	if to == never {
		return op('c', a, b, unknown, from, to)
	}
	return op('c', a, b, done, from, to)
}

func corners() []corner {
	const first = math.MinInt64
	return []corner{
		{"a call at the time of a return is concurrent", []porcupine.Operation{read(1, 0, 5), write(1, 5, 9)}, order.Legal},
		{"a return at the time of a call is concurrent", []porcupine.Operation{write(1, 0, 5), read(0, 5, 9)}, order.Legal},
		{"a chain of touching operations", []porcupine.Operation{read(3, 0, 2), swap(2, 3, 2, 4), swap(1, 2, 1, 2), write(1, 2, 8)}, order.Legal},
		{"a chain of touching operations with a gap", []porcupine.Operation{read(3, 0, 2), swap(2, 3, 2, 4), swap(1, 2, 3, 4), write(1, 2, 8)}, order.Illegal},
		{"everything in one moment", []porcupine.Operation{read(2, 5, 5), read(1, 5, 5), write(2, 5, 5), write(1, 5, 5), read(0, 5, 5)}, order.Legal},
		{"too much in one moment", []porcupine.Operation{read(1, 5, 5), swap(1, 2, 5, 5), swap(1, 2, 5, 5), write(1, 5, 5)}, order.Illegal},
		{"operations without length, one after another", []porcupine.Operation{write(1, 1, 1), read(1, 2, 2), write(2, 3, 3), read(2, 4, 4), read(1, 5, 5)}, order.Illegal},
		{"an operation without length inside another", []porcupine.Operation{write(1, 0, 9), read(1, 5, 5), read(0, 6, 6)}, order.Illegal},
		{"the first of all times", []porcupine.Operation{write(1, first, first), read(1, first, first+1), read(0, first+2, first+3)}, order.Illegal},
		{"the last of all times", []porcupine.Operation{write(1, 0, never-1), read(1, 5, never-1), read(0, 5, 6)}, order.Legal},

		{"a crashed write called at the last return", []porcupine.Operation{read(1, 0, 6), write(1, 6, never)}, order.Legal},
		{"a crashed write called behind the last return", []porcupine.Operation{read(1, 0, 6), write(1, 7, never)}, order.Illegal},
		{"nothing returned", []porcupine.Operation{write(1, 0, never), swap(5, 6, 1, never), op('r', 0, 0, unknown, 2, never)}, order.Legal},
		{"two equal crashed writes, both seen", []porcupine.Operation{write(1, 0, never), write(1, 0, never), read(1, 1, 2), write(0, 3, 4), read(1, 5, 6)}, order.Legal},
		{"two equal crashed writes, seen three times", []porcupine.Operation{write(1, 0, never), write(1, 0, never), read(1, 1, 2), write(0, 3, 4), read(1, 5, 6), write(0, 7, 8), read(1, 9, 9)}, order.Illegal},
		{"two equal crashed writes, the second called in time", []porcupine.Operation{write(1, 6, never), write(1, 0, never), read(1, 1, 2), write(0, 3, 4), read(1, 5, 6)}, order.Legal},
		{"two equal crashed writes, the second called too late", []porcupine.Operation{write(1, 7, never), write(1, 0, never), read(1, 1, 2), write(0, 3, 4), read(1, 5, 6), read(1, 8, 9)}, order.Illegal},
		{"a crashed write equal to one that returned", []porcupine.Operation{write(1, 0, never), write(1, 0, 9), read(1, 1, 2), write(0, 3, 4), read(1, 5, 6)}, order.Legal},
		{"a crashed write stands in for a crashed compare-and-set", []porcupine.Operation{swap(0, 1, 0, never), write(1, 0, never), read(1, 1, 2), write(2, 3, 4), read(1, 5, 6)}, order.Legal},
		{"no other crashed compare-and-set fits", []porcupine.Operation{swap(0, 1, 0, never), swap(0, 1, 0, never), read(1, 1, 2), write(2, 3, 4), read(1, 5, 6)}, order.Illegal},
		{"a crashed compare-and-set that finds nothing", []porcupine.Operation{swap(7, 8, 0, never), read(0, 1, 2), read(8, 3, 4)}, order.Illegal},
		{"crashed reads and refused operations", []porcupine.Operation{op('r', 0, 0, unknown, 0, never), op('r', 0, 0, unknown, 0, never), op('c', 3, 4, refused, 0, 9), swap(3, 3, 0, never), write(3, 1, 2), read(3, 3, 4)}, order.Legal},
		{"refused without reason", []porcupine.Operation{op('r', 0, 0, unknown, 0, never), write(3, 1, 2), op('c', 3, 4, refused, 3, 9)}, order.Illegal},
		{"a write that restores what was there", []porcupine.Operation{write(1, 0, 1), write(1, 2, 20), write(2, 3, 4), read(2, 5, 6), read(1, 7, 8)}, order.Legal},
		{"a crashed write that restores what was there", []porcupine.Operation{write(1, 0, 1), write(1, 2, never), write(2, 3, 4), read(2, 5, 6), read(1, 7, 8), read(2, 9, 10)}, order.Illegal},
		{"two ways to one value, the second link of one needed again", []porcupine.Operation{
			swap(0, 1, 0, never), swap(1, 2, 0, never), swap(0, 3, 0, never), swap(3, 2, 0, never), read(2, 1, 2), write(0, 3, 4), read(1, 5, 6)}, order.Legal},
		{"two ways to one value, the second link of the other needed again", []porcupine.Operation{
			swap(0, 1, 0, never), swap(1, 2, 0, never), swap(0, 3, 0, never), swap(3, 2, 0, never), read(2, 1, 2), write(0, 3, 4), read(3, 5, 6)}, order.Legal},
		{"two ways to one value, both needed again", []porcupine.Operation{
			swap(0, 1, 0, never), swap(1, 2, 0, never), swap(0, 3, 0, never), swap(3, 2, 0, never), read(2, 1, 2), write(0, 3, 4), read(1, 5, 6), write(0, 7, 8), read(3, 9, 9)}, order.Illegal},
		{"one operation does what two do, and more", []porcupine.Operation{
			write(2, 0, never), swap(0, 3, 0, never), swap(3, 2, 0, never), read(2, 1, 2), write(7, 3, 4), read(2, 5, 6)}, order.Legal},
		{"a write stood in already, and one compare-and-set is needed again", []porcupine.Operation{
			write(2, 0, never), swap(1, 2, 0, never), swap(3, 2, 0, never), write(7, 0, 0), read(2, 1, 2), write(1, 3, 4), write(3, 3, 4), read(2, 5, 6), write(1, 7, 8), read(2, 9, 9)}, order.Legal},
		{"a write stood in already, and the other is needed again", []porcupine.Operation{
			write(2, 0, never), swap(1, 2, 0, never), swap(3, 2, 0, never), write(7, 0, 0), read(2, 1, 2), write(1, 3, 4), write(3, 3, 4), read(2, 5, 6), write(3, 7, 8), read(2, 9, 9)}, order.Legal},
		{"a compare-and-set that would be wasted now", []porcupine.Operation{
			write(2, 0, never), swap(5, 2, 0, never), read(2, 1, 2), write(5, 3, 4), read(2, 5, 6)}, order.Legal},
		{"a crashed write that changes nothing lets another be hidden", []porcupine.Operation{write(1, 0, 1), write(1, 1, never), swap(1, 2, 2, 5), write(0, 4, 6), read(2, 7, 9)}, order.Legal},
	}
}

// cornered decides a corner with Equal only, with sharper hints, with none, and with all.
func cornered(c corner) error {
	all := objects()
	for _, o := range append(all[1:4:4], all[8]) {
		if err := everyWay(o, c.ops, c.want); err != nil {
			return fmt.Errorf("%s, %s: %w", c.name, o.name, err)
		}
	}
	return nil
}

// TestCorners decides each corner with every reduction off in turn, depth and breadth first.
func TestCorners(t *testing.T) {
	for _, c := range corners() {
		t.Run(c.name, func(t *testing.T) {
			if err := cornered(c); err != nil {
				t.Error(err)
			}
		})
	}
}

// odd makes a register of texts of another kind of value.
func odd(model porcupine.Model, hints Hints) object { return object{model: model, hints: hints} }

// TestOddStates are models whose states, values or answers cannot be compared, or not as
// one thinks.
func TestOddStates(t *testing.T) {
	nan := math.NaN()
	bits := func(v any) uint64 { return math.Float64bits(v.(float64)) }
	// Inputs are numbers to write, nil to read.
	floats := func(same func(a, b any) bool) porcupine.Model {
		return porcupine.Model{
			Init: func() any { return 0.0 },
			Step: func(state, input, output any) (bool, any) {
				if input == nil {
					return output == unknown || same(state, output), state
				}
				return true, input
			},
		}
	}
	byBits := floats(func(a, b any) bool { return bits(a) == bits(b) })
	byBits.Equal = func(a, b any) bool { return bits(a) == bits(b) }
	value := Hints{
		ReadOnly: func(in, _ any) bool { return in == nil },
		Needs:    func(in, out any) (any, bool) { return out, in == nil },
		Makes:    func(in, _ any) (any, bool) { return in, in != nil },
	}
	listed := func(h Hints) Hints { // values that == panics on
		needs, makes := h.Needs, h.Makes
		h.Needs = func(in, out any) (any, bool) { v, is := needs(in, out); return []any{v}, is }
		h.Makes = func(in, out any) (any, bool) { v, is := makes(in, out); return []any{v}, is }
		return h
	}
	// A state that is a number at first and a list later, without Equal.
	grows := porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, input, output any) (bool, any) {
			if input == nil {
				return fmt.Sprint(state) == output, state
			}
			return true, []any{state, input}
		},
	}
	collides := objects()[1].model
	collides.Hash = func(any) uint64 { return 7 }
	// Equal sees less than == does, and so does everybody: a read shows the square alone.
	folded := porcupine.Model{
		Init: func() any { return 1 },
		Step: func(state, input, output any) (bool, any) {
			if c := input.(call); c.f == 'w' {
				return true, c.a
			}
			s := state.(int)
			return output == s*s, -s
		},
		Equal: func(a, b any) bool { return a.(int)*a.(int) == b.(int)*b.(int) },
	}
	float := func(in any, out any, from, to int64) porcupine.Operation {
		return porcupine.Operation{Input: in, Output: out, Call: from, Return: to}
	}
	zero, minus := 0.0, math.Copysign(0, -1)
	for _, c := range []struct {
		name string
		o    object
		ops  []porcupine.Operation
		want order.Answer
	}{
		{"no number is not read, as it differs from itself", odd(floats(func(a, b any) bool { return a == b }), Hints{}),
			[]porcupine.Operation{float(nan, nil, 0, 1), float(nil, nan, 2, 3)}, order.Illegal},
		{"no number is overwritten", odd(floats(func(a, b any) bool { return a == b }), value),
			[]porcupine.Operation{float(nan, nil, 0, 9), float(nan, nil, 0, 9), float(2.0, nil, 0, never), float(nil, 2.0, 12, 13), float(nil, 2.0, 14, 15)}, order.Legal},
		{"no number is read by its bits", odd(byBits, Hints{}), []porcupine.Operation{float(nan, nil, 0, 1), float(nil, nan, 2, 3), float(nil, nan, 4, 5)}, order.Legal},
		{"no number is read by its bits, with hints", odd(byBits, value), []porcupine.Operation{float(nan, nil, 0, 1), float(nil, nan, 2, 3), float(nil, 0.0, 4, 5)}, order.Illegal},
		{"no number is needed and made", odd(byBits, value), []porcupine.Operation{float(nan, nil, 0, 5), float(nil, nan, 2, 3), float(nil, zero, 1, 4)}, order.Legal},
		{"zeros of both signs are two values", odd(byBits, Hints{ReadOnly: value.ReadOnly}), []porcupine.Operation{float(minus, nil, 0, 1), float(nil, zero, 2, 3)}, order.Illegal},
		{"hints that cannot be compared", odd(byBits, listed(value)), []porcupine.Operation{float(1.0, nil, 0, 5), float(nil, 1.0, 2, 3), float(nil, zero, 1, 4), float(nil, zero, 6, 7)}, order.Illegal},
		{"states that can be compared at first only", odd(grows, Hints{}), []porcupine.Operation{float(1, nil, 0, 5), float(2, nil, 0, 5), float(nil, "[[0 2] 1]", 6, 7)}, order.Legal},
		{"states that can be compared at first only, illegal", odd(grows, Hints{}), []porcupine.Operation{float(1, nil, 0, 5), float(2, nil, 0, 5), float(nil, "[0 1]", 6, 7)}, order.Illegal},
		{"all states have one hash", odd(collides, objects()[1].hints), []porcupine.Operation{write(1, 0, 5), write(2, 0, 6), swap(1, 3, 0, 9), read(2, 7, 8), read(3, 10, 11)}, order.Illegal},
		{"states that are equal, not the same", odd(folded, Hints{}), []porcupine.Operation{write(-2, 0, 5), read(1, 0, 5), read(4, 6, 7), read(4, 8, 9), read(1, 10, 11)}, order.Illegal},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := everyWay(c.o, c.ops, c.want); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAnObjectThatMayDoEither is judged in every way: its states are sets of states.
func TestAnObjectThatMayDoEither(t *testing.T) {
	lossy := (&porcupine.NondeterministicModel{ // a write may be lost
		Init: func() []any { return []any{0} },
		Step: func(state, input, output any) []any {
			switch c := input.(call); {
			case c.f == 'w':
				return []any{state, c.a}
			case output == unknown || output == state:
				return []any{state}
			}
			return nil
		},
	}).ToModel()
	for _, c := range []struct {
		name string
		ops  []porcupine.Operation
		want order.Answer
	}{
		{"a write that was lost", []porcupine.Operation{write(1, 0, 1), read(0, 2, 3), write(2, 4, 5), read(2, 6, 7)}, order.Legal},
		{"a write that came back", []porcupine.Operation{write(1, 0, 1), read(0, 2, 3), read(1, 4, 5)}, order.Illegal},
		{"a crashed write after one that was lost", []porcupine.Operation{write(1, 0, 1), write(1, 0, never), read(0, 2, 3), read(1, 4, 5), read(0, 6, 7)}, order.Illegal},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := everyWay(odd(lossy, Hints{}), c.ops, c.want); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHundredsOfConcurrentOperations has exact answers for windows of several words.
func TestHundredsOfConcurrentOperations(t *testing.T) {
	const many = 66
	o := register(t)
	var open, crashed, reads []porcupine.Operation
	for i := range many {
		open = append(open, write(i+1, 0, 1000))
		crashed = append(crashed, write(i+1, 0, never))
		reads = append(reads, read(i+1, int64(10+2*i), int64(11+2*i)))
	}
	again := read(7, 900, 901)
	for _, c := range []struct {
		name string
		ops  [][]porcupine.Operation
		want order.Answer
	}{
		{"all seen", [][]porcupine.Operation{open, reads}, order.Legal},
		{"one seen again", [][]porcupine.Operation{open, reads, {again}}, order.Illegal},
		{"crashed, all seen", [][]porcupine.Operation{crashed, reads}, order.Legal},
		{"crashed, one seen again", [][]porcupine.Operation{crashed, reads, {again}}, order.Illegal},
		{"both, one seen again", [][]porcupine.Operation{open, crashed, reads, {again}}, order.Legal},
		{"both, one seen a third time", [][]porcupine.Operation{open, crashed, reads, {read(3, 800, 801), again, read(8, 902, 903), read(7, 904, 905)}}, order.Illegal},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ops []porcupine.Operation
			for _, part := range c.ops {
				ops = append(ops, part...)
			}
			for _, opt := range []Options{{}, {cut: 1}, {broad: true}, {Without: Windows}} {
				opt.Hints, opt.Memory = o.hints, 1<<27
				d := Decide(context.Background(), o.model, ops, opt)
				if d.Answer != c.want {
					t.Errorf("without %b, cut %d, broad %t: decided %d: %s", opt.Without, opt.cut, opt.broad, d.Answer, d.Reason)
				} else if d.Answer == order.Legal {
					if err := order.Verify(o.model, ops, d.Order); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

// TestWrongHintGivesAWrongAnswer: why Hints warns. The verifier and Porcupine's second opinion are
// there for this.
func TestWrongHintGivesAWrongAnswer(t *testing.T) {
	o := register(t)
	ops := []porcupine.Operation{read(0, 0, 1), write(1, 2, 3), read(1, 4, 5)}
	hints := o.hints
	hints.Makes = func(any, any) (any, bool) { return 5, true }
	if d := Decide(context.Background(), o.model, ops, Options{Hints: hints}); d.Answer != order.Illegal {
		t.Errorf("decided %+v, though it was told that writes make nothing but 5", d)
	}
	hints = o.hints
	hints.ReadOnly = func(any, any) bool { return true }
	ops = []porcupine.Operation{write(1, 0, 1), read(0, 2, 3)}
	d := Decide(context.Background(), o.model, ops, Options{Hints: hints})
	if d.Answer != order.Legal || order.Verify(o.model, ops, d.Order) == nil {
		t.Errorf("decided %+v, though it was told that writes change nothing", d)
	}
}

func TestAHintThatTheModelContradictsMakesNothingIllegal(t *testing.T) {
	// An operation sees its output, if it has one, and leaves its input behind.
	model := porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, input, output any) (bool, any) { return output == nil || output == state, input },
	}
	ops := []porcupine.Operation{
		{Input: 1, Call: 0, Return: 1},
		{Input: 2, Output: 1, Call: 0, Return: 9},
		{Input: 3, Output: 7, Call: 20, Return: 21},
	}
	value := func(v any) func(_, _ any) (any, bool) { return func(_, _ any) (any, bool) { return v, true } }
	yes := func(_, _ any) bool { return true }
	input := func(input, _ any) (any, bool) { return input, true }
	for name, hints := range map[string]Hints{
		"ReadOnly": {ReadOnly: yes}, "Overwrites": {Overwrites: yes},
		"Needs": {Needs: value(7), Makes: input}, "Makes": {Needs: input, Makes: value(7)},
	} {
		d := Decide(context.Background(), model, ops, Options{Hints: hints, Without: Lookahead})
		if d.Answer != order.Undecided || !strings.Contains(d.Reason, "a hint that is not true") {
			t.Errorf("%s: answer %d: %s", name, d.Answer, d.Reason)
		}
	}
	if d := Decide(context.Background(), model, ops, Options{}); d.Answer != order.Illegal {
		t.Errorf("without hints: answer %d: %s", d.Answer, d.Reason)
	}
}

func TestAValueThatNobodyMakesIsNoticedBeforeAnySearch(t *testing.T) {
	register := objects()[0]
	var ops []porcupine.Operation
	for n := range 400 { // forty at a time, and nobody sees the first value
		c, out := call{f: 'w', a: 1 + n%5}, any(done)
		if n%3 == 0 {
			c, out = call{f: 'r'}, any(1+n%5)
		}
		ops = append(ops, porcupine.Operation{ClientId: n, Input: c, Output: out, Call: int64(10 * n), Return: int64(10*n + 400)})
	}
	ops = append(ops, porcupine.Operation{ClientId: 999, Input: call{f: 'r'}, Output: 99, Call: 4000, Return: 4100})
	d := Decide(context.Background(), register.model, ops, Options{Hints: register.hints, Memory: 1 << 18})
	if d.Answer != order.Illegal || d.Culprit != len(ops)-1 {
		t.Errorf("answer %d, culprit %d: %s", d.Answer, d.Culprit, d.Reason)
	}
}
