package nemesis

import (
	"errors"
	"math/rand/v2"
	"strings"

	"nemesis/history"
)

// powerFault takes machines' power away.
type powerFault struct {
	name, doc, verb string
	// cycle: it gives the power back at once.
	cycle bool
}

// powerOff pulls the plug of machines and puts it back when it heals. What the kernel had
// been given to write and had not written is lost, as kill -9 cannot make it.
func powerOff() Fault {
	return powerFault{
		name: "power-off", verb: "pull the plug of",
		doc: "pull the plug of machines, and put it back after a while (where their power can be turned off)",
	}
}

// powerCycle takes machines' power away for a moment: they boot at once. The servers
// are started again when the fault heals.
func powerCycle() Fault {
	return powerFault{
		name: "power-cycle", verb: "take the power for a moment from", cycle: true,
		doc: "take machines' power away for a moment (where it can be turned off)",
	}
}

// Info gives both the same forms.
func (f powerFault) Info() Info {
	return Info{
		Name: f.name, Doc: f.doc, Class: Gone,
		Special: f.name + " needs machines whose power can be turned off",
		Forms: append([]Form{
			{Target: "leader", Weight: 2, Least: 1},
			{Target: "one", Weight: 2, Least: 2},
			{Target: "minority", Weight: 1, Least: 5},
			{Target: "majority", Weight: 1, Least: 3},
			// What every node has acknowledged and none has written shows here only.
			{Target: "all", Weight: 2, Least: 2},
		}, onLeases(Form{Weight: 1, Least: 1})...),
	}
}

// Parameters: it has none.
func (powerFault) Parameters(*rand.Rand, Options) (Dealer, error) { return nil, nil }

// Check refuses parameters.
func (powerFault) Check(step history.Step) error { return noParameters(step) }

// Needs is power.
func (powerFault) Needs(history.Step) Needs { return Needs{Power: true} }

// Sentence says whose power is taken.
func (f powerFault) Sentence(step history.Step) string {
	role, _ := roleOf(step.Target)
	switch {
	case symbolic(step):
		return f.verb + " " + role.node
	case step.Target == "all":
		return f.verb + " every node"
	}
	return f.verb + " " + strings.Join(step.Nodes, " ")
}

// Bind takes the power of each node.
func (f powerFault) Bind(step history.Step, live Live) (Binding, error) {
	if live.Power == nil || live.Reconnect == nil || live.Restart == nil || live.Dial == nil {
		return Binding{}, errors.New("nobody can turn the machines' power off and on")
	}
	// The power is asked of whoever runs the machines.
	b := Binding{ApplyTime: offTime}
	if f.cycle {
		b.ApplyTime = live.patient(bootTime)
	}
	for _, node := range step.Nodes {
		m := live.machine(node)
		b.Actions = append(b.Actions, &powerAction{cluster: live.Config, node: m.Node(), agent: m, cycle: f.cycle})
	}
	return b, nil
}
