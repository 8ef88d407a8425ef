package engine

import (
	"context"
	"math/bits"

	"nemesis/checker"
	"nemesis/checker/linear/order"
)

// search walks configurations. The one it stands at is in barrier, mask, state and use;
// what else depends on the barrier is kept up to date by moving forth and back. It goes
// depth first, and breadth first when crashed operations make that dear.
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
	// Windows, by slot: mask is what is in the order, and what cannot be hidden, open what is
	// called and has not returned, reads and overs what of at is read-only or overwrites.
	// at is the last operation in each slot, by its first bit.
	mask, open, reads, overs []uint64
	at                       []int32
	// called is the number of crashed operations of each kind that are called.
	called []int32
	// trail is the order since the start: operations, or ^operation where one was hidden.
	trail []int32

	moves []move
	// stamps has, by class, the last gathering of moves that met it.
	stamps []int32
	stamp  int32

	depth   depth
	cut     cut
	breadth breadth
	// deepest is the last barrier that a configuration stood at, bound the last one by
	// which a configuration that was given up would have come to an end.
	deepest, bound int32
	work, asked    int
	// endless makes crashed operations happen any number of times, and limit bounds the
	// work of such a search; see relaxed.
	endless bool
	limit   int
}

// outcome is what a move leads to.
type outcome int8

const (
	dead outcome = iota
	alive
	finished
)

