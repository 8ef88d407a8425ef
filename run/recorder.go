package run

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"nemesis/history"
	"nemesis/workload"
)

// recorder is where all of a run's events pass on their way into the history,
// and to whoever watches. It is safe for concurrent use.
type recorder struct {
	writer  *history.Writer
	start   time.Time
	observe func(Progress)

	mu       sync.Mutex
	keys     []string // in order of first use
	seen     map[string]bool
	inForce  map[int]string // faults by step
	troubles []string
	// failedHere notes the first operation that failed on the control side.
	failedHere sync.Once
	// failed is closed at the first event that could not be recorded: a run
	// whose history has holes must end.
	failed  chan struct{}
	failure error
}

func newRecorder(writer *history.Writer, start time.Time, observe func(Progress)) *recorder {
	if observe == nil {
		observe = func(Progress) {}
	}
	return &recorder{writer: writer, start: start, observe: observe,
		seen: map[string]bool{}, inForce: map[int]string{}, failed: make(chan struct{})}
}

// now is nanoseconds since the run began, on the monotonic clock.
func (r *recorder) now() int64 { return int64(time.Since(r.start)) }

// operation records an invocation or a completion.
func (r *recorder) operation(ev *history.Event) {
	if ev.Type == history.Invoke {
		for _, key := range workload.KeysOf(ev) {
			r.mu.Lock()
			if !r.seen[key] {
				r.seen[key] = true
				r.keys = append(r.keys, key)
			}
			r.mu.Unlock()
		}
	}
	r.append(ev)
	if ev.Cause == history.ControlSide {
		r.failedHere.Do(func() {
			r.note(ev.Node, "nemesis itself failed before anything left the control node: %s; the verdict counts what else did", ev.Error)
		})
	}
}

// event records anything else, stamps it when it has no time, and tells the watcher.
func (r *recorder) event(ev history.Event) {
	if ev.Time == 0 {
		ev.Time = r.now()
	}
	r.append(&ev)
	p := Progress{Time: ev.Time, Node: ev.Node, Message: ev.Message}
	switch ev.Type {
	case history.FaultChange:
		p.Action, p.Fault = "fault", ev.Fault
		r.mu.Lock()
		switch ev.Fault.Stage {
		case history.Active:
			r.inForce[ev.Fault.ID] = ev.Fault.Description
		case history.Healed:
			delete(r.inForce, ev.Fault.ID)
		}
		r.mu.Unlock()
	case history.LeaderChange:
		p.Action, p.Leaders = "leader", ev.Leaders
	case history.RestartFailed:
		p.Action, p.Restart = "restart", ev.Restart
	case history.ServerExit:
		p.Action, p.Exit = "exit", ev.Exit
	case history.PhaseChange:
		p.Action, p.Phase, p.Message = "phase", ev.Message, ""
	case history.Note, history.Interrupt:
		p.Action = "note"
	case history.Trouble:
		p.Action = "trouble"
	default:
		return
	}
	r.observe(p)
}

func (r *recorder) append(ev *history.Event) {
	err := r.writer.Append(ev)
	if err == nil {
		return
	}
	r.mu.Lock()
	first := r.failure == nil
	if first {
		r.failure = err
		r.troubles = append(r.troubles, err.Error())
		close(r.failed)
	}
	r.mu.Unlock()
	if first {
		r.observe(Progress{Time: r.now(), Action: "trouble", Message: err.Error()})
	}
}

// trouble records that nemesis itself, SSH, a node or an install failed. One that
// has been told is not told again: a lost agent fails whatever is asked of it.
func (r *recorder) trouble(node, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	r.mu.Lock()
	known := slices.Contains(r.troubles, message)
	if !known {
		r.troubles = append(r.troubles, message)
	}
	r.mu.Unlock()
	if !known {
		r.event(history.Event{Type: history.Trouble, Node: node, Message: message})
	}
}

// unrecorded adds a trouble that came too late for the history.
func (r *recorder) unrecorded(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		r.troubles = append(r.troubles, err.Error())
	}
}

// tooLate adds a trouble that is not in the history, which is whole.
func (r *recorder) tooLate(trouble string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.troubles = append(r.troubles, trouble)
}

// unwritable reports whether the history could not be written.
func (r *recorder) unwritable() bool {
	select {
	case <-r.failed:
		return true
	default:
		return false
	}
}

// told are the troubles so far.
func (r *recorder) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.troubles)
}

func (r *recorder) note(node, format string, args ...any) {
	r.event(history.Event{Type: history.Note, Node: node, Message: fmt.Sprintf(format, args...)})
}

func (r *recorder) usedKeys() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.keys...)
}

func (r *recorder) faultsInForce() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, description := range r.inForce {
		all = append(all, description)
	}
	return all
}
