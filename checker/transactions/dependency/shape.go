package dependency

import (
	"slices"

	"nemesis/checker"
)

// Shape is a sort of cycle, after Adya and Cerone.
type Shape uint8

const (
	// G0: ww edges only.
	G0 Shape = iota
	// G1c: ww and wr edges, at least one wr.
	G1c
	// GSingleRead: exactly one rw edge, and it comes behind a wr edge.
	GSingleRead
	// GSingle: exactly one rw edge.
	GSingle
	// LongFork: every rw edge comes behind a wr edge. There is no order of the transactions
	// of which every one saw a prefix.
	LongFork
	// GNonadjacent: no two rw edges are adjacent.
	GNonadjacent
	// G2: any rw edges.
	G2
	shapes
)

// Variant says which edges beside those of the data a cycle may have.
type Variant uint8

const (
	// Data alone.
	Data Variant = iota
	// Sessions: and those of processes.
	Sessions
	// Writers: and those of real time, but none that leads to a transaction that only reads.
	Writers
	// RealTime: and those of processes and of real time.
	RealTime
	variants
)

const data = Kinds(1<<WW | 1<<WR | 1<<RW | 1<<Spread | 1<<Inferred)

var edges = [variants]Kinds{
	Data:     0,
	Sessions: 1<<Process | 1<<RWProcess,
	Writers:  1<<Returned | 1<<Invoked | 1<<RWTime,
	RealTime: 1<<Process | 1<<RWProcess | 1<<Returned | 1<<Invoked | 1<<InvokedReader | 1<<RWTime,
}

const (
	everything     = Kinds(1<<kindCount - 1)
	antiDependency = Kinds(1<<RW | 1<<RWProcess | 1<<RWTime)
)

// Class is a shape with a variant.
type Class struct {
	Shape   Shape
	Variant Variant
}

// includes are the shapes that are cycles of a shape as well. A shape with "at least" or "any"
// rw and wr edges is taken to be without that condition.
var includes = [shapes]uint8{
	G0:           1 << G0,
	G1c:          1<<G0 | 1<<G1c,
	GSingleRead:  1<<G0 | 1<<G1c | 1<<GSingleRead,
	GSingle:      1<<G0 | 1<<G1c | 1<<GSingleRead | 1<<GSingle,
	LongFork:     1<<G0 | 1<<G1c | 1<<GSingleRead | 1<<LongFork,
	GNonadjacent: 1<<G0 | 1<<G1c | 1<<GSingleRead | 1<<GSingle | 1<<LongFork | 1<<GNonadjacent,
	G2:           1<<shapes - 1,
}

// includes: what is a cycle of the second is one of the first.
func (c Class) includes(other Class) bool {
	return edges[other.Variant]&^edges[c.Variant] == 0 && includes[c.Shape]>>other.Shape&1 == 1
}

// Rules switches single rules off, for tests that must notice.
type Rules struct {
	AdjacentAllowed  bool // cycles with adjacent rw edges count as non-adjacent
	SingleUnchecked  bool // one rw edge is enough for a single one, without a way back
	FirstEdgesOnly   bool // ways back of one edge only
	NoSpread         bool // an rw edge ends at an auxiliary node
	ForkAfterWrite   bool // an rw edge behind a ww edge makes a long fork
	ReadersAreLatest bool // real time leads to readers for writers' sake
}

// Classifier decides which shapes a component has. It is not safe for concurrent use.
type Classifier struct {
	t     tarjan
	pace  *checker.Pace
	rules Rules
}

// NewClassifier is a classifier that obeys a pace.
func NewClassifier(pace *checker.Pace, rules Rules) *Classifier {
	return &Classifier{pace: pace, rules: rules}
}

// walk is the walk that has a cycle exactly if there is one of the shape, given that there is
// none of G1c. That of GSingle lacks its one rw edge.
func (c *Classifier) walk(class Class) walk {
	extra := edges[class.Variant]
	if class.Shape < LongFork {
		extra &^= antiDependency
	}
	if c.rules.ReadersAreLatest && class.Variant == Writers {
		extra |= 1 << InvokedReader
	}
	switch class.Shape {
	case G0:
		return over(1<<WW | extra)
	case G1c:
		return over(1<<WW | 1<<WR | extra)
	case GSingle, GSingleRead:
		kinds := 1<<WW | 1<<WR | 1<<Inferred | 1<<Spread | extra
		if c.rules.NoSpread {
			kinds &^= 1 << Spread
		}
		w := over(kinds)
		if class.Shape == GSingleRead { // state 0: the last edge was wr
			w.states, w.next[1] = 2, w.next[0]
			for s := range w.next {
				for _, k := range []Kind{WW, Inferred, Spread} {
					if w.next[s][k] != refused {
						w.next[s][k] = 1
					}
				}
			}
		}
		return w
	case G2:
		return over(data | extra)
	}
	// State 1: an rw edge may not come next.
	w := over(data | extra)
	w.states = 2
	w.next[1] = w.next[0]
	for k := range kindCount {
		if k.AntiDependency() && w.next[0][k] != refused {
			w.next[0][k], w.next[1][k] = 1, refused
			if class.Shape == GNonadjacent && c.rules.AdjacentAllowed {
				w.next[1][k] = 1
			}
		}
	}
	w.next[0][Spread], w.next[1][Spread] = refused, 1
	if class.Shape == LongFork && !c.rules.ForkAfterWrite {
		w.next[0][WW], w.next[1][WW] = 1, 1
		w.next[0][Inferred], w.next[1][Inferred] = 1, 1
	}
	return w
}

