package engine

import "slices"

// cut is where the search starts from, and how it moves the start forward; it serves
// the reduction Cuts.
type cut struct {
	// barrier is where the starts are; starts are configurations there, of which those
	// before at are tried in vain.
	barrier int32
	starts  []start
	at      int
	now     start

	// patience is the number of remembered configurations from which on a place to cut
	// is looked for. While closing, exits collects the configurations at goal, for as
	// long as no more than limit are remembered.
	patience    int
	closing     bool
	goal        int32
	limit       int
	exits       []start
	held        int // operations in exits
	firstClosed int
}

// start is a configuration where no operation that returns is open.
type start struct {
	state, use int32
	// way is how it was reached from the start before.
	way *way
}

type way struct {
	from *way
	ops  []int32
}

const usualPatience = 1 << 20

func (c *cut) begin(s *search) {
	c.patience = s.opt.cut
	if c.patience == 0 {
		c.patience = usualPatience
	}
	c.starts = []start{{state: initial}}
}

// next takes up the next start; there is none when it reports false.
func (c *cut) next(s *search) bool {
	s.undo(0, c.barrier)
	if c.closing && c.at == len(c.starts) {
		c.close(s)
	}
	if c.at == len(c.starts) {
		return false
	}
	c.now = c.starts[c.at]
	c.at++
	s.state, s.use = c.now.state, c.now.use
	clear(s.mask)
	s.enter()
	return true
}

// reached is asked behind every return. It reports whether the search shall go no
// further here, because the configuration is noted as an exit.
func (c *cut) reached(s *search) bool {
	if !c.closing {
		if s.memo.count < c.patience || s.without(Cuts) || !s.quiet[s.barrier] {
			return false
		}
		c.closing, c.goal, c.limit = true, s.barrier, 2*s.memo.count+64
		c.firstClosed = c.at - 1
	}
	if s.barrier != c.goal {
		return false
	}
	for i := range c.exits {
		e := &c.exits[i]
		if e.state == s.state && s.memo.covers(cost{0, e.use}, cost{0, s.use}) {
			return true
		}
	}
	if s.wrong(leavesOneExit) && len(c.exits) > 0 {
		return true
	}
	c.exits = append(c.exits, start{s.state, s.use, &way{c.now.way, slices.Clone(s.trail)}})
	c.held += len(s.trail)
	return true
}

// impatient gives the closing up when it takes too much, and begins again with the
// start that was being tried then.
func (c *cut) impatient(s *search) bool {
	if !c.closing || s.memo.count <= c.limit && c.held <= 8*c.limit {
		return false
	}
	c.patience = 2 * c.limit
	c.at = c.firstClosed
	c.abandon(s)
	return true
}

func (c *cut) abandon(s *search) {
	c.closing, c.exits, c.held = false, nil, 0
	s.clearDepth()
}

// close makes the exits the starts.
func (c *cut) close(s *search) {
	exits := c.exits
	c.abandon(s)
	for s.barrier < c.goal {
		s.pass()
	}
	c.barrier, c.starts, c.at = c.goal, exits, 0
}

// left are the starts that are not tried in vain. Whatever was being done with them is
// given up, and the search stands where they are.
func (c *cut) left(s *search) []start {
	first := c.at - 1
	if c.closing {
		first = c.firstClosed
	}
	s.undo(0, c.barrier)
	c.abandon(s)
	return c.starts[first:]
}

func (c *cut) bytes() int64 {
	const ofStart = 64
	return int64(c.held)*4 + int64(len(c.exits)+len(c.starts))*ofStart
}
