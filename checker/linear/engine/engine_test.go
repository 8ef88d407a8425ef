package engine

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/checker/linear/order"
	"nemesis/history"
)

const never = history.Never

func op(f byte, a, b int, out any, from, to int64) porcupine.Operation {
	return porcupine.Operation{Input: call{f, a, b}, Output: out, Call: from, Return: to}
}

// register is the compare-and-set register of the differential tests, 0 at first.
func register(t testing.TB) object {
	t.Helper()
	return objects()[1]
}

func TestStoriesOfOneRegister(t *testing.T) {
	o := register(t)
	for _, c := range []struct {
		name    string
		ops     []porcupine.Operation
		answer  order.Answer
		order   []int
		culprit int
	}{
		{"nothing happened", nil, order.Legal, []int{}, -1},
		{"everything crashed", []porcupine.Operation{op('w', 1, 0, unknown, 0, never)}, order.Legal, []int{}, -1},
		{"a crashed write that was seen", []porcupine.Operation{
			op('r', 0, 0, 1, 5, 6), op('w', 1, 0, unknown, 0, never)}, order.Legal, []int{1, 0}, -1},
		{"a crashed write that was seen twice", []porcupine.Operation{
			op('w', 1, 0, unknown, 0, never), op('r', 0, 0, 1, 1, 2), op('w', 2, 0, done, 3, 4), op('r', 0, 0, 1, 5, 6)}, order.Illegal, nil, 3},
		{"equal times are concurrent", []porcupine.Operation{
			op('r', 0, 0, 1, 0, 5), op('w', 1, 0, done, 5, 6)}, order.Legal, []int{1, 0}, -1},
		{"the future is not", []porcupine.Operation{
			op('r', 0, 0, 1, 0, 5), op('w', 1, 0, done, 6, 7)}, order.Illegal, nil, 0},
		{"a stale read behind a good one", []porcupine.Operation{
			op('w', 1, 0, done, 0, 1), op('r', 0, 0, 1, 2, 3), op('r', 0, 0, 0, 4, 5), op('r', 0, 0, 1, 6, 7)}, order.Illegal, nil, 2},
		{"a write that nobody sees is hidden", []porcupine.Operation{
			op('w', 1, 0, done, 0, 4), op('w', 2, 0, done, 1, 3), op('r', 0, 0, 2, 5, 12)}, order.Legal, []int{0, 1, 2}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Decide(context.Background(), o.model, c.ops, Options{Hints: o.hints})
			if d.Answer != c.answer || d.Culprit != c.culprit {
				t.Fatalf("decided %+v", d)
			}
			if diff := cmp.Diff(c.order, d.Order); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestACrashedWriteThatChangesNothingMayHideAnother is a history that random ones show
// once in millions: 0 was written and hidden in front of a crashed write of 1, in state 1.
func TestACrashedWriteThatChangesNothingMayHideAnother(t *testing.T) {
	o := objects()[2]
	ops := []porcupine.Operation{
		op('w', 1, 0, done, 0, 1), op('w', 1, 0, unknown, 1, never), op('c', 1, 2, done, 2, 5),
		op('w', 0, 0, done, 4, 6), op('r', 0, 0, 2, 7, 9)}
	for _, opt := range ways() {
		opt.Hints = o.hints
		if d := Decide(context.Background(), o.model, ops, opt); d.Answer != order.Legal {
			t.Errorf("without %b: decided %+v", opt.Without, d)
		} else if err := order.Verify(o.model, ops, d.Order); err != nil {
			t.Error(err)
		}
	}
}

func TestUnjudgeableInputIsUndecidedWithTheReason(t *testing.T) {
	o := register(t)
	sliced := porcupine.Model{
		Init: func() any { return []int{} },
		Step: func(state, input, output any) (bool, any) { return true, append(state.([]int), 1) },
	}
	one := []porcupine.Operation{op('w', 1, 0, done, 0, 1)}
	for _, c := range []struct {
		name  string
		model porcupine.Model
		ops   []porcupine.Operation
		says  string
	}{
		{"a return before the call", o.model, []porcupine.Operation{op('w', 1, 0, done, 5, 4)}, "operation 0 returns before its call"},
		{"no Step", porcupine.Model{Init: o.model.Init}, one, "no Step"},
		{"no Init", porcupine.Model{Step: o.model.Step}, one, "no Init"},
		{"states that == panics on", sliced, one, "[]int) cannot be compared; give it Equal"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Decide(context.Background(), c.model, c.ops, Options{})
			if d.Answer != order.Undecided || !strings.Contains(d.Reason, c.says) {
				t.Errorf("decided %+v", d)
			}
		})
	}
}

// hard is a history that no reduction makes short: a set without hints whose adds
// commute, and a read of what cannot be.
func hard(n int) (porcupine.Model, []porcupine.Operation) {
	ops := []porcupine.Operation{op('w', 0, 0, done, 0, 1)}
	for i := range n {
		ops = append(ops, op('a', i, 0, done, 2, int64(100+i)))
	}
	ops = append(ops, op('r', 0, 0, -1, 1000, 1001))
	model := porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, input, output any) (bool, any) {
			switch c := input.(call); c.f {
			case 'a':
				return true, state.(int)*31 + c.a + 1 // no two orders lead to the same
			case 'r':
				return output == state, state
			}
			return true, state
		},
	}
	return model, ops
}

