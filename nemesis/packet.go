package nemesis

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/netswitch"
)

// packet makes the network bad instead of cutting it: packets between nodes come late,
// get lost, come twice, out of order or damaged, or no more than so many a second. Which
// of these, and how much, its parameters say, a history.PacketChange; on which links, its
// shape, by the algebra of partitions. Clients on the control node are spared.
type packet struct{}

// packetsSetting names what packet faults draw from.
const packetsSetting = "packets"

// Info lists the shapes.
func (packet) Info() Info {
	return Info{
		Name:    "packet",
		Class:   Packets,
		Doc:     "delay, lose, duplicate, reorder, damage or slow down packets between nodes (by the kernel's netem, or a switch of nemesis)",
		Forms:   packetForms(),
		Special: "packet needs netem in the nodes' kernels, or TUN devices for a switch of nemesis",
		Settings: []FaultSetting{{
			Setting: history.Setting{
				Name: packetsSetting,
				Doc:  "what packet faults do, a list to draw from, such as delay:100ms/20ms/normal,loss:10%/4+duplicate:5%,rate:1mbit (default: all that the fault knows)",
			},
			Example: "loss:10%",
			Check: func(value string, opt Options) error {
				if _, err := ParsePackets(value, opt.Timing); err != nil {
					return err
				}
				return usedBy(packet{}.Info().Name, "changes packets", packetsSetting, opt)
			},
		}},
	}
}

// packetForms are those of all faults that change packets, by the algebra of partitions.
func packetForms() []Form {
	return append([]Form{
		{Shape: "one", Target: "leader", Weight: 2, Least: 2},
		{Shape: "one", Target: "one", Weight: 1, Least: 2},
		{Shape: "link", Target: "leader", Weight: 1, Least: 3},
		{Shape: "link", Target: "one", Weight: 1, Least: 3},
		{Shape: "one-way-out", Target: "leader", Weight: 1, Least: 2},
		{Shape: "one-way-in", Target: "leader", Weight: 1, Least: 2},
		{Shape: "one-way-out", Target: "one", Weight: 1, Least: 2},
		{Shape: "minority", Target: "minority", Weight: 1, Least: 5},
		{Shape: "every-link", Target: "all", Weight: 2, Least: 3},
	}, onLeases(Form{Shape: "one", Weight: 1, Least: 2})...)
}

// Parameters deals changes of packets.
func (packet) Parameters(rng *rand.Rand, opt Options) (Dealer, error) {
	changes := packetChanges(opt.Timing)
	if asked := opt.Settings[packetsSetting]; asked != "" {
		var err error
		if changes, err = ParsePackets(asked, opt.Timing); err != nil {
			return nil, err
		}
	}
	cards := newDeck(rng, changes)
	return func(history.Step) any { return cards.deal() }, nil
}

// Check wants a change that can be made.
func (p packet) Check(step history.Step) error {
	_, err := p.read(step)
	return err
}

// read gives a step's change, or says why it cannot be; a plan may be written by hand.
func (packet) read(step history.Step) (history.PacketChange, error) {
	change, err := parametersOf[history.PacketChange](step)
	switch {
	case err != nil:
		return change, err
	case len(step.Params) == 0:
		return change, fmt.Errorf("it does not say what is to be done to packets")
	}
	return change, effects.PacketsCan(change)
}

// Needs is an emulator, on the way to the other nodes, or a switch there.
func (packet) Needs(history.Step) Needs {
	return Needs{Effect: effects.NetemKind, Or: effects.SwitchKind, Trial: packetTrial}
}

// packetTrial is what to ask a node that has an effect of the kind about the way to others.
func packetTrial(kind string, others []netip.Addr) agent.Effect {
	if kind == effects.SwitchKind {
		return &effects.Switch{ID: "check", Peers: others}
	}
	return &effects.Netem{ID: "check", Peers: others}
}

