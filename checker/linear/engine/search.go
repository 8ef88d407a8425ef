package engine

import (
	"cmp"
	"context"
	"math/bits"
	"slices"

	"nemesis/checker"
	"nemesis/checker/linear/order"
)

// search walks configurations. The one it stands at is in barrier, mask, state and use;
// everything else that depends on it is kept up to date by moving forth and back.
type search struct {
	*problem
	*steps
	opt   Options
	ctx   context.Context
	memo  memo
	uses  *uses
	ahead lookahead

	barrier    int32
	state, use int32
	// Windows, by slot: mask is what is in the order, open what is called and has not
	// returned, reads what of at is read-only. at is the last operation in each slot.
	mask, open, reads []uint64
	at                []int32
	// called is the number of crashed operations of each kind that are called.
	called []int32
	// trail is the order since the start.
	trail []int32

	// frames are the configurations from the start to here that have moves left,
	// masks their windows and moves their moves.
	frames []frame
	masks  []uint64
	moves  []move

	// stamps has, by class, the last gathering of moves that met it.
	stamps []int32
	stamp  int32

	cut cut
	// deepest is the last barrier that a configuration stood at, bound the last one by
	// which a configuration that was given up would have come to an end.
	deepest, bound int32
	work, asked    int
}

// frame is a configuration with the moves that are left to try.
type frame struct {
	barrier, state, use int32
	trail               int32
	first, next, end    int32 // moves
}

// move puts an operation into the order, which leads to a state.
type move struct{ op, state, rank int32 }

// outcome is what a move leads to.
type outcome int8

const (
	dead outcome = iota
	alive
	finished
)

func newSearch(ctx context.Context, st *steps, p *problem, opt Options) *search {
	words := (p.slots + 63) / 64
	s := &search{problem: p, steps: st, opt: opt, ctx: ctx, uses: newUses(p.kinds), ahead: newLookahead(st, p, opt)}
	windows := make([]uint64, 3*words)
	s.mask, s.open, s.reads = windows[:words], windows[words:2*words], windows[2*words:]
	s.at = make([]int32, p.slots)
	s.called = make([]int32, len(p.kinds))
	s.stamps = make([]int32, len(st.classes))
	s.memo = memo{words: words, uses: s.uses, without: opt.Without, defects: opt.defects, table: make([]entry, 1<<min(8, bits.Len(uint(len(p.returns)))+2))}
	for i := range s.at {
		s.at[i] = none
	}
	return s
}

func (s *search) without(r Reduction) bool { return s.opt.Without&r != 0 }
func (s *search) wrong(d defect) bool      { return s.opt.defects&d != 0 }

// decide runs the search. Of an illegal history the culprit is left to be found.
func (s *search) decide() order.Decision {
	d := order.Decision{Culprit: -1, By: name, Returns: len(s.returns)}
	var found bool
	var reason string
	if len(s.returns) == 0 {
		found = true
	} else {
		s.call(0)
		if s.possible() {
			s.cut.begin(s)
			found, reason = s.run()
		}
	}
	// A model that knows the context may say anything once it has ended.
	if s.contextual && s.ctx.Err() != nil {
		found, reason = false, checker.Stopped(s.ctx)
	}
	switch {
	case reason != "":
		d.Reason, d.Passed = reason, int(s.deepest)
	case found:
		d.Answer, d.Order = order.Legal, s.cut.order(s.trail)
	default:
		d.Answer = order.Illegal
	}
	return d
}

// possible reports whether every value that is needed can be there in time at all.
func (s *search) possible() bool {
	if !s.ahead.on {
		return true
	}
	// What the object is worth at first is known from anything it accepts.
	for c := range s.classes {
		if s.states.value[initial] != none {
			break
		}
		if s.classes[c].needs != none {
			s.steps.next(initial, int32(c))
		}
	}
	if s.states.value[initial] == none {
		return true
	}
	possible, by := true, int32(len(s.returns))
	for v := range len(s.ahead.available) - 1 {
		if int32(v) == s.states.value[initial] {
			continue
		}
		if b, dead := s.hopeless(int32(v)); dead {
			possible, by = false, min(by, b)
		}
	}
	if !possible {
		s.bound = by
	}
	return possible
}

// run tries one start after another, and all moves from each.
func (s *search) run() (found bool, reason string) {
	for s.cut.next(s) {
		switch s.settle() {
		case finished:
			return true, ""
		case alive:
			s.push(none)
		}
		for len(s.frames) > 0 {
			if reason := s.exhausted(); reason != "" {
				return false, reason
			}
			if s.cut.impatient(s) {
				break
			}
			f := &s.frames[len(s.frames)-1]
			if f.next == f.end {
				s.pop()
				continue
			}
			s.back(f)
			m := s.moves[f.next]
			f.next++
			prior := none
			if s.info[m.op].slot < 0 || s.wrong(idlesCompleted) {
				prior = s.state
			}
			trail, barrier := len(s.trail), s.barrier
			switch s.try(m) {
			case finished:
				return true, ""
			case alive:
				if s.without(Idleness) || len(s.trail) != trail+1 || s.barrier != barrier && !s.wrong(idlesAcrossReturns) {
					prior = none
				}
				s.push(prior)
			}
		}
	}
	return false, ""
}

