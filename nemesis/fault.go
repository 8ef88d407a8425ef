package nemesis

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes"
	"nemesis/nodes/agent"
)

// Fault is one kind of fault: what it can be aimed at, which parameters its steps have,
// what it needs, and what it does. It is a value without state, safe for concurrent use.
// Adding one is a file that implements this and a line of Faults.
type Fault interface {
	// Info is what there is to say about it without a step.
	Info() Info
	// Parameters returns what the parameters of its steps are dealt from: rng decides, and
	// opt restricts them. Nil for a fault whose steps have no parameters. The error is one
	// sentence and says why opt leaves nothing to deal.
	Parameters(rng *rand.Rand, opt Options) (Dealer, error)
	// Check says, as a clause, why a step's parameters cannot be, of which nothing is known
	// but that its kind is this fault's and its shape and target are some of Info's.
	Check(step history.Step) error
	// Needs is what a step needs of its nodes, and of whoever runs them, before the servers
	// start. For a step that is nothing but its Kind it is what every step of the fault needs.
	Needs(step history.Step) Needs
	// Sentence says what a step does, without its time. The step may come from a plan
	// written by hand and lack anything.
	Sentence(step history.Step) string
	// Bind says by which actions an aimed step is done. Live.Roles is not needed any more.
	// The error is one sentence and says why the step cannot be done.
	Bind(step history.Step, live Live) (Binding, error)
}

// Info is what there is to say about a fault without a step.
type Info struct {
	// Name is what the user types and what a step's Kind holds: partition.
	Name string
	// Doc is one line for `nemesis list faults`.
	Doc string
	// Family is a word for several faults at once, such as clock; "" for those without one.
	Family string
	// Special says what the fault needs that not every cluster has; "" for most. A special
	// fault must be asked for by its name.
	Special string
	// Class decides which other faults may be in force on the same node.
	Class Class
	// Forms are the shapes and targets it can take, likeliest first.
	Forms []Form
	// Settings are what a user can say about its steps. Faults may share a setting.
	Settings []FaultSetting
}

