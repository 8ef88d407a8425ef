package nemesis

import (
	"slices"
	"strings"

	"nemesis/history"
)

// PowerKind is what a fault of power needs, in the words of Able: somebody who can turn
// the node's machine off and on, which no agent can.
const PowerKind = "power"

// powerOff pulls the plug of machines and puts it back when it heals. What the kernel had
// been given to write and had not written is lost, as kill -9 cannot make it.
func powerOff() Fault {
	return ofPower(Fault{Name: "power-off", Doc: "pull the plug of machines, and put it back after a while (where their power can be turned off)"}, "pull the plug of")
}

// powerCycle takes machines' power away for a moment: they boot at once. The servers
// are started again when the fault heals.
func powerCycle() Fault {
	return ofPower(Fault{Name: "power-cycle", Doc: "take machines' power away for a moment (where it can be turned off)", cycle: true}, "take the power for a moment from")
}

// NeedsPower reports whether one of these faults takes machines' power.
func NeedsPower(faults []string) bool {
	return slices.ContainsFunc(faults, func(name string) bool {
		fault, err := Find(name)
		return err == nil && fault.power
	})
}

func ofPower(f Fault, verb string) Fault {
	f.Forms = append([]Form{
		{Target: "leader", Weight: 2, Least: 1},
		{Target: "one", Weight: 2, Least: 2},
		{Target: "minority", Weight: 1, Least: 5},
		{Target: "majority", Weight: 1, Least: 3},
		// What every node has acknowledged and none has written shows here only.
		{Target: "all", Weight: 2, Least: 2},
	}, onLeases(Form{Weight: 1, Least: 1})...)
	f.needs = PowerKind
	f.power = true
	f.special = f.Name + " needs machines whose power can be turned off"
	f.sentence = func(step history.Step) string {
		role, _ := roleOf(step.Target)
		switch {
		case symbolic(step):
			return verb + " " + role.node
		case step.Target == "all":
			return verb + " every node"
		}
		return verb + " " + strings.Join(step.Nodes, " ")
	}
	return f
}
