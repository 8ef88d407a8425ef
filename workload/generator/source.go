package generator

import "slices"

// Ops yields the given operations once each, in order. Their Time is a lower
// bound; the zero value means at once. One that names a worker waits for it, and
// for ever if the context does not have it.
func Ops(ops ...Op) Generator {
	if len(ops) == 0 {
		return nil
	}
	return &list{ops}
}

type list struct{ ops []Op }

func (l *list) Next(ctx *Context) (Op, Status, Generator) {
	if len(ctx.Free) == 0 {
		return wait(Never, l)
	}
	return offer(ctx, l.ops[0], Ops(l.ops[1:]...), l)
}

// offer answers with op, not before now, if its worker is idle, else with self,
// which waits for that.
func offer(ctx *Context, op Op, after, self Generator) (Op, Status, Generator) {
	if op.Thread != AnyThread && !slices.Contains(ctx.Free, op.Thread) {
		return wait(Never, self)
	}
	op.Time = max(op.Time, ctx.Time)
	return op, Ready, after
}

func (l *list) Update(*Context, Event) Generator { return l }

// F is an operation for any worker, with no value: the read of most workloads.
func F(f string) Op { return Op{Thread: AnyThread, F: f} }

// Func yields what make returns, without end. make may draw from ctx.Rand and
// must change nothing else.
func Func(make func(ctx *Context) Op) Generator { return &function{make} }

type function struct{ make func(ctx *Context) Op }

func (f *function) Next(ctx *Context) (Op, Status, Generator) {
	if len(ctx.Free) == 0 {
		return wait(Never, f)
	}
	return offer(ctx, f.make(ctx), f, f)
}

func (f *function) Update(*Context, Event) Generator { return f }

// Unfold yields what step makes of a state, without end: step returns the
// operation and the state after it. It changes nothing but ctx.Rand.
func Unfold[S any](state S, step func(state S, ctx *Context) (Op, S)) Generator {
	return &unfold[S]{state, step}
}

type unfold[S any] struct {
	state S
	step  func(S, *Context) (Op, S)
}

func (u *unfold[S]) Next(ctx *Context) (Op, Status, Generator) {
	if len(ctx.Free) == 0 {
		return wait(Never, u)
	}
	op, state := u.step(u.state, ctx)
	return offer(ctx, op, &unfold[S]{state, u.step}, u)
}

func (u *unfold[S]) Update(*Context, Event) Generator { return u }
