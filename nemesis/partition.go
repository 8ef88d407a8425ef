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
)

// partition cuts links between nodes. Clients on the control node still reach every
// node: what a cut-off server tells them is what the run is about.
type partition struct{}

// flapping is the shape of a partition that cuts and heals by turns.
const flapping = "flapping"

// flaps are the parameters of a flapping partition.
type flaps struct {
	// Period is from one cut to the next: half of it cut, half of it whole.
	Period history.Duration `json:"period"`
}

// leastPeriod is the shortest time from one change to and fro to the next.
const leastPeriod = 10 * time.Millisecond

// Info lists the shapes.
func (partition) Info() Info {
	return Info{
		Name:  "partition",
		Doc:   "cut the network between nodes, in one of eight shapes",
		Class: Cut,
		Forms: append([]Form{
			{Shape: "one", Target: "leader", Weight: 2, Least: 2},
			{Shape: "one", Target: "one", Weight: 1, Least: 2},
			{Shape: "halves", Target: "half", Weight: 1, Least: 4},
			{Shape: "minority", Target: "minority", Weight: 1, Least: 5},
			{Shape: "minority", Target: "leader", Weight: 1, Least: 5},
			{Shape: "majorities-ring", Target: "all", Weight: 1, Least: 4},
			{Shape: "bridge", Target: "one", Weight: 1, Least: 3},
			{Shape: "one-way-out", Target: "one", Weight: 1, Least: 2},
			{Shape: "one-way-out", Target: "leader", Weight: 1, Least: 2},
			{Shape: "one-way-in", Target: "one", Weight: 1, Least: 2},
			{Shape: "one-way-in", Target: "leader", Weight: 1, Least: 2},
			{Shape: flapping, Target: "one", Weight: 1, Least: 2},
			{Shape: flapping, Target: "leader", Weight: 1, Least: 2},
		}, onLeases(Form{Shape: "one", Weight: 2, Least: 2})...),
	}
}

// Parameters deals periods to those that flap: three to six cuts; fewer in a fault so
// short that a cut would only be a hiccup.
func (partition) Parameters(rng *rand.Rand, _ Options) (Dealer, error) {
	return func(step history.Step) any {
		if step.Shape != flapping {
			return nil
		}
		return flaps{Period: history.Duration(max(fraction(time.Duration(step.Hold), 1/(3+3*rng.Float64())), 200*time.Millisecond))}
	}, nil
}

// Check wants a period of those that flap, and of no other.
func (partition) Check(step history.Step) error {
	if step.Shape != flapping {
		return noParameters(step)
	}
	turns, err := parametersOf[flaps](step)
	if period := time.Duration(turns.Period); err == nil && (period < leastPeriod || period > mostAmount) {
		return fmt.Errorf("a period of %s between two cuts is not from %s to a year", period, leastPeriod)
	}
	return err
}

// Needs is packet filters.
func (partition) Needs(history.Step) Needs { return Needs{Effect: effects.DropKind} }

// Bind filters packets at both ends of every link, and connects across.
func (partition) Bind(step history.Step, live Live) (Binding, error) {
	turns, err := parametersOf[flaps](step)
	if err != nil {
		return Binding{}, err
	}
	links := live.linksOf(step.Links)
	var b Binding
	todo := drops(step, live)
	for _, m := range live.Machines {
		for _, effect := range todo[m.Node().Name] {
			a, err := live.onAgent(m.Node().Name, effect)
			if err != nil {
				return b, err
			}
			b.Actions = append(b.Actions, links.filter(a, effect, turns.Period > 0))
		}
	}
	b.Probes = links.probes(live)
	if turns.Period > 0 {
		// A plan written by hand may ask for less than a cut and its evidence take.
		b.Pulse = max(time.Duration(turns.Period)/2, 50*time.Millisecond)
	}
	return b, nil
}

// drops are the packet filters of a partition. A link from A to B is cut twice, where
// packets leave A and where they arrive at B, so that an agent that hangs or dies
// cannot leave it half open. All filters of one node that have the same directions
// are one effect, to reach the kernel in one go.
func drops(step history.Step, live Live) map[string][]*effects.Drop {
	todo := map[string][]*effects.Drop{}
	for _, m := range live.Machines {
		node := m.Node()
		// What this node must not send to and must not hear from, in cluster order.
		peers := map[[2]bool][]netip.Addr{}
		for _, peer := range live.Machines {
			in := slices.Contains(step.Links, history.Link{From: peer.Node().Name, To: node.Name})
			out := slices.Contains(step.Links, history.Link{From: node.Name, To: peer.Node().Name})
			if in || out {
				peers[[2]bool{in, out}] = append(peers[[2]bool{in, out}], peer.Node().Addresses()...)
			}
		}
		for _, way := range []struct {
			name    string
			in, out bool
		}{{"both", true, true}, {"in", true, false}, {"out", false, true}} {
			if addrs := peers[[2]bool{way.in, way.out}]; len(addrs) > 0 {
				todo[node.Name] = append(todo[node.Name], &effects.Drop{
					ID: effectID(step) + "-" + way.name, Peers: addrs, In: way.in, Out: way.out,
				})
			}
		}
	}
	return todo
}

// Sentence says who can no longer reach whom.
func (partition) Sentence(step history.Step) string {
	who, they := strings.Join(step.Nodes, " "), "it"
	role, _ := roleOf(step.Target)
	switch {
	case symbolic(step) && step.Shape == "minority":
		who, they = role.node+" and as many others as make a minority", "them"
	case symbolic(step):
		who = role.node
	case len(step.Nodes) > 1:
		they = "them"
	}
	switch step.Shape {
	case "one":
		return fmt.Sprintf("cut %s off from everybody", who)
	case "halves":
		return fmt.Sprintf("cut the cluster in halves, %s on one side", who)
	case "minority":
		return fmt.Sprintf("cut %s off from the majority", who)
	case "majorities-ring":
		return "let every node see another majority"
	case "bridge":
		a, b := sides(step.Links)
		return fmt.Sprintf("leave %s the only bridge between %s and %s", who, a, b)
	case "one-way-out":
		return fmt.Sprintf("let nobody hear %s, while %s can hear the others", who, they)
	case "one-way-in":
		return fmt.Sprintf("let %s hear nobody, while the others can hear %s", who, they)
	case flapping:
		turns, err := parametersOf[flaps](step)
		if err != nil || turns.Period <= 0 {
			return fmt.Sprintf("cut %s off", who)
		}
		return fmt.Sprintf("cut %s off and let it back, again and again, once every %s", who, turns.Period)
	}
	return "cut the network: " + missing(step.Links)
}

// sides names the two sides that links keep apart.
func sides(links []history.Link) (a, b string) {
	var left, right []string
	for _, link := range links {
		if link.From == links[0].From {
			right = append(right, link.To)
		}
		if link.To == links[0].To {
			left = append(left, link.From)
		}
	}
	return strings.Join(left, " "), strings.Join(right, " ")
}

// missing lists what is cut, one node after the other: "n1 cannot reach n3 n4; …".
func missing(links []history.Link) string {
	var parts []string
	for i := 0; i < len(links); {
		from, to := links[i].From, []string{}
		for ; i < len(links) && links[i].From == from; i++ {
			to = append(to, links[i].To)
		}
		parts = append(parts, fmt.Sprintf("%s cannot reach %s", from, strings.Join(to, " ")))
	}
	return strings.Join(parts, "; ")
}
