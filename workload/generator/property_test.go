package generator

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// anyGenerator draws a tree of combinators.
func anyGenerator(t *rapid.T, depth int) Generator {
	leaf := func() Generator {
		switch rapid.IntRange(0, 3).Draw(t, "leaf") {
		case 0:
			return Ops(F("a"), F("b"))
		case 1:
			return Repeat(Unlimited, Ops(F("r")))
		case 2:
			return Sleep(rapid.SampledFrom([]time.Duration{0, 1, 30}).Draw(t, "sleep"))
		}
		return Unfold(0, func(n int, ctx *Context) (Op, int) {
			return Op{Thread: AnyThread, F: fmt.Sprint("u", ctx.Rand.IntN(3), n)}, n + 1
		})
	}
	if depth == 0 {
		return leaf()
	}
	sub := func() Generator { return anyGenerator(t, depth-1) }
	small := func() int { return rapid.IntRange(0, 5).Draw(t, "n") }
	gap := func() time.Duration { return time.Duration(rapid.IntRange(0, 40).Draw(t, "gap")) }
	switch rapid.IntRange(0, 22).Draw(t, "combinator") {
	case 0:
		return Limit(small(), sub())
	case 1:
		return Once(sub())
	case 2:
		return TimeLimit(gap(), sub())
	case 3:
		return Stagger(gap(), sub())
	case 4:
		return Delay(gap(), sub())
	case 5:
		return Mix(sub(), sub(), sub())
	case 6:
		return WeightedMix(Weighted{small(), sub()}, Weighted{small(), sub()})
	case 7:
		return Sequence(sub(), sub())
	case 8:
		return Phases(sub(), sub())
	case 9:
		return Synchronize(sub())
	case 10:
		return Reserve([]Reserved{{small(), sub()}, {small(), sub()}}, sub())
	case 11:
		return EachProcess(sub())
	case 12:
		return EachThread(sub())
	case 13:
		return Repeat(small(), sub())
	case 14:
		return Cycle(small(), sub())
	case 15:
		return UntilOK(sub())
	case 16:
		return FlipFlop(sub(), sub())
	case 17:
		return Any(sub(), sub())
	case 18:
		return Filter(func(op Op) bool { return op.F != "b" }, sub())
	case 19:
		return Map(func(op Op) Op { op.F += "'"; return op }, sub())
	case 20:
		odd := small() % 2
		return OnThreads(func(thread int) bool { return thread%2 == odd }, sub())
	case 21:
		g := sub()
		return Keys(small(), small(), keyName, func(string) Generator { return g })
	}
	return leaf()
}

func keyName(i int) string { return fmt.Sprint("k", i) }

var anyClient = rapid.SampledFrom([]SimulatedClient{Perfect(10), Crashing(7), Flaky(20), Perfect(0)})

func TestAnyTreeKeepsTheContract(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := TimeLimit(2*time.Microsecond, anyGenerator(t, rapid.IntRange(0, 4).Draw(t, "depth")))
		s := Simulation{
			Threads:    rapid.IntRange(1, 7).Draw(t, "threads"),
			Seed:       rapid.Uint64().Draw(t, "seed"),
			Client:     anyClient.Draw(t, "client"),
			Operations: 300,
		}
		steps, err := s.Run(g) // an error tells of a busy worker or a standstill
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.Run(g)
		if err != nil {
			t.Fatal(err)
		}
		// The same value asked again from the start: equal only if asking it the first
		// time has changed nothing in it, and if the seed reaches every choice.
		if diff := cmp.Diff(steps, again); diff != "" {
			t.Fatalf("the same seed gave other steps:\n%s", diff)
		}
		checkProcesses(t, steps)
	})
}

// checkProcesses: each process does one thing at a time, and nothing after an
// unknown outcome; each worker is one process at a time.
func checkProcesses(t *rapid.T, steps []Step) {
	open, retired, last := map[int]bool{}, map[int]bool{}, int64(0)
	for i, s := range steps {
		if s.Time < last {
			t.Fatalf("step %d goes back in time", i)
		}
		last = s.Time
		switch {
		case s.End == "" && (open[s.Thread] || retired[s.Process]):
			t.Fatalf("step %d: process %d of worker %d invokes while busy or after its end", i, s.Process, s.Thread)
		case s.End != "" && !open[s.Thread]:
			t.Fatalf("step %d: worker %d ends what it did not begin", i, s.Thread)
		}
		open[s.Thread] = s.End == ""
		if s.End == EndInfo {
			retired[s.Process] = true
		}
	}
	for thread, isOpen := range open {
		if isOpen {
			t.Fatalf("worker %d never ended", thread)
		}
	}
}

func TestLimitHoldsWhateverIsInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 20).Draw(t, "limit")
		g := TimeLimit(2*time.Microsecond, Limit(n, anyGenerator(t, 3)))
		steps, err := Simulation{Threads: 4, Client: anyClient.Draw(t, "client")}.Run(g)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(say(steps)); got > n {
			t.Fatalf("limit %d let %d operations through", n, got)
		}
	})
}

func TestTimeLimitHoldsWhateverIsInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.IntRange(1, 200).Draw(t, "limit")
		steps, err := Simulation{Threads: 4, Client: anyClient.Draw(t, "client"), Operations: 500}.Run(TimeLimit(time.Duration(d), anyGenerator(t, 3)))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if s.End == "" && s.Time >= int64(d) {
				t.Fatalf("an operation at %d, the limit is %d", s.Time, d)
			}
		}
	})
}

func TestEveryKeyGetsItsOperationsFromOneGroup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		threads := rapid.IntRange(1, 12).Draw(t, "threads")
		perKey := rapid.IntRange(1, 5).Draw(t, "threads per key")
		count := rapid.IntRange(0, 12).Draw(t, "keys")
		operations := rapid.IntRange(1, 9).Draw(t, "operations per key")
		g := Keys(perKey, count, keyName, func(string) Generator { return Limit(operations, a()) })
		steps, err := Simulation{Threads: threads, Client: anyClient.Draw(t, "client")}.Run(g)
		if err != nil {
			t.Fatal(err)
		}
		groups := min(max(threads/perKey, 1), max(count, 1))
		group := func(thread int) int {
			at := 0
			for thread >= (at+1)*threads/groups {
				at++
			}
			return at
		}
		done, workedBy := map[string]int{}, map[string]int{}
		for _, s := range steps {
			if s.End != "" {
				continue
			}
			done[s.Key]++
			if by, begun := workedBy[s.Key]; begun && by != group(s.Thread) {
				t.Fatalf("key %s was worked on by group %d and by worker %d of group %d", s.Key, by, s.Thread, group(s.Thread))
			}
			workedBy[s.Key] = group(s.Thread)
		}
		if len(done) != count {
			t.Fatalf("%d keys were used, want %d", len(done), count)
		}
		for key, n := range done {
			if n != operations {
				t.Fatalf("key %s got %d operations, want %d", key, n, operations)
			}
		}
	})
}

func TestPhasesNeverOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "phases")
		var phases []Generator
		for i := range n {
			phases = append(phases, Limit(rapid.IntRange(1, 8).Draw(t, "size"), Repeat(Unlimited, Ops(F(fmt.Sprint(i))))))
		}
		steps, err := Simulation{Threads: 4, Seed: 3, Client: anyClient.Draw(t, "client")}.Run(Phases(phases...))
		if err != nil {
			t.Fatal(err)
		}
		open, phase := 0, ""
		for _, s := range steps {
			if s.End != "" {
				open--
				continue
			}
			if s.F != phase && open > 0 {
				t.Fatalf("phase %s began while %d operations of %s were open", s.F, open, phase)
			}
			phase = s.F
			open++
		}
	})
}

func TestReservePartsUseOnlyTheirWorkers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.IntRange(0, 4).Draw(t, "first")
		second := rapid.IntRange(0, 4).Draw(t, "second")
		inner := rapid.IntRange(0, 4).Draw(t, "inner")
		g := Limit(100, Reserve([]Reserved{{first, Repeat(Unlimited, Ops(F("1")))}, {second, Repeat(Unlimited, Ops(F("2")))}},
			Reserve([]Reserved{{inner, Repeat(Unlimited, Ops(F("3")))}}, Repeat(Unlimited, Ops(F("4"))))))
		steps, err := Simulation{Threads: 8, Client: anyClient.Draw(t, "client")}.Run(g)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			part := "1"
			switch {
			case s.Thread >= first+second+inner:
				part = "4"
			case s.Thread >= first+second:
				part = "3"
			case s.Thread >= first:
				part = "2"
			}
			if s.F != part {
				t.Fatalf("worker %d did an operation of part %s, it belongs to part %s", s.Thread, s.F, part)
			}
		}
	})
}

func BenchmarkGenerators(b *testing.B) {
	ops := func() Generator { return Repeat(Unlimited, Ops(F("read"))) }
	written := Func(func(ctx *Context) Op {
		return Op{Thread: AnyThread, F: "write", Value: json.RawMessage("7")}
	})
	for _, bench := range []struct {
		name string
		g    Generator
	}{
		{"repeat", ops()},
		{"mix", Mix(ops(), written, ops())},
		{"staggered mix under a time limit", TimeLimit(time.Hour, Stagger(time.Nanosecond, Mix(ops(), written)))},
		{"20 keys of 5 workers", Keys(5, Unlimited, keyName, func(string) Generator { return Limit(150, Mix(ops(), written)) })},
		{"each of 100 workers", EachThread(Mix(ops(), written))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			ctx := NewContext(100, rand.New(rand.NewPCG(1, 1)))
			g := bench.g
			for i := range b.N {
				ctx.Time = int64(i)
				op, status, after := g.Next(ctx)
				if status == Pending {
					g = after
					continue
				}
				op = ctx.Choose(op)
				ctx.Begin(op.Thread)
				ev := Event{Time: ctx.Time, Thread: op.Thread, Process: op.Thread, F: op.F, Key: op.Key, Invocation: true}
				g = after.Update(ctx, ev)
				ctx.End(op.Thread)
				ev.Invocation, ev.OK = false, true
				g = g.Update(ctx, ev)
			}
		})
	}
}
