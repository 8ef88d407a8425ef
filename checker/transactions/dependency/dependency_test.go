package dependency

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// pairs is a relation between nodes.
type pairs [][]bool

func none(n int) pairs {
	p := make(pairs, n)
	for i := range p {
		p[i] = make([]bool, n)
	}
	return p
}

// closed is the transitive closure.
func (p pairs) closed() pairs {
	c := none(len(p))
	for i := range p {
		copy(c[i], p[i])
	}
	for via := range c {
		for i := range c {
			if c[i][via] {
				for j := range c {
					c[i][j] = c[i][j] || c[via][j]
				}
			}
		}
	}
	return c
}

func (p pairs) cyclic() bool {
	c := p.closed()
	for i := range c {
		if c[i][i] {
			return true
		}
	}
	return false
}

func (p pairs) or(q pairs) pairs {
	r := none(len(p))
	for i := range p {
		for j := range p {
			r[i][j] = p[i][j] || q[i][j]
		}
	}
	return r
}

func (p pairs) then(q pairs) pairs {
	r := none(len(p))
	for i := range p {
		for via := range p {
			if p[i][via] {
				for j := range p {
					r[i][j] = r[i][j] || q[via][j]
				}
			}
		}
	}
	return r
}

// has decides from the definitions whether some edges make a cycle of a class.
func has(of map[Kind]pairs, class Class, n int) bool {
	ww, wr, rw := of[WW], of[WR], of[RW]
	extra := none(n)
	if class.Variant == Sessions || class.Variant == RealTime {
		extra = extra.or(of[Process])
	}
	base := ww.or(wr).or(extra)
	switch class.Shape {
	case G0:
		return ww.or(extra).cyclic()
	case G1c:
		return base.cyclic()
	case GSingle, GSingleRead:
		back := base.closed()
		if class.Shape == GSingleRead {
			back = back.then(wr).or(wr)
		}
		return base.cyclic() || rw.then(back).diagonal()
	case LongFork:
		seen := wr.or(extra)
		return ww.or(seen).or(seen.then(rw)).cyclic()
	case GNonadjacent:
		return base.or(base.then(rw)).cyclic()
	}
	return base.or(rw).cyclic()
}

func (p pairs) diagonal() bool {
	for i := range p {
		if p[i][i] {
			return true
		}
	}
	return false
}

// fits reports whether a cycle is one of its class, edge by edge.
func fits(cycle []Hop, class Class, of map[Kind]pairs) bool {
	rws := 0
	for i, e := range cycle {
		next := cycle[(i+1)%len(cycle)]
		before := cycle[(i+len(cycle)-1)%len(cycle)]
		if e.To != next.From || !of[e.Kind][e.From][e.To] || e.Kind == Process && class.Variant == Data {
			return false
		}
		if e.Kind != RW {
			continue
		}
		rws++
		switch {
		case class.Shape <= G1c, class.Shape == GNonadjacent && before.Kind == RW,
			(class.Shape == LongFork || class.Shape == GSingleRead) && before.Kind != WR && before.Kind != Process:
			return false
		}
	}
	return len(cycle) > 1 && (class.Shape != GSingle && class.Shape != GSingleRead || rws == 1)
}

