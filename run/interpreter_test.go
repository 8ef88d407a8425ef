package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/workload/generator"
)

// stage is an interpreter with what it recorded.
type stage struct {
	*Interpreter
	cfg    InterpreterConfig
	mu     sync.Mutex
	events []history.Event
	opened []string // "process@node"
	closed []int    // processes
}

// invocation is how a test's client answers.
type invocation func(ctx context.Context, op history.Event) clients.Completion

func newStage(concurrency int, nodes []string, answer invocation) *stage {
	s := &stage{}
	start := time.Now()
	s.cfg = InterpreterConfig{
		Nodes: nodes, Concurrency: concurrency, OpTimeout: 5 * time.Second,
		Now: func() int64 { return int64(time.Since(start)) },
		Record: func(ev *history.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			ev.Index = int64(len(s.events))
			s.events = append(s.events, *ev)
		},
		Open: func(_ context.Context, process int, node string, _ *clients.Dialer) (clients.Client, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.opened = append(s.opened, fmt.Sprintf("%d@%s", process, node))
			return &actor{s, process, answer}, nil
		},
	}
	return s
}

type actor struct {
	stage   *stage
	process int
	answer  invocation
}

func (a *actor) Invoke(ctx context.Context, op history.Event) clients.Completion {
	return a.answer(ctx, op)
}

func (a *actor) Close() error {
	a.stage.mu.Lock()
	defer a.stage.mu.Unlock()
	a.stage.closed = append(a.stage.closed, a.process)
	return nil
}

