package nemesis

import (
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// stopGrace is how long a server may take over ending by itself, at most: half of
// the fault is the other bound. A server that will not end is then killed, before
// its agent counts as one that hangs.
const stopGrace = 3 * time.Second

// stop asks servers to end, SIGTERM, as an operator would who restarts them one
// after the other; they may hand over leadership and flush first.
func stop() Fault {
	return serverFault{
		name: "stop", verb: "stop",
		doc:      "stop servers gracefully and start them again",
		needs:    effects.StopKind,
		restarts: true,
		class:    Gone,
		effect: func(id, process string, ports []uint16, step history.Step) agent.Effect {
			return &effects.Stop{ID: id, Process: process, Grace: max(min(stopGrace, time.Duration(step.Hold)/2), 100*time.Millisecond), Ports: ports}
		},
	}
}
