package generator

import (
	"slices"
	"time"
)

// Limit yields at most n operations of g; Unlimited is no limit.
func Limit(n int, g Generator) Generator {
	if n < 0 {
		return g
	}
	if n == 0 || g == nil {
		return nil
	}
	return &limit{n, g}
}

// Once yields one operation of g.
func Once(g Generator) Generator { return Limit(1, g) }

type limit struct {
	left int
	g    Generator
}

func (l *limit) Next(ctx *Context) (Op, Status, Generator) {
	op, status, after := l.g.Next(ctx)
	switch status {
	case Ready:
		return op, Ready, Limit(l.left-1, after)
	case Pending:
		return op, Pending, l.with(after)
	}
	return done()
}

func (l *limit) Update(ctx *Context, ev Event) Generator { return l.with(l.g.Update(ctx, ev)) }

func (l *limit) with(g Generator) Generator {
	if g == l.g {
		return l
	}
	return Limit(l.left, g)
}

// TimeLimit yields operations of g until d has passed since it was first asked.
// What is due at the limit or later is dropped.
func TimeLimit(d time.Duration, g Generator) Generator {
	if g == nil || d <= 0 {
		return nil
	}
	return &timeLimit{d: int64(d), end: Never, more: noMore, g: g}
}

// GrowingTimeLimit is TimeLimit with d and what more returns, which never shrinks: it
// is asked again whenever the limit matters, from the goroutine that asks for operations.
func GrowingTimeLimit(d time.Duration, more func() time.Duration, g Generator) Generator {
	if g == nil || d <= 0 {
		return nil
	}
	return &timeLimit{d: int64(d), end: Never, more: more, g: g}
}

func noMore() time.Duration { return 0 }

type timeLimit struct {
	d, end int64 // end, without more, is Never until it was first asked
	more   func() time.Duration
	g      Generator
}

func (l *timeLimit) Next(ctx *Context) (Op, Status, Generator) {
	planned := l.end
	if planned == Never {
		planned = ctx.Time + l.d
	}
	end := planned + int64(l.more())
	if ctx.Time >= end {
		return done()
	}
	op, status, after := l.g.Next(ctx)
	switch {
	case status == Done:
		return done()
	case status == Pending, op.Time >= end:
		// An operation due too late is not yet a reason to stop: an event may
		// bring an earlier one.
		if status == Ready {
			after = l.g
		}
		return wait(min(op.Time, end), l.with(planned, after))
	}
	return op, Ready, l.with(planned, after)
}

func (l *timeLimit) Update(ctx *Context, ev Event) Generator {
	return l.with(l.end, l.g.Update(ctx, ev))
}

func (l *timeLimit) with(end int64, g Generator) Generator {
	if end == l.end && g == l.g {
		return l
	}
	if g == nil {
		return nil
	}
	return &timeLimit{l.d, end, l.more, g}
}

// UntilOK yields operations of g until one of them has ended ok. Those under way
// at that moment still end as they may.
func UntilOK(g Generator) Generator {
	if g == nil {
		return nil
	}
	return &untilOK{g: g}
}

type untilOK struct {
	g Generator
	// open are the processes that do an operation of g. An event does not say who
	// asked for it; the process does, since it does one thing at a time.
	open []int
}

func (u *untilOK) Next(ctx *Context) (Op, Status, Generator) {
	op, status, after := next(u.g, ctx)
	switch status {
	case Ready:
		op = ctx.Choose(op)
		open := append(slices.Clip(u.open), ctx.Process[op.Thread])
		return op, Ready, &untilOK{after, open}
	case Pending:
		if after == u.g {
			return op, Pending, u
		}
		return op, Pending, &untilOK{after, u.open}
	}
	return done()
}

func (u *untilOK) Update(ctx *Context, ev Event) Generator {
	open := u.open
	if at := slices.Index(u.open, ev.Process); at >= 0 && !ev.Invocation {
		if ev.OK {
			return nil
		}
		open = slices.Delete(slices.Clone(u.open), at, at+1)
	}
	g := update(u.g, ctx, ev)
	if g == u.g && len(open) == len(u.open) {
		return u
	}
	return &untilOK{g, open}
}
