package generator

import "slices"

// contest finds the best of several members' answers: the first that is ready
// now wins, else the one that is due first. Members are asked in the order in
// which the combinator offers their answers, so that order breaks ties.
//
// What losing members have learnt by waiting is kept; what they would have done
// is forgotten, since asking has not changed them.
type contest struct {
	now     int64
	members []Generator // as they follow; nil where done
	cloned  bool

	leader int // position of the best Ready answer, -1 without one
	op     Op
	after  Generator
	wake   int64 // the soonest moment that a Pending member named
	alive  bool  // some member is not done
}

func newContest(ctx *Context, members []Generator) contest {
	return contest{now: ctx.Time, members: members, leader: -1, wake: Never}
}

// offer enters a member's answer and reports whether it has won outright.
func (c *contest) offer(at int, op Op, status Status, after Generator) bool {
	switch status {
	case Done:
		c.set(at, nil)
	case Pending:
		c.alive = true
		c.wake = min(c.wake, op.Time)
		c.set(at, after)
	case Ready:
		c.alive = true
		if c.leader < 0 || op.Time < c.op.Time {
			c.leader, c.op, c.after = at, op, after
		}
		return op.Time <= c.now
	}
	return false
}

// skip enters a member that was not asked because none of its workers is idle.
func (c *contest) skip() { c.alive = true }

// answer is the combinator's own answer, its members as they then follow, and
// for Ready the winner.
func (c *contest) answer() (Op, Status, int, []Generator) {
	switch {
	case c.leader >= 0 && (c.op.Time <= c.now || c.op.Time <= c.wake):
		c.set(c.leader, c.after)
		return c.op, Ready, c.leader, c.members
	case c.alive:
		// Also with a leader: a member that sleeps may have something sooner when it wakes.
		return Op{Time: c.wake, Thread: AnyThread}, Pending, -1, c.members
	}
	return Op{}, Done, -1, nil
}

func (c *contest) set(at int, g Generator) {
	if c.members[at] == g {
		return
	}
	if !c.cloned {
		c.members, c.cloned = slices.Clone(c.members), true
	}
	c.members[at] = g
}

// same reports whether two lists of members are the same slice.
func same(a, b []Generator) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// updateAll tells every member and returns them as they follow: the same slice
// when none has changed.
func updateAll(members []Generator, ctx *Context, ev Event) []Generator {
	c := contest{members: members}
	for i := range members {
		c.set(i, update(c.members[i], ctx, ev))
	}
	return c.members
}
