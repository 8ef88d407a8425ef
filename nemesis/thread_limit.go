package nemesis

import (
	"fmt"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// threadLimit lets servers start no more threads and processes than they have.
func threadLimit() Fault {
	return limitFault[roomLeft]{
		name: "thread-limit", kind: effects.ThreadLimitKind,
		doc:     "let servers start no more threads and processes (EAGAIN; where control groups limit them)",
		special: "thread-limit needs control groups that limit the number of processes, which takes root",
		values:  "how many more threads and processes than it has thread-limit leaves to a server, a list to draw from, such as 0,4 (default: 0)",
		example: "4", unit: "a number of threads from 0 to 1000000",
		usual: []roomLeft{{0}},
		parse: parseRoom, can: roomLeft.can,
		words: func(r roomLeft) string { return "let %s have " + fmt.Sprint(r.Room) + " more threads than it has" },
		effect: func(id, process string, r roomLeft) agent.Effect {
			return &effects.ThreadLimit{ID: id, Process: process, Room: r.Room}
		},
	}
}