// play runs the generators one after another and closes the interpreter.
func (s *stage) play(t testing.TB, gs ...generator.Generator) *stage {
	t.Helper()
	s.Interpreter = NewInterpreter(s.cfg)
	defer s.Close()
	for _, g := range gs {
		if err := s.Run(context.Background(), g, rand.New(rand.NewPCG(1, 2))); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// lines is the history as "process type f error" lines.
func (s *stage) lines() []string {
	var lines []string
	for _, ev := range s.events {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%d %s %s %s", ev.Process, ev.Type, ev.F, ev.Error)))
	}
	return lines
}

func (s *stage) log(t rapid.TB) *history.Log {
	t.Helper()
	log, err := history.Pair(s.events)
	if err != nil {
		t.Fatalf("the history is not one that a run can have recorded: %v", err)
	}
	return log
}

func agree(context.Context, history.Event) clients.Completion {
	return clients.Completion{Type: history.OK}
}

func ops(fs ...string) generator.Generator {
	var all []generator.Op
	for _, f := range fs {
		all = append(all, generator.F(f))
	}
	return generator.Ops(all...)
}

func TestOneWorkerDoesOneThingAfterAnother(t *testing.T) {
	s := newStage(1, []string{"n1"}, func(_ context.Context, op history.Event) clients.Completion {
		if op.F == "read" {
			return clients.Completion{Type: history.OK, Value: json.RawMessage("7"), Version: 12}
		}
		return clients.Completion{Type: history.Fail, Error: "mismatch"}
	}).play(t, ops("read", "cas"))
	want := []string{"0 invoke read", "0 ok read", "0 invoke cas", "0 fail cas mismatch"}
	if diff := cmp.Diff(want, s.lines()); diff != "" {
		t.Error(diff)
	}
	if ev := s.events[1]; string(ev.Value) != "7" || ev.Version != 12 || ev.Node != "n1" {
		t.Errorf("the completion lost something on its way: %+v", ev)
	}
	if diff := cmp.Diff([]int{0}, s.closed); diff != "" {
		t.Errorf("clients closed at the end: %s", diff)
	}
	if ok, fail, info := s.Counts(); ok != 1 || fail != 1 || info != 0 {
		t.Errorf("counted %d ok, %d fail, %d info", ok, fail, info)
	}
}

func TestInvocationIsOnRecordBeforeTheClientSeesIt(t *testing.T) {
	var s *stage
	s = newStage(4, []string{"n1"}, func(_ context.Context, op history.Event) clients.Completion {
		s.mu.Lock()
		defer s.mu.Unlock()
		ev := s.events[op.Index]
		if ev.Type != history.Invoke || ev.Process != op.Process || ev.Time > s.cfg.Now() {
			return clients.Completion{Type: history.Info, Error: "not on record"}
		}
		return clients.Completion{Type: history.OK}
	})
	s.play(t, generator.Limit(200, generator.Repeat(generator.Unlimited, ops("read"))))
	if ok, _, _ := s.Counts(); ok != 200 {
		t.Errorf("%d of 200 invocations were on record in time", ok)
	}
}

func TestUnknownOutcomeRetiresTheProcess(t *testing.T) {
	s := newStage(2, []string{"n1", "n2"}, func(_ context.Context, op history.Event) clients.Completion {
		return clients.Completion{Type: history.Info, Error: "timeout"}
	}).play(t, generator.EachThread(ops("write", "write")))
	seen := map[int]string{}
	for _, op := range s.log(t).Operations {
		seen[op.Process] = op.Node
	}
	want := map[int]string{0: "n1", 1: "n2", 2: "n1", 3: "n2"}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
	if len(s.opened) != 4 {
		t.Errorf("each process needs a client of its own, opened were %v", s.opened)
	}
}

func TestProcessesGoOnInTheNextRun(t *testing.T) {
	s := newStage(1, []string{"n1"}, func(_ context.Context, op history.Event) clients.Completion {
		if op.F == "crash" {
			return clients.Completion{Type: history.Info}
		}
		return clients.Completion{Type: history.OK}
	}).play(t, ops("read", "crash"), ops("read"), ops("read"))
	want := []string{"0 invoke read", "0 ok read", "0 invoke crash", "0 info crash",
		"1 invoke read", "1 ok read", "1 invoke read", "1 ok read"}
	if diff := cmp.Diff(want, s.lines()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"0@n1", "1@n1"}, s.opened); diff != "" {
		t.Error(diff)
	}
}

func TestWhatGoesWrongWithAClient(t *testing.T) {
	tests := []struct {
		name   string
		open   error
		panics bool // opening does
		answer invocation
		want   string
		cause  history.Cause
	}{
		{name: "cannot connect", open: errors.New("connect to n1: refused"),
			want: "0 fail read no client: connect to n1: refused", cause: history.ControlSide},
		{name: "is kept waiting by the system", open: context.DeadlineExceeded,
			want: "0 fail read no client: context deadline exceeded"},
		{name: "panics while connecting", panics: true,
			want: "0 fail read no client: panic: no luck", cause: history.ControlSide},
		{name: "panics while it works", answer: func(context.Context, history.Event) clients.Completion { panic("boom") },
			want: "0 info read panic: boom", cause: history.ControlSide},
		{name: "answers with an invocation", answer: func(context.Context, history.Event) clients.Completion {
			return clients.Completion{Type: history.Invoke}
		}, want: `0 info read the client answered with type "invoke" instead of ok, fail or info`, cause: history.ControlSide},
		{name: "answers with what is not JSON", answer: func(context.Context, history.Event) clients.Completion {
			return clients.Completion{Type: history.OK, Value: json.RawMessage("</script>")}
		}, want: `0 info read the client's value is not JSON: "</script>"`},
		{name: "repeats what a server says at length", answer: func(context.Context, history.Event) clients.Completion {
			return clients.Completion{Type: history.Fail, Error: strings.Repeat("x", 5000)}
		}, want: "0 fail read " + strings.Repeat("x", maxErrorText) + "…"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(1, []string{"n1"}, test.answer)
			open := s.cfg.Open
			s.cfg.Open = func(ctx context.Context, process int, node string, dialer *clients.Dialer) (clients.Client, error) {
				if test.panics {
					panic("no luck")
				}
				if test.open != nil {
					return nil, test.open
				}
				return open(ctx, process, node, dialer)
			}
			s.play(t, ops("read"))
			if diff := cmp.Diff([]string{"0 invoke read", test.want}, s.lines()); diff != "" {
				t.Error(diff)
			}
			if got := s.events[1].Cause; got != test.cause {
				t.Errorf("its cause is %q, want %q", got, test.cause)
			}
		})
	}
}

func TestClientThatIgnoresItsDeadlineIsReplaced(t *testing.T) {
	hang := make(chan struct{})
	s := newStage(2, []string{"n1"}, func(_ context.Context, op history.Event) clients.Completion {
		if op.F == "hang" {
			<-hang
			return clients.Completion{Type: history.OK, Value: json.RawMessage(`"far too late"`)}
		}
		return clients.Completion{Type: history.OK}
	})
	s.cfg.OpTimeout = 10 * time.Millisecond
	s.Interpreter = NewInterpreter(s.cfg)
	first := generator.Op{Thread: 0, F: "hang"}
	second := generator.Op{Thread: 0, F: "read"}
	if err := s.Run(context.Background(), generator.Ops(first, second), rand.New(rand.NewPCG(1, 1))); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"0 invoke hang", "0 info hang the client did not return within 1s of its 10ms timeout and was abandoned",
		"2 invoke read", "2 ok read",
	}
	if diff := cmp.Diff(want, s.lines()); diff != "" {
		t.Error(diff)
	}
	close(hang)
	s.Close()
	if err := s.Run(context.Background(), nil, nil); err == nil {
		t.Error("a closed interpreter ran")
	}
	if len(s.events) != 4 {
		t.Errorf("the late answer was recorded: %v", s.lines()[4:])
	}
}

