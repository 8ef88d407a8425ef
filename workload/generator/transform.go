package generator

// Map yields the operations of g as f changes them. f may change F, Key and
// Value, not when or by whom the operation is done. g is told of events as they
// were after the change.
func Map(f func(Op) Op, g Generator) Generator {
	if g == nil {
		return nil
	}
	return &mapped{f, g}
}

type mapped struct {
	f func(Op) Op
	g Generator
}

func (m *mapped) Next(ctx *Context) (Op, Status, Generator) {
	op, status, after := m.g.Next(ctx)
	if status == Done {
		return done()
	}
	if status == Ready {
		changed := m.f(op)
		changed.Time, changed.Thread = op.Time, op.Thread
		op = changed
	}
	return op, status, m.with(after)
}

func (m *mapped) Update(ctx *Context, ev Event) Generator { return m.with(m.g.Update(ctx, ev)) }

func (m *mapped) with(g Generator) Generator {
	if g == m.g {
		return m
	}
	return Map(m.f, g)
}

// Filter yields those operations of g that keep accepts; the others are dropped
// as if they had never been. keep sees Thread as g chose it, possibly AnyThread.
func Filter(keep func(Op) bool, g Generator) Generator {
	if g == nil {
		return nil
	}
	return &filtered{keep, g}
}

type filtered struct {
	keep func(Op) bool
	g    Generator
}

func (f *filtered) Next(ctx *Context) (Op, Status, Generator) {
	g := f.g
	for range patience {
		op, status, after := next(g, ctx)
		if status == Done {
			return done()
		}
		if status == Pending || f.keep(op) {
			return op, status, f.with(after)
		}
		g = after
	}
	return wait(ctx.Time+pause, f.with(g))
}

func (f *filtered) Update(ctx *Context, ev Event) Generator { return f.with(f.g.Update(ctx, ev)) }

func (f *filtered) with(g Generator) Generator {
	if g == f.g {
		return f
	}
	return Filter(f.keep, g)
}
