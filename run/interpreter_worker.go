package run

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/workload/generator"
)

// maxErrorText is how many bytes of an error's text are recorded: servers choose it.
const maxErrorText = 1 << 10

// worker talks to one node on behalf of one process after another.
type worker struct {
	thread int
	node   string
	in     *Interpreter
	start  chan struct{} // one signal per operation; closed to end the worker

	// op is written by the scheduler before the signal, end and completion by the
	// worker before it enters the outbox.
	op         history.Event
	end        int64
	completion clients.Completion

	// client is process's, nil when it has none; dialer opens its connections.
	client  clients.Client
	dialer  *clients.Dialer
	process int
	ended   chan struct{} // closed when the goroutine and its client are gone
}

// hire starts a worker for a thread.
func (in *Interpreter) hire(thread int) *worker {
	w := &worker{
		thread: thread, node: in.cfg.Nodes[thread%len(in.cfg.Nodes)], in: in,
		start: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	go w.work()
	return w
}

func (w *worker) work() {
	defer close(w.ended)
	for range w.start {
		w.completion = w.perform()
		w.end = w.in.cfg.Now()
		w.in.outbox.put(w)
	}
	if w.client != nil {
		closeClient(w.client)
	}
}

// perform does one operation within its timeout.
func (w *worker) perform() clients.Completion {
	ctx, cancel := context.WithTimeout(w.in.base, w.in.cfg.OpTimeout)
	defer cancel()
	if w.client == nil || w.process != w.op.Process {
		if err := w.connect(ctx); err != nil {
			// Nothing was sent, so the operation certainly did not happen.
			return clients.Completion{Type: history.Fail, Error: shorten("no client: " + err.Error()), Cause: clients.CauseOfNoClient(err)}
		}
	}
	return checkCompletion(w.dialer.Sort(invoke(ctx, w.client, w.op)))
}

// connect replaces the client of a retired process, if any, by a new one.
func (w *worker) connect(ctx context.Context) (err error) {
	if w.client != nil {
		go closeClient(w.client) // it may hang on the broken connection that retired it
		w.client = nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	dialer := new(clients.Dialer)
	client, err := w.in.cfg.Open(ctx, w.op.Process, w.node, dialer)
	if err != nil {
		return err
	}
	w.client, w.dialer, w.process = client, dialer, w.op.Process
	if believer, is := client.(clients.Believer); is && w.in.cfg.Believe != nil {
		process := w.op.Process
		believer.Believe(func(b clients.Belief) { w.in.cfg.Believe(process, w.node, b) })
	}
	if ctx.Err() != nil {
		return fmt.Errorf("connecting used up the operation's time: %w", ctx.Err())
	}
	return nil
}

// invoke calls the client. A panic leaves the outcome open, and is ours.
func invoke(ctx context.Context, client clients.Client, op history.Event) (c clients.Completion) {
	defer func() {
		if p := recover(); p != nil {
			c = clients.Completion{Type: history.Info, Error: fmt.Sprintf("panic: %v", p), Cause: history.ControlSide}
		}
	}()
	return client.Invoke(ctx, op)
}

// checkCompletion turns an answer that breaks the client's contract into Info: it says
// nothing about what happened.
func checkCompletion(c clients.Completion) clients.Completion {
	switch {
	case !c.Type.IsCompletion():
		c = clients.Completion{Type: history.Info, Error: fmt.Sprintf("the client answered with type %q instead of ok, fail or info", c.Type), Cause: history.ControlSide}
	case len(c.Value) > 0 && !history.IsValid(c.Value):
		c = clients.Completion{Type: history.Info, Error: fmt.Sprintf("the client's value is not JSON: %q", shorten(string(c.Value)))}
	}
	c.Error = shorten(c.Error)
	return c
}

func shorten(text string) string {
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

// closeClient closes a client whatever it does then.
func closeClient(c clients.Client) {
	defer func() { _ = recover() }() // a client that cannot even close has nothing more to tell
	_ = c.Close()
}

// abandonStuck gives up the clients that have ignored their deadline, and returns
// the generator that follows.
func (in *Interpreter) abandonStuck(g generator.Generator) generator.Generator {
	now := in.cfg.Now()
	for i := range in.threads {
		t := &in.threads[i]
		if !t.busy || now-t.began < int64(in.cfg.OpTimeout+abandonAfter) {
			continue
		}
		lost := t.worker
		t.worker = in.hire(i)
		// The lost worker still reads its own op; the new one gets a copy to complete.
		t.worker.op = lost.op
		close(lost.start) // it ends, and closes its client, when the client returns
		g = in.complete(t.worker, now, clients.Completion{
			Type:  history.Info,
			Error: fmt.Sprintf("the client did not return within %s of its %s timeout and was abandoned", abandonAfter, in.cfg.OpTimeout),
		}, g)
	}
	return g
}

// Close ends the workers and their clients, and returns when they are gone, or
// after a second if some are not. Run must have returned.
func (in *Interpreter) Close() {
	in.cancel()
	for i := range in.threads {
		if w := in.threads[i].worker; w != nil {
			close(w.start)
		}
	}
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	for i := range in.threads {
		if in.threads[i].worker == nil {
			continue
		}
		select {
		case <-in.threads[i].worker.ended:
		case <-patience.C:
			return
		}
	}
}

// outbox holds the workers that have ended an operation until the scheduler
// looks. Workers never wait for it: a batch is handed over with one lock and at
// most one signal, however many workers it holds.
type outbox struct {
	ready chan struct{} // has a signal after something was put into an empty outbox

	filled  atomic.Bool
	mu      sync.Mutex
	workers []*worker
	taken   []*worker // the batch before, whose room is used again
}

func newOutbox() *outbox { return &outbox{ready: make(chan struct{}, 1)} }

func (o *outbox) put(w *worker) {
	o.mu.Lock()
	o.workers = append(o.workers, w)
	first := len(o.workers) == 1
	o.filled.Store(true)
	o.mu.Unlock()
	if first {
		select {
		case o.ready <- struct{}{}:
		default:
		}
	}
}

// take returns what has been put since last time; it is valid until the next call.
func (o *outbox) take() []*worker {
	if !o.filled.Load() {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.workers, o.taken = o.taken[:0], o.workers
	o.filled.Store(false)
	return o.taken
}
