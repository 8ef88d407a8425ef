package effects

import (
	"fmt"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// KillKind is Kill's kind.
const KillKind = "proc.kill"

// Kill ends all processes of a server with SIGKILL, as a crash would, and keeps it down. Undoing it
// starts the server again as it was started before.
type Kill struct {
	ID string `json:"id"`
	// Process is the supervised process's name.
	Process string `json:"process"`
	// Ports are where it listens: who listens there while it is down was started by
	// somebody else.
	Ports []uint16 `json:"ports,omitempty"`
}

// Kind is KillKind.
func (k *Kill) Kind() string { return KillKind }

// String is the effect in one line.
func (k *Kill) String() string { return k.ID + ": " + k.Process }

func (k *Kill) by() string { return KillKind + " " + k.ID }

// Check passes: whoever supervises a process may signal it.
func (k *Kill) Check(*agent.Host) error { return nil }

// Apply kills every process of the server. It fails when its main process does not run, unless
// another effect ended it: then both keep it down.
func (k *Kill) Apply(h *agent.Host) error {
	if err := checkID(KillKind, k.ID); err != nil {
		return err
	}
	return h.Processes.End(k.Process, k.by(), 0)
}

// Undo starts the server again, unless another effect keeps it down.
func (k *Kill) Undo(h *agent.Host) error { return h.Processes.Restore(k.Process, k.by()) }

// Probe looks whether the process that was killed is gone, or one runs again.
func (k *Kill) Probe(h *agent.Host) (history.Evidence, error) {
	return probeDown(h, k, k.Process, k.by(), k.Ports)
}

// probeDown is the evidence of an effect that keeps a process down. A server that somebody
// else started is seen by the group or the tag of its processes, or, outside of both, by
// the ports that it listens at; never by its name.
func probeDown(h *agent.Host, effect agent.Effect, process, by string, ports []uint16) (history.Evidence, error) {
	state, err := h.Processes.State(process)
	if err != nil {
		return history.Evidence{}, err
	}
	hold, held := h.Processes.Holding(process, by)
	up := state.State == agent.Running || state.State == agent.Paused
	e := history.Evidence{Measures: []history.Measure{
		{Name: "pid", Value: float64(state.PID)}, {Name: "processes", Value: float64(state.Processes)},
	}}
	addProcesses(h, &e, process, state, hold)
	if h.InForce(effect) {
		taken, err := listening(ports)
		if err != nil {
			return history.Evidence{}, err
		}
		switch {
		case up:
			e.Undone = true
			e.Summary = fmt.Sprintf("%s runs, pid %d", process, state.PID)
		case len(taken) > 0 && state.Processes == 0:
			e.Undone = true
			e.Summary = fmt.Sprintf("%s is down, but another process listens at its port %d", process, taken[0])
		case !held:
			e.Summary = process + " is down, and not by this fault"
		case hold.PID == 0:
			// It happened to a process that was down already: nothing was broken by it.
			e.Summary = process + " had already been ended by another fault; it is kept down"
		case state.Processes > 0:
			e.Undone = true
			e.Summary = fmt.Sprintf("%s, pid %d, is gone after %s, but %d of its processes run%s", process, hold.PID, hold.Ending, state.Processes, heldBy(state))
		default:
			e.Confirmed = true
			what := ""
			if others := len(hold.Before) - 1; others > 0 {
				what = fmt.Sprintf(" with %d processes that it had forked", others)
			}
			e.Summary = fmt.Sprintf("%s, pid %d%s, is gone after %s%s", process, hold.PID, what, hold.Ending, heldBy(state))
		}
		return e, nil
	}
	switch {
	case up:
		e.Confirmed = !held
		e.Summary = fmt.Sprintf("%s runs, pid %d", process, state.PID)
	case held:
		e.Summary = process + " is still held down"
	case h.Processes.Held(process):
		e.Confirmed = true
		e.Summary = "let go of " + process + ", which another fault keeps down"
	default:
		e.Summary = process + " does not run"
	}
	return e, nil
}
