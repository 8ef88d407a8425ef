package run

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/workload/generator"
)

// Interpreter lets clients do what a generator says and writes down what they did.
//
// There is one scheduler, the goroutine that calls Run, and one goroutine per
// worker. The scheduler alone owns the generator, the context and the order of the
// history, so none of these needs a lock; a worker does nothing but talk to its
// client. An operation goes round like this:
//
//	scheduler: ask the generator ─▶ stamp and record the invocation ─▶ wake the worker
//	worker:    client.Invoke ─▶ stamp the completion ─▶ outbox
//	scheduler: record the completion ─▶ tell the generator ─▶ worker is idle
//
// The invocation is recorded before the worker wakes. So whatever a torn history
// shows as an effect, it also shows as an invocation. The scheduler looks at the
// outbox before each new operation, since a completion that waits there looks like
// an operation that took longer.
//
// Workers are numbered from 0 and bound to nodes for good: worker t talks to node
// t mod n. A worker acts as one process at a time. After an operation whose
// outcome is unknown its process is retired, and the worker goes on as process
// p + Concurrency with a new client.
//
// Nothing waits for ever. A client gets OpTimeout for an operation; one that
// ignores it for a further second is abandoned together with its worker, the
// operation is recorded as Info, and a new worker takes the place.
type Interpreter struct {
	cfg     InterpreterConfig
	gen     *generator.Context
	threads []thread
	outbox  *outbox
	base    context.Context // of all operations; ended by Close
	cancel  context.CancelFunc

	open    int   // operations under way
	resting int   // workers that rest after failures
	rested  int64 // when the first of them has rested enough
	last    int64 // time of the last recorded event

	tick <-chan time.Time // says when to look for stuck clients
	look bool             // it did

	ended history.Event // the completion being recorded, here so that it is not allocated anew

	panicked error // what a generator's panic was about

	ok, fail, info atomic.Int64
}

// InterpreterConfig is what an Interpreter needs. All fields but the last are required.
type InterpreterConfig struct {
	// Open makes the client of one process, which connects by dialer. It is called from
	// many goroutines.
	Open func(ctx context.Context, process int, node string, dialer *clients.Dialer) (clients.Client, error)
	// Nodes are the cluster's nodes; worker t talks to Nodes[t mod len(Nodes)].
	Nodes []string
	// Concurrency is the number of workers.
	Concurrency int
	// OpTimeout is how long a client may take for one operation.
	OpTimeout time.Duration
	// Now is nanoseconds since the run began, monotonic, safe for concurrent use.
	Now func() int64
	// Record appends an event to the history and gives it its index. It is called
	// by one goroutine, with times that never go back, and must not keep the event.
	// When it cannot record, it should end the context of Run.
	Record func(*history.Event)
	// Believe records what a process's client tells of its own accord (clients.Believer);
	// it is called from any goroutine. nil keeps nothing of it.
	Believe func(process int, node string, b clients.Belief)
}

const (
	// abandonAfter is how long after its deadline an operation's client is given up.
	abandonAfter = time.Second
	// watch is how often the scheduler looks for such clients.
	watch = 100 * time.Millisecond
	// restAfter is how many operations in a row a worker may fail to get done before
	// it rests between them: a dead node refuses thousands of requests a second, which
	// say nothing new and use up the keys of the workers that get through.
	restAfter = 3
	maxRest   = 100 * time.Millisecond
)

// thread is the scheduler's view of one worker.
type thread struct {
	worker   *worker
	busy     bool
	began    int64 // when its open operation was invoked
	failures int   // operations in a row that did not end ok
	rests    int64 // until when it rests; 0 when it does not
}

// NewInterpreter makes an interpreter; Close ends its workers.
func NewInterpreter(cfg InterpreterConfig) *Interpreter {
	in := &Interpreter{
		cfg:     cfg,
		gen:     generator.NewContext(max(cfg.Concurrency, 0), nil),
		threads: make([]thread, max(cfg.Concurrency, 0)),
		outbox:  newOutbox(),
		rested:  generator.Never,
	}
	in.base, in.cancel = context.WithCancel(context.Background())
	return in
}

