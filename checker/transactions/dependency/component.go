package dependency

import (
	"slices"

	"nemesis/checker"
)

// walk says which edges a search may follow: next[s][k] is the state after an edge of kind k
// in state s, or refused. A search over states 0 and 1 is one over the graph with each node
// twice.
type walk struct {
	states int32
	next   [2][kindCount]int8
}

const refused = -1

// over is the walk that follows all edges of some kinds.
func over(kinds Kinds) walk {
	w := walk{states: 1}
	for k := range kindCount {
		if !kinds.Has(k) {
			w.next[0][k] = refused
		}
	}
	return w
}

// tarjan finds strongly connected components. Its arrays are used again.
type tarjan struct {
	index []int32 // in order of the search, from 1; 0 for what it has not met
	low   []int32 // done for what is in a finished component
	stack []int32
	calls []call
}

type call struct {
	node int32
	next uint32
}

const done = int32(1<<31 - 1)

// run calls yield with every strongly connected component of more than one node, until it
// returns false: with numbers node*w.states+state. The slice is used again.
func (t *tarjan) run(g *Graph, w walk, pace *checker.Pace, yield func([]int32) bool) {
	n := g.Nodes() * int(w.states)
	if cap(t.index) < n {
		t.index, t.low = make([]int32, n), make([]int32, n)
		t.stack, t.calls = make([]int32, 0, n/4), make([]call, 0, n/4)
	}
	index, low := t.index[:n], t.low[:n]
	clear(index)
	stack, calls := t.stack[:0], t.calls[:0]
	defer func() { t.stack, t.calls = stack, calls }()
	count := int32(0)
	for root := range int32(n) {
		if index[root] != 0 {
			continue
		}
		count++
		index[root], low[root] = count, count
		stack = append(stack, root)
		calls = append(calls, call{root, g.first[root/w.states]})
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			v := f.node
			real, state := v, int32(0)
			if w.states > 1 {
				real, state = v/w.states, v%w.states
			}
			end, next := g.first[real+1], f.next
			lowest := low[v]
			descended := false
			for next < end {
				e := g.edges[next]
				next++
				s := w.next[state][e.Kind()]
				if s == refused {
					continue
				}
				to := e.To()*w.states + int32(s)
				if index[to] == 0 {
					f.next, low[v] = next, lowest
					count++
					index[to], low[to] = count, count
					stack = append(stack, to)
					calls = append(calls, call{to, g.first[e.To()]})
					descended = true
					break
				}
				if low[to] != done {
					lowest = min(lowest, index[to])
				}
			}
			if descended {
				continue
			}
			pace.Step()
			low[v] = lowest
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				parent := calls[len(calls)-1].node
				low[parent] = min(low[parent], lowest)
			}
			if lowest != index[v] {
				continue
			}
			top := len(stack) - 1
			for stack[top] != v {
				low[stack[top]] = done
				top--
			}
			low[v] = done
			part := stack[top:]
			stack = stack[:top]
			if len(part) > 1 && !yield(part) {
				return
			}
		}
	}
}

// cyclic reports whether a walk has a cycle.
func (t *tarjan) cyclic(g *Graph, w walk, pace *checker.Pace) (is bool) {
	t.run(g, w, pace, func([]int32) bool {
		is = true
		return false
	})
	return is
}

// Component is a strongly connected part of a graph, as a graph of its own.
type Component struct {
	Graph
	// nodes are the numbers that its nodes have in the whole graph, ascending.
	nodes []int32
}

// Members are the numbers that its transactions have in the whole graph, ascending.
func (c *Component) Members() []int32 { return c.nodes[:c.Transactions] }

// Components calls yield with every strongly connected component of two or more
// transactions, over all edges, until it returns false.
func Components(g *Graph, pace *checker.Pace, yield func(*Component) bool) {
	var t tarjan
	var parts [][]int32
	t.run(g, over(everything), pace, func(part []int32) bool {
		parts = append(parts, slices.Clone(part))
		return true
	})
	if len(parts) == 0 {
		return
	}
	t = tarjan{}
	place := make([]int32, g.Nodes()) // 1 + the number within the component
	for _, nodes := range parts {
		slices.Sort(nodes)
		for i, v := range nodes {
			place[v] = int32(i) + 1
		}
		c := &Component{nodes: nodes}
		c.Transactions, _ = slices.BinarySearch(nodes, int32(g.Transactions))
		c.first = make([]uint32, 1, len(nodes)+1)
		for _, v := range nodes {
			pace.Step()
			for _, e := range g.Out(v) {
				if to := place[e.To()]; to > 0 {
					c.edges = append(c.edges, edgeTo(to-1, e.Kind()))
				}
			}
			c.first = append(c.first, uint32(len(c.edges)))
		}
		for _, v := range nodes {
			place[v] = 0
		}
		if !yield(c) {
			return
		}
	}
}
