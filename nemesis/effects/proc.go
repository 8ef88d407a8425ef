package effects

import (
	"fmt"
	"slices"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// maxListed bounds the processes that evidence lists; its measures count all of them.
const maxListed = 200

// addProcesses puts all processes of a server into evidence about it, each with its state
// before the effect, as the hold knows it, and now.
func addProcesses(h *agent.Host, e *history.Evidence, process string, state agent.ProcessState, hold agent.Hold) {
	e.HeldBy = state.HeldBy
	now, err := h.Processes.Members(process)
	if err != nil {
		return // it was never started, and has none
	}
	for _, m := range hold.Before {
		e.Processes = append(e.Processes, history.ServerProcess{PID: m.PID, Name: m.Name, Before: m.State})
	}
	for _, m := range now {
		i := slices.IndexFunc(e.Processes, func(p history.ServerProcess) bool { return p.PID == m.PID && p.Now == "" })
		if i < 0 {
			i = len(e.Processes)
			e.Processes = append(e.Processes, history.ServerProcess{PID: m.PID})
		}
		e.Processes[i].Name, e.Processes[i].Now = m.Name, m.State
	}
	e.Processes = e.Processes[:min(len(e.Processes), maxListed)]
}

// heldBy says how a server's processes were found.
func heldBy(state agent.ProcessState) string {
	if state.HeldBy == "" {
		return ""
	}
	return "; held by " + state.HeldBy
}

// threadsOf says how many of a server's threads are stopped, and of how many processes
// when they are several.
func threadsOf(state agent.ProcessState) string {
	text := fmt.Sprintf("%d of %d threads", state.Stopped, state.Threads)
	if state.Stopped == state.Threads {
		text = fmt.Sprintf("all %d threads", state.Threads)
	}
	if state.Processes > 1 {
		text += fmt.Sprintf(" of %d processes", state.Processes)
	}
	return text
}