// visionary is a client that also tells what it believes.
type visionary struct{ *actor }

func (v visionary) Believe(tell func(clients.Belief)) {
	tell(clients.Belief{F: "enter", Key: "lock", Grant: history.Grant{Token: 7}})
}

func TestWhatAClientBelievesIsToldUnderItsProcess(t *testing.T) {
	s := newStage(2, []string{"n1", "n2"}, func(context.Context, history.Event) clients.Completion {
		return clients.Completion{Type: history.OK}
	})
	open := s.cfg.Open
	s.cfg.Open = func(ctx context.Context, process int, node string, dialer *clients.Dialer) (clients.Client, error) {
		client, err := open(ctx, process, node, dialer)
		return visionary{client.(*actor)}, err
	}
	told := map[string]clients.Belief{}
	s.cfg.Believe = func(process int, node string, b clients.Belief) {
		s.mu.Lock()
		defer s.mu.Unlock()
		told[fmt.Sprintf("%d@%s", process, node)] = b
	}
	s.play(t, generator.EachThread(generator.Ops(generator.F("acquire"))))
	if len(told) != 2 || told["0@n1"].F != "enter" || told["1@n2"].Grant.Token != 7 {
		t.Errorf("told %+v", told)
	}
}

func TestDeadlineReachesTheClient(t *testing.T) {
	s := newStage(1, []string{"n1"}, func(ctx context.Context, op history.Event) clients.Completion {
		<-ctx.Done()
		return clients.Completion{Type: history.Info, Error: ctx.Err().Error()}
	})
	s.cfg.OpTimeout = 10 * time.Millisecond
	s.play(t, ops("write"))
	if diff := cmp.Diff([]string{"0 invoke write", "0 info write context deadline exceeded"}, s.lines()); diff != "" {
		t.Error(diff)
	}
}

func TestEndedContextStopsNewOperationsAndKeepsOpenOnes(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := newStage(3, []string{"n1"}, func(opCtx context.Context, op history.Event) clients.Completion {
		cancel()
		<-opCtx.Done() // an operation under way gets its own time, not the run's
		return clients.Completion{Type: history.Info, Error: "timeout"}
	})
	s.cfg.OpTimeout = 50 * time.Millisecond
	s.Interpreter = NewInterpreter(s.cfg)
	defer s.Close()
	endless := generator.Repeat(generator.Unlimited, ops("write"))
	if err := s.Run(ctx, endless, rand.New(rand.NewPCG(1, 1))); err != nil {
		t.Fatal(err)
	}
	for _, op := range s.log(t).Operations {
		if op.Completion < 0 {
			t.Errorf("operation %d was left without an end", op.Index)
		}
	}
	if n := len(s.events); n < 2 || n > 6 {
		t.Errorf("%d events, want an invocation and an end for 1 to 3 workers", n)
	}
}

func TestBrokenGeneratorEndsTheRunWithOneSentence(t *testing.T) {
	tests := []struct {
		name string
		g    generator.Generator
		want string
	}{
		{"panics", generator.Func(func(*generator.Context) generator.Op { panic("dice fell off the table") }),
			"ask the generator: it panicked: dice fell off the table"},
		{"panics at news", skittish{}, "ask the generator: it panicked: a mouse"},
		{"wants a worker that there is not", stubborn{}, `ask the generator: it wants "read" done by worker 9, which is not idle`},
		{"waits for nothing", idler{}, "ask the generator: it waits for an event, but no operation is open that could bring one"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(2, []string{"n1"}, agree)
			s.Interpreter = NewInterpreter(s.cfg)
			defer s.Close()
			err := s.Run(context.Background(), generator.Sequence(ops("read"), test.g), rand.New(rand.NewPCG(1, 1)))
			if err == nil || err.Error() != test.want {
				t.Errorf("got error %v, want %s", err, test.want)
			}
			for _, op := range s.log(t).Operations {
				if op.Type != history.OK {
					t.Errorf("operation %d was left without its end", op.Index)
				}
			}
		})
	}
}

