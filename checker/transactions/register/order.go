package register

import (
	"slices"
	"sort"

	"nemesis/checker/transactions/dependency"
)

// link says that one version stands before another one of its key, at every level from read
// atomic or consistent view on: by read from the transaction that wrote first and a third one's
// version, the later, of the key.
type link struct {
	first, later int32 // versions; later is initial where the initial one was read
	by           int32
}

// order is what is known of the order of versions.
type order struct {
	links []link
	// of are, for each version, the transactions whose versions stand behind it; behind has
	// the same for the initial version of each key, which is everybody.
	of     []dependency.Fan
	behind []dependency.Fan
	// chain is where the auxiliary nodes of each key begin that lead to its writers from the
	// i-th on, in the order of their invocations.
	chain []int32
	time  *dependency.Order
	nodes int32
}

// infer finds the order of versions.
func (h *columns) infer() *order {
	o := &order{of: make([]dependency.Fan, len(h.versions)), behind: make([]dependency.Fan, len(h.keys)), chain: make([]int32, len(h.keys))}
	for t := range h.kind {
		h.pace.Step()
		if h.kind[t]&acknowledged != 0 {
			h.inferFrom(int32(t), o)
		}
	}
	o.time = dependency.NewOrder(h.kind, h.call, h.ret, h.process)
	o.nodes = int32(len(h.kind)) + o.time.Nodes()
	for k := range h.keys {
		h.pace.Step()
		if h.rules.noInitial {
			continue
		}
		for _, v := range h.keys[k].writers {
			o.behind[k].Writers = append(o.behind[k].Writers, h.versions[v].writer)
		}
	}
	for _, fans := range [][]dependency.Fan{o.of, o.behind} {
		for i := range fans {
			fans[i].Base = o.nodes
			o.nodes += fans[i].Nodes()
		}
	}
	for k := range h.keys {
		o.chain[k] = o.nodes
		o.nodes += int32(len(h.keys[k].writers))
	}
	return o
}

// inferFrom adds what the reads of one transaction tell.
func (h *columns) inferFrom(t int32, o *order) {
	steps := h.stepsOf(t)
	for i := range steps {
		h.pace.Step()
		s := &steps[i]
		if !h.external(s) {
			continue
		}
		w := h.source(s)
		if w != nobody && w != t && !h.rules.noWriteBehindRead && h.versionOf(t, s.key) >= 0 {
			o.of[s.what].Writers = append(o.of[s.what].Writers, t)
		}
		if w == nobody || w == t || h.rules.noAtomic {
			continue
		}
		// What else w wrote, and t read of somebody else.
		for j := range steps {
			h.pace.Step()
			other := &steps[j]
			if !h.external(other) || j == i {
				continue
			}
			first := h.versionOf(w, other.key)
			if first < 0 || first == other.what || h.source(other) == w {
				continue
			}
			if later := h.source(other); later != nobody || other.what == initial {
				o.links = append(o.links, link{first, other.what, t})
				if later != nobody {
					o.of[first].Writers = append(o.of[first].Writers, later)
				}
			}
		}
	}
}

// graph joins the transactions that took effect.
func (h *columns) graph(o *order) *dependency.Graph {
	return dependency.Build(len(h.kind), int(o.nodes)-len(h.kind), func(g *dependency.Builder) {
		for t, kind := range h.kind {
			h.pace.Step()
			if kind&acknowledged != 0 {
				h.emitReads(g, int32(t), o)
			}
		}
		for _, l := range o.links {
			if l.later != initial {
				g.Add(h.versions[l.first].writer, h.versions[l.later].writer, dependency.Inferred)
			}
		}
		for _, fans := range [][]dependency.Fan{o.of, o.behind} {
			for i := range fans {
				h.pace.Step()
				fans[i].Emit(g)
			}
		}
		for k := range h.keys {
			for i, v := range h.keys[k].writers {
				h.pace.Step()
				node := o.chain[k] + int32(i)
				g.Add(node, h.versions[v].writer, dependency.Spread)
				if i > 0 {
					g.Add(node-1, node, dependency.Spread)
				}
			}
		}
		o.time.Emit(g, h.pace)
	})
}

// emitReads adds the wr and rw edges of one transaction.
func (h *columns) emitReads(g *dependency.Builder, t int32, o *order) {
	steps := h.stepsOf(t)
	for i := range steps {
		h.pace.Step()
		s := &steps[i]
		if !h.external(s) {
			continue
		}
		writes := h.versionOf(t, s.key) >= 0
		if s.what == initial {
			o.behind[s.key].EmitReader(g, t, writes)
			continue
		}
		w := h.source(s)
		if w == nobody || w == t {
			continue
		}
		g.Add(w, t, dependency.WR)
		o.of[s.what].EmitReader(g, t, true)
		h.emitLater(g, t, s.key, w, o)
	}
}

// emitLater adds the rw edges to writers that come behind the one that was read from, in its
// process or in time.
func (h *columns) emitLater(g *dependency.Builder, t, k, w int32, o *order) {
	writers := h.keys[k].writers
	place := func(t int32) int {
		return sort.Search(len(writers), func(i int) bool { return h.versions[writers[i]].writer >= t })
	}
	if !h.rules.noProcess {
		for _, v := range writers[min(place(w)+1, len(writers)):] {
			h.pace.Step()
			if next := h.versions[v].writer; h.ops[next].Process == h.ops[w].Process {
				g.Add(t, next, dependency.RWProcess)
				break
			}
		}
	}
	if h.kind[w]&acknowledged == 0 || h.rules.noTime {
		return
	}
	from := place(int32(dependency.After(h.call, h.ret[w], int(w)+1)))
	own := place(t)
	if own >= from && own < len(writers) && h.versions[writers[own]].writer == t {
		for _, v := range writers[from:own] {
			h.pace.Step()
			g.Add(t, h.versions[v].writer, dependency.RWTime)
		}
		from = own + 1
	}
	if from < len(writers) {
		g.Add(t, o.chain[k]+int32(from), dependency.RWTime)
	}
}

// linked is a link by which an inferred edge holds.
func (o *order) linked(h *columns, from, to int32) *link {
	return o.find(h, to, func(first int32) bool { return h.versions[first].writer == from })
}

// linkedTo is a link by which a version of a transaction stands behind one: two transactions that
// wrote several keys may have a link for each.
func (o *order) linkedTo(h *columns, version, to int32) *link {
	return o.find(h, to, func(first int32) bool { return first == version })
}

func (o *order) find(h *columns, to int32, from func(version int32) bool) *link {
	i := slices.IndexFunc(o.links, func(l link) bool {
		return l.later != initial && from(l.first) && h.versions[l.later].writer == to
	})
	if i < 0 {
		return nil
	}
	return &o.links[i]
}
