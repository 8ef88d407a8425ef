package nemesis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"nemesis/history"
)

// Two faults at once. A step with While strikes while another one, the outer, is in force, and is healed before it. Both are
// faults of their own in all else: recorded, evidenced and healed. They never mask each other: where one would hide what the
// other does to a node, they strike different nodes.

// Class is what a fault takes from its nodes, as far as it decides which other fault shows there at the same time.
type Class string

// Classes of faults.
const (
	// Gone: no server runs there. Nothing else shows.
	Gone Class = "gone"
	// Still: the servers stand still.
	Still Class = "still"
	// Out: the servers do not belong to the cluster.
	Out Class = "out"
	// Cut: nothing reaches the servers, or nothing they send arrives.
	Cut Class = "cut"
	// Packets: what they send or hear comes late, or changed.
	Packets Class = "packets"
	// Clocks: they see another time.
	Clocks Class = "clocks"
	// Load: they have less of the machine.
	Load Class = "load"
)

// masks reports whether one of two faults would hide the other on a node that has both.
func masks(a, b Class) bool {
	shows := func(a, b Class) bool {
		switch a {
		case Clocks:
			return b == Still || b == Cut || b == Packets || b == Load
		case Load:
			return b == Cut || b == Packets
		}
		return false
	}
	return !shows(a, b) && !shows(b, a)
}

// Pair is two faults at once, as --faults has it: outer+inner.
type pair struct{ outer, inner Fault }

// pairOf reads a pair; nil for a name without a plus.
func pairOf(name string) (*pair, error) {
	outer, inner, is := strings.Cut(name, "+")
	if !is {
		return nil, nil
	}
	if strings.Contains(inner, "+") {
		return nil, fmt.Errorf("%q is more than two faults at once", name)
	}
	var p pair
	var err error
	if p.outer, err = Find(strings.TrimSpace(outer)); err != nil {
		return nil, err
	}
	if p.inner, err = Find(strings.TrimSpace(inner)); err != nil {
		return nil, err
	}
	if why := apartForever(p.outer, p.inner); why != "" {
		return nil, fmt.Errorf("%s cannot be in force at once: %s", name, why)
	}
	return &p, nil
}

func (p pair) name() string { return p.outer.Info().Name + "+" + p.inner.Info().Name }

// apartForever says why two kinds of faults are never in force at once; "" when they may be.
func apartForever(a, b Fault) string {
	switch {
	case a.Info().Name == b.Info().Name:
		return "they are the same; ask for more targets of one"
	case NeedsPower([]string{a.Info().Name}) && NeedsPower([]string{b.Info().Name}):
		return "both take power"
	case a.Info().Class == Clocks && b.Info().Class == Clocks:
		return "both change the clocks"
	case a.Info().Class == Packets && b.Info().Class == Packets:
		return "both change packets"
	}
	return ""
}

// shared are the nodes that two concrete steps both hit although one masks the other there.
func shared(a, b history.Step) []string {
	x, errX := Find(a.Kind)
	y, errY := Find(b.Kind)
	if errX != nil || errY != nil || !masks(x.Info().Class, y.Info().Class) {
		return nil
	}
	var both []string
	for _, n := range a.Nodes {
		if slices.Contains(b.Nodes, n) {
			both = append(both, n)
		}
	}
	return both
}

// checkWhile says which field of a step that overlaps another cannot be, and why. outer is the last step that overlaps none,
// before the step before this one; nil where there are none.
func checkWhile(step, outer, before *history.Step) (field string, err error) {
	switch {
	case outer == nil || step.While != outer.ID:
		return "while", fmt.Errorf("step %d is not the last one before it that overlaps none; let a step overlap that one, or none", step.While)
	case step.At <= outer.At || step.At+step.Hold >= outer.At+outer.Hold:
		return "at", fmt.Errorf("it holds from %s to %s, and step %d from %s to %s; let it hold within", step.At, step.At+step.Hold, outer.ID, outer.At, outer.At+outer.Hold)
	case before != outer && step.At < before.At+before.Hold:
		return "at", fmt.Errorf("at %s the step before it, number %d, is still in force; let no more than two overlap", step.At, before.ID)
	}
	a, errA := Find(outer.Kind)
	b, errB := Find(step.Kind)
	if errA == nil && errB == nil {
		if why := apartForever(a, b); why != "" {
			return "kind", fmt.Errorf("a %s cannot be in force while a %s is: %s", step.Kind, outer.Kind, why)
		}
	}
	if both := shared(*outer, *step); len(both) > 0 {
		return "nodes", fmt.Errorf("on %s the %s would hide what the %s does, or be hidden; let them strike different nodes", strings.Join(both, " "), outer.Kind, step.Kind)
	}
	return "", nil
}