func newSearch(ctx context.Context, st *steps, p *problem, opt Options) *search {
	words := (p.bits + 63) / 64
	s := &search{problem: p, steps: st, opt: opt, ctx: ctx, uses: newUses(p.kinds, st.classes), ahead: newLookahead(st, p, opt)}
	windows := make([]uint64, 4*words)
	s.mask, s.open, s.reads, s.overs = windows[:words], windows[words:2*words], windows[2*words:3*words], windows[3*words:]
	s.at = make([]int32, p.bits)
	s.called = make([]int32, len(p.kinds))
	s.stamps = make([]int32, len(st.classes))
	few := min(len(p.calls), 64)
	s.trail, s.moves = make([]int32, 0, few), make([]move, 0, few)
	s.depth.frames, s.depth.masks = make([]frame, 0, few/4), make([]uint64, 0, few/4*words)
	s.memo = newMemo(words, s.uses, opt)
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
		s.call()
		if s.possible() {
			s.cut.begin(s)
			found, reason = s.deep()
			if s.depth.spent && (s.endless || !s.relaxed()) {
				found, reason = s.broad()
			}
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
		d.Answer, d.Order = order.Legal, s.order()
	case s.lie != "": // an order can be verified, that there is none cannot
		d.Reason, d.Passed = s.lie, int(s.deepest)
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
	// What the object is worth at first is known from anything that it accepts and that needs
	// a value. What it refuses needs another, or has no moment at all, as all states of one
	// value are equal: in both cases it is right to give up if nobody makes that value.
	for c := range s.classes {
		if s.states.value[initial] != none {
			break
		}
		if s.classes[c].needs != none {
			s.steps.next(initial, int32(c))
		}
	}
	possible, by := true, int32(len(s.returns))
	for v := range int32(len(s.values)) {
		if v == s.states.value[initial] {
			continue
		}
		if b, vain := s.hopeless(v); vain {
			possible, by = false, min(by, b)
		}
	}
	if !possible {
		s.bound = by
	}
	return possible
}

// apply makes a move. It reports false when what it leads to is given up.
func (s *search) apply(m move) bool {
	i, lost := m.op, s.states.value[s.state]
	if i < 0 {
		i = ^i
		lost = none
		if s.ahead.on {
			lost = s.ahead.maker[s.info[i].class]
		}
	}
	o := &s.info[i]
	if o.slot < 0 {
		if !s.endless && !s.wrong(reusesCrashed) {
			s.use = s.uses.more(s.use, int(^o.slot))
		}
	} else {
		word, bit := &s.mask[o.slot>>6], uint64(1)<<(o.slot&63)
		*word = *word&^(bit<<1) | bit
	}
	s.trail = append(s.trail, m.op)
	s.state = m.state
	if m.op >= 0 && s.classes[o.class].overwrites {
		for w := range s.mask {
			s.mask[w] &^= s.open[w] & s.overs[w] << 1
		}
	}
	if s.ahead.on && lost != none && int(lost) < len(s.values) {
		if has := s.states.value[s.state]; has != none && has != lost {
			if by, vain := s.hopeless(lost); vain {
				s.bound = max(s.bound, by)
				return false
			}
		}
	}
	return true
}

// saturate puts every read-only operation that is accepted into the order.
func (s *search) saturate() {
	if s.without(Saturation) {
		return
	}
	for w := range s.open {
		for set := s.open[w] & s.reads[w] &^ s.mask[w]; set != 0; set &= set - 1 {
			i := s.at[w<<6|bits.TrailingZeros64(set)]
			if s.steps.next(s.state, s.info[i].class) != none {
				s.mask[w] |= set & -set
				s.trail = append(s.trail, i)
			}
		}
	}
	if s.wrong(saturatesUnchanged) {
		for w := range s.open {
			for set := s.open[w] &^ s.mask[w]; set != 0; set &= set - 1 {
				i := s.at[w<<6|bits.TrailingZeros64(set)]
				if s.steps.next(s.state, s.info[i].class) == s.state {
					s.mask[w] |= set & -set
					s.trail = append(s.trail, i)
				}
			}
		}
	}
}

// stands reports whether the next operation to return is in the order.
func (s *search) stands() bool {
	slot := s.info[s.returns[s.barrier]].slot
	return s.mask[slot>>6]>>(slot&63)&1 != 0
}

// visit adds the configuration to those visited; passing says that the next to return
// may do so.
func (s *search) visit(passing bool) bool {
	s.deepest = max(s.deepest, s.barrier)
	s.keyed(passing)
	return s.memo.visit()
}

// current reports whether the configuration, which was visited, is dominated by none that
// was visited since.
func (s *search) current() bool {
	s.keyed(false)
	return s.memo.current()
}

func (s *search) keyed(passing bool) {
	barrier := s.barrier
	if passing {
		barrier = ^barrier
	}
	s.memo.look(barrier, s.mask, s.open, s.overs, s.state, s.use)
}

// pass goes behind the return at the barrier, but for the mask; enter does the rest.
func (s *search) pass() {
	slot := s.info[s.returns[s.barrier]].slot
	s.open[slot>>6] &^= 1 << (slot & 63)
	s.barrier++
	if int(s.barrier) < len(s.returns) {
		s.call()
	}
}

// enter makes a window behind the last return that was passed one at the barrier: it has
// what is called here, and has not what has returned.
func (s *search) enter() {
	if s.barrier > 0 && !s.wrong(keepsSlot) {
		slot := s.info[s.returns[s.barrier-1]].slot
		s.mask[slot>>6] &^= 3 << (slot & 63)
	}
	for _, i := range s.here() {
		if slot := s.info[i].slot; slot >= 0 {
			s.mask[slot>>6] |= s.overs[slot>>6] & (1 << (slot & 63)) << 1
		}
	}
}

// here are the operations called between the last return that was passed and the next.
func (s *search) here() []int32 {
	if s.barrier == 0 {
		return s.calls[:s.callEnd[0]]
	}
	return s.calls[s.callEnd[s.barrier-1]:s.callEnd[s.barrier]]
}

// call opens the operations that are called here.
func (s *search) call() {
	for _, i := range s.here() {
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

// mark keeps reads and overs up to date with at.
func (s *search) mark(slot, op int32) {
	bit := uint64(1) << (slot & 63)
	s.reads[slot>>6] &^= bit
	s.overs[slot>>6] &^= bit
	if op == none {
		return
	}
	c := &s.classes[s.info[op].class]
	if c.readOnly {
		s.reads[slot>>6] |= bit
	}
	if c.overwrites && !s.without(Hiding) {
		s.overs[slot>>6] |= bit
	}
}

// retreat undoes pass, but for the mask.
func (s *search) retreat() {
	if int(s.barrier) < len(s.returns) {
		called := s.here()
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

// order is the whole order: how the start was reached, then the trail, with what is
// hidden in its place. That is in front of the last operation before it that overwrites,
// which was put when the hidden one was open.
func (s *search) order() []int {
	parts := [][]int32{s.trail}
	n := len(s.trail)
	for w := s.cut.now.way; w != nil; w = w.from {
		parts = append(parts, w.ops)
		n += len(w.ops)
	}
	all := make([]int, n)
	var hidden []int
	for _, ops := range parts {
		for at := len(ops) - 1; at >= 0; at-- {
			i := int(ops[at])
			if i < 0 {
				hidden = append(hidden, ^i)
				continue
			}
			n--
			all[n] = i
			if len(hidden) > 0 && s.classes[s.info[i].class].overwrites {
				for _, h := range hidden {
					n--
					all[n] = h
				}
				hidden = hidden[:0]
			}
		}
	}
	return all[n:]
}

// exhausted says what ran out, "" if nothing did.
func (s *search) exhausted() string {
	s.work++
	if s.endless && s.work > s.limit {
		return "took too long to relax"
	}
	if s.work&255 != 0 && s.steps.asked-s.asked < 64 {
		return ""
	}
	s.asked = s.steps.asked
	if s.ctx.Err() != nil {
		return checker.Stopped(s.ctx)
	}
	const most = 1 << 30 // what an int32 can number, with room for what is added till the next look
	if s.opt.Memory > 0 && s.bytes() > s.opt.Memory || max(len(s.breadth.nodes), len(s.breadth.masks), len(s.memo.chain)) > most {
		return "ran out of memory; give more with --checker-memory"
	}
	return ""
}

// bytes is the size of everything that grows with the search.
func (s *search) bytes() int64 {
	const ofMove, ofState, ofOperation = 12, 64, 48
	return s.memo.bytes() + s.uses.bytes() + s.cut.bytes() + s.depth.bytes() + s.breadth.bytes() +
		int64(cap(s.moves))*ofMove + int64(cap(s.trail))*4 + int64(len(s.states.all))*ofState + int64(len(s.info))*ofOperation
}
