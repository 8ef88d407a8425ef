package generator

import "slices"

// Mix yields operations of its members at random, all equally likely. A member
// that has nothing to do now is passed over, one that is done drops out.
func Mix(gs ...Generator) Generator {
	members := make([]Weighted, len(gs))
	for i, g := range gs {
		members[i] = Weighted{1, g}
	}
	return WeightedMix(members...)
}

// Weighted is a member of a WeightedMix and how often it is drawn, relative to
// the others.
type Weighted struct {
	Weight    int
	Generator Generator
}

// WeightedMix is Mix with a weight for each member; a member of weight 0 or less
// is never drawn.
func WeightedMix(members ...Weighted) Generator {
	m := &mix{}
	for _, member := range members {
		if member.Weight > 0 && member.Generator != nil {
			m.weights = append(m.weights, member.Weight)
			m.members = append(m.members, member.Generator)
		}
	}
	if len(m.members) == 0 {
		return nil
	}
	return m
}

type mix struct {
	weights []int
	members []Generator // nil where done
}

func (m *mix) Next(ctx *Context) (Op, Status, Generator) {
	if len(ctx.Free) == 0 {
		return wait(Never, m)
	}
	var room [16]int // on the stack: mixes are small
	untried := room[:0]
	total := 0
	for i, g := range m.members {
		if g != nil {
			untried = append(untried, i)
			total += m.weights[i]
		}
	}
	c := newContest(ctx, m.members)
	for len(untried) > 0 {
		n := ctx.Rand.IntN(total)
		j := 0
		for n -= m.weights[untried[j]]; n >= 0; n -= m.weights[untried[j]] {
			j++
		}
		at := untried[j]
		op, status, after := m.members[at].Next(ctx)
		if c.offer(at, op, status, after) {
			break
		}
		total -= m.weights[at]
		untried = slices.Delete(untried, j, j+1)
	}
	op, status, _, members := c.answer()
	return op, status, m.with(members)
}

func (m *mix) Update(ctx *Context, ev Event) Generator {
	return m.with(updateAll(m.members, ctx, ev))
}

func (m *mix) with(members []Generator) Generator {
	if members == nil {
		return nil
	}
	if same(members, m.members) {
		return m
	}
	return &mix{m.weights, members}
}

// Any yields whichever operation of its members is due first; of several that are
// due now, one at random. It is done when all its members are.
func Any(gs ...Generator) Generator {
	gs = slices.DeleteFunc(slices.Clone(gs), func(g Generator) bool { return g == nil })
	if len(gs) == 0 {
		return nil
	}
	return &soonest{gs}
}

type soonest struct{ members []Generator } // nil where done

func (a *soonest) Next(ctx *Context) (Op, Status, Generator) {
	if len(ctx.Free) == 0 {
		return wait(Never, a)
	}
	c := newContest(ctx, a.members)
	n := len(a.members)
	first := ctx.Rand.IntN(n)
	for i := range n {
		at := (first + i) % n
		op, status, after := next(a.members[at], ctx)
		if c.offer(at, op, status, after) {
			break
		}
	}
	op, status, _, members := c.answer()
	return op, status, a.with(members)
}

func (a *soonest) Update(ctx *Context, ev Event) Generator {
	return a.with(updateAll(a.members, ctx, ev))
}

func (a *soonest) with(members []Generator) Generator {
	if members == nil {
		return nil
	}
	if same(members, a.members) {
		return a
	}
	return &soonest{members}
}

// FlipFlop yields one operation of each member in turn and is done as soon as the
// member whose turn it is has none left.
func FlipFlop(gs ...Generator) Generator {
	if len(gs) == 0 {
		return nil
	}
	return &flipFlop{members: gs}
}

type flipFlop struct {
	members []Generator
	turn    int
}

func (f *flipFlop) Next(ctx *Context) (Op, Status, Generator) {
	op, status, after := next(f.members[f.turn], ctx)
	if status == Done {
		return done()
	}
	c := contest{members: f.members}
	c.set(f.turn, after)
	turn := f.turn
	if status == Ready {
		turn = (turn + 1) % len(f.members)
	}
	return op, status, &flipFlop{c.members, turn}
}

func (f *flipFlop) Update(ctx *Context, ev Event) Generator {
	members := updateAll(f.members, ctx, ev)
	if same(members, f.members) {
		return f
	}
	return &flipFlop{members, f.turn}
}
