package engine

import (
	"cmp"
	"math/bits"
	"slices"
)

// move puts an operation into the order, which leads to a state; ^op is hidden.
type move struct{ op, state, rank int32 }

// before is what the search remembers of the last move, if that did nothing but change
// the state: the state before it, or none, and whether it was a crashed operation.
type before struct {
	state   int32
	crashed bool
}

var nothing = before{state: none}

// idle reports whether a step makes the move before it pointless; see Idleness and Hiding.
func (s *search) idle(b before, class, next int32) bool {
	return b.state != none && (b.crashed || s.classes[class].overwrites) && s.steps.next(b.state, class) == next
}

// uncovered reports whether some open operation that overwrites could not be hidden.
func (s *search) uncovered() bool {
	const first = 0x5555555555555555
	for _, w := range s.mask {
		if w&^first != 0 {
			return true
		}
	}
	return false
}

// last is what to remember of a move from a state where something was uncovered or not,
// when it is known whether anything followed.
func (s *search) last(m move, state int32, uncovered, followed bool) before {
	if m.op < 0 {
		return nothing
	}
	o := &s.info[m.op]
	switch {
	case s.wrong(idlesCompleted) && !s.without(Idleness):
		return before{state, true}
	case followed:
		return nothing
	case o.slot < 0 && !s.without(Idleness):
		return before{state, !uncovered || !s.classes[o.class].overwrites}
	case o.slot >= 0 && s.classes[o.class].overwrites && !s.without(Hiding):
		return before{state, false}
	}
	return nothing
}

// gather appends the moves from here. What is likely to be of use comes first: what makes
// the value that the next operation to return waits for; what does not overwrite, for it
// will not be accepted everywhere; what returns first; what crashed; to hide what returns.
func (s *search) gather(b before) {
	first := len(s.moves)
	returning := s.returns[s.barrier]
	wanted := s.classes[s.info[returning].class].needs
	urgent := int32(2*len(s.returns) + 2) // what makes the wanted value gets ahead by so much
	for w, open := range s.open {
		for set := open &^ s.mask[w]; set != 0; set &= set - 1 {
			i := s.at[w<<6|bits.TrailingZeros64(set)]
			o := &s.info[i]
			if s.classes[o.class].readOnly && !s.without(Saturation) {
				continue // or it would be in the order
			}
			next := s.steps.next(s.state, o.class)
			if next == none || s.idle(b, o.class, next) {
				continue
			}
			m := move{i, next, o.rank}
			if wanted != none && s.classes[o.class].makes == wanted {
				m.rank -= urgent
			}
			if s.classes[o.class].overwrites {
				m.rank += urgent / 2
			}
			s.moves = append(s.moves, m)
		}
	}
	if list := s.moves[first:]; len(list) > 1 {
		slices.SortFunc(list, func(a, b move) int { return cmp.Compare(a.rank, b.rank) })
		if s.wrong(prefersLastReturn) {
			slices.Reverse(list)
		}
	}
	s.stamp++
	if !s.without(Symmetry) {
		kept := s.moves[first:first]
		for _, m := range s.moves[first:] {
			c := s.info[m.op].class
			if s.stamps[c] == s.stamp {
				continue
			}
			s.stamps[c] = s.stamp
			kept = append(kept, m)
		}
		s.moves = s.moves[:first+len(kept)]
	}
	s.gatherCrashed(b, wanted, first)
	if o := &s.info[returning]; s.classes[o.class].overwrites && !s.without(Hiding) &&
		(s.mask[o.slot>>6]>>(o.slot&63)&2 == 0 || s.wrong(hidesUncovered)) {
		s.moves = append(s.moves, move{^returning, s.state, 0})
	}
}

// gatherCrashed appends the crashed operations that are moves; those that overwrite come
// last, and only if nothing weaker does the same; see Symmetry.
func (s *search) gatherCrashed(b before, wanted int32, first int) {
	weaker := len(s.moves)
	covers := s.uncovered() // so will one that overwrites, if nothing else
	for _, overwrites := range []bool{false, true} {
		for n := range s.kinds {
			k := &s.kinds[n]
			c := &s.classes[k.class]
			if c.overwrites != overwrites || s.stamps[k.class] == s.stamp {
				continue
			}
			used := s.uses.of(s.use, n)
			if used == int(s.called[n]) {
				continue
			}
			next := s.steps.next(s.state, k.class)
			if next == none || s.idle(b, k.class, next) ||
				!s.without(Idleness) && next == s.state && !(overwrites && covers) ||
				!s.without(Symmetry) && overwrites && !covers && s.done(s.moves[first:weaker], next, c.makes) {
				continue
			}
			s.moves = append(s.moves, move{k.ops[used], next, int32(len(s.returns))})
			if wanted != none && c.makes == wanted && weaker == first {
				at := len(s.moves) - 1
				s.moves[first], s.moves[at] = s.moves[at], s.moves[first]
			}
		}
		if !overwrites {
			weaker = len(s.moves)
		}
	}
}

// done reports whether a move leads to a state by making a value.
func (s *search) done(moves []move, state, makes int32) bool {
	for _, m := range moves {
		if m.state == state && makes != none && s.classes[s.info[m.op].class].makes == makes {
			return true
		}
	}
	return false
}