// Counts is how many operations have ended in each way so far. It may be called
// at any time, from any goroutine.
func (in *Interpreter) Counts() (ok, fail, info int64) {
	return in.ok.Load(), in.fail.Load(), in.info.Load()
}

// Run does what g says until g is done or ctx ends, and then waits for the open
// operations, at most OpTimeout and a second. r is the source of all random
// choices. That ctx ended is not an error; the errors are a configuration that
// cannot work and a generator that breaks its contract. Run may be called again
// once it has returned: processes and clients go on.
func (in *Interpreter) Run(ctx context.Context, g generator.Generator, r *rand.Rand) error {
	switch {
	case in.base.Err() != nil:
		return errors.New("start clients: the interpreter is closed")
	case in.cfg.Concurrency < 1:
		return fmt.Errorf("start clients: concurrency is %d, it must be at least 1", in.cfg.Concurrency)
	case len(in.cfg.Nodes) == 0:
		return errors.New("start clients: there is no node to talk to")
	case in.cfg.OpTimeout <= 0:
		return fmt.Errorf("start clients: the operation timeout is %s, it must be positive", in.cfg.OpTimeout)
	}
	for t := range in.threads {
		if in.threads[t].worker == nil {
			in.threads[t].worker = in.hire(t)
		}
	}
	in.gen.Rand, in.panicked = r, nil
	ticker := time.NewTicker(watch)
	defer ticker.Stop()
	in.tick = ticker.C
	err := in.schedule(ctx, g)
	for in.open > 0 || in.resting > 0 {
		in.wait(nil, in.rested)
		in.collect(nil)
	}
	return err
}

// schedule hands out operations until there are none left or ctx ends.
func (in *Interpreter) schedule(ctx context.Context, g generator.Generator) error {
	for ctx.Err() == nil {
		g = in.collect(g)
		if in.panicked != nil {
			return in.panicked
		}
		if len(in.gen.Free) == 0 {
			in.wait(ctx.Done(), in.rested)
			continue
		}
		if g == nil {
			return nil
		}
		in.gen.Time = max(in.cfg.Now(), in.last)
		op, status, after := in.ask(g)
		switch {
		case status == generator.Done:
			return in.panicked
		case status == generator.Ready && op.Time <= in.gen.Time:
			op = in.gen.Choose(op)
			if !in.gen.Begin(op.Thread) {
				return fmt.Errorf("ask the generator: it wants %q done by worker %d, which is not idle", op.F, op.Thread)
			}
			g = in.invoke(op, after)
			continue
		case status == generator.Pending:
			g = after
			if op.Time == generator.Never && in.open == 0 && in.resting == 0 {
				return errors.New("ask the generator: it waits for an event, but no operation is open that could bring one")
			}
			// A moment that has passed would make the loop spin.
			op.Time = max(op.Time, in.gen.Time+int64(time.Millisecond))
		}
		in.wait(ctx.Done(), min(op.Time, in.rested))
	}
	return nil
}

// invoke records an invocation, wakes its worker and tells the generator.
func (in *Interpreter) invoke(op generator.Op, g generator.Generator) generator.Generator {
	t := &in.threads[op.Thread]
	w := t.worker
	w.op = history.Event{
		Time: in.stamp(in.cfg.Now()), Type: history.Invoke, Process: in.gen.Process[op.Thread],
		Node: w.node, F: op.F, Key: op.Key, Value: op.Value,
	}
	t.busy, t.began = true, w.op.Time
	in.open++
	in.cfg.Record(&w.op)
	ev := generator.Event{
		Time: t.began, Thread: op.Thread, Process: w.op.Process, F: op.F, Key: op.Key,
		Invocation: true, Value: op.Value,
	}
	w.start <- struct{}{} // from here on w.op belongs to the worker
	return in.tell(g, ev)
}

