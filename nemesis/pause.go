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
	return serverFault{
		name: "pause", verb: "pause",
		doc:   "freeze servers and let them go on",
		needs: effects.PauseKind,
		class: Still,
		effect: func(id, process string, _ []uint16, _ history.Step) agent.Effect {
			return &effects.Pause{ID: id, Process: process}
		},
	}
}