// drawWithin draws the inner step of a pair, which strikes after a tenth to four tenths of the outer's hold, for half of it: what a lease or
// an election outlasts is met on either side. Where one would mask the other it strikes others than the outer does, and else every
// other time the same one; nodes whose role is not known yet are told apart when it fires.
func (c *cards) drawWithin(rng *rand.Rand, cluster []string, outer history.Step, draw func(avoid []string) history.Step) (step history.Step, fits bool) {
	var avoid []string
	if fault, err := Find(outer.Kind); err == nil && masks(fault.Info().Class, c.fault.Info().Class) {
		avoid = outer.Nodes
	}
	for range 4 * len(c.fault.Info().Forms) { // some forms leave nobody out
		if step = draw(avoid); len(shared(outer, step)) == 0 {
			fits = true
			break
		}
	}
	if len(avoid) == 0 && step.Target == "one" && outer.Target == "one" && len(outer.Nodes) == 1 && rng.IntN(2) == 0 {
		rest := slices.DeleteFunc(shuffled(rng, cluster), func(n string) bool { return n == outer.Nodes[0] })
		aim(&step, cluster, append(slices.Clone(outer.Nodes), rest...))
	}
	step.While = outer.ID
	step.At = outer.At + history.Duration(fraction(time.Duration(outer.Hold), 0.1+0.3*rng.Float64()))
	step.Hold = history.Duration(fraction(time.Duration(outer.Hold), 0.5))
	return step, fits
}

// lastingOne is the outer step of several at once, under way.
type lastingOne struct {
	step history.Step
	once sync.Once
	// begun is closed when it is in force or never will be; hit is the step with whom it struck, where it was injected.
	begun    chan struct{}
	hit      history.Step
	injected bool
	// innerOver is closed when no step waits to strike within it any more: it holds at least as long.
	innerOver chan struct{}
}

// outerKey and innerKey are in the context of a step that others strike within, and of one that strikes within another.
type (
	outerKey struct{}
	innerKey struct{}
)

// begin says that the outer step was injected, and whom it hit, or that it will not be. Only the first call counts.
func (l *lastingOne) begin(hit history.Step, injected bool) {
	l.once.Do(func() {
		l.hit, l.injected = hit, injected
		close(l.begun)
	})
}

// beside aims a step that strikes within another: not at nodes where one would mask the other. In the place of nodes that the other hit, and
// that no role or link decides, it takes the first of the cluster that it did not.
func beside(step history.Step, outer *lastingOne, live Live) (history.Step, error) {
	var cluster []string
	for _, m := range live.Machines {
		cluster = append(cluster, m.Node().Name)
	}
	if symbolic(step) {
		at := slices.Index(cluster, live.Roles[step.Target])
		if at < 0 {
			return step, nil // Resolve says so
		}
		aim(&step, cluster, slices.Concat(cluster[at:], cluster[:at]))
	}
	both := shared(outer.hit, step)
	if len(both) == 0 {
		return step, nil
	}
	if _, isRole := roleOf(step.Target); !isRole && len(step.Links) == 0 {
		free := func(n string) bool { return !slices.Contains(both, n) && !slices.Contains(outer.hit.Nodes, n) }
		kept := slices.DeleteFunc(slices.Clone(step.Nodes), func(n string) bool { return !free(n) })
		for _, n := range cluster {
			if free(n) && len(kept) < len(step.Nodes) && !slices.Contains(kept, n) {
				kept = append(kept, n)
			}
		}
		if len(kept) == len(step.Nodes) {
			step.Nodes = sorted(kept, cluster)
			return step, nil
		}
	}
	return step, fmt.Errorf("resolve step %d: on %s the %s of step %d would hide what it does, or be hidden", step.ID, strings.Join(both, " "), outer.step.Kind, outer.step.ID)
}