// ask is g.Next; a generator that panics is done.
func (in *Interpreter) ask(g generator.Generator) (op generator.Op, status generator.Status, after generator.Generator) {
	defer in.guard()
	return g.Next(in.gen)
}

// tell is g.Update; a generator that panics is done.
func (in *Interpreter) tell(g generator.Generator, ev generator.Event) (after generator.Generator) {
	if g == nil {
		return nil
	}
	defer in.guard()
	return g.Update(in.gen, ev)
}

// guard turns a generator's panic into the error with which Run ends. What is
// open then still gets its end on record.
func (in *Interpreter) guard() {
	if p := recover(); p != nil {
		in.panicked = fmt.Errorf("ask the generator: it panicked: %v", p)
	}
}

// collect records what has ended since last time, frees the workers, and returns
// the generator that follows.
func (in *Interpreter) collect(g generator.Generator) generator.Generator {
	for _, w := range in.outbox.take() {
		if in.threads[w.thread].worker == w { // else it was given up: Info is on record
			g = in.complete(w, w.end, w.completion, g)
		}
	}
	select {
	case <-in.tick:
		in.look = true
	default:
	}
	if in.look {
		in.look = false
		g = in.abandonStuck(g)
	}
	if in.resting > 0 {
		in.wakeRested(in.cfg.Now())
	}
	return g
}

// complete records how the open operation of w ended.
func (in *Interpreter) complete(w *worker, end int64, c clients.Completion, g generator.Generator) generator.Generator {
	t := &in.threads[w.thread]
	ev := &in.ended
	*ev = history.Event{
		Time: in.stamp(end), Type: c.Type, Process: in.gen.Process[w.thread], Node: w.node,
		F: w.op.F, Key: w.op.Key, Value: c.Value, Version: c.Version, Error: c.Error, Cause: c.Cause,
	}
	in.cfg.Record(ev)
	in.open--
	t.busy = false
	t.failures++
	switch c.Type {
	case history.OK:
		in.ok.Add(1)
		t.failures = 0
	case history.Fail:
		in.fail.Add(1)
	default:
		in.info.Add(1)
		in.gen.Retire(w.thread)
	}
	if t.failures < restAfter {
		in.gen.End(w.thread)
	} else {
		rest := min(time.Millisecond<<min(t.failures-restAfter, 10), maxRest)
		t.rests = ev.Time + int64(rest)
		in.resting++
		in.rested = min(in.rested, t.rests)
	}
	in.gen.Time = ev.Time
	return in.tell(g, generator.Event{
		Time: ev.Time, Thread: w.thread, Process: ev.Process, F: ev.F, Key: ev.Key,
		OK: c.Type == history.OK, Value: c.Value,
	})
}

// wakeRested frees the workers that have rested until now.
func (in *Interpreter) wakeRested(now int64) {
	if now < in.rested {
		return
	}
	in.rested = generator.Never
	for i := range in.threads {
		t := &in.threads[i]
		switch {
		case t.rests == 0:
		case t.rests <= now:
			t.rests = 0
			in.resting--
			in.gen.End(i)
		default:
			in.rested = min(in.rested, t.rests)
		}
	}
}

// stamp makes times that never go back. A worker stamps its completion a moment
// before the scheduler sees it; if another event was recorded meanwhile, the later
// time is as true and keeps the history in order.
func (in *Interpreter) stamp(time int64) int64 {
	in.last = max(in.last, time)
	return in.last
}

// wait returns when something may have ended, when stop is closed, at the moment
// until, or at the watchdog's tick.
func (in *Interpreter) wait(stop <-chan struct{}, until int64) {
	var alarm <-chan time.Time
	if until != generator.Never {
		gap := until - in.cfg.Now()
		if gap <= 0 {
			return
		}
		timer := time.NewTimer(time.Duration(gap))
		defer timer.Stop()
		alarm = timer.C
	}
	select {
	case <-in.outbox.ready:
	case <-alarm:
	case <-stop:
	case <-in.tick:
		in.look = true
	}
}
