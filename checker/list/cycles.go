package list

import (
	"context"
	"slices"

	"nemesis/checker"
)

// hop is one step of a cycle, from transaction to transaction.
type hop struct {
	from, to int32
	kind     kinds
	element  int32
	key      int32
	// old: by real time it comes before a transaction that only reads.
	old bool
}

// mode is one kind of contradiction to look for: cycles over some edges, with
// exactly one rw edge where single is set.
type mode struct {
	over   kinds
	single bool
}

// modes are in order of severity; the last one finds any cycle there is.
var modes = []mode{
	{over: ww},
	{over: ww | wr},
	{over: ww | wr | rwPass, single: true},
	{over: ww | wr | rw | rwPass},
	{over: ww | rt | rtPass},
	{over: ww | wr | rt | rtPass},
	{over: ww | wr | rt | rtPass | rwPass, single: true},
	{over: anyKind &^ oldPass},
	{over: ww | wr | rt | rtPass | oldPass},
	{over: ww | wr | rt | rtPass | oldPass | rwPass, single: true},
	{over: anyKind},
}

// starts bounds from how many transactions the shortest cycle of a component is
// sought, work how many edges are followed in one component for each mode. Past
// them a cycle may be told that is not the shortest, or G2 where one with a single
// rw edge hides; that there is a cycle, and that the one told is one, is exact.
const (
	starts = 200
	work   = 20_000_000
)

// cycles tells the worst contradiction of every strongly connected component.
func (h *parsed) cycles(ctx context.Context, g *graph, found *checker.Anomalies) {
	everything := make([]int32, len(g.out))
	for i := range everything {
		everything[i] = int32(i)
	}
	w := newWalker(g)
	for _, nodes := range w.components(everything, anyKind) {
		cycle := w.worst(ctx, nodes)
		found.AddTo(class(cycle), func() checker.Anomaly { return h.cycle(cycle) })
	}
}

// stale reports whether a cycle rests on a transaction that only reads having come after
// another by real time.
func stale(cycle []hop) bool { return slices.ContainsFunc(cycle, func(e hop) bool { return e.old }) }

// class names a cycle by its edges.
func class(cycle []hop) checker.Class {
	rws, all := 0, kinds(0)
	for _, e := range cycle {
		all |= e.kind
		if e.kind == rw {
			rws++
		}
	}
	name := "G2"
	switch {
	case rws == 1:
		name = "G-single"
	case rws == 0 && all&wr != 0:
		name = "G1c"
	case rws == 0:
		name = "G0"
	}
	if all&rt != 0 {
		name += "-realtime"
	}
	for _, c := range classes {
		if c.Name == name && (all&rt == 0 || stale(cycle) == slices.Equal(c.Breaks, lostToReaders.Breaks)) {
			return c
		}
	}
	return checker.Class{Name: name}
}

// walker searches a graph within one set of nodes at a time. Its arrays are as
// long as the graph and used again.
type walker struct {
	g      *graph
	member []int32 // the current set's number, for its nodes
	set    int32
	index  []int32 // Tarjan
	low    []int32
	onTop  []bool
	seen   []int32 // number of the search that reached the node
	search int32
	cost   []int32
	from   []arrival
}

// arrival is how a search reached a node.
type arrival struct {
	node int32
	edge edge
}

func newWalker(g *graph) *walker {
	n := len(g.out)
	return &walker{g: g, member: make([]int32, n), index: make([]int32, n), low: make([]int32, n),
		onTop: make([]bool, n), seen: make([]int32, n), cost: make([]int32, n), from: make([]arrival, n)}
}

// enter makes nodes the current set.
func (w *walker) enter(nodes []int32) {
	w.set++
	for _, v := range nodes {
		w.member[v] = w.set
	}
}