// try makes a move and whatever follows from it.
func (s *search) try(m move) outcome {
	lost := s.states.value[s.state]
	o := &s.info[m.op]
	if o.slot < 0 {
		if !s.wrong(reusesCrashed) {
			s.use = s.uses.more(s.use, int(^o.slot))
		}
	} else {
		s.mask[o.slot>>6] |= 1 << (o.slot & 63)
	}
	s.put(m.op)
	s.state = m.state
	if s.ahead.on && lost != none {
		if has := s.states.value[s.state]; has != none && has != lost {
			if by, vain := s.hopeless(lost); vain {
				s.bound = max(s.bound, by)
				return dead
			}
		}
	}
	return s.settle()
}

// settle does what costs nothing: it puts every read-only operation that is accepted
// into the order, and passes every return of an operation that is in it.
func (s *search) settle() outcome {
	for {
		if !s.without(Saturation) {
			s.saturate()
		}
		for {
			slot := s.info[s.returns[s.barrier]].slot
			if s.mask[slot>>6]&(1<<(slot&63)) == 0 {
				s.deepest = max(s.deepest, s.barrier)
				if s.memo.visit(s.barrier, s.mask, s.state, s.use) {
					return alive
				}
				return dead
			}
			calls := s.pass()
			if int(s.barrier) == len(s.returns) {
				return finished
			}
			if s.cut.reached(s) {
				return dead
			}
			if calls {
				break
			}
		}
	}
}

func (s *search) saturate() {
	for w := range s.open {
		for set := s.open[w] & s.reads[w] &^ s.mask[w]; set != 0; set &= set - 1 {
			i := s.at[w<<6|bits.TrailingZeros64(set)]
			if s.steps.next(s.state, s.info[i].class) != none {
				s.mask[w] |= set & -set
				s.put(i)
			}
		}
	}
	if s.wrong(saturatesUnchanged) {
		for w := range s.open {
			for set := s.open[w] &^ s.mask[w]; set != 0; set &= set - 1 {
				i := s.at[w<<6|bits.TrailingZeros64(set)]
				if s.steps.next(s.state, s.info[i].class) == s.state {
					s.mask[w] |= set & -set
					s.put(i)
				}
			}
		}
	}
}

// put adds an operation to the trail.
func (s *search) put(i int32) {
	s.trail = append(s.trail, i)
	if s.ahead.on {
		s.ahead.put(s.info[i].class, s.info[i].slot >= 0, 1)
	}
}

// pass goes behind the return at the barrier and reports whether anything is called
// before the next.
func (s *search) pass() bool {
	slot := s.info[s.returns[s.barrier]].slot
	bit := uint64(1) << (slot & 63)
	s.open[slot>>6] &^= bit
	if !s.wrong(keepsSlot) {
		s.mask[slot>>6] &^= bit
	}
	s.barrier++
	if int(s.barrier) == len(s.returns) {
		return false
	}
	s.call(s.callEnd[s.barrier-1])
	return s.callEnd[s.barrier-1] < s.callEnd[s.barrier]
}

// call opens the operations from position first that are called before the barrier.
func (s *search) call(first int32) {
	for _, i := range s.calls[first:s.callEnd[s.barrier]] {
		o := &s.info[i]
		if o.slot < 0 {
			s.called[^o.slot]++
		} else {
			s.at[o.slot] = i
			s.open[o.slot>>6] |= 1 << (o.slot & 63)
			s.mark(o.slot, i)
		}
		if s.ahead.on {
			s.ahead.call(o.class, s.classes[o.class].needs, o.slot >= 0, 1)
		}
	}
}

// mark keeps reads up to date with at.
func (s *search) mark(slot, op int32) {
	bit := uint64(1) << (slot & 63)
	s.reads[slot>>6] &^= bit
	if op != none && s.classes[s.info[op].class].readOnly {
		s.reads[slot>>6] |= bit
	}
}

// retreat undoes pass, but for the mask.
func (s *search) retreat() {
	if int(s.barrier) < len(s.returns) {
		called := s.calls[s.callEnd[s.barrier-1]:s.callEnd[s.barrier]]
		for n := len(called) - 1; n >= 0; n-- {
			o := &s.info[called[n]]
			if o.slot < 0 {
				s.called[^o.slot]--
			} else {
				s.at[o.slot] = o.before
				s.open[o.slot>>6] &^= 1 << (o.slot & 63)
				s.mark(o.slot, o.before)
			}
			if s.ahead.on {
				s.ahead.call(o.class, s.classes[o.class].needs, o.slot >= 0, -1)
			}
		}
	}
	s.barrier--
	slot := s.info[s.returns[s.barrier]].slot
	s.open[slot>>6] |= 1 << (slot & 63)
}

