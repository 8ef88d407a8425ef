package list

import (
	"sort"

	"nemesis/history"
)

// kinds is a set of edge kinds.
type kinds uint8

const (
	ww kinds = 1 << iota
	wr
	rw
	rt
	// pass edges lead out of auxiliary nodes and continue an rw or rt edge.
	rwPass
	rtPass
	// oldPass is an rtPass to a transaction that only reads.
	oldPass

	anyKind = ww | wr | rw | rt | rwPass | rtPass | oldPass
)

// edge says that its origin comes before to.
type edge struct {
	to   int32
	kind kinds
	// element proves the edge: what to appended (ww, rw) or what it read (wr); -1
	// for real time and where a later pass edge has it.
	element int32
	key     int32 // -1 for real time
}

// graph has the transactions as its first nodes, then auxiliary ones. A graph
// with an edge for every pair of transactions where one returned before the other
// was invoked would be quadratic; instead each completion has a node, in order of
// time and chained, which its transaction leads to, and from which those invoked
// next are reached. Unobserved appends are handled in the same way (see tail).
type graph struct {
	out [][]edge
	n   int // transactions
}

func (g *graph) node() int32 {
	g.out = append(g.out, nil)
	return int32(len(g.out) - 1)
}

func (g *graph) add(from int32, e edge) {
	if from != e.to {
		g.out[from] = append(g.out[from], e)
	}
}

// graph joins the transactions that took effect. Appends that were told as lost are left
// out, since what they contradict would be told twice, unless weak says that losing them may
// be allowed.
func (h *parsed) graph(weak bool) *graph {
	g := &graph{out: make([][]edge, len(h.txns)), n: len(h.txns)}
	unseen := h.unseen(weak)
	for k := range h.keys {
		h.pace.Step()
		if !h.keys[k].bad {
			h.appendOrder(g, int32(k), unseen[k])
		}
	}
	full := make([][]int32, len(h.keys)) // who read all that was ever seen of a key
	for t := range h.txns {
		h.pace.Step()
		if h.txns[t].kind == history.OK {
			h.reads(g, int32(t), full)
		}
	}
	for k := range h.keys {
		h.pace.Step()
		if !h.keys[k].bad && len(unseen[k]) > 0 {
			h.tail(g, int32(k), unseen[k], full[k])
		}
	}
	h.realTime(g)
	return g
}

// counts tells whether an element's writer is known to have appended it.
func (h *parsed) counts(e int32) bool {
	w := h.elements[e].writer
	return w >= 0 && h.txns[w].took
}

// unseen are, per key, the appends that no read shows of transactions that took
// effect: acknowledged, or with another value that was seen. Lists only grow at
// their end, so these come after everything in the longest read.
func (h *parsed) unseen(lost bool) [][]int32 {
	unseen := make([][]int32, len(h.keys))
	for e := range h.elements {
		h.pace.Step()
		one := &h.elements[e]
		if !one.seen && (lost || !one.lost) && h.counts(int32(e)) {
			unseen[one.key] = append(unseen[one.key], int32(e))
		}
	}
	return unseen
}

// appendOrder adds the ww edges of a key. Values without a writer that counts were
// told already; the chain goes on past them.
func (h *parsed) appendOrder(g *graph, k int32, unseen []int32) {
	last := int32(-1)
	for _, e := range h.keys[k].longest {
		h.pace.Step()
		if !h.counts(e) {
			continue
		}
		if last >= 0 {
			g.add(last, edge{h.elements[e].writer, ww, e, k})
		}
		last = h.elements[e].writer
	}
	if last >= 0 {
		for _, e := range unseen {
			h.pace.Step()
			g.add(last, edge{h.elements[e].writer, ww, e, k})
		}
	}
}