// components are the strongly connected components of more than one node, among
// nodes, over edges of the given kinds: Tarjan's algorithm with its own stack,
// for a recursion would be as deep as the history is long.
func (w *walker) components(nodes []int32, over kinds) [][]int32 {
	w.enter(nodes)
	for _, v := range nodes {
		w.index[v] = 0
	}
	type frame struct {
		node int32
		next int
	}
	var (
		found [][]int32
		stack []int32
		calls []frame
		count int32
	)
	visit := func(v int32) {
		count++
		w.index[v], w.low[v], w.onTop[v] = count, count, true
		stack = append(stack, v)
		calls = append(calls, frame{node: v})
	}
	for _, root := range nodes {
		if w.index[root] != 0 {
			continue
		}
		visit(root)
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			v := f.node
			if f.next < len(w.g.out[v]) {
				e := w.g.out[v][f.next]
				f.next++
				switch {
				case e.kind&over == 0 || w.member[e.to] != w.set:
				case w.index[e.to] == 0:
					visit(e.to)
				case w.onTop[e.to]:
					w.low[v] = min(w.low[v], w.index[e.to])
				}
				continue
			}
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				parent := calls[len(calls)-1].node
				w.low[parent] = min(w.low[parent], w.low[v])
			}
			if w.low[v] == w.index[v] {
				top := len(stack) - 1
				for stack[top] != v {
					top--
				}
				for _, u := range stack[top:] {
					w.onTop[u] = false
				}
				if len(stack)-top > 1 {
					found = append(found, append([]int32(nil), stack[top:]...))
				}
				stack = stack[:top]
			}
		}
	}
	return found
}

// worst finds a short cycle of the most severe mode that a component has.
func (w *walker) worst(ctx context.Context, nodes []int32) []hop {
	for _, m := range modes[:len(modes)-1] {
		if ctx.Err() != nil {
			break
		}
		over := m.over
		if m.single {
			over |= rw
		}
		for _, part := range w.components(nodes, over) {
			if cycle := w.shortest(ctx, part, m); cycle != nil {
				return cycle
			}
		}
	}
	// Every node of a component lies on a cycle: one search finds one.
	return w.shortest(ctx, nodes, modes[len(modes)-1])
}

// shortest finds a cycle of a mode through the first transactions of a component
// that have one, the shortest of those tried; nil when none was found.
func (w *walker) shortest(ctx context.Context, nodes []int32, m mode) []hop {
	w.enter(nodes)
	first := m.over
	if m.single {
		first = rw
	}
	var best []hop
	tried, budget := 0, work
	for _, v := range nodes {
		if int(v) >= w.g.n {
			continue
		}
		if best != nil && (tried >= starts || len(best) == 2) {
			break
		}
		if (best != nil || m.single) && (budget <= 0 || ctx.Err() != nil) {
			break
		}
		tried++
		if cycle := w.around(v, first, m.over, &budget); cycle != nil && (best == nil || len(cycle) < len(best)) {
			best = cycle
		}
	}
	return best
}

// around finds the shortest cycle through a transaction whose first edge is of one
// of the kinds first and the others of the kinds rest. Edges out of auxiliary
// nodes cost nothing, so length counts transactions: a breadth-first search with
// two ends to its queue.
func (w *walker) around(start int32, first, rest kinds, budget *int) []hop {
	w.search++
	var front, back []int32 // front is a stack: what costs nothing goes on top
	push := func(v, cost int32, at arrival, free bool) {
		if w.seen[v] == w.search && w.cost[v] <= cost {
			return
		}
		w.seen[v], w.cost[v], w.from[v] = w.search, cost, at
		if free {
			front = append(front, v)
		} else {
			back = append(back, v)
		}
	}
	for _, e := range w.g.out[start] {
		if e.kind&first != 0 && w.member[e.to] == w.set {
			push(e.to, 1, arrival{start, e}, false)
		}
	}
	for len(front)+len(back) > 0 {
		if len(front) == 0 {
			// Everything in back now is one longer than what was in front.
			for i := len(back) - 1; i >= 0; i-- {
				front = append(front, back[i])
			}
			back = back[:0]
		}
		v := front[len(front)-1]
		front = front[:len(front)-1]
		if v == start {
			return w.path(start)
		}
		for _, e := range w.g.out[v] {
			*budget--
			if e.kind&rest == 0 || w.member[e.to] != w.set {
				continue
			}
			free := e.kind&(rwPass|rtPass|oldPass) != 0
			cost := w.cost[v]
			if !free {
				cost++
			}
			push(e.to, cost, arrival{v, e}, free)
		}
	}
	return nil
}

// path turns the search's way back to start into hops, auxiliary nodes skipped.
func (w *walker) path(start int32) []hop {
	var reversed []arrival
	for v := start; ; {
		s := w.from[v]
		reversed = append(reversed, s)
		if v = s.node; v == start {
			break
		}
	}
	var cycle []hop
	for i := len(reversed) - 1; i >= 0; i-- {
		s := reversed[i]
		if int(s.node) < w.g.n {
			cycle = append(cycle, hop{from: s.node, kind: s.edge.kind, key: s.edge.key})
		}
		last := &cycle[len(cycle)-1]
		last.to, last.element = s.edge.to, s.edge.element
		last.old = last.old || s.edge.kind == oldPass
	}
	return cycle
}
