package engine

// depth is the search depth first: the configurations from the start to here that have
// moves left, their windows and (in search) their moves.
type depth struct {
	frames []frame
	masks  []uint64
	// spent says that going on breadth first will be cheaper; see dear.
	spent bool
}

// frame is a configuration with the moves that are left to try.
type frame struct {
	barrier, state, use int32
	trail               int32
	first, next, end    int32 // moves
}

// dear reports whether going depth first has become a waste. Who goes deep meets
// configurations that have spent much before the same ones that have spent little, and
// must search from these again. Breadth first, those with little come first. Where it is
// crashed operations that were spent, this rarely gets better.
func (s *search) dear() bool {
	m := &s.memo
	return m.fewer > 512+m.count || m.again > 1<<14+m.count || s.opt.broad
}

// deep tries one start after another, and all moves from each.
func (s *search) deep() (found bool, reason string) {
	d := &s.depth
	for s.cut.next(s) {
		switch s.settle() {
		case finished:
			return true, ""
		case alive:
			s.push(nothing)
		}
		for len(d.frames) > 0 {
			if reason := s.exhausted(); reason != "" {
				return false, reason
			}
			if s.dear() {
				d.spent = true
				return false, ""
			}
			if s.cut.impatient(s) {
				break
			}
			f := &d.frames[len(d.frames)-1]
			if f.next == f.end {
				s.pop()
				continue
			}
			s.back(f)
			m := s.moves[f.next]
			f.next++
			state, uncovered, trail, barrier := s.state, s.uncovered(), len(s.trail), s.barrier
			if !s.apply(m) {
				continue
			}
			switch s.settle() {
			case finished:
				return true, ""
			case alive:
				s.push(s.last(m, state, uncovered, len(s.trail) != trail+1 || s.barrier != barrier && !s.wrong(idlesAcrossReturns)))
			}
		}
	}
	return false, ""
}

// settle does what costs nothing: it puts every read-only operation that is accepted
// into the order, and passes every return of an operation that is in it.
func (s *search) settle() outcome {
	for {
		s.saturate()
		for {
			if !s.stands() {
				if s.visit(false) {
					return alive
				}
				return dead
			}
			s.pass()
			if int(s.barrier) == len(s.returns) {
				return finished
			}
			s.enter()
			if s.cut.reached(s) {
				return dead
			}
			if len(s.here()) > 0 {
				break
			}
		}
	}
}

// back returns to a configuration on the way here.
func (s *search) back(f *frame) {
	s.undo(int(f.trail), f.barrier)
	s.state, s.use = f.state, f.use
	copy(s.mask, s.depth.masks[len(s.depth.masks)-len(s.mask):])
}

func (s *search) undo(trail int, barrier int32) {
	s.trail = s.trail[:trail]
	for s.barrier > barrier {
		s.retreat()
	}
}

func (s *search) pop() {
	d := &s.depth
	last := len(d.frames) - 1
	s.moves = s.moves[:d.frames[last].first]
	d.masks = d.masks[:len(d.masks)-len(s.mask)]
	d.frames = d.frames[:last]
}

// push makes the configuration a frame with all its moves.
func (s *search) push(b before) {
	f := frame{barrier: s.barrier, state: s.state, use: s.use, trail: int32(len(s.trail)), first: int32(len(s.moves))}
	f.next = f.first
	s.gather(b)
	f.end = int32(len(s.moves))
	s.depth.frames = append(s.depth.frames, f)
	s.depth.masks = append(s.depth.masks, s.mask...)
}

func (s *search) clearDepth() {
	d := &s.depth
	d.frames, s.moves, d.masks = d.frames[:0], s.moves[:0], d.masks[:0]
	s.memo.reset()
}

func (d *depth) bytes() int64 {
	const ofFrame = 28
	return int64(cap(d.frames))*ofFrame + int64(cap(d.masks))*8
}
