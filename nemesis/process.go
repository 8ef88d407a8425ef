package nemesis

import (
	"fmt"
	"strings"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// servers are the forms of a fault that acts on server processes. Those that take
// away a majority come seldom: nobody expects an answer then, and most of what
// breaks breaks while a majority goes on.
func servers() []Form {
	return append([]Form{
		{Target: "leader", Weight: 3, Least: 1},
		{Target: "one", Weight: 3, Least: 2},
		{Target: "minority", Weight: 2, Least: 5},
		{Target: "majority", Weight: 1, Least: 3},
		{Target: "all", Weight: 1, Least: 2},
	}, onLeases(Form{Weight: 2, Least: 1})...)
}

// onEach does one effect to the server of every target.
func onEach(make func(id, process string, step history.Step) agent.Effect) func(history.Step, Live) map[string][]agent.Effect {
	return func(step history.Step, live Live) map[string][]agent.Effect {
		todo := map[string][]agent.Effect{}
		for _, node := range step.Nodes {
			todo[node] = []agent.Effect{make(fmt.Sprintf("f%d", step.ID), live.Process(node), step)}
		}
		return todo
	}
}

// onServers is a sentence such as "kill the servers on n1 n2".
func onServers(verb string) func(history.Step) string {
	return func(step history.Step) string {
		role, _ := roleOf(step.Target)
		switch {
		case symbolic(step):
			return verb + " " + role.server
		case step.Target == "all":
			return verb + " every server"
		case len(step.Nodes) == 1:
			return verb + " the server on " + step.Nodes[0]
		}
		return verb + " the servers on " + strings.Join(step.Nodes, " ")
	}
}
