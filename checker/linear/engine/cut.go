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
	// use is what the counters of the search take to be used; see enter.
	use int32

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

const usualPatience = 1 << 16

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
	c.enter(s, c.now.use)
	s.state, s.use = c.now.state, c.now.use
	clear(s.mask)
	return true
}

// enter tells the look-ahead which crashed operations are used.
func (c *cut) enter(s *search, use int32) {
	if s.ahead.on {
		for n := range s.kinds {
			more := s.uses.of(use, n) - s.uses.of(c.use, n)
			for ; more > 0; more-- {
				s.ahead.put(s.kinds[n].class, false, 1)
			}
			for ; more < 0; more++ {
				s.ahead.put(s.kinds[n].class, false, -1)
			}
		}
	}
	c.use = use
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
		if e.state == s.state && s.memo.covers(e.use, s.use) {
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
	s.frames, s.moves, s.masks = s.frames[:0], s.moves[:0], s.masks[:0]
	s.memo.reset()
}

// close makes the exits the starts.
func (c *cut) close(s *search) {
	exits := c.exits
	c.abandon(s)
	for s.barrier < c.goal {
		// Everything that returned is in the order, however it came there.
		if s.ahead.on {
			s.ahead.put(s.info[s.returns[s.barrier]].class, true, 1)
		}
		s.pass()
	}
	c.barrier, c.starts, c.at = c.goal, exits, 0
}

// order is the whole order, given what follows the start.
func (c *cut) order(trail []int32) []int {
	var ways []*way
	n := len(trail)
	for w := c.now.way; w != nil; w = w.from {
		ways = append(ways, w)
		n += len(w.ops)
	}
	all := make([]int, 0, n)
	add := func(ops []int32) {
		for _, i := range ops {
			all = append(all, int(i))
		}
	}
	for _, w := range slices.Backward(ways) {
		add(w.ops)
	}
	add(trail)
	return all
}

func (c *cut) bytes() int64 {
	const ofStart = 64
	return int64(c.held)*4 + int64(len(c.exits)+len(c.starts))*ofStart
}