func TestBudgetsEndInUndecided(t *testing.T) {
	model, ops := hard(24)
	t.Run("memory", func(t *testing.T) {
		d := Decide(context.Background(), model, ops, Options{Memory: 1 << 20})
		if d.Answer != order.Undecided || !strings.Contains(d.Reason, "memory") || d.Returns != len(ops) || d.Passed < 1 {
			t.Errorf("decided %+v", d)
		}
	})
	t.Run("time", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		d := Decide(ctx, model, ops, Options{})
		if d.Answer != order.Undecided || !strings.Contains(d.Reason, "time") {
			t.Errorf("decided %+v", d)
		}
	})
	t.Run("an end before the beginning", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		contextual := model
		contextual.Step = nil
		contextual.StepContext = func(ctx context.Context, state, input, output any) (bool, any) { return ctx.Err() == nil, state }
		if d := Decide(ctx, contextual, ops, Options{}); d.Answer != order.Undecided {
			t.Errorf("decided %+v, though the model was told to stop", d)
		}
	})
}

func TestModelsOfOtherKinds(t *testing.T) {
	ops := []porcupine.Operation{op('w', 1, 0, done, 0, 3), op('w', 2, 0, done, 1, 4), op('r', 0, 0, 2, 5, 6)}
	stale := append(append([]porcupine.Operation{}, ops...), op('r', 0, 0, 1, 7, 8))
	either := (&porcupine.NondeterministicModel{ // a write may be lost
		Init: func() []any { return []any{0} },
		Step: func(state, input, output any) []any {
			if c := input.(call); c.f == 'w' {
				return []any{state, c.a}
			}
			if output == state {
				return []any{state}
			}
			return nil
		},
	}).ToModel()
	contextual := register(t).model
	step := contextual.Step
	contextual.Step = nil
	contextual.StepContext = func(_ context.Context, state, input, output any) (bool, any) { return step(state, input, output) }
	boxed := porcupine.Model{ // states that only Equal can compare
		Init: func() any { return []int{0} },
		Step: func(s, in, out any) (bool, any) {
			ok, next := step(s.([]int)[0], in, out)
			return ok, []int{next.(int)}
		},
		Equal: func(a, b any) bool { return a.([]int)[0] == b.([]int)[0] },
	}
	for name, m := range map[string]porcupine.Model{"nondeterministic": either, "with a context": contextual, "with Equal only": boxed} {
		t.Run(name, func(t *testing.T) {
			d := Decide(context.Background(), m, ops, Options{})
			if d.Answer != order.Legal || order.Verify(m, ops, d.Order) != nil {
				t.Errorf("decided %+v", d)
			}
			if d := Decide(context.Background(), m, stale, Options{}); d.Answer != order.Illegal || d.Culprit != 3 {
				t.Errorf("decided %+v of the stale read", d)
			}
		})
	}
}

// TestMoreThan64ConcurrentOperations has windows of several words.
func TestMoreThan64ConcurrentOperations(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, o := range objects() {
		if o.name == "queue" || o.name == "counter" || o.name == "set" {
			continue // too much to search
		}
		for range 3 {
			ops := simulate(r, o, shape{clients: 90, ops: 300, values: 3, crash: 50, crashes: 3, tie: 3})
			for _, opt := range []Options{{}, {cut: 1}, {Without: Windows}, {broad: true}} {
				opt.Hints = o.hints
				if o.hints.Overwrites == nil && opt.broad {
					continue
				}
				ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
				d := Decide(ctx, o.model, ops, opt)
				cancel()
				if d.Answer == order.Illegal {
					t.Fatalf("%s: decided %+v of a history that has an order", o.name, d)
				}
				if d.Answer == order.Legal {
					if err := order.Verify(o.model, ops, d.Order); err != nil {
						t.Errorf("%s: %v", o.name, err)
					}
				}
			}
		}
	}
}

