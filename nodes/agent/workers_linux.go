package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

// workWord makes this executable a worker: it does an effect's work until it is ended.
const workWord = "work"

// workers are the processes of the effects that have one.
type workers struct {
	// self is the command that ends up in Main, start starts a child beside a server.
	self  []string
	start func(server string, cmd *exec.Cmd) error

	mu      sync.Mutex
	running map[string]*worker
}

// worker is a running one. It ends when alive is closed, with us at the latest.
type worker struct {
	cmd   *exec.Cmd
	alive io.Closer
	done  chan struct{}
}

func (w *worker) over() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// keyOf tells effects apart.
func keyOf(e envelope) string { return e.Kind + " " + string(e.Spec) }

// Start is Workers.Start.
func (w *workers) Start(e Worker, server string) error {
	packed, err := pack(e)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.running[keyOf(packed)]; known != nil && !known.over() {
		return nil
	}
	if len(w.self) == 0 {
		return fmt.Errorf("start the worker of %s: this agent does not know the command that starts it", e.Kind())
	}
	cmd := exec.Command(w.self[0], append(w.self[1:len(w.self):len(w.self)], workWord, packed.Kind, string(packed.Spec))...)
	in, err := cmd.StdinPipe()
	switch {
	case err != nil:
	case server == "":
		err = cmd.Start()
	default:
		err = w.start(server, cmd)
	}
	if err != nil {
		return fmt.Errorf("start the worker of %s: %w", e.Kind(), err)
	}
	started := &worker{cmd: cmd, alive: in, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is not asked for
		close(started.done)
	}()
	w.running[keyOf(packed)] = started
	return nil
}

// farewell is how long a worker may take to end its work when it is told to.
const farewell = time.Second

// Stop is Workers.Stop.
func (w *workers) Stop(e Worker) error {
	packed, err := pack(e)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.running[keyOf(packed)]; known != nil {
		known.alive.Close()
		select {
		case <-known.done:
		case <-time.After(2 * farewell):
			_ = known.cmd.Process.Kill() // it may have ended
			<-known.done
		}
		delete(w.running, keyOf(packed))
	}
	return nil
}

// PID is Workers.PID.
func (w *workers) PID(e Worker) int {
	packed, err := pack(e)
	if err != nil {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.running[keyOf(packed)]
	if known == nil || known.over() {
		return 0
	}
	return known.cmd.Process.Pid
}

// work is a worker: it does the effect's work until its input ends, as it does when the
// agent is gone.
func work(args []string, kinds Kinds, stdin io.Reader, stderr io.Writer) int {
	if len(args) != 2 {
		fmt.Fprintln(stderr, "nemesis agent work: it is started by an agent, with an effect")
		return 64
	}
	effect, err := kinds.Decode(args[0], json.RawMessage(args[1]))
	if err != nil {
		fmt.Fprintln(stderr, firstLine(err.Error()))
		return 64
	}
	e, is := effect.(Worker)
	if !is {
		fmt.Fprintf(stderr, "nemesis agent work: %s has no work\n", effect.Kind())
		return 64
	}
	ctx, end := context.WithCancel(context.Background())
	defer end()
	failed := make(chan error, 1)
	go func() { failed <- e.Work(ctx) }()
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		end()
	}()
	select {
	case <-ctx.Done():
		select {
		case <-failed:
		case <-time.After(farewell):
		}
		return 0
	case err := <-failed:
		if err != nil {
			fmt.Fprintln(stderr, firstLine(err.Error()))
		}
		return 1
	}
}