type stubborn struct{}

func (g stubborn) Next(*generator.Context) (generator.Op, generator.Status, generator.Generator) {
	return generator.Op{Thread: 9, F: "read"}, generator.Ready, g
}
func (g stubborn) Update(*generator.Context, generator.Event) generator.Generator { return g }

// skittish does not bear to hear of an operation's end.
type skittish struct{}

func (g skittish) Next(ctx *generator.Context) (generator.Op, generator.Status, generator.Generator) {
	return generator.F("read"), generator.Ready, g
}
func (g skittish) Update(_ *generator.Context, ev generator.Event) generator.Generator {
	if !ev.Invocation {
		panic("a mouse")
	}
	return g
}

type idler struct{}

func (g idler) Next(*generator.Context) (generator.Op, generator.Status, generator.Generator) {
	return generator.Op{Time: generator.Never}, generator.Pending, g
}
func (g idler) Update(*generator.Context, generator.Event) generator.Generator { return g }

func TestImpossibleConfigurations(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*InterpreterConfig)
		want  string
	}{
		{"no clients", func(c *InterpreterConfig) { c.Concurrency = 0 }, "start clients: concurrency is 0, it must be at least 1"},
		{"negative clients", func(c *InterpreterConfig) { c.Concurrency = -3 }, "start clients: concurrency is -3, it must be at least 1"},
		{"no nodes", func(c *InterpreterConfig) { c.Nodes = nil }, "start clients: there is no node to talk to"},
		{"no time", func(c *InterpreterConfig) { c.OpTimeout = 0 }, "start clients: the operation timeout is 0s, it must be positive"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(1, []string{"n1"}, agree)
			test.spoil(&s.cfg)
			in := NewInterpreter(s.cfg)
			defer in.Close()
			if err := in.Run(context.Background(), ops("read"), nil); err == nil || err.Error() != test.want {
				t.Errorf("got error %v, want %s", err, test.want)
			}
		})
	}
}

func TestDeadNodeDoesNotUseUpTheOperations(t *testing.T) {
	s := newStage(2, []string{"alive", "dead"}, func(_ context.Context, op history.Event) clients.Completion {
		if op.Node == "dead" {
			return clients.Completion{Type: history.Fail, Error: "connection refused"}
		}
		return clients.Completion{Type: history.OK}
	}).play(t, generator.Limit(2000, generator.Repeat(generator.Unlimited, ops("read"))))
	if ok, fail, _ := s.Counts(); fail > ok/4 {
		t.Errorf("%d operations were refused and %d done, want the dead node to take a small share", fail, ok)
	}
}

func TestAnyRunMakesAHistoryThatCanBePaired(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		threads := rapid.IntRange(1, 8).Draw(t, "threads")
		limit := rapid.IntRange(0, 40).Draw(t, "operations")
		outcomes := rapid.SliceOfN(rapid.SampledFrom([]history.Type{history.OK, history.OK, history.OK, history.Fail, history.Info}), 5, 20).Draw(t, "outcomes")
		var mu sync.Mutex
		next := 0
		s := newStage(threads, []string{"n1", "n2", "n3"}, func(_ context.Context, op history.Event) clients.Completion {
			mu.Lock()
			defer mu.Unlock()
			next++
			return clients.Completion{Type: outcomes[next%len(outcomes)]}
		})
		s.Interpreter = NewInterpreter(s.cfg)
		defer s.Close()
		g := generator.Limit(limit, generator.Mix(
			generator.Repeat(generator.Unlimited, ops("read")),
			generator.EachProcess(ops("a", "b", "c")),
			generator.Cycle(generator.Unlimited, generator.Phases(ops("x", "y"), ops("z"))),
		))
		if err := s.Run(context.Background(), g, rand.New(rand.NewPCG(1, 1))); err != nil {
			t.Fatal(err)
		}
		log := s.log(t)
		if len(log.Operations) != limit {
			t.Fatalf("recorded %d operations, want %d", len(log.Operations), limit)
		}
		ok, fail, info := s.Counts()
		if ok+fail+info != int64(limit) {
			t.Fatalf("counted %d + %d + %d, want %d in all", ok, fail, info, limit)
		}
		last := int64(0)
		for _, ev := range s.events {
			if ev.Time < last {
				t.Fatalf("event %d goes back in time", ev.Index)
			}
			last = ev.Time
		}
		for _, op := range log.Operations {
			if op.Completion < 0 {
				t.Fatalf("operation %d has no end", op.Index)
			}
		}
	})
}