func TestALongHistoryNeedsNoDeepStackAndLittleMemory(t *testing.T) {
	n := 100_000
	o := register(t)
	ops := simulate(rand.New(rand.NewPCG(1, 1)), o, shape{clients: 4, ops: n, values: 5})
	d := Decide(context.Background(), o.model, ops, Options{Hints: o.hints, Memory: 300 * int64(n)})
	if d.Answer != order.Legal {
		t.Fatalf("decided %d: %s", d.Answer, d.Reason)
	}
	if err := order.Verify(o.model, ops, d.Order); err != nil {
		t.Error(err)
	}
}

// TestEqualClassesAreIndistinguishable: what a pure function can tell apart must not be
// one class, however == sees it.
func TestEqualClassesAreIndistinguishable(t *testing.T) {
	type two struct{ a, b any }
	x, y := 1, 1
	for _, c := range []struct {
		name string
		a, b any
		same bool
	}{
		{"numbers", 1, 1, true},
		{"numbers of different types", 1, int64(1), false},
		{"text", "a", "a", true},
		{"zeros of both signs", 0.0, math.Copysign(0, -1), false},
		{"zeros in a structure", two{0.0, 1}, two{math.Copysign(0, -1), 1}, false},
		{"not a number", math.NaN(), math.NaN(), true},
		{"lists", []string{"a", "b"}, []string{"a", "b"}, true},
		{"lists cut elsewhere", []string{"ab", ""}, []string{"a", "b"}, false},
		{"no list and an empty one", []string(nil), []string{}, false},
		{"lists of lists", [][]int{{1}, {2}}, [][]int{{1, 2}, {}}, false},
		{"pointers to equal things", &x, &y, false},
		{"one pointer", &x, &x, true},
		{"maps", map[int]int{1: 1}, map[int]int{1: 1}, false},
		{"nothing", nil, nil, true},
		{"nothing and no pointer", nil, (*int)(nil), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &steps{remember: true, known: make(map[pair]int32)}
			first, second := s.class(c.a, c.b), s.class(c.b, c.a)
			if same := first == second && s.class(c.a, c.a) == s.class(c.b, c.b); same != c.same {
				t.Errorf("%v and %v are one class: %t", c.a, c.b, same)
			}
		})
	}
}

// TestUsesCompareAsTheirCountsDo holds the packed comparison to a plain one.
func TestUsesCompareAsTheirCountsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.IntRange(1, 3).Draw(t, "values")
		var kinds []kind
		var classes []class
		for v := range values {
			for n := range rapid.IntRange(1, 12).Draw(t, "kinds") {
				classes = append(classes, class{makes: int32(v), overwrites: n == 0 && v > 0})
				kinds = append(kinds, kind{class: int32(len(classes) - 1), ops: make([]int32, rapid.SampledFrom([]int{1, 2, 9, 200}).Draw(t, "most"))})
			}
		}
		u := newUses(kinds, classes)
		draw := func() (int32, []int) {
			use, counts := int32(0), make([]int, len(kinds))
			for range rapid.IntRange(0, 12).Draw(t, "uses") {
				n := rapid.IntRange(0, len(kinds)-1).Draw(t, "kind")
				if counts[n] < len(kinds[n].ops) {
					counts[n]++
					use = u.more(use, n)
				}
			}
			for n := range counts {
				if u.of(use, n) != counts[n] {
					t.Fatalf("kind %d was used %d times, not %d", n, counts[n], u.of(use, n))
				}
			}
			return use, counts
		}
		a, ca := draw()
		b, cb := draw()
		want := true
		for v := range int32(values) {
			spare, grouped := 0, false
			for n := range kinds {
				if c := classes[n]; c.makes == v && c.overwrites {
					spare, grouped = cb[n]-ca[n], true
				}
			}
			for n := range kinds {
				if c := classes[n]; c.makes == v && !c.overwrites {
					if spare -= max(0, ca[n]-cb[n]); !grouped && ca[n] > cb[n] {
						want = false
					}
				}
			}
			want = want && (!grouped || spare >= 0)
		}
		if got := u.covers(a, b); got != want {
			t.Fatalf("%v covers %v: %t", ca, cb, got)
		}
	})
}

func ExampleDecide() {
	register := porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, input, output any) (bool, any) {
			if input == "read" {
				return output == state, state
			}
			return true, input // a write
		},
	}
	ops := []porcupine.Operation{
		{Input: 1, Call: 0, Return: history.Never}, // timed out
		{Input: "read", Output: 1, Call: 5, Return: 6},
		{Input: "read", Output: 0, Call: 7, Return: 8},
	}
	d := Decide(context.Background(), register, ops, Options{})
	fmt.Println(d.Answer == order.Illegal, d.Culprit)
	// Output: true 2
}
