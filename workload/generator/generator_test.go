package generator

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// say is the invocations of a simulation as "time thread f" lines, time in
// nanoseconds, with the key after f where there is one.
func say(steps []Step) []string {
	var lines []string
	for _, s := range steps {
		if s.End != "" {
			continue
		}
		line := fmt.Sprintf("%d %d %s", s.Time, s.Thread, s.F)
		if s.Key != "" {
			line += " " + s.Key
		}
		lines = append(lines, line)
	}
	return lines
}

// names is the functions of the invocations, in order.
func names(steps []Step) string {
	var all []string
	for _, s := range steps {
		if s.End == "" {
			all = append(all, s.F)
		}
	}
	return strings.Join(all, " ")
}

func run(t testing.TB, s Simulation, g Generator) []Step {
	t.Helper()
	steps, err := s.Run(g)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func a() Generator           { return Repeat(Unlimited, Ops(F("a"))) }
func b() Generator           { return Repeat(Unlimited, Ops(F("b"))) }
func abc() Generator         { return Ops(F("a"), F("b"), F("c")) }
func one(f string) Generator { return Ops(F(f)) }

// on makes an operation for one worker, so that a schedule can be written down
// without knowing what the random source draws.
func on(thread int, f string) Op { return Op{Thread: thread, F: f} }

func TestScheduleOfOneWorker(t *testing.T) {
	// Every operation takes 10 ns.
	tests := []struct {
		name string
		g    Generator
		want []string
	}{
		{"nothing", nil, nil},
		{"operations follow one another", abc(), []string{"0 0 a", "10 0 b", "20 0 c"}},
		{"limit", Limit(2, abc()), []string{"0 0 a", "10 0 b"}},
		{"limit above what there is", Limit(9, abc()), []string{"0 0 a", "10 0 b", "20 0 c"}},
		{"limit of none", Limit(0, abc()), nil},
		{"unlimited", Limit(Unlimited, abc()), []string{"0 0 a", "10 0 b", "20 0 c"}},
		{"once", Once(a()), []string{"0 0 a"}},
		{"delay spaces evenly", Delay(25, abc()), []string{"0 0 a", "25 0 b", "50 0 c"}},
		{"delay shorter than an operation", Delay(5, abc()), []string{"0 0 a", "10 0 b", "20 0 c"}},
		{"time limit drops what is due at the limit", TimeLimit(50, Delay(25, a())), []string{"0 0 a", "25 0 a"}},
		{"time limit counts from when it is first asked",
			Sequence(one("a"), TimeLimit(15, a())), []string{"0 0 a", "10 0 a", "20 0 a"}},
		{"sleep lies between", Sequence(one("a"), Sleep(100), one("b")), []string{"0 0 a", "110 0 b"}},
		{"sleep longer than the time limit", TimeLimit(50, Sequence(Sleep(100), one("b"))), nil},
		{"sequence skips what is empty", Sequence(nil, one("a"), nil, Limit(0, a()), one("b"), nil), []string{"0 0 a", "10 0 b"}},
		{"repeat starts over after each operation", Repeat(3, abc()), []string{"0 0 a", "10 0 a", "20 0 a"}},
		{"cycle runs through", Cycle(2, Ops(F("a"), F("b"))), []string{"0 0 a", "10 0 b", "20 0 a", "30 0 b"}},
		{"cycle for ever, limited", Limit(3, Cycle(Unlimited, Ops(F("a"), F("b")))), []string{"0 0 a", "10 0 b", "20 0 a"}},
		{"cycle of nothing ends", Cycle(Unlimited, Filter(func(Op) bool { return true }, Sequence())), nil},
		{"cycle of an empty pass ends", Cycle(Unlimited, TimeLimit(1, Sleep(5))), nil},
		{"cycle sleeps anew in each pass", Cycle(2, Sequence(Sleep(100), one("a"))), []string{"100 0 a", "210 0 a"}},
		{"flip-flop stops when one is done", FlipFlop(a(), Limit(2, b())), []string{"0 0 a", "10 0 b", "20 0 a", "30 0 b", "40 0 a"}},
		{"filter", Filter(func(op Op) bool { return op.F != "b" }, abc()), []string{"0 0 a", "10 0 c"}},
		{"map", Map(func(op Op) Op { op.F += "!"; op.Time = 99; op.Thread = 7; return op }, Ops(F("a"))), []string{"0 0 a!"}},
		{"any takes what is due first",
			Any(Sequence(Sleep(25), one("late")), Limit(3, Delay(20, a()))),
			[]string{"0 0 a", "20 0 a", "30 0 late", "40 0 a"}},
		{"any wakes for a sleeper sooner than the next operation",
			Any(Sequence(Sleep(25), one("woken")), Ops(Op{Thread: AnyThread, Time: 500, F: "later"})),
			[]string{"25 0 woken", "500 0 later"}},
		{"mix passes over a member that waits",
			Mix(Sequence(Sleep(15), one("slept")), Sequence(Sleep(1000), one("last"))),
			[]string{"15 0 slept", "1000 0 last"}},
		{"until ok of a perfect client", UntilOK(a()), []string{"0 0 a"}},
		{"operations at their own time", Ops(Op{Time: 70, F: "a"}, Op{Time: 30, F: "b"}), []string{"70 0 a", "80 0 b"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, say(run(t, Simulation{}, test.g))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestScheduleOfSeveralWorkers(t *testing.T) {
	// The client takes ten times the number of the worker plus one, so that
	// completions interleave.
	byThread := func(_ *rand.Rand, op Op) (time.Duration, End, json.RawMessage) {
		return time.Duration(10 * (op.Thread + 1)), EndOK, nil
	}
	tests := []struct {
		name    string
		threads int
		g       Generator
		want    []string
	}{
		{"workers work side by side", 2, Ops(on(0, "a"), on(1, "b"), on(0, "c")), []string{"0 0 a", "0 1 b", "10 0 c"}},
		{"synchronize waits for all workers", 2,
			Sequence(Ops(on(0, "a"), on(1, "b")), Synchronize(Ops(on(0, "c")))),
			[]string{"0 0 a", "0 1 b", "20 0 c"}},
		{"phases do not overlap", 3,
			Phases(Ops(on(0, "a"), on(2, "a")), Ops(on(1, "b")), Ops(on(0, "c"))),
			[]string{"0 0 a", "0 2 a", "30 1 b", "50 0 c"}},
		{"on threads", 4, OnThreads(func(t int) bool { return t == 2 }, Limit(2, a())), []string{"0 2 a", "30 2 a"}},
		{"on no thread", 2, OnThreads(func(t int) bool { return t > 5 }, a()), nil},
		{"each thread has its own copy", 2, Any(OnThreads(func(t int) bool { return t == 0 }, EachThread(Ops(F("a"), F("b")))),
			Sequence(Sleep(1), OnThreads(func(t int) bool { return t == 1 }, EachThread(Ops(F("a"), F("b")))))),
			[]string{"0 0 a", "1 1 a", "10 0 b", "21 1 b"}},
		{"reserve keeps each to its own", 3,
			Reserve([]Reserved{{1, Limit(2, a())}, {1, Sequence(Sleep(1), Limit(1, b()))}}, Sequence(Sleep(2), Once(one("rest")))),
			[]string{"0 0 a", "1 1 b", "2 2 rest", "10 0 a"}},
		{"reserve within reserve divides its part again", 4,
			Reserve([]Reserved{{1, Limit(1, one("x"))}},
				Reserve([]Reserved{{1, Sequence(Sleep(1), one("y"))}, {1, Sequence(Sleep(2), one("z"))}}, Sequence(Sleep(3), one("w")))),
			[]string{"0 0 x", "1 1 y", "2 2 z", "3 3 w"}},
		{"a synchronize inside reserve waits for its own workers only", 3,
			Reserve([]Reserved{{1, Phases(one("a"), one("b"))}}, Sequence(Sleep(1), Ops(on(2, "slow")))),
			[]string{"0 0 a", "1 2 slow", "10 0 b"}},
		{"reserve of more workers than there are", 1, Reserve([]Reserved{{1, one("a")}, {5, one("b")}}, one("c")), []string{"0 0 a"}},
		{"one key after another", 1, Keys(1, 2, func(i int) string { return fmt.Sprint("k", i) }, func(string) Generator { return Ops(F("a"), F("b")) }),
			[]string{"0 0 a k0", "10 0 b k0", "20 0 a k1", "30 0 b k1"}},
		{"fewer keys than groups", 2, Keys(1, 1, func(i int) string { return fmt.Sprint("k", i) }, func(string) Generator { return Ops(on(1, "a"), on(1, "b")) }),
			[]string{"0 1 a k0", "20 1 b k0"}},
		{"no keys", 2, Keys(1, 0, nil, nil), nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			steps := run(t, Simulation{Threads: test.threads, Client: byThread}, test.g)
			if diff := cmp.Diff(test.want, say(steps)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUntilOKTriesUntilOneSucceeds(t *testing.T) {
	tries := 0
	third := func(*rand.Rand, Op) (time.Duration, End, json.RawMessage) {
		if tries++; tries == 3 {
			return 10, EndOK, nil
		}
		return 10, EndFail, nil
	}
	got := names(run(t, Simulation{Client: third}, Sequence(UntilOK(a()), one("then"))))
	if want := "a a a then"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestUntilOKIgnoresOtherMembers(t *testing.T) {
	client := func(_ *rand.Rand, op Op) (time.Duration, End, json.RawMessage) {
		if op.F == "b" {
			return 10, EndOK, nil
		}
		return 10, EndFail, nil
	}
	g := Any(UntilOK(Limit(5, a())), Limit(5, b()))
	got := names(run(t, Simulation{Threads: 2, Client: client}, g))
	if n := strings.Count(got, "a"); n != 5 {
		t.Errorf("a was tried %d times, want all 5, since only b ever succeeded: %s", n, got)
	}
}

func TestEachProcessStartsAgainAfterACrash(t *testing.T) {
	g := Limit(3, EachProcess(Once(one("hello"))))
	steps := run(t, Simulation{Client: Crashing(10)}, g)
	var processes []int
	for _, s := range steps {
		if s.End == "" {
			processes = append(processes, s.Process)
		}
	}
	if diff := cmp.Diff([]int{0, 1, 2}, processes); diff != "" {
		t.Error(diff)
	}
	if got := names(run(t, Simulation{Threads: 3}, EachProcess(Once(one("hello"))))); got != "hello hello hello" {
		t.Errorf("with a perfect client, once per process: got %q", got)
	}
}

func TestEachThreadDoesNotStartAgainAfterACrash(t *testing.T) {
	if got := names(run(t, Simulation{Client: Crashing(10)}, EachThread(Once(one("hello"))))); got != "hello" {
		t.Errorf("got %q", got)
	}
}

func TestFilterThatNeverAcceptsDoesNotHang(t *testing.T) {
	g := TimeLimit(time.Second, Filter(func(Op) bool { return false }, a()))
	if got := run(t, Simulation{}, g); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestKeyOfNothingDoesNotHang(t *testing.T) {
	g := TimeLimit(time.Second, Keys(1, Unlimited, func(i int) string { return "k" }, func(string) Generator { return nil }))
	if got := run(t, Simulation{Threads: 2}, g); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestStaggerDoesNotCatchUpAfterAStandstill(t *testing.T) {
	// One operation takes ten seconds on both workers; the rate is one a millisecond.
	first := true
	client := func(*rand.Rand, Op) (time.Duration, End, json.RawMessage) {
		if first {
			first = false
			return 10 * time.Second, EndOK, nil
		}
		return 1, EndOK, nil
	}
	g := Limit(100, Delay(time.Millisecond, a()))
	steps := run(t, Simulation{Client: client}, g)
	burst := 0
	for _, s := range steps {
		if s.End == "" && s.Time > 0 && s.Time < int64(10*time.Second+time.Millisecond/2) {
			burst++
		}
	}
	if burst > catchUp+1 {
		t.Errorf("%d operations followed the standstill at once, want at most %d", burst, catchUp+1)
	}
}

func TestALimitThatGrowsHoldsBackNothingOfWhatItGrewBy(t *testing.T) {
	for _, grown := range []int{0, 1, 20} {
		done, more := 0, time.Duration(0)
		client := func(*rand.Rand, Op) (time.Duration, End, json.RawMessage) {
			if done++; done == 5 { // before the limit is reached
				more = time.Duration(grown)
			}
			return 1, EndOK, nil
		}
		g := GrowingTimeLimit(10, func() time.Duration { return more }, a())
		if got := len(say(run(t, Simulation{Threads: 1, Client: client}, g))); got != 10+grown {
			t.Errorf("%d operations of 1 ns within 10 ns and %d more", got, grown)
		}
	}
}

func TestWeightsAreKept(t *testing.T) {
	g := WeightedMix(Weighted{3, a()}, Weighted{1, b()}, Weighted{0, one("never")})
	got := names(run(t, Simulation{Operations: 4000}, g))
	if n := strings.Count(got, "b"); n < 850 || n > 1150 {
		t.Errorf("b was drawn %d times of 4000, want about 1000", n)
	}
	if strings.Contains(got, "never") {
		t.Error("a member of weight 0 was drawn")
	}
}

func TestStaggerKeepsTheMeanRate(t *testing.T) {
	steps := run(t, Simulation{Threads: 10, Operations: 4000}, Stagger(time.Millisecond, a()))
	end := time.Duration(steps[len(steps)-1].Time)
	if end < 3800*time.Millisecond || end > 4200*time.Millisecond {
		t.Errorf("4000 operations, one a millisecond on average, took %s", end)
	}
}

func TestLowRateReachesEveryWorker(t *testing.T) {
	steps := run(t, Simulation{Threads: 5, Operations: 200}, Delay(time.Second, a()))
	used := map[int]int{}
	for _, s := range steps {
		used[s.Thread]++
	}
	if len(used) != 5 {
		t.Errorf("only %d of 5 workers were used: %v", len(used), used)
	}
}

func TestBrokenGeneratorsAreToldApart(t *testing.T) {
	if _, err := (Simulation{Threads: 2}).Run(stubborn{}); err == nil || !strings.Contains(err.Error(), "worker 0, which is busy") {
		t.Errorf("an operation for a busy worker: got error %v", err)
	}
	if _, err := (Simulation{}).Run(forever{}); err == nil || !strings.Contains(err.Error(), "no operation is open") {
		t.Errorf("waiting for nothing: got error %v", err)
	}
}

// forever waits for an event that never comes.
type forever struct{}

func (f forever) Next(*Context) (Op, Status, Generator) { return wait(Never, f) }
func (f forever) Update(*Context, Event) Generator      { return f }

// stubborn wants worker 0, busy or not.
type stubborn struct{}

func (s stubborn) Next(*Context) (Op, Status, Generator) { return on(0, "a"), Ready, s }
func (s stubborn) Update(*Context, Event) Generator      { return s }