// Bind changes packets where they leave a node: a link from A to B is changed at A. All
// links from one node are one effect, by whatever that node has for it.
func (p packet) Bind(step history.Step, live Live) (Binding, error) {
	change, err := p.read(step)
	if err != nil {
		return Binding{}, err
	}
	b := Binding{
		ProbeTime: packetProbeTime,
		Limits: []string{
			"who gets a damaged packet throws it away by its checksum: to programs it is lost",
			"what is delayed, duplicated, reordered, damaged or slowed down is measured by ICMP echoes: where peers answer none, nothing shows",
		},
	}
	switched := false
	b.Actions, err = live.onLinks(step, func(from Agent, l leaving) agent.Effect {
		if kind, _ := p.Needs(step).on(from.Facts().Cannot); kind == effects.SwitchKind {
			switched = true
			return l.switching(step, netswitch.Rule{PacketChange: change})
		}
		return &effects.Netem{ID: effectID(step), Peers: l.peers, Change: change}
	})
	if switched {
		b.Limits = append(b.Limits, switchLimits...)
	}
	return b, err
}

// packetProbeTime is set aside for the last look at echoes.
const packetProbeTime = 2500 * time.Millisecond

// leaving are packets from one node to others.
type leaving struct {
	node  string
	peers []netip.Addr
	// both: the step changes what the others send there, too, all of them.
	both bool
}

// onLinks are actions by the agents of the nodes from which the links of a step lead, one for
// each.
func (live Live) onLinks(step history.Step, effect func(from Agent, l leaving) agent.Effect) ([]Action, error) {
	var actions []Action
	for _, from := range live.Machines {
		l := leaving{node: from.Node().Name, both: true}
		for _, to := range live.Machines {
			link := history.Link{From: l.node, To: to.Node().Name}
			if !slices.Contains(step.Links, link) {
				continue
			}
			l.peers = append(l.peers, to.Node().Addresses()...)
			l.both = l.both && slices.Contains(step.Links, history.Link{From: link.To, To: link.From})
		}
		if len(l.peers) == 0 {
			continue
		}
		a, err := live.onAgent(l.node, effect(from, l))
		if err != nil {
			return actions, err
		}
		actions = append(actions, a)
	}
	return actions, nil
}

// Sentence says what becomes of packets, and of whose.
func (packet) Sentence(step history.Step) string {
	change, err := parametersOf[history.PacketChange](step)
	if err != nil || len(step.Params) == 0 {
		return "packet, which does not say what is to be done to packets"
	}
	return fmt.Sprintf("change packets %s: %s", whichLinks(step), effects.PacketWords(change))
}

// whichLinks says between whom the links of a step are.
func whichLinks(step history.Step) string {
	who := strings.Join(step.Nodes, " ")
	if role, is := roleOf(step.Target); is && symbolic(step) {
		who = role.node
	}
	switch step.Shape {
	case "one":
		return fmt.Sprintf("between %s and everybody", who)
	case "minority":
		return fmt.Sprintf("between %s and the majority", who)
	case "one-way-out":
		return fmt.Sprintf("from %s to everybody", who)
	case "one-way-in":
		return fmt.Sprintf("from everybody to %s", who)
	case "every-link":
		return "between all nodes"
	case "link":
		if len(step.Links) == 2 {
			return fmt.Sprintf("between %s and %s", step.Links[0].From, step.Links[0].To)
		}
		return fmt.Sprintf("between %s and one other", who)
	}
	return "on some links"
}

// packetChanges are what a packet fault draws from where nobody says otherwise: each
// kind alone, and some together, as large as a bad network and large enough to be seen.
// Delays of half an election make no leader fall, but its elections fail; longer ones
// do both.
func packetChanges(timing history.Timing) []history.PacketChange {
	ms := func(n int) history.Duration { return history.Duration(n) * history.Duration(time.Millisecond) }
	all := []history.PacketChange{
		{Delay: ms(50), Jitter: ms(10), Spread: "normal"},
		{Delay: ms(200), Jitter: ms(100), Spread: "pareto"},
		{Loss: 0.1},
		{Loss: 0.3},
		{Loss: 0.25, Burst: 8},
		{Duplicate: 0.25},
		{Delay: ms(30), Reorder: 0.25},
		{Corrupt: 0.15},
		{Rate: 1_000_000},
		{Delay: ms(80), Jitter: ms(40), Loss: 0.1, Duplicate: 0.15, Corrupt: 0.05, Spread: "normal"},
	}
	if timing.Election > 0 {
		all = append(all, history.PacketChange{Delay: timing.Election / 2, Jitter: timing.Election / 10}, history.PacketChange{Delay: timing.Election, Jitter: timing.Election / 5})
	}
	return slices.DeleteFunc(all, func(c history.PacketChange) bool { return effects.PacketsCan(c) != nil })
}
