// Package dependency finds the cycles in what transactions depend on, and says of each which
// sort it is.
//
// A Graph joins transactions by edges of these kinds, each of which means "comes before":
//
//	ww  the second overwrote what the first wrote
//	wr  the second read what the first wrote
//	rw  the second overwrote what the first read
//	po  both belong to one process, and the first was its earlier one
//	rt  the first had returned before the second was invoked
//
// Real time would take an edge for every pair of transactions. Instead, there are barrier
// nodes, one for each moment at which transactions returned, in a chain: what returned leads
// to its barrier, and the last barrier before an invocation leads to what was invoked. The
// same reachability takes three edges a transaction, however many clients there are. Other
// auxiliary nodes spread an rw edge over several writers.
//
// Components are found by Tarjan's algorithm. A component is classified (shape.go) by the
// most severe shapes of cycles that it has, over the edges of the data alone, with those of
// processes, and with those of real time. Every answer is exact: each shape is decided by a
// search that is linear in the component, or, for cycles with exactly one rw edge, by
// reachability for 64 edges at a time. Nothing ends by a clock but that of the context.
// Shortest (witness.go) finds the cycle to show.
//
// The theory is Adya's (Weak Consistency, 1999) and Cerone and Gotsman's (Analysing Snapshot
// Isolation, 2018): a history whose dependencies are known is serializable exactly if they
// have no cycle, and keeps snapshot isolation exactly if every cycle has two adjacent rw edges.
package dependency

// Kind is what an edge rests on.
type Kind uint8

const (
	WW Kind = iota
	WR
	RW
	// Process joins the successive transactions of a process.
	Process
	// Returned leads from a transaction to its barrier, and from one barrier to the next.
	Returned
	// Invoked leads from a barrier to a transaction that writes, InvokedReader to one that
	// only reads.
	Invoked
	InvokedReader
	// Spread leads out of an auxiliary node and continues an rw edge.
	Spread
	// RWProcess and RWTime are rw edges that rest on the order in which a process, or time,
	// put the writes.
	RWProcess
	RWTime
	// Inferred is a ww edge of which no more is known than that without it, there would be a
	// cycle with one rw edge. Cycles that have one are no G0 or G1c.
	Inferred
	kindCount
)

// Kinds is a set of kinds.
type Kinds uint16

// Of is the set of some kinds.
func Of(kinds ...Kind) (set Kinds) {
	for _, k := range kinds {
		set |= 1 << k
	}
	return set
}

// Has reports whether a kind is in the set.
func (s Kinds) Has(k Kind) bool { return s>>k&1 == 1 }

// Edge is a target and a kind.
type Edge uint32

// String is how a proof names the kind: ww, wr, rw, process or realtime.
func (k Kind) String() string {
	switch k {
	case WW, Inferred:
		return "ww"
	case WR:
		return "wr"
	case Process:
		return "process"
	case Returned, Invoked, InvokedReader:
		return "realtime"
	}
	return "rw"
}

// AntiDependency reports whether an edge is an rw edge of any sort.
func (k Kind) AntiDependency() bool { return k == RW || k == RWProcess || k == RWTime }

// kindBits is how many bits of an Edge are its kind; the others are its target.
const kindBits = 4

// MostNodes is how many nodes a graph may have.
const MostNodes = 1 << (32 - kindBits)

func edgeTo(to int32, k Kind) Edge { return Edge(to)<<kindBits | Edge(k) }

// To is the node that the edge leads to.
func (e Edge) To() int32 { return int32(e >> kindBits) }

// Kind is what the edge rests on.
func (e Edge) Kind() Kind { return Kind(e & (1<<kindBits - 1)) }

// Graph has the transactions as its first nodes, then the auxiliary ones. The edges of a node
// lie behind one another (compressed sparse rows). A Graph does not change.
type Graph struct {
	// Transactions is how many of the nodes are transactions.
	Transactions int
	// first has for each node where its edges begin, and one more.
	first []uint32
	edges []Edge
}

// Nodes is how many nodes there are.
func (g *Graph) Nodes() int { return len(g.first) - 1 }

// Edges is how many edges there are.
func (g *Graph) Edges() int { return len(g.edges) }

// Out are the edges of a node.
func (g *Graph) Out(v int32) []Edge { return g.edges[g.first[v]:g.first[v+1]] }

// Builder takes the edges of a graph. See Build.
type Builder struct {
	first []uint32
	edges []Edge // nil while they are counted
}

// Add adds an edge, unless it leads from a node to itself.
func (b *Builder) Add(from, to int32, k Kind) {
	if from == to {
		return
	}
	if b.edges == nil {
		b.first[from+2]++
		return
	}
	at := &b.first[from+1]
	b.edges[*at] = edgeTo(to, k)
	*at++
}

// Build makes a graph of transactions and auxiliary nodes. emit adds all edges; it is called
// twice, to count and to fill in, and must add the same edges in the same order.
func Build(transactions, auxiliary int, emit func(*Builder)) *Graph {
	n := transactions + auxiliary
	b := Builder{first: make([]uint32, n+2)}
	emit(&b)
	for i := 1; i < len(b.first); i++ {
		b.first[i] += b.first[i-1]
	}
	b.edges = make([]Edge, b.first[n+1])
	if len(b.edges) > 0 {
		emit(&b)
	}
	return &Graph{Transactions: transactions, first: b.first[:n+1], edges: b.edges}
}
