package nemesis

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes"
	"nemesis/nodes/agent"
)

// packet makes the network bad instead of cutting it: packets between nodes come late,
// get lost, come twice, out of order or damaged, or no more than so many a second. Which
// of these, and how much, a step says (history.Step.Packets); on which links, its
// shape, by the algebra of partitions. Clients on the control node are spared.
func packet() Fault {
	return Fault{
		Name: "packet",
		Doc:  "delay, lose, duplicate, reorder, damage or slow down packets between nodes (where the kernel has netem)",
		Forms: append([]Form{
			{Shape: "one", Target: "leader", Weight: 2, Least: 2},
			{Shape: "one", Target: "one", Weight: 1, Least: 2},
			{Shape: "link", Target: "leader", Weight: 1, Least: 3},
			{Shape: "link", Target: "one", Weight: 1, Least: 3},
			{Shape: "one-way-out", Target: "leader", Weight: 1, Least: 2},
			{Shape: "one-way-in", Target: "leader", Weight: 1, Least: 2},
			{Shape: "one-way-out", Target: "one", Weight: 1, Least: 2},
			{Shape: "minority", Target: "minority", Weight: 1, Least: 5},
			{Shape: "every-link", Target: "all", Weight: 2, Least: 3},
		}, onLeases(Form{Shape: "one", Weight: 1, Least: 2})...),
		Limits: []string{
			"who gets a damaged packet throws it away by its checksum: to programs it is lost",
			"what is delayed, duplicated, reordered, damaged or slowed down is measured by ICMP echoes: where peers answer none, nothing shows",
		},
		needs:    effects.NetemKind,
		special:  "packet needs netem in the nodes' kernels",
		packets:  true,
		lookTime: 2500 * time.Millisecond,
		effects:  emulators,
		sentence: packetSentence,
	}
}

// emulators change packets where they leave a node: a link from A to B is changed at
// A. All links from one node are one effect.
func emulators(step history.Step, live Live) map[string][]agent.Effect {
	todo := map[string][]agent.Effect{}
	for _, from := range live.Nodes {
		var peers []netip.Addr
		for _, to := range live.Nodes {
			if slices.Contains(step.Links, history.Link{From: from.Name, To: to.Name}) {
				peers = append(peers, to.Addresses()...)
			}
		}
		if len(peers) > 0 {
			todo[from.Name] = []agent.Effect{&effects.Netem{ID: fmt.Sprintf("f%d", step.ID), Peers: peers, Change: *step.Packets}}
		}
	}
	return todo
}

// wrongPackets says why a step's change of packets cannot be; a plan may be written by
// hand.
func wrongPackets(step history.Step) error {
	if step.Packets == nil {
		return fmt.Errorf("it does not say what is to be done to packets")
	}
	return effects.PacketsCan(*step.Packets)
}

// Trials are the effects to ask a node's agent about before a schedule begins, whether
// it can have them (agent.Client.Check), where that depends on more than the node: on
// the way to the other nodes.
func Trials(steps []history.Step, others []nodes.Node) []agent.Effect {
	var peers []netip.Addr
	for _, n := range others {
		peers = append(peers, n.Addresses()...)
	}
	if len(peers) == 0 || !slices.ContainsFunc(steps, func(s history.Step) bool { return s.Packets != nil }) {
		return nil
	}
	return []agent.Effect{&effects.Netem{ID: "check", Peers: peers}}
}

// packetSentence says what becomes of packets, and of whose.
func packetSentence(step history.Step) string {
	if step.Packets == nil {
		return "packet, which does not say what is to be done to packets"
	}
	who := strings.Join(step.Nodes, " ")
	if role, is := roleOf(step.Target); is && symbolic(step) {
		who = role.node
	}
	which := "on some links"
	switch step.Shape {
	case "one":
		which = fmt.Sprintf("between %s and everybody", who)
	case "minority":
		which = fmt.Sprintf("between %s and the majority", who)
	case "one-way-out":
		which = fmt.Sprintf("from %s to everybody", who)
	case "one-way-in":
		which = fmt.Sprintf("from everybody to %s", who)
	case "every-link":
		which = "between all nodes"
	case "link":
		which = fmt.Sprintf("between %s and one other", who)
		if len(step.Links) == 2 {
			which = fmt.Sprintf("between %s and %s", step.Links[0].From, step.Links[0].To)
		}
	}
	return fmt.Sprintf("change packets %s: %s", which, effects.PacketWords(*step.Packets))
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
