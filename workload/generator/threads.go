package generator

import "slices"

// OnThreads lets only the workers that keep accepts do the operations of g.
// keep must always answer the same.
func OnThreads(keep func(thread int) bool, g Generator) Generator {
	if g == nil {
		return nil
	}
	return &onThreads{keep, g}
}

type onThreads struct {
	keep func(int) bool
	g    Generator
}

func (o *onThreads) Next(ctx *Context) (Op, Status, Generator) {
	sub := ctx.only(o.keep)
	if len(sub.All) == 0 {
		return done() // nobody can ever do it
	}
	op, status, after := o.g.Next(sub)
	if status == Ready {
		op = sub.Choose(op)
	}
	return op, status, o.with(after)
}

func (o *onThreads) Update(ctx *Context, ev Event) Generator {
	if !o.keep(ev.Thread) {
		return o
	}
	return o.with(o.g.Update(ctx.only(o.keep), ev))
}

func (o *onThreads) with(g Generator) Generator {
	if g == o.g {
		return o
	}
	return OnThreads(o.keep, g)
}

// Reserved is a generator and how many workers it has to itself.
type Reserved struct {
	Threads   int
	Generator Generator
}

// Reserve gives the first workers of its context to the first of parts, the next
// ones to the second, and so on, and what is left over to rest. A part for which
// there are no workers left yields nothing. Each part sees only its own workers,
// so a Reserve within a Reserve divides its part again.
func Reserve(parts []Reserved, rest Generator) Generator {
	r := &reserve{ends: make([]int, len(parts)), members: make([]Generator, len(parts)+1)}
	end := 0
	for i, part := range parts {
		end += max(part.Threads, 0)
		r.ends[i], r.members[i] = end, part.Generator
	}
	r.members[len(parts)] = rest
	return r
}

type reserve struct {
	ends    []int       // position in All after the last worker of each part but the rest
	members []Generator // nil where done
}

// bounds are the positions in All of member i's workers.
func (r *reserve) bounds(i, all int) (from, to int) {
	to = all
	if i < len(r.ends) {
		to = min(r.ends[i], all)
	}
	if i > 0 {
		from = min(r.ends[i-1], all)
	}
	return from, to
}

func (r *reserve) Next(ctx *Context) (Op, Status, Generator) {
	c := newContest(ctx, r.members)
	n := len(r.members)
	first := ctx.Rand.IntN(n)
	for i := range n {
		at := (first + i) % n
		if r.members[at] == nil {
			continue
		}
		from, to := r.bounds(at, len(ctx.All))
		if from == to {
			c.set(at, nil)
			continue
		}
		sub := ctx.part(from, to)
		op, status, after := r.members[at].Next(sub)
		if status == Ready {
			op = sub.Choose(op)
		}
		if c.offer(at, op, status, after) {
			break
		}
	}
	op, status, _, members := c.answer()
	return op, status, r.with(members)
}

func (r *reserve) Update(ctx *Context, ev Event) Generator {
	position := ctx.position(ev.Thread)
	if position < 0 {
		return r
	}
	at := 0
	for at < len(r.ends) && position >= r.ends[at] {
		at++
	}
	from, to := r.bounds(at, len(ctx.All))
	c := contest{members: r.members}
	c.set(at, update(r.members[at], ctx.part(from, to), ev))
	return r.with(c.members)
}

func (r *reserve) with(members []Generator) Generator {
	if members == nil {
		return nil
	}
	if same(members, r.members) {
		return r
	}
	return &reserve{r.ends, members}
}

// EachThread gives every worker a copy of g of its own.
func EachThread(g Generator) Generator {
	if g == nil {
		return nil
	}
	return &each{fresh: g}
}

// EachProcess gives every process a copy of g of its own: a worker that goes on
// as a new process, after one whose outcome is unknown, starts again.
func EachProcess(g Generator) Generator {
	if g == nil {
		return nil
	}
	return &each{fresh: g, byProcess: true}
}

type each struct {
	fresh     Generator
	byProcess bool
	// members and owners are by position in All, made when first asked. owners are
	// the processes that the members belong to.
	members []Generator
	owners  []int
}

func (e *each) Next(ctx *Context) (Op, Status, Generator) {
	if len(ctx.Free) == 0 {
		return wait(Never, e)
	}
	e = e.begin(ctx)
	c := newContest(ctx, e.members)
	free := len(ctx.Free)
	first := ctx.Rand.IntN(free)
	for i := range free {
		thread := ctx.Free[(first+i)%free]
		at := ctx.position(thread)
		sub := ctx.part(at, at+1)
		op, status, after := next(e.members[at], sub)
		if status == Ready {
			op.Thread = thread
		}
		if c.offer(at, op, status, after) {
			break
		}
	}
	for at, thread := range ctx.All {
		if c.alive {
			break
		}
		if (e.members[at] != nil || e.byProcess) && !slices.Contains(ctx.Free, thread) {
			c.skip() // a busy worker has more to do, or may yet become a new process
		}
	}
	op, status, _, members := c.answer()
	if status == Done {
		return done()
	}
	return op, status, e.with(members)
}

func (e *each) Update(ctx *Context, ev Event) Generator {
	at := ctx.position(ev.Thread)
	if e.members == nil || at < 0 || (e.byProcess && e.owners[at] != ev.Process) {
		return e
	}
	c := contest{members: e.members}
	c.set(at, update(e.members[at], ctx.part(at, at+1), ev))
	return e.with(c.members)
}

// begin hands out the copies: all of them at first, later those of new processes.
func (e *each) begin(ctx *Context) *each {
	if e.members == nil {
		begun := &each{e.fresh, e.byProcess, make([]Generator, len(ctx.All)), make([]int, len(ctx.All))}
		for at, thread := range ctx.All {
			begun.members[at], begun.owners[at] = e.fresh, ctx.Process[thread]
		}
		return begun
	}
	if !e.byProcess {
		return e
	}
	c := contest{members: e.members}
	owners := e.owners
	for at, thread := range ctx.All {
		if p := ctx.Process[thread]; p != owners[at] {
			if &owners[0] == &e.owners[0] {
				owners = slices.Clone(owners)
			}
			owners[at] = p
			c.set(at, e.fresh)
		}
	}
	if &owners[0] == &e.owners[0] {
		return e
	}
	return &each{e.fresh, true, c.members, owners}
}

func (e *each) with(members []Generator) *each {
	if same(members, e.members) {
		return e
	}
	return &each{e.fresh, e.byProcess, members, e.owners}
}