// reads adds the wr and rw edges of one transaction. A read after an own append to
// the key tells nothing more about others than the place of that append does.
func (h *parsed) reads(g *graph, t int32, full [][]int32) {
	steps := h.txns[t].steps
	for i := range steps {
		h.pace.Step()
		st := &steps[i]
		k := &h.keys[st.key]
		if !st.known || k.bad || ownBefore(steps[:i], st.key) {
			continue
		}
		for j := len(st.list) - 1; j >= 0; j-- {
			h.pace.Step()
			if h.counts(st.list[j]) {
				g.add(h.elements[st.list[j]].writer, edge{t, wr, st.list[j], st.key})
				break
			}
		}
		if len(st.list) == len(k.longest) {
			full[st.key] = append(full[st.key], t)
		}
		for j := len(st.list); j < len(k.longest); j++ {
			h.pace.Step()
			if e := k.longest[j]; h.counts(e) {
				g.add(t, edge{h.elements[e].writer, rw, e, st.key})
				break
			}
		}
	}
}

func ownBefore(steps []step, key int32) bool {
	for i := range steps {
		if steps[i].appends && steps[i].key == key {
			return true
		}
	}
	return false
}

// tail adds the rw edges from those who read all that anybody ever saw of a key to
// those whose append to it nobody saw. Each such reader comes before each such
// writer other than itself, which is quadratic; two chains of nodes, one leading
// to all writers up to the i-th and one to all from the i-th, keep it linear.
func (h *parsed) tail(g *graph, k int32, unseen, readers []int32) {
	upTo, from := make([]int32, len(unseen)), make([]int32, len(unseen))
	for i, e := range unseen {
		h.pace.Step()
		upTo[i], from[i] = g.node(), g.node()
		g.add(upTo[i], edge{h.elements[e].writer, rwPass, e, k})
		g.add(from[i], edge{h.elements[e].writer, rwPass, e, k})
		if i > 0 {
			g.add(upTo[i], edge{upTo[i-1], rwPass, -1, k})
			g.add(from[i-1], edge{from[i], rwPass, -1, k})
		}
	}
	mine := make(map[int32][]int) // transaction → its places in unseen
	for i, e := range unseen {
		h.pace.Step()
		w := h.elements[e].writer
		mine[w] = append(mine[w], i)
	}
	for _, t := range readers {
		h.pace.Step()
		// Between the reader's own places, the others.
		places := mine[t]
		if len(places) == 0 {
			g.add(t, edge{from[0], rw, -1, k})
			continue
		}
		if first := places[0]; first > 0 {
			g.add(t, edge{upTo[first-1], rw, -1, k})
		}
		for n, p := range places {
			h.pace.Step()
			end := len(unseen)
			if n+1 < len(places) {
				end = places[n+1]
			}
			if end == len(unseen) {
				if p+1 < end {
					g.add(t, edge{from[p+1], rw, -1, k})
				}
				continue
			}
			for i := p + 1; i < end; i++ { // rare: one transaction, several unseen appends
				g.add(t, edge{h.elements[unseen[i]].writer, rw, unseen[i], k})
			}
		}
	}
}

// realTime adds a node for each completion and the edges through them. Intervals
// are closed: a transaction invoked at the very moment another returned is
// concurrent with it.
func (h *parsed) realTime(g *graph) {
	var done []int32
	for t := range h.txns {
		h.pace.Step()
		if h.txns[t].kind == history.OK {
			done = append(done, int32(t))
		}
	}
	sort.SliceStable(done, func(a, b int) bool { return h.op(done[a]).Return < h.op(done[b]).Return })
	times := make([]int64, len(done))
	nodes := make([]int32, len(done))
	for i, t := range done {
		h.pace.Step()
		times[i], nodes[i] = h.op(t).Return, g.node()
		g.add(t, edge{nodes[i], rt, -1, -1})
		if i > 0 {
			g.add(nodes[i-1], edge{nodes[i], rtPass, -1, -1})
		}
	}
	for t := range h.txns {
		h.pace.Step()
		if !h.txns[t].took || h.txns[t].kind == history.Fail {
			continue
		}
		call := h.op(int32(t)).Call
		if i := sort.Search(len(times), func(i int) bool { return times[i] >= call }); i > 0 {
			kind := oldPass
			if h.txns[t].writes() {
				kind = rtPass
			}
			g.add(nodes[i-1], edge{int32(t), kind, -1, -1})
		}
	}
}