// Components of many more than 64 rw edges, which small histories do not have.
func TestLargeComponentsAreClassifiedByTheDefinitions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	met := make(map[Class]int)
	for round := range 400 {
		n := 5 + r.IntN(60)
		of := map[Kind]pairs{WW: none(n), WR: none(n), RW: none(n), Process: none(n)}
		order := r.Perm(n)
		// Most edges of the data lead forwards in some order, so that cycles are rare enough
		// for every shape to be the most severe one somewhere.
		backwards := r.IntN(3) * r.IntN(8)
		for range n * (1 + r.IntN(3)) {
			i, j := r.IntN(n), r.IntN(n)
			if i == j {
				continue
			}
			kind := []Kind{WW, WR, RW, RW, Process}[r.IntN(5)]
			if kind == RW {
				if r.IntN(2) == 0 { // mostly short
					j = (i + 1 + r.IntN(4)) % n
				}
			} else if i > j && r.IntN(60) >= backwards {
				i, j = j, i
			}
			if i != j {
				of[kind][order[i]][order[j]] = true
			}
		}
		g := Build(n, 0, func(b *Builder) {
			for _, kind := range []Kind{WW, WR, RW, Process} {
				for i := range n {
					for j := range n {
						if of[kind][i][j] {
							b.Add(int32(i), int32(j), kind)
						}
					}
				}
			}
		})
		c := NewClassifier(nil, Rules{})
		Components(g, nil, func(part *Component) bool {
			inside := make(map[Kind]pairs)
			for kind, all := range of {
				inside[kind] = none(n)
				for _, i := range part.Members() {
					for _, j := range part.Members() {
						inside[kind][i][j] = all[i][j]
					}
				}
			}
			var want []Class
			for variant := range variants {
				for shape := range shapes {
					class := Class{shape, variant}
					if (shape == LongFork || shape == GSingleRead) && variant != Data || variant == Writers {
						continue
					}
					if has(inside, class, n) {
						want = append(want, class)
					}
				}
			}
			want = slices.DeleteFunc(slices.Clone(want), func(class Class) bool {
				return slices.ContainsFunc(want, func(other Class) bool { return other != class && class.includes(other) })
			})
			got := c.Classify(part)
			byName := func(a, b Class) int { return 10*(int(a.Variant)-int(b.Variant)) + int(a.Shape) - int(b.Shape) }
			slices.SortFunc(got, byName)
			slices.SortFunc(want, byName)
			got = slices.DeleteFunc(got, func(class Class) bool { return class.Variant == Writers })
			if !slices.Equal(got, want) {
				t.Fatalf("round %d: %d transactions, %d edges: classes %v, by the definitions %v", round, part.Transactions, part.Edges(), got, want)
			}
			for _, class := range got {
				met[class]++
				if cycle, exact := c.Shortest(part, class); !exact || !fits(cycle, class, inside) {
					t.Fatalf("round %d: %v is shown as %v", round, class, cycle)
				}
			}
			return true
		})
	}
	for _, class := range []Class{{G0, Data}, {G1c, Data}, {GSingle, Data}, {GSingleRead, Data}, {GNonadjacent, Data}, {G2, Data}, {G1c, Sessions}, {GSingle, Sessions}} {
		if met[class] == 0 {
			t.Errorf("no component has %v: too one-sided to show anything; there are %v", class, met)
		}
	}
}

// A fan leads each reader to every writer but itself.
func TestAFanLeadsToEverybodyElse(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		n := 1 + r.IntN(8)
		f := Fan{Base: int32(n)}
		for range r.IntN(6) {
			f.Writers = append(f.Writers, int32(r.IntN(n)))
		}
		g := Build(n, int(f.Nodes()), func(b *Builder) {
			f.Emit(b)
			for t := range n {
				f.EmitReader(b, int32(t), true)
			}
		})
		for from := range int32(n) {
			seen := make([]bool, g.Nodes())
			queue := []int32{}
			for _, e := range g.Out(from) {
				queue = append(queue, e.To())
			}
			for len(queue) > 0 {
				v := queue[0]
				queue = queue[1:]
				if seen[v] {
					continue
				}
				seen[v] = true
				if int(v) >= n { // what a writer leads to is another fan's
					for _, e := range g.Out(v) {
						queue = append(queue, e.To())
					}
				}
			}
			for to := range int32(n) {
				if want := slices.Contains(f.Writers, to) && to != from; seen[to] != want {
					t.Fatalf("%d leads to %d: %v, writers %v", from, to, seen[to], f.Writers)
				}
			}
		}
	}
}
