package generator

// Sequence yields everything of the first generator, then of the second, and so
// on. It does not wait between them for operations under way; Phases does.
func Sequence(gs ...Generator) Generator {
	for len(gs) > 0 && gs[0] == nil {
		gs = gs[1:]
	}
	switch len(gs) {
	case 0:
		return nil
	case 1:
		return gs[0]
	}
	return &sequence{gs[0], gs[1:]}
}

type sequence struct {
	g    Generator
	rest []Generator
}

func (s *sequence) Next(ctx *Context) (Op, Status, Generator) {
	op, status, after := s.g.Next(ctx)
	if status == Done {
		return next(Sequence(s.rest...), ctx)
	}
	return op, status, s.with(after)
}

// Update tells only the member that is at work: the later ones have not begun.
func (s *sequence) Update(ctx *Context, ev Event) Generator { return s.with(s.g.Update(ctx, ev)) }

func (s *sequence) with(g Generator) Generator {
	if g == s.g {
		return s
	}
	if g == nil {
		return Sequence(s.rest...)
	}
	return &sequence{g, s.rest}
}

// Phases is Sequence with a wait before each member until every worker is idle,
// so that no operation of one phase overlaps one of the next.
func Phases(gs ...Generator) Generator {
	phases := make([]Generator, len(gs))
	for i, g := range gs {
		phases[i] = Synchronize(g)
	}
	return Sequence(phases...)
}

// Synchronize waits until every worker of its context is idle, and then is g.
func Synchronize(g Generator) Generator { return &synchronize{g} }

type synchronize struct{ g Generator }

func (s *synchronize) Next(ctx *Context) (Op, Status, Generator) {
	if !ctx.idle() {
		return wait(Never, s)
	}
	return next(s.g, ctx)
}

func (s *synchronize) Update(*Context, Event) Generator { return s }

// Repeat yields the first operation of g n times: after each it goes on with g as
// it was, not with what follows. Unlimited is for ever.
func Repeat(n int, g Generator) Generator {
	if g == nil {
		return nil
	}
	return Limit(n, &repeat{g})
}

type repeat struct{ g Generator }

func (r *repeat) Next(ctx *Context) (Op, Status, Generator) {
	op, status, after := r.g.Next(ctx)
	switch status {
	case Ready:
		return op, Ready, r
	case Pending:
		return op, Pending, r.with(after)
	}
	return done()
}

func (r *repeat) Update(ctx *Context, ev Event) Generator { return r.with(r.g.Update(ctx, ev)) }

func (r *repeat) with(g Generator) Generator {
	if g == r.g {
		return r
	}
	if g == nil {
		return nil
	}
	return &repeat{g}
}

// Cycle runs through all of g n times, each time from the start. Unlimited is for
// ever, or until a whole pass yields nothing.
func Cycle(n int, g Generator) Generator {
	if g == nil || n == 0 {
		return nil
	}
	return &cycle{left: n, fresh: g, g: g}
}

type cycle struct {
	left  int // passes, the present one included
	fresh Generator
	g     Generator // of the present pass; nil when it is over
	began bool      // the present pass has yielded something
}

func (c *cycle) Next(ctx *Context) (Op, Status, Generator) {
	op, status, after := next(c.g, ctx)
	if status == Done {
		if c.left == 1 || !c.began {
			return done()
		}
		left := c.left
		if left > 0 {
			left--
		}
		op, status, after = c.fresh.Next(ctx)
		if status == Done {
			return done()
		}
		return op, status, &cycle{left, c.fresh, after, status == Ready}
	}
	return op, status, &cycle{c.left, c.fresh, after, c.began || status == Ready}
}

func (c *cycle) Update(ctx *Context, ev Event) Generator {
	g := update(c.g, ctx, ev)
	if g == c.g {
		return c
	}
	return &cycle{c.left, c.fresh, g, c.began}
}