// Form is one way in which a fault can be aimed.
type Form struct {
	// Shape tells partitions apart; "" for other faults.
	Shape string
	// Target says how the nodes are chosen: one, half, minority, majority, all, or where asked
	// for instead of majority, blocking; or by
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

// Dealer deals the parameters of one step, which is complete but for them: a value that
// becomes the step's Params, or nil for a step without.
type Dealer func(step history.Step) any

// Needs is what a step needs before the servers start.
type Needs struct {
	// Effect is the kind of effect that each node must be able to have; "" for none. Or is one
	// that does as well on nodes that cannot have Effect; "" for none.
	Effect, Or string
	// Power: somebody must be able to turn the nodes' machines off and on. The agents of
	// the nodes go away meanwhile, and the schedule waits until they are back.
	Power bool
	// Members: the system's clusters must be able to change their members.
	Members bool
	// ShadowClock: the servers must be started under a shadow clock.
	ShadowClock bool
	// Disk: the servers must be started with disks of ours below their data.
	Disk bool
	// SuspendTimeServices: no time service may correct the machines' clocks meanwhile.
	SuspendTimeServices bool
	// Trial is an effect to ask a node's agent about, which has Effect or Or, where whether it can
	// be had depends on the way to the other nodes' addresses; nil for most.
	Trial func(kind string, others []netip.Addr) agent.Effect
}

// on is the kind of effect that a node takes, which cannot have some kinds of effects; "" and why
// for a node that can have none that will do.
func (n Needs) on(cannot map[string]string) (kind, why string) {
	why, no := cannot[n.Effect]
	if !no {
		return n.Effect, ""
	}
	if n.Or == "" {
		return "", why
	}
	orWhy, no := cannot[n.Or]
	switch {
	case !no:
		return n.Or, ""
	case orWhy != why:
		why += "; " + orWhy
	}
	return "", why
}

// Live is the cluster when a step fires.
type Live struct {
	Config
	// Roles are the nodes that play a role now, by the names of targets; a role that
	// is missing is played by nobody who is known.
	Roles map[string]string
	// Voters are the nodes whose servers are members of the cluster; nil where nobody was asked.
	Voters []string
}

// Faults lists every fault there is. Its order is the one in which plans name them.
func Faults() []Fault {
	return []Fault{
		partition{},
		kill(),
		stop(),
		pause(),
		clockStep(),
		clockDrift(),
		clockFreeze(),
		clockStrobe(),
		clockLeap{},
		packet{},
		packetJam(),
		packetReset(),
		packetHalfOpen(),
		packetDamage(),
		powerOff(),
		powerCycle(),
		cpuBurn{},
		member{},
		powerLoss{},
		disk(),
		diskLie(),
		hostileBytes{},
		cpuLimit(),
		memoryLimit(),
		fileLimit(),
		threadLimit(),
	}
}

// Find returns the fault called name; its error lists those that exist.
func Find(name string) (Fault, error) {
	names := []string{}
	for _, f := range Faults() {
		if f.Info().Name == name {
			return f, nil
		}
		names = append(names, f.Info().Name)
	}
	return nil, fmt.Errorf("find fault %q: there is no such fault; choose from %s", name, strings.Join(names, ", "))
}

// Parse reads the value of --faults: names separated by commas, with "all" for every
// fault that any cluster can have and "clock" for all that change clocks, or "none"; and "a+b" for the fault b while a is in force.
// It returns the names of all that occur in table order, each once; none for "none". The error is one sentence that
// lists what exists.
func Parse(spec string) ([]string, error) {
	names, _, err := parse(spec)
	return names, err
}

// Cards are what the value of --faults lets a schedule draw from: names, and pairs of names with a plus.
func Cards(spec string) ([]string, error) {
	_, cards, err := parse(spec)
	return cards, err
}

func parse(spec string) (names, cards []string, err error) {
	asked, together := map[string]bool{}, map[string]bool{}
	var pairs []string
	words := strings.Split(spec, ",")
	for _, word := range words {
		word = strings.TrimSpace(word)
		if word == "none" {
			if len(words) > 1 {
				return nil, nil, fmt.Errorf("read faults %q: %q stands alone; leave the rest out", spec, word)
			}
			return nil, nil, nil
		}
		p, err := pairOf(word)
		if err != nil {
			return nil, nil, fmt.Errorf("read faults %q: %w", spec, err)
		}
		if p != nil {
			together[p.outer.Info().Name], together[p.inner.Info().Name] = true, true
			if !slices.Contains(pairs, p.name()) {
				pairs = append(pairs, p.name())
			}
			continue
		}
		several := false
		for _, f := range Faults() {
			info := f.Info()
			if word != "" && word == info.Family || word == "all" {
				several = true
				asked[info.Name] = asked[info.Name] || word != "all" || info.Special == ""
			}
		}
		if several {
			continue
		}
		if _, err := Find(word); err != nil {
			return nil, nil, fmt.Errorf("read faults %q: %w, or clock for all clock faults, or all, or none", spec, err)
		}
		asked[word] = true
	}
	for _, f := range Faults() {
		name := f.Info().Name
		if asked[name] || together[name] {
			names = append(names, name)
		}
		if asked[name] {
			cards = append(cards, name)
		}
	}
	return names, append(cards, pairs...), nil
}

// PowerKind is what a step needs in the words of Able where it needs power: somebody who
// can turn the node's machine off and on, which no agent can.
const PowerKind = "power"

// CannotError is why a node cannot have a fault.
type CannotError struct{ Fault, Why string }

func (e *CannotError) Error() string {
	return fmt.Sprintf("it cannot have the fault %s: %s", e.Fault, e.Why)
}

// Able says why a node cannot have one of the steps of a schedule, by a CannotError.
// Cannot maps effect kinds to reasons, as agent.Facts does; and PowerKind, where nobody
// can take the node's power.
func Able(cannot map[string]string, steps []history.Step) error {
	for _, step := range steps {
		fault, err := Find(step.Kind)
		if err != nil {
			return err
		}
		needs := fault.Needs(step)
		_, why := needs.on(cannot)
		if needs.Power && why == "" {
			why = cannot[PowerKind]
		}
		if why != "" {
			return &CannotError{Fault: step.Kind, Why: why}
		}
		if why, no := cannot[effects.DiskRuleKind]; no && WaitsForCalls([]history.Step{step}) {
			return &CannotError{Fault: step.Kind + " when " + step.When, Why: why}
		}
	}
	return nil
}

// NeedsShadow reports whether the servers must be started under a shadow clock for one
// of these faults (agent.Options.Shadow).
func NeedsShadow(faults []string) bool {
	return someNeed(faults, func(n Needs) bool { return n.ShadowClock })
}

// NeedsDisk reports whether the servers must be started with disks of ours below their data
// for one of these faults (agent.Options.Disk).
func NeedsDisk(faults []string) bool {
	return someNeed(faults, func(n Needs) bool { return n.Disk })
}

// NeedsPower reports whether one of these faults takes machines' power.
func NeedsPower(faults []string) bool {
	return someNeed(faults, func(n Needs) bool { return n.Power })
}

func someNeed(faults []string, it func(Needs) bool) bool {
	return slices.ContainsFunc(faults, func(name string) bool {
		return slices.ContainsFunc(strings.Split(name, "+"), func(name string) bool { // of a pair, both
			fault, err := Find(name)
			return err == nil && it(fault.Needs(history.Step{Kind: name}))
		})
	})
}

// Trials are the effects to ask a node's agent about before a schedule begins, whether
// it can have them (agent.Client.Check), where that depends on more than the node: on
// the way to the other nodes. Cannot is that of Able.
func Trials(steps []history.Step, cannot map[string]string, others []nodes.Node) []agent.Effect {
	var peers []netip.Addr
	for _, n := range others {
		peers = append(peers, n.Addresses()...)
	}
	var trials []agent.Effect
	for _, step := range steps {
		fault, err := Find(step.Kind)
		if err != nil || len(peers) == 0 {
			continue
		}
		needs := fault.Needs(step)
		kind, _ := needs.on(cannot)
		if needs.Trial == nil || kind == "" {
			continue
		}
		if !slices.ContainsFunc(trials, func(e agent.Effect) bool { return e.Kind() == kind }) {
			trials = append(trials, needs.Trial(kind, peers))
		}
	}
	return trials
}

// Instead lists the kinds of effects that a node takes for some of the steps in the place of others
// that it cannot have, with why not, a sentence each. Cannot is that of Able.
func Instead(steps []history.Step, cannot map[string]string) []string {
	var all []string
	for _, step := range steps {
		fault, err := Find(step.Kind)
		if err != nil {
			continue
		}
		needs := fault.Needs(step)
		if kind, _ := needs.on(cannot); kind == "" || kind == needs.Effect {
			continue
		}
		text := fmt.Sprintf("%s is done by %s: %s", step.Kind, needs.Or, cannot[needs.Effect])
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// parametersOf reads the parameters of a step. Step.Params may be missing, which is the
// zero value. The error is a clause.
func parametersOf[P any](step history.Step) (P, error) {
	var p P
	if len(step.Params) == 0 {
		return p, nil
	}
	d := json.NewDecoder(bytes.NewReader(step.Params))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("its parameters cannot be read: %w", err)
	}
	return p, nil
}

// noParameters is Check for a fault whose steps have none.
func noParameters(step history.Step) error {
	if len(step.Params) > 0 {
		return errors.New("it takes no parameters; leave them out")
	}
	return nil
}

// fitting are the forms that mean something on a cluster of n nodes, with or without
// leaders and leases.
func fitting(f Fault, n int, opt Options) []Form {
	var forms []Form
	for _, form := range f.Info().Forms {
		role, _ := roleOf(form.Target)
		if n >= form.Least && (opt.Leases || !role.leases) && !(role.leads && opt.Leaderless) {
			forms = append(forms, form)
		}
	}
	return forms
}

// Draw makes a step of a fault in the given form on cluster, the names of its nodes in the
// plan's order. ID, At, Hold, Params and Said are left to the schedule. A role stays
// symbolic: Nodes and Links are empty then.
func Draw(f Fault, rng *rand.Rand, cluster []string, form Form) history.Step {
	step := history.Step{Kind: f.Info().Name, Shape: form.Shape, Target: form.Target}
	// The order is drawn for roles too, so that giving a form another target
	// does not change what is drawn after it.
	order := shuffled(rng, cluster)
	if !symbolic(step) {
		aim(&step, cluster, order)
	}
	return step
}

// Resolve makes a step concrete and binds it to actions. A step that names no nodes is
// aimed at whoever plays its role. The error is one sentence and says why the step cannot
// be done on this cluster.
func Resolve(step history.Step, live Live) (history.Step, Binding, error) {
	var none Binding
	fault, err := Find(step.Kind)
	if err != nil {
		return step, none, fmt.Errorf("resolve step %d: %w", step.ID, err)
	}
	cluster := []string{}
	for _, m := range live.Machines {
		cluster = append(cluster, m.Node().Name)
	}
	if symbolic(step) {
		name := live.Roles[step.Target]
		at := slices.Index(cluster, name)
		if at < 0 {
			role, _ := roleOf(step.Target)
			return step, none, fmt.Errorf("resolve step %d: the %s %q is not a node of this cluster", step.ID, role.who, name)
		}
		// The nodes after it, in order: no dice are left when a step fires, so whoever
		// plays the role alone decides whom it hits.
		aim(&step, cluster, slices.Concat(cluster[at:], cluster[:at]))
	}
	for _, name := range step.Nodes {
		if !slices.Contains(cluster, name) {
			return step, none, fmt.Errorf("resolve step %d: %q is not a node of this cluster (%s)", step.ID, name, strings.Join(cluster, ", "))
		}
	}
	for _, l := range step.Links {
		if !slices.Contains(cluster, l.From) || !slices.Contains(cluster, l.To) || l.From == l.To {
			return step, none, fmt.Errorf("resolve step %d: link %s→%s does not join two nodes of this cluster (%s)", step.ID, l.From, l.To, strings.Join(cluster, ", "))
		}
	}
	binding, err := fault.Bind(step, live)
	if err != nil {
		return step, none, fmt.Errorf("resolve step %d: a %s cannot be done: %w", step.ID, step.Kind, err)
	}
	if len(binding.Actions) == 0 {
		return step, none, fmt.Errorf("resolve step %d: a %s %s %s does nothing on %d nodes", step.ID, step.Kind, step.Shape, step.Target, len(cluster))
	}
	return step, binding, nil
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
	case blocking:
		return n - n/2
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
