package nemesis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes"
	"nemesis/nodes/agent"
)

// Fault is one kind of fault: what it can be aimed at and what it does there. It
// is a value without state, safe for concurrent use.
type Fault struct {
	// Name is what the user types and what a step's Kind holds: partition.
	Name string
	// Doc is one line for `nemesis list faults`.
	Doc string
	// Forms are the shapes and targets it can take, likeliest first.
	Forms []Form
	// Limits say what the fault does not do although one might expect it, a sentence
	// each, to be printed beside it; none for faults that are what they seem.
	Limits []string

	// needs is the kind of effect that a node must be able to have.
	needs string
	// process: the fault acts on the server process rather than on the network.
	process bool
	// clock: the fault bends clocks, and its steps say how (history.Step.Clock).
	clock bool
	// changes are what a clock fault draws from, takes tells them from those of other
	// clock faults, and offers is an example of one.
	changes func(history.Timing) []Change
	takes   func(Change) bool
	offers  string
	// packets: the fault changes packets, and its steps say how (history.Step.Packets).
	packets bool
	// power: the fault takes machines' power away; cycle: and gives it back at once.
	power, cycle bool
	// special says what the fault needs that not every cluster has; "" for most. What is
	// special must be asked for by its name.
	special string
	// lookTime is set aside before a heal for the last look; 0 is the usual 300 ms.
	lookTime time.Duration
	// restarts: healing it brings up a new process, where the others keep the old.
	restarts bool
	// effects says what to do on each node of an aimed step; nil for faults of power,
	// which nothing on a node does.
	effects func(step history.Step, live Live) map[string][]agent.Effect
	// sentence says what an aimed or unaimed step does, without its time.
	sentence func(step history.Step) string
}

// Form is one way in which a fault can be aimed.
type Form struct {
	// Shape tells partitions apart; "" for other faults.
	Shape string
	// Target says how the nodes are chosen: one, half, minority, majority, all; or by
	// the role that a node plays then: leader, holder (the node that a lease's holder
	// talks to), grantor (the node that grants leases).
	Target string
	// Weight is how many cards the form has in the deck that schedules are dealt
	// from, 1 or more.
	Weight int
	// Least is the smallest cluster, in nodes, on which the form means something
	// and differs from the other forms.
	Least int
}

// Live is what is known of the cluster when a step fires.
type Live struct {
	// Nodes are the machines in the plan's order.
	Nodes []nodes.Node
	// Roles are the nodes that play a role now, by the names of targets; a role that
	// is missing is played by nobody who is known.
	Roles map[string]string
	// Process is the name of the supervised server process on a node.
	Process func(node string) string
}

// Faults lists every fault there is. Its order is the one in which plans name them.
func Faults() []Fault {
	return []Fault{partition(), kill(), stop(), pause(), clockStep(), clockDrift(), clockFreeze(), clockStrobe(), packet(), powerOff(), powerCycle()}
}

// Find returns the fault called name; its error lists those that exist.
func Find(name string) (Fault, error) {
	names := []string{}
	for _, f := range Faults() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Fault{}, fmt.Errorf("find fault %q: there is no such fault; choose from %s", name, strings.Join(names, ", "))
}

// Parse reads the value of --faults: names separated by commas, with "all" for every
// fault that any cluster can have and "clock" for all that bend clocks, or "none". It returns names in table order, each once;
// none for "none". The error is one sentence that lists what exists.
func Parse(spec string) ([]string, error) {
	asked := map[string]bool{}
	words := strings.Split(spec, ",")
	for _, word := range words {
		word = strings.TrimSpace(word)
		switch word {
		case "none":
			if len(words) > 1 {
				return nil, fmt.Errorf("read faults %q: %q stands alone; leave the rest out", spec, word)
			}
			return nil, nil
		case "all":
			for _, f := range Faults() {
				asked[f.Name] = asked[f.Name] || f.special == ""
			}
			continue
		case "clock":
			for _, f := range Faults() {
				asked[f.Name] = asked[f.Name] || f.clock
			}
			continue
		}
		if _, err := Find(word); err != nil {
			return nil, fmt.Errorf("read faults %q: %w, or clock for all clock faults, or all, or none", spec, err)
		}
		asked[word] = true
	}
	var names []string
	for _, f := range Faults() {
		if asked[f.Name] {
			names = append(names, f.Name)
		}
	}
	return names, nil
}

// Able says, in one sentence, why a node cannot have one of the steps of a schedule.
// Cannot maps effect kinds to reasons, as agent.Facts does; and PowerKind, where nobody
// can take the node's power.
func Able(cannot map[string]string, steps []history.Step) error {
	for _, step := range steps {
		fault, err := Find(step.Kind)
		if err != nil {
			return err
		}
		needs := fault.needs
		if step.Clock != nil && step.Clock.Machine {
			needs = effects.MachineKind
		}
		if why, no := cannot[needs]; no {
			return fmt.Errorf("it cannot have the fault %s: %s", step.Kind, why)
		}
	}
	return nil
}

// about is what a fault without a filter or a server to look at acts on.
func (f Fault) about() string {
	switch {
	case f.clock:
		return "clock"
	case f.packets:
		return "network"
	}
	return "power"
}