// back returns to a configuration on the way here.
func (s *search) back(f *frame) {
	s.undo(int(f.trail), f.barrier)
	s.state, s.use = f.state, f.use
	copy(s.mask, s.masks[len(s.masks)-len(s.mask):])
}

func (s *search) undo(trail int, barrier int32) {
	if s.ahead.on {
		for _, i := range s.trail[trail:] {
			s.ahead.put(s.info[i].class, s.info[i].slot >= 0, -1)
		}
	}
	s.trail = s.trail[:trail]
	for s.barrier > barrier {
		s.retreat()
	}
}

func (s *search) pop() {
	f := &s.frames[len(s.frames)-1]
	s.moves = s.moves[:f.first]
	s.masks = s.masks[:len(s.masks)-len(s.mask)]
	s.frames = s.frames[:len(s.frames)-1]
}

// push makes the configuration a frame with all its moves. prior is the state before
// the crashed operation that led here and did nothing but change the state; none if
// that is not how the search came here.
func (s *search) push(prior int32) {
	f := frame{barrier: s.barrier, state: s.state, use: s.use, trail: int32(len(s.trail)), first: int32(len(s.moves))}
	f.next = f.first
	s.gather(prior)
	f.end = int32(len(s.moves))
	s.frames = append(s.frames, f)
	s.masks = append(s.masks, s.mask...)
}

// gather appends the moves from here: first what makes the value that the next
// operation to return waits for, then what returns first, then what crashed.
func (s *search) gather(prior int32) {
	first := len(s.moves)
	wanted := s.classes[s.info[s.returns[s.barrier]].class].needs
	urgent := int32(2*len(s.returns) + 2) // what makes the wanted value gets ahead by so much
	for w, open := range s.open {
		for set := open &^ s.mask[w]; set != 0; set &= set - 1 {
			i := s.at[w<<6|bits.TrailingZeros64(set)]
			o := &s.info[i]
			if s.classes[o.class].readOnly && !s.without(Saturation) {
				continue // or it would be in the order
			}
			next := s.steps.next(s.state, o.class)
			if next == none || s.idle(prior, o.class, next) {
				continue
			}
			m := move{i, next, o.rank}
			if wanted != none && s.classes[o.class].makes == wanted && o.rank != s.barrier {
				m.rank -= urgent
			}
			s.moves = append(s.moves, m)
		}
	}
	list := s.moves[first:]
	if len(list) > 1 {
		slices.SortFunc(list, func(a, b move) int { return cmp.Compare(a.rank, b.rank) })
		if s.wrong(prefersLastReturn) {
			slices.Reverse(list)
		}
	}
	s.stamp++
	if !s.without(Symmetry) {
		kept := list[:0]
		for _, m := range list {
			c := s.info[m.op].class
			if s.stamps[c] == s.stamp {
				continue
			}
			s.stamps[c] = s.stamp
			kept = append(kept, m)
		}
		s.moves = s.moves[:first+len(kept)]
	}
	s.gatherCrashed(prior, wanted, first)
}

func (s *search) gatherCrashed(prior, wanted int32, first int) {
	for n := range s.kinds {
		k := &s.kinds[n]
		used := s.uses.of(s.use, n)
		if used == int(s.called[n]) || s.stamps[k.class] == s.stamp {
			continue
		}
		next := s.steps.next(s.state, k.class)
		if next == none || !s.without(Idleness) && next == s.state || s.idle(prior, k.class, next) {
			continue
		}
		s.moves = append(s.moves, move{k.ops[used], next, int32(len(s.returns))})
		if wanted != none && s.classes[k.class].makes == wanted {
			at := len(s.moves) - 1
			s.moves[first], s.moves[at] = s.moves[at], s.moves[first]
		}
	}
}

// idle reports whether a step leads where it would have led without the crashed
// operation before it.
func (s *search) idle(prior, class, next int32) bool {
	return prior != none && s.steps.next(prior, class) == next
}

// exhausted says what ran out, "" if nothing did.
func (s *search) exhausted() string {
	s.work++
	if s.work&255 != 0 && s.steps.asked-s.asked < 64 {
		return ""
	}
	s.asked = s.steps.asked
	if s.ctx.Err() != nil {
		return checker.Stopped(s.ctx)
	}
	if s.opt.Memory > 0 && s.bytes() > s.opt.Memory {
		return "ran out of memory; give more with --checker-memory"
	}
	return ""
}

// bytes is the size of everything that grows with the search.
func (s *search) bytes() int64 {
	const ofFrame, ofMove, ofState = 28, 12, 64
	return s.memo.bytes() + s.uses.bytes() + s.cut.bytes() +
		int64(cap(s.frames))*ofFrame + int64(cap(s.moves))*ofMove + int64(cap(s.masks))*8 + int64(cap(s.trail))*4 +
		int64(len(s.states.all))*ofState + int64(len(s.info))*48
}
