package dependency

// Hop is one step of a cycle, from transaction to transaction.
type Hop struct {
	From, To int32
	// Kind is that of the edge, Returned for real time.
	Kind Kind
	// Reader: by real time it comes before a transaction that only reads.
	Reader bool
}

// work is how many edges a search for the shortest cycle follows before it is content with
// the shortest that it has met. Only components of many thousand transactions whose cycles
// are long get there.
const work = 50_000_000

// Shortest is the shortest cycle of a class that a component has; nil if it has none. The
// transactions are numbered as in the whole graph. exact tells that none is shorter.
func (c *Classifier) Shortest(part *Component, class Class) (cycle []Hop, exact bool) {
	first := everything
	if class.Shape > G1c {
		first = antiDependency&(data|edges[class.Variant]) | 1<<Inferred
	}
	cycle, exact = c.shortest(part, c.walk(class), first)
	if cycle == nil && class.Shape == GSingleRead {
		// A cycle over inferred edges: behind each of them lies an rw edge that comes behind a wr edge.
		return c.shortest(part, over(1<<WW|1<<WR|1<<Inferred), 1<<Inferred)
	}
	return cycle, exact
}

// shortest is the shortest cycle of a walk that begins with one of the first edges.
func (c *Classifier) shortest(part *Component, w walk, first Kinds) (cycle []Hop, exact bool) {
	s := search{g: &part.Graph, walk: w, first: first, seen: make([]int32, part.Nodes()*int(w.states)),
		from: make([]arrival, part.Nodes()*int(w.states)), left: work}
	for v := range int32(part.Transactions) {
		c.pace.Step()
		if cycle != nil && (len(cycle) == 2 || s.left <= 0) {
			break
		}
		if found := s.around(v, len(cycle)); found != nil {
			cycle = found
		}
	}
	for i := range cycle {
		cycle[i].From, cycle[i].To = part.nodes[cycle[i].From], part.nodes[cycle[i].To]
	}
	return cycle, s.left > 0 || len(cycle) == 2
}

// search is breadth first. What it reaches are numbers node*states+state.
type search struct {
	g     *Graph
	walk  walk
	first Kinds
	round int32
	seen  []int32 // the round that reached it
	from  []arrival
	left  int
}

// arrival is how a search reached a number.
type arrival struct {
	node int32
	edge Edge
}

// around finds the shortest cycle through a transaction that begins with one of the first
// edges, if it has fewer hops than below; 0 is no bound. Only edges out of transactions
// count.
func (s *search) around(start int32, below int) []Hop {
	s.round++
	goal := start * s.walk.states
	var now, next, auxiliary []int32
	reach := func(from int32, e Edge, state int8) {
		to := e.To()*s.walk.states + int32(state)
		if s.seen[to] == s.round {
			return
		}
		s.seen[to], s.from[to] = s.round, arrival{from, e}
		if int(e.To()) < s.g.Transactions {
			next = append(next, to)
		} else {
			auxiliary = append(auxiliary, to)
		}
	}
	follow := func(at int32, only Kinds) {
		node, state := at/s.walk.states, at%s.walk.states
		out := s.g.Out(node)
		s.left -= len(out)
		for _, e := range out {
			if to := s.walk.next[state][e.Kind()]; to != refused && only.Has(e.Kind()) {
				reach(at, e, to)
			} else if state == 0 && only != everything && only.Has(e.Kind()) {
				reach(at, e, int8(s.walk.states-1)) // the one rw edge of a GSingle
			}
		}
	}
	now = append(now, goal)
	only := s.first
	for hops := 1; len(now) > 0 && (below == 0 || hops < below); hops++ {
		for _, at := range now {
			follow(at, only)
			for len(auxiliary) > 0 {
				at := auxiliary[len(auxiliary)-1]
				auxiliary = auxiliary[:len(auxiliary)-1]
				follow(at, everything)
			}
		}
		only = everything
		if s.seen[goal] == s.round {
			return s.path(goal)
		}
		now, next = next, now[:0]
	}
	return nil
}

// path is the way back to the start, auxiliary nodes skipped.
func (s *search) path(goal int32) []Hop {
	var back []arrival
	for at := goal; ; {
		a := s.from[at]
		back = append(back, a)
		if at = a.node; at == goal {
			break
		}
	}
	var cycle []Hop
	for i := len(back) - 1; i >= 0; i-- {
		node, e := back[i].node/s.walk.states, back[i].edge
		if int(node) < s.g.Transactions {
			cycle = append(cycle, Hop{From: node, Kind: e.Kind()})
		}
		last := &cycle[len(cycle)-1]
		last.To = e.To()
		last.Reader = last.Reader || e.Kind() == InvokedReader
	}
	return cycle
}
