package checker

import "context"

// Pace makes the passes of a checker keep its deadline. A pass calls Step with every
// operation, element or comparison; when the context has ended, Step does not return, and
// Paced does. So a pass over millions is left in the middle, and no pass needs a way out of
// its own. A Pace is for one goroutine.
type Pace struct {
	ctx  context.Context
	left int
}

// asks is how many steps lie between two looks at the context.
const asks = 1024

// outOfTime is what Step panics with, for Paced to catch.
type outOfTime struct{}

// Step ends the work of Paced when its context has ended. A nil Pace never ends anything.
func (p *Pace) Step() {
	if p == nil {
		return
	}
	if p.left--; p.left >= 0 {
		return
	}
	p.left = asks
	if p.ctx.Err() != nil {
		panic(outOfTime{})
	}
}

// Paced does work, and reports whether it came to its end before the context did. Work
// must not hold anything that needs to be given back, such as a lock, while it steps.
func Paced(ctx context.Context, work func(*Pace)) (done bool) {
	defer func() {
		if p := recover(); p != nil && p != any(outOfTime{}) {
			panic(p)
		}
	}()
	work(&Pace{ctx: ctx})
	return true
}