// Classify names the most severe classes of a component's cycles: those that it has, and of
// which none includes another.
func (c *Classifier) Classify(part *Component) []Class {
	var found []Class
	has := func(class Class) bool {
		if slices.ContainsFunc(found, class.includes) {
			return false
		}
		return c.has(part, class)
	}
	for variant := range variants {
		if variant < RealTime && !c.has(part, Class{G2, variant}) {
			continue // as in most components, over the data alone
		}
		for shape := range shapes {
			if (shape == LongFork || shape == GSingleRead) && variant != Data {
				continue // says nothing that the next does not
			}
			class := Class{shape, variant}
			if !has(class) {
				continue
			}
			found = append(found, class)
			if shape <= G1c {
				break // includes all others
			}
		}
	}
	return found
}

func (c *Classifier) has(part *Component, class Class) bool {
	if class.Shape == GSingle || class.Shape == GSingleRead {
		return c.single(part, class)
	}
	return c.t.cyclic(&part.Graph, c.walk(class), c.pace)
}

// arc is an rw edge.
type arc struct{ from, to int32 }

// single decides whether an rw edge has a way back without another one, of a GSingleRead one
// that ends with a wr edge; or whether the other edges have a cycle, which is one of inferred
// edges then.
func (c *Classifier) single(part *Component, class Class) bool {
	g := &part.Graph
	if c.t.cyclic(g, over(1<<WW|1<<WR|1<<Inferred|edges[class.Variant]&^antiDependency), c.pace) {
		return true // over inferred edges
	}
	// An edge that has such a way back lies in a component of the walk without adjacent ones.
	w := c.walk(Class{GNonadjacent, class.Variant})
	member := make([]int32, 2*g.Nodes())
	count := int32(0)
	c.t.run(g, w, c.pace, func(nodes []int32) bool {
		count++
		for _, v := range nodes {
			member[v] = count
		}
		return true
	})
	var arcs []arc
	for v := range int32(g.Nodes()) {
		for _, e := range g.Out(v) {
			if w.next[0][e.Kind()] == 1 && e.Kind().AntiDependency() && member[2*v] > 0 && member[2*v] == member[2*e.To()+1] {
				arcs = append(arcs, arc{v, e.To()})
			}
		}
	}
	if len(arcs) == 0 {
		return false
	}
	if c.rules.SingleUnchecked {
		return true
	}
	back := c.walk(Class{GSingle, class.Variant}).next[0]
	last := back
	if class.Shape == GSingleRead {
		last = over(1 << WR).next[0]
	}
	for _, a := range arcs {
		c.pace.Step()
		for _, e := range g.Out(a.to) {
			if e.To() == a.from && last[e.Kind()] != refused {
				return true
			}
		}
	}
	return !c.rules.FirstEdgesOnly && c.reach(g, back, last, arcs)
}

// reach decides whether any arc has a way back, over edges of some kinds of which the last is
// of fewer. It follows 64 arcs at a time along the topological order.
func (c *Classifier) reach(g *Graph, back, last [kindCount]int8, arcs []arc) bool {
	order := c.topological(g, back)
	rank := make([]int32, g.Nodes())
	for i, v := range order {
		rank[v] = int32(i)
	}
	slices.SortFunc(arcs, func(a, b arc) int { return int(rank[a.to] - rank[b.to]) })
	reached, home := make([]uint64, g.Nodes()), make([]uint64, g.Nodes())
	for len(arcs) > 0 {
		n := 0
		end := int32(0)
		for ; n < len(arcs) && n < 64; n++ {
			reached[arcs[n].to] |= 1 << n
			end = max(end, rank[arcs[n].from])
		}
		for i := rank[arcs[0].to]; i < end; i++ {
			c.pace.Step()
			v := order[i]
			if reached[v] == 0 {
				continue
			}
			for _, e := range g.Out(v) {
				if back[e.Kind()] == refused {
					continue
				}
				reached[e.To()] |= reached[v]
				if last[e.Kind()] != refused {
					home[e.To()] |= reached[v]
				}
			}
		}
		for i, a := range arcs[:n] {
			if home[a.from]>>i&1 == 1 {
				return true
			}
		}
		clear(reached)
		clear(home)
		arcs = arcs[n:]
	}
	return false
}

// topological orders the nodes by the edges of some kinds, which have no cycle.
func (c *Classifier) topological(g *Graph, follow [kindCount]int8) []int32 {
	left := make([]int32, g.Nodes())
	for v := range int32(g.Nodes()) {
		for _, e := range g.Out(v) {
			if follow[e.Kind()] != refused {
				left[e.To()]++
			}
		}
	}
	order := make([]int32, 0, g.Nodes())
	for v := range int32(g.Nodes()) {
		if left[v] == 0 {
			order = append(order, v)
		}
	}
	for i := 0; i < len(order); i++ {
		c.pace.Step()
		for _, e := range g.Out(order[i]) {
			if follow[e.Kind()] == refused {
				continue
			}
			if left[e.To()]--; left[e.To()] == 0 {
				order = append(order, e.To())
			}
		}
	}
	return order
}

// Contradictory reports whether the ww, wr and inferred edges alone have a cycle: then no order of
// versions is read atomic.
func (c *Classifier) Contradictory(part *Component) bool {
	return c.t.cyclic(&part.Graph, over(1<<WW|1<<WR|1<<Inferred), c.pace)
}
