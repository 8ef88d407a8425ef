package effects

import (
	"fmt"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// PauseKind is Pause's kind.
const PauseKind = "proc.pause"

// Pause stops all processes of a server with SIGSTOP: it neither runs nor answers, and its
// connections stay open, as in a long garbage collection or a frozen machine.
type Pause struct {
	ID string `json:"id"`
	// Process is the supervised process's name.
	Process string `json:"process"`
}

// Kind is PauseKind.
func (p *Pause) Kind() string { return PauseKind }

// String is the effect in one line.
func (p *Pause) String() string { return p.ID + ": " + p.Process }

// by names this effect to the supervisor: kinds may share an ID.
func (p *Pause) by() string { return PauseKind + " " + p.ID }

// Check passes: whoever supervises a process may signal it.
func (p *Pause) Check(*agent.Host) error { return nil }

// Apply stops every process of the server. It fails when its main process does not run.
func (p *Pause) Apply(h *agent.Host) error {
	if err := checkID(PauseKind, p.ID); err != nil {
		return err
	}
	return h.Processes.Pause(p.Process, p.by())
}

// Undo lets it continue, unless another Pause holds it.
func (p *Pause) Undo(h *agent.Host) error { return h.Processes.Resume(p.Process, p.by()) }

// Probe reads the state of every thread from /proc.
func (p *Pause) Probe(h *agent.Host) (history.Evidence, error) {
	state, err := h.Processes.State(p.Process)
	if err != nil {
		return history.Evidence{}, err
	}
	hold, held := h.Processes.Holding(p.Process, p.by())
	e := history.Evidence{Measures: []history.Measure{
		{Name: "pid", Value: float64(state.PID)},
		{Name: "processes", Value: float64(state.Processes)},
		{Name: "threads", Value: float64(state.Threads)},
		{Name: "stopped threads", Value: float64(state.Stopped)},
	}}
	addProcesses(h, &e, p.Process, state, hold)
	if h.InForce(p) {
		e.Confirmed, e.Undone = state.State == agent.Paused, state.State == agent.Running
		e.Summary = fmt.Sprintf("%s of %s, pid %d, stopped (state T)%s", threadsOf(state), p.Process, state.PID, heldBy(state))
		if state.State == agent.Exited || state.State == agent.Absent {
			e.Summary = fmt.Sprintf("%s is not paused but %s", p.Process, state.State)
		}
		return e, nil
	}
	switch {
	case held:
		e.Summary = fmt.Sprintf("%s, pid %d, is still held", p.Process, hold.PID)
	case state.State == agent.Paused && h.Processes.Held(p.Process):
		e.Confirmed = true
		e.Summary = fmt.Sprintf("let go of %s, pid %d, which another fault holds", p.Process, state.PID)
	case state.State == agent.Running && state.Stopped > 0:
		e.Summary = fmt.Sprintf("%s, pid %d, runs again, but %d of its %d threads are still stopped", p.Process, state.PID, state.Stopped, state.Threads)
	case state.State == agent.Running:
		e.Confirmed = true
		e.Summary = fmt.Sprintf("%s, pid %d, runs again", p.Process, state.PID)
	case state.State == agent.Paused:
		e.Summary = fmt.Sprintf("%s, pid %d, is still stopped", p.Process, state.PID)
	default: // it ended while paused, or later: no stopped process is left
		e.Confirmed = true
		e.Summary = fmt.Sprintf("%s is not paused any more, but %s", p.Process, state.State)
	}
	return e, nil
}
