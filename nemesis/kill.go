package nemesis

import (
	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// kill ends servers without warning, kill -9, and starts them again when it heals.
// What the kernel had already been given to write survives; what the server only
// held in memory does not.
func kill() Fault {
	return serverFault{
		name: "kill", verb: "kill",
		doc:      "kill -9 servers and start them again",
		needs:    effects.KillKind,
		restarts: true,
		class:    Gone,
		effect: func(id, process string, ports []uint16, _ history.Step) agent.Effect {
			return &effects.Kill{ID: id, Process: process, Ports: ports}
		},
	}
}