// fitting are the forms that mean something on a cluster of n nodes, with or without
// leases.
func (f Fault) fitting(n int, leases bool) []Form {
	var forms []Form
	for _, form := range f.Forms {
		role, _ := roleOf(form.Target)
		if n >= form.Least && (leases || !role.leases) {
			forms = append(forms, form)
		}
	}
	return forms
}

// Draw makes a step of the given form on cluster, the names of its nodes in the
// plan's order. ID, At, Hold, Period, Clock, Packets and Said are left to the schedule. A role
// stays symbolic: Nodes and Links are empty then.
func (f Fault) Draw(rng *rand.Rand, cluster []string, form Form) history.Step {
	step := history.Step{Kind: f.Name, Shape: form.Shape, Target: form.Target}
	// The order is drawn for roles too, so that giving a form another target
	// does not change what is drawn after it.
	order := shuffled(rng, cluster)
	if !symbolic(step) {
		aim(&step, cluster, order)
	}
	return step
}

// Resolve makes a step concrete and says what it does on each node; faults of power do
// nothing on a node, and nothing is said. A step that
// names no nodes is aimed at whoever plays its role. The error is one sentence and says why
// the step cannot be done on this cluster.
func Resolve(step history.Step, live Live) (history.Step, map[string][]agent.Effect, error) {
	fault, err := Find(step.Kind)
	if err != nil {
		return step, nil, fmt.Errorf("resolve step %d: %w", step.ID, err)
	}
	cluster := []string{}
	for _, n := range live.Nodes {
		cluster = append(cluster, n.Name)
	}
	if symbolic(step) {
		name := live.Roles[step.Target]
		at := slices.Index(cluster, name)
		if at < 0 {
			role, _ := roleOf(step.Target)
			return step, nil, fmt.Errorf("resolve step %d: the %s %q is not a node of this cluster", step.ID, role.who, name)
		}
		// The nodes after it, in order: no dice are left when a step fires, so whoever
		// plays the role alone decides whom it hits.
		aim(&step, cluster, slices.Concat(cluster[at:], cluster[:at]))
	}
	for _, name := range step.Nodes {
		if !slices.Contains(cluster, name) {
			return step, nil, fmt.Errorf("resolve step %d: %q is not a node of this cluster (%s)", step.ID, name, strings.Join(cluster, ", "))
		}
	}
	for _, l := range step.Links {
		if !slices.Contains(cluster, l.From) || !slices.Contains(cluster, l.To) || l.From == l.To {
			return step, nil, fmt.Errorf("resolve step %d: link %s→%s does not join two nodes of this cluster (%s)", step.ID, l.From, l.To, strings.Join(cluster, ", "))
		}
	}
	if fault.clock {
		if err := fault.wrongClock(step); err != nil {
			return step, nil, fmt.Errorf("resolve step %d: a %s cannot be done: %w", step.ID, step.Kind, err)
		}
	}
	if fault.packets {
		if err := wrongPackets(step); err != nil {
			return step, nil, fmt.Errorf("resolve step %d: a %s cannot be done: %w", step.ID, step.Kind, err)
		}
	}
	if fault.power {
		if len(step.Nodes) == 0 {
			return step, nil, fmt.Errorf("resolve step %d: a %s of no node does nothing", step.ID, step.Kind)
		}
		return step, nil, nil
	}
	todo := fault.effects(step, live)
	if len(todo) == 0 {
		return step, nil, fmt.Errorf("resolve step %d: a %s %s %s does nothing on %d nodes", step.ID, step.Kind, step.Shape, step.Target, len(cluster))
	}
	return step, todo, nil
}

// aim fills in Nodes and Links. Every choice of nodes is the beginning of an
// order: a random one when a step is drawn, the one that starts at whoever plays its
// role when it fires.
func aim(step *history.Step, cluster, order []string) {
	step.Nodes = sorted(order[:take(step.Shape, step.Target, len(order))], cluster)
	step.Links = nil
	step.Links = arranged(cuts(step.Shape, order), cluster)
}

// take is how many nodes of n a target stands for.
func take(shape, target string, n int) int {
	if shape == "minority" {
		target = "minority" // the leader's company, when it is the target
	}
	switch target {
	case "half":
		return n / 2
	case "minority":
		return (n - 1) / 2
	case "majority":
		return n/2 + 1
	case "all":
		return n
	}
	return min(1, n) // one, or a role
}

// shuffled is a random order of names, which stay as they are.
func shuffled[T any](rng *rand.Rand, names []T) []T {
	order := slices.Clone(names)
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

// sorted is names in the cluster's order, so that a plan reads the same whatever
// order it was drawn in.
func sorted(names, cluster []string) []string {
	out := []string{}
	for _, name := range cluster {
		if slices.Contains(names, name) {
			out = append(out, name)
		}
	}
	return out
}

// arranged is links by the cluster's order of From, then To.
func arranged(links []history.Link, cluster []string) []history.Link {
	var out []history.Link
	for _, from := range cluster {
		for _, to := range cluster {
			if slices.Contains(links, history.Link{From: from, To: to}) {
				out = append(out, history.Link{From: from, To: to})
			}
		}
	}
	return out
}
