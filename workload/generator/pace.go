package generator

import "time"

// Stagger spreads the operations of g at random: the gaps between them, over
// all workers together, are uniform in [0, 2·mean). A mean of 0 changes nothing.
func Stagger(mean time.Duration, g Generator) Generator { return paced(mean, true, g) }

// Delay spaces the operations of g evenly, over all workers together, one every
// interval.
func Delay(interval time.Duration, g Generator) Generator { return paced(interval, false, g) }

func paced(interval time.Duration, random bool, g Generator) Generator {
	if g == nil || interval <= 0 {
		return g
	}
	return &pace{interval: int64(interval), random: random, g: g}
}

// catchUp is how many intervals of lateness are made up for. A timer that fires
// late must not lower the rate; a cluster that stood still for seconds must not be
// met with a burst.
const catchUp = 10

type pace struct {
	interval int64
	random   bool
	due      int64 // of the next operation; 0 is at once
	g        Generator
}

func (p *pace) Next(ctx *Context) (Op, Status, Generator) {
	op, status, after := p.g.Next(ctx)
	switch status {
	case Ready:
		due := max(p.due, op.Time-catchUp*p.interval)
		op.Time = max(op.Time, due)
		gap := p.interval
		if p.random {
			gap = ctx.Rand.Int64N(2 * p.interval)
		}
		if after == nil {
			return op, Ready, nil
		}
		return op, Ready, &pace{p.interval, p.random, due + gap, after}
	case Pending:
		return op, Pending, p.with(after)
	}
	return done()
}

func (p *pace) Update(ctx *Context, ev Event) Generator { return p.with(p.g.Update(ctx, ev)) }

func (p *pace) with(g Generator) Generator {
	if g == p.g {
		return p
	}
	if g == nil {
		return nil
	}
	return &pace{p.interval, p.random, p.due, g}
}

// Sleep yields nothing for d, counted from when it was first asked, and is then
// done. It is for use in Sequence: Sequence(a, Sleep(5*time.Second), b).
func Sleep(d time.Duration) Generator { return &sleep{d: int64(d), end: Never} }

type sleep struct{ d, end int64 }

func (s *sleep) Next(ctx *Context) (Op, Status, Generator) {
	if s.end == Never {
		s = &sleep{s.d, ctx.Time + s.d}
	}
	if ctx.Time >= s.end {
		return done()
	}
	return wait(s.end, s)
}

func (s *sleep) Update(*Context, Event) Generator { return s }
