package dependency

// Fan spreads rw edges from many readers to many writers, each reader before each writer but
// itself, in linear space: two chains of auxiliary nodes lead to all writers up to the i-th and
// to all from the i-th.
type Fan struct {
	// Writers are the transactions that it leads to, in any order, perhaps repeatedly.
	Writers []int32
	// Base is the number of its first auxiliary node.
	Base int32
}

// Nodes is how many auxiliary nodes it takes.
func (f *Fan) Nodes() int32 {
	if len(f.Writers) < 2 {
		return 0
	}
	return 2 * int32(len(f.Writers))
}

func (f *Fan) upTo(i int) int32 { return f.Base + 2*int32(i) }
func (f *Fan) from(i int) int32 { return f.Base + 2*int32(i) + 1 }

// Emit adds the edges of its nodes.
func (f *Fan) Emit(g *Builder) {
	if len(f.Writers) < 2 {
		return
	}
	for i, w := range f.Writers {
		g.Add(f.upTo(i), w, Spread)
		g.Add(f.from(i), w, Spread)
		if i > 0 {
			g.Add(f.upTo(i), f.upTo(i-1), Spread)
			g.Add(f.from(i-1), f.from(i), Spread)
		}
	}
}

// EmitReader adds the edges of a reader; writes says whether it may be one of the writers.
func (f *Fan) EmitReader(g *Builder, t int32, writes bool) {
	last := len(f.Writers) - 1
	if last < 1 {
		for _, w := range f.Writers {
			g.Add(t, w, RW)
		}
		return
	}
	// Between the reader's own places, the others.
	begin := 0
	reach := func(from, to int) {
		switch {
		case from > to:
		case to == last:
			g.Add(t, f.from(from), RW)
		case from == 0:
			g.Add(t, f.upTo(to), RW)
		default: // rare: one transaction, several writes
			for _, w := range f.Writers[from : to+1] {
				g.Add(t, w, RW)
			}
		}
	}
	if writes {
		for i, w := range f.Writers {
			if w == t {
				reach(begin, i-1)
				begin = i + 1
			}
		}
	}
	reach(begin, last)
}
