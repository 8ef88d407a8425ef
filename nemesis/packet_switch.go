package nemesis

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/netswitch"
)

// switchFault is a fault that does to packets what only the switch can (package netswitch). Each
// kind is a file of its own: packet_jam.go, packet_reset.go, packet_half_open.go and
// packet_damage.go. The parameters of its steps are a netswitch.Rule.
type switchFault struct {
	name, doc string
	// verb is of its sentence, "hold packets", does the same of a fault: "holds packets".
	verb, does string
	forms      []Form
	// example is a value of its setting, which has the fault's name, short another one.
	example, short string
	// parse reads one part of the setting's value; the error is a clause.
	parse func(text string, timing history.Timing) (netswitch.Rule, error)
	// usual is what it draws from where nobody says otherwise.
	usual func(timing history.Timing) []netswitch.Rule
	// fit makes a rule one that shows in the time that a step holds; nil for any.
	fit func(r netswitch.Rule, hold history.Duration) netswitch.Rule
	// is says, as a clause, why a rule is not of this kind.
	is     func(netswitch.Rule) error
	limits []string
	// bound adds to what is done; nil for nothing.
	bound func(b *Binding, step history.Step, live Live)
}

// switchLimits hold for all that the switch does.
var switchLimits = []string{"packets are changed by a process on the node: a machine that has no time for it delays and loses more than was asked for"}

// Info lists the shapes.
func (f switchFault) Info() Info {
	return Info{
		Name: f.name, Class: Packets, Doc: f.doc, Forms: f.forms,
		Special: f.name + " needs TUN devices on the nodes, for a switch of nemesis",
		Settings: []FaultSetting{{
			Setting: history.Setting{
				Name: f.name,
				Doc:  fmt.Sprintf("what %s does, a list to draw from, such as %s (default: all that the fault knows)", f.name, f.example),
			},
			Example: f.short,
			Check: func(value string, opt Options) error {
				if _, err := f.rules(value, opt.Timing); err != nil {
					return err
				}
				return usedBy(f.name, f.does, f.name, opt)
			},
		}},
	}
}

// rules reads the value of the fault's setting.
func (f switchFault) rules(value string, timing history.Timing) ([]netswitch.Rule, error) {
	var rules []netswitch.Rule
	for _, text := range strings.Split(value, ",") {
		text = strings.TrimSpace(text)
		r, err := f.parse(text, timing)
		if err == nil {
			err = f.can(r)
		}
		if err != nil {
			return nil, fmt.Errorf("read --%s: %q: %w", f.name, text, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// Parameters deals rules.
func (f switchFault) Parameters(rng *rand.Rand, opt Options) (Dealer, error) {
	rules := f.usual(opt.Timing)
	if asked := opt.Settings[f.name]; asked != "" {
		var err error
		if rules, err = f.rules(asked, opt.Timing); err != nil {
			return nil, err
		}
	}
	cards := newDeck(rng, rules)
	return func(step history.Step) any {
		r := cards.deal()
		if f.fit != nil {
			r = f.fit(r, step.Hold)
		}
		return r
	}, nil
}

// Check wants a rule that can be, and of the fault's kind.
func (f switchFault) Check(step history.Step) error {
	_, err := f.read(step)
	return err
}

func (f switchFault) read(step history.Step) (netswitch.Rule, error) {
	r, err := parametersOf[netswitch.Rule](step)
	switch {
	case err != nil:
		return r, err
	case len(step.Params) == 0:
		return r, errors.New("it does not say what is to be done to packets")
	}
	return r, f.can(r)
}

func (f switchFault) can(r netswitch.Rule) error {
	if err := effects.RuleCan(r); err != nil {
		return err
	}
	return f.is(r)
}

// only is why a rule is not what is left of it when all but one thing is taken away.
func only(r, kept netswitch.Rule, what string) error {
	if r == kept && kept != (netswitch.Rule{}) {
		return nil
	}
	return fmt.Errorf("it %s and does nothing else", what)
}

// Needs is a switch.
func (f switchFault) Needs(history.Step) Needs {
	return Needs{Effect: effects.SwitchKind, Trial: packetTrial}
}

// Bind puts a switch before every node from which a link of the step leads.
func (f switchFault) Bind(step history.Step, live Live) (Binding, error) {
	r, err := f.read(step)
	if err != nil {
		return Binding{}, err
	}
	b := Binding{ProbeTime: packetProbeTime, Limits: append(append([]string{}, f.limits...), switchLimits...)}
	b.Actions, err = live.onLinks(step, func(_ Agent, l leaving) agent.Effect { return l.switching(step, r) })
	if err == nil && f.bound != nil {
		f.bound(&b, step, live)
	}
	return b, err
}

// Sentence says what becomes of packets, and of whose.
func (f switchFault) Sentence(step history.Step) string {
	r, err := f.read(step)
	if err != nil {
		return f.name + ", which does not say what is to be done to packets"
	}
	return fmt.Sprintf("%s %s: %s", f.verb, whichLinks(step), effects.RuleWords(r))
}

// switching is the effect that changes what leaves a node by a switch. What it draws follows from
// the step, which follows from the plan's seed, and from the node.
func (l leaving) switching(step history.Step, r netswitch.Rule) *effects.Switch {
	step.Nodes, step.Links = nil, nil // of a role, they are not in the plan
	text, _ := json.Marshal(step)     // a step that was read can be written
	h := fnv.New64a()
	h.Write(text)
	h.Write([]byte(l.node))
	return &effects.Switch{ID: effectID(step), Peers: l.peers, Rule: r, Seed: h.Sum64(), Both: l.both}
}
