package generator

import (
	"container/heap"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// Simulation runs a generator in virtual time: no goroutines, no sleeping, and the
// same steps for the same seed. It is how generators are tested; it shows what
// the interpreter would do with ideal timers.
//
//	steps, err := generator.Simulation{Threads: 3, Client: generator.Perfect(time.Second)}.Run(g)
type Simulation struct {
	// Threads is the number of workers; 0 means 1.
	Threads int
	// Seed makes the random source of generators and client.
	Seed uint64
	// Client answers the operations; nil is Perfect(10 ns).
	Client SimulatedClient
	// Operations ends the simulation after so many invocations; 0 means 10 000.
	Operations int
}

// SimulatedClient says how long an operation takes and how it ends. The operation's
// Time is now, its Thread the worker that does it.
type SimulatedClient func(r *rand.Rand, op Op) (latency time.Duration, end End, result json.RawMessage)

// End is how a simulated operation ends.
type End string

const (
	EndOK   End = "ok"
	EndFail End = "fail"
	EndInfo End = "info"
)

// Perfect always succeeds, after the same time.
func Perfect(latency time.Duration) SimulatedClient {
	return func(*rand.Rand, Op) (time.Duration, End, json.RawMessage) { return latency, EndOK, nil }
}

// Crashing never learns how an operation ended, so that every operation costs a process.
func Crashing(latency time.Duration) SimulatedClient {
	return func(*rand.Rand, Op) (time.Duration, End, json.RawMessage) { return latency, EndInfo, nil }
}

// Flaky takes an exponentially distributed time and succeeds, fails or crashes
// equally often.
func Flaky(mean time.Duration) SimulatedClient {
	return func(r *rand.Rand, _ Op) (time.Duration, End, json.RawMessage) {
		end := []End{EndOK, EndFail, EndInfo}[r.IntN(3)]
		return time.Duration(r.ExpFloat64() * float64(mean)), end, nil
	}
}

// Step is one event of a simulation.
type Step struct {
	Time    int64
	Thread  int
	Process int
	F       string
	Key     string
	Value   json.RawMessage
	// End is "" for an invocation.
	End End
}

// Run simulates g until it is done or the limit of operations is reached, and
// then lets what is open end. An error tells of a generator that broke its
// contract: it used a busy worker, or waits for an event that can never come.
func (s Simulation) Run(g Generator) ([]Step, error) {
	if s.Threads == 0 {
		s.Threads = 1
	}
	if s.Operations == 0 {
		s.Operations = 10_000
	}
	if s.Client == nil {
		s.Client = Perfect(10)
	}
	r := rand.New(rand.NewPCG(s.Seed, 0))
	ctx := NewContext(s.Threads, r)
	var open openSteps
	var steps []Step
	left := s.Operations

	for {
		op, status, after := Op{Time: Never}, Pending, g
		switch {
		case left == 0:
			status = Done
		case len(ctx.Free) > 0: // the interpreter does not ask while all are busy, either
			op, status, after = next(g, ctx)
		}
		if status == Ready && op.Time <= ctx.Time {
			op = ctx.Choose(op)
			if !ctx.Begin(op.Thread) {
				return steps, fmt.Errorf("simulate: %s is for worker %d, which is busy", op.F, op.Thread)
			}
			left--
			step := Step{Time: ctx.Time, Thread: op.Thread, Process: ctx.Process[op.Thread], F: op.F, Key: op.Key, Value: op.Value}
			steps = append(steps, step)
			g = update(after, ctx, step.event())

			op.Time = ctx.Time
			latency, end, result := s.Client(r, op)
			step.Time, step.End, step.Value = ctx.Time+int64(latency), end, result
			heap.Push(&open, step)
			continue
		}
		wake := Never
		if status == Pending {
			g = after
		}
		if status != Done {
			wake = op.Time
		}
		if len(open) > 0 && open[0].Time <= wake {
			step := heap.Pop(&open).(Step)
			ctx.Time = step.Time
			ctx.End(step.Thread)
			if step.End == EndInfo {
				ctx.Retire(step.Thread)
			}
			steps = append(steps, step)
			g = update(g, ctx, step.event())
			continue
		}
		if status == Done {
			return steps, nil
		}
		if wake == Never {
			return steps, fmt.Errorf("simulate: the generator waits for an event, but no operation is open")
		}
		ctx.Time = max(ctx.Time+1, wake)
	}
}

func (s Step) event() Event {
	return Event{Time: s.Time, Thread: s.Thread, Process: s.Process, F: s.F, Key: s.Key,
		Invocation: s.End == "", OK: s.End == EndOK, Value: s.Value}
}

// openSteps is a heap of completions to come, soonest first; ties go to the
// lower worker, so that a simulation is one sequence.
type openSteps []Step

func (o openSteps) Len() int { return len(o) }
func (o openSteps) Less(i, j int) bool {
	if o[i].Time != o[j].Time {
		return o[i].Time < o[j].Time
	}
	return o[i].Thread < o[j].Thread
}
func (o openSteps) Swap(i, j int) { o[i], o[j] = o[j], o[i] }
func (o *openSteps) Push(x any)   { *o = append(*o, x.(Step)) }
func (o *openSteps) Pop() any {
	last := len(*o) - 1
	x := (*o)[last]
	*o = (*o)[:last]
	return x
}
