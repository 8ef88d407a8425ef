package nemesis

import (
	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// pause freezes servers, SIGSTOP, and lets them go on, SIGCONT. To the others a
// paused server is dead; it does not know that it was, and goes on in the middle
// of whatever it believed.
func pause() Fault {
	return Fault{
		Name:    "pause",
		Doc:     "freeze servers and let them go on",
		Forms:   servers(),
		needs:   effects.PauseKind,
		process: true,
		effects: onEach(func(id, process string, _ history.Step) agent.Effect {
			return &effects.Pause{ID: id, Process: process}
		}),
		sentence: onServers("pause"),
	}
}
