package engine

import "slices"

// breadth is the search breadth first: all configurations at one barrier, then all at
// the next. At a barrier those with fewer crashed operations used come first, so that by
// Dominance none is searched from twice. It visits every configuration that there is,
// and so is for the histories that depth finds dear.
type breadth struct {
	// here are the configurations at the barrier yet to be searched from, by the number
	// of crashed operations used beyond fewest; ahead are those that have passed it.
	here   [][]spot
	fewest int32
	ahead  []spot
	// spare is a slice to be used again, base the window of what is searched from.
	spare []spot
	base  []uint64
	// masks has the windows of both, free the places in it that are free.
	masks []uint64
	free  []int32
	// nodes are all steps of all orders, so that one can be told in the end.
	nodes []node
}

// spot is a configuration: its window is at mask in masks, its order ends in node.
type spot struct {
	state, use, mask, node int32
	before                 before
}

// node is a step in an order, before the start if negative: ^n is starts[n].
type node struct{ op, from int32 }

// broad goes on from the starts that depth was left with.
func (s *search) broad() (found bool, reason string) {
	b := &s.breadth
	starts := s.cut.left(s)
	b.base = make([]uint64, len(s.mask))
	for n := range starts {
		clear(s.mask)
		s.state, s.use = starts[n].state, starts[n].use
		b.ahead = append(b.ahead, s.spot(^int32(n), nothing))
	}
	for {
		come := b.ahead
		b.ahead = b.spare[:0]
		b.fewest = 1<<31 - 1
		for i := range come {
			b.fewest = min(b.fewest, s.uses.total[come[i].use])
		}
		for i := range come {
			s.take(&come[i])
			s.leave()
			s.arrive(come[i].node, nothing)
		}
		b.spare = come
		if reason := s.spread(); reason != "" {
			return false, reason
		}
		if len(b.ahead) == 0 {
			return false, ""
		}
		if int(s.barrier)+1 == len(s.returns) {
			s.tell(b.ahead[0].node, starts)
			return true, ""
		}
		s.pass()
		if s.memo.count > usualPatience {
			s.memo.reset()
		}
	}
}

// spread makes all moves at the barrier.
func (s *search) spread() (reason string) {
	b := &s.breadth
	for n := 0; n < len(b.here); n++ {
		for len(b.here[n]) > 0 {
			if reason := s.exhausted(); reason != "" {
				return reason
			}
			last := len(b.here[n]) - 1
			at := b.here[n][last]
			b.here[n] = b.here[n][:last]
			s.take(&at)
			copy(b.base, s.mask)
			s.moves = s.moves[:0]
			s.gather(at.before)
			for _, m := range s.moves {
				s.state, s.use = at.state, at.use
				copy(s.mask, b.base)
				if s.apply(m) {
					s.arrive(b.step(m.op, at.node), s.last(m, at.state, false))
				}
				s.trail = s.trail[:0]
			}
		}
	}
	return ""
}

// arrive keeps the configuration that a move or the last return led to, for where it is
// to be searched from.
func (s *search) arrive(n int32, last before) {
	b := &s.breadth
	s.trail = s.trail[:0]
	s.saturate()
	for _, i := range s.trail {
		n, last = b.step(i, n), nothing
	}
	if s.stands() {
		b.ahead = append(b.ahead, s.spot(n, nothing))
		return
	}
	s.deepest = max(s.deepest, s.barrier)
	if !s.memo.visit(s.barrier, s.mask, s.state, s.use) {
		return
	}
	more := int(s.uses.total[s.use] - b.fewest)
	for len(b.here) <= more {
		b.here = append(b.here, nil)
	}
	b.here[more] = append(b.here[more], s.spot(n, last))
}

// leave clears the slot of the last return that was passed: the windows of what passed it
// still have it.
func (s *search) leave() {
	if s.barrier == s.cut.barrier || s.wrong(keepsSlot) {
		return
	}
	slot := s.info[s.returns[s.barrier-1]].slot
	s.mask[slot>>6] &^= 3 << (slot & 63)
}

// take stands at a spot, whose window it frees.
func (s *search) take(at *spot) {
	s.state, s.use = at.state, at.use
	copy(s.mask, s.breadth.masks[at.mask:])
	s.breadth.free = append(s.breadth.free, at.mask)
}

func (s *search) spot(node int32, last before) spot {
	b := &s.breadth
	at := spot{state: s.state, use: s.use, node: node, before: last}
	if n := len(b.free); n > 0 {
		at.mask = b.free[n-1]
		b.free = b.free[:n-1]
		copy(b.masks[at.mask:], s.mask)
	} else {
		at.mask = int32(len(b.masks))
		b.masks = append(b.masks, s.mask...)
	}
	return at
}

func (b *breadth) step(op, from int32) int32 {
	b.nodes = append(b.nodes, node{op, from})
	return int32(len(b.nodes) - 1)
}

// tell writes the order that ends in a node to the trail.
func (s *search) tell(n int32, starts []start) {
	s.trail = s.trail[:0]
	for ; n >= 0; n = s.breadth.nodes[n].from {
		s.trail = append(s.trail, s.breadth.nodes[n].op)
	}
	slices.Reverse(s.trail)
	s.cut.now = starts[^n]
}

func (b *breadth) bytes() int64 {
	const ofSpot, ofNode = 24, 8
	size := int64(cap(b.ahead)+cap(b.spare))*ofSpot + int64(cap(b.masks))*8 + int64(cap(b.free))*4 + int64(cap(b.nodes))*ofNode
	for _, l := range b.here {
		size += int64(cap(l)) * ofSpot
	}
	return size
}
