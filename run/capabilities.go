package run

import (
	"errors"
	"slices"
	"strings"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/workload"
)

// Capability is something that a system can have tested, or cannot, and why.
type Capability struct {
	Name string `json:"name"`
	Can  bool   `json:"can"`
	// Why it cannot, or what it does without.
	Why string `json:"why,omitempty"`
}

// WorkloadsOf tells of every workload whether a system's clients can perform it.
func WorkloadsOf(s clients.System) []Capability {
	limited, _ := s.(clients.Limited)
	var all []Capability
	for _, w := range workload.All() {
		c := Capability{Name: w.Name, Can: slices.Contains(s.Workloads(), w.Name)}
		switch {
		case c.Can && limited != nil && len(limited.Without(w.Name)) > 0:
			c.Why = "without " + strings.Join(limited.Without(w.Name), ", ")
		case c.Can:
		case len(w.Operations) == 0:
			c.Why = "needs a client in Go"
		default:
			c.Why = "the client does not speak " + strings.Join(w.Operations, ", ")
		}
		all = append(all, c)
	}
	for _, name := range s.Workloads() {
		if !slices.ContainsFunc(all, func(c Capability) bool { return c.Name == name }) {
			all = append(all, Capability{Name: name, Can: true, Why: "of the file's own, judged by its model"})
		}
	}
	return all
}

// FaultsOf tells of every fault whether it makes sense for a system on nodes of these names. Whether the nodes can have
// it is not asked.
func FaultsOf(plan history.System, nodes []string) []Capability {
	var all []Capability
	for _, f := range nemesis.Faults() {
		c := Capability{Name: f.Info().Name, Can: true}
		_, err := Resolve(Options{System: plan.Name, Definition: plan.Definition, Spec: strings.Join(nodes, ","), Nodes: nodes,
			Settings: Settings{"faults": c.Name, "seed": "1"}})
		if err != nil {
			c.Can, c.Why = false, strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		all = append(all, c)
	}
	return all
}

// within takes away what a node cannot have: cannot are its reasons, by the kinds of effects.
func within(all []Capability, node string, cannot map[string]string) {
	for i, c := range all {
		var lacks *nemesis.CannotError
		if c.Can && errors.As(nemesis.Able(cannot, []history.Step{{Kind: c.Name}}), &lacks) {
			all[i].Can, all[i].Why = false, node+": "+lacks.Why
		}
	}
}
