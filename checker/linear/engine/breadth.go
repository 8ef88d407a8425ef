package engine

import (
	"cmp"
	"math/bits"
	"slices"
)

// breadth is the search breadth first: all configurations at one barrier, then all at
// the next. At a barrier they come by level, the number of operations that were spent.
// A move goes one level up, and what dominates is never on a higher level, so that all
// that is dominated is known to be when its level comes, and nothing is searched from in
// vain. It visits every configuration that there is, though, and so is for the histories
// that depth finds dear.
type breadth struct {
	// here are the configurations at the barrier yet to be searched from, by level beyond
	// lowest; ahead are those that have passed it.
	here   [][]spot
	lowest int
	ahead  []spot
	// spare and level are slices to be used again, base the window of what is searched from.
	spare, level []spot
	base         []uint64
	// masks has the windows of both, free the places in it that are free.
	masks []uint64
	free  []int32
	// nodes are all steps of all orders, so that one can be told in the end.
	nodes []node
}

// spot is a configuration: its window is at mask in masks, its order ends in node.
type spot struct {
	state, use, mask, node int32
	bare                   int32 // operations that cannot be hidden
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
		b.lowest = 1<<31 - 1
		for i := range come {
			s.take(&come[i])
			level, _ := s.level()
			b.lowest = min(b.lowest, level-1) // one operation may have returned
		}
		for i := range come {
			s.take(&come[i])
			b.free = append(b.free, come[i].mask)
			s.enter()
			s.trail = s.trail[:0]
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
		if s.memo.count > 1<<16 { // what was visited at other barriers is of no use
			s.memo.reset()
		}
	}
}

// spread makes all moves at the barrier.
func (s *search) spread() (reason string) {
	b := &s.breadth
	for n := 0; n < len(b.here); {
		level := b.here[n]
		if len(level) == 0 {
			n++
			continue
		}
		b.here[n] = b.level[:0] // where an endless move goes no level up
		slices.SortFunc(level, func(x, y spot) int { return cmp.Compare(x.bare, y.bare) })
		for i := range level {
			if reason := s.exhausted(); reason != "" {
				return reason
			}
			at := &level[i]
			s.take(at)
			b.free = append(b.free, at.mask)
			if !s.current() {
				continue
			}
			copy(b.base, s.mask)
			uncovered := s.uncovered()
			s.moves = s.moves[:0]
			s.gather(at.before)
			for _, m := range s.moves {
				s.state, s.use = at.state, at.use
				copy(s.mask, b.base)
				s.trail = s.trail[:0]
				if s.apply(m) {
					s.arrive(at.node, s.last(m, at.state, uncovered, false))
				}
			}
		}
		b.level = level[:0]
	}
	return ""
}

// arrive keeps the configuration that a move or the last return led to, for where it is
// to be searched from, unless it need not be.
func (s *search) arrive(from int32, last before) {
	b := &s.breadth
	moved := len(s.trail)
	s.saturate()
	stands := s.stands()
	if !s.visit(stands) {
		return
	}
	if len(s.trail) > moved {
		last = nothing
	}
	for _, i := range s.trail {
		b.nodes = append(b.nodes, node{i, from})
		from = int32(len(b.nodes) - 1)
	}
	if stands {
		b.ahead = append(b.ahead, s.spot(from, nothing))
		return
	}
	level, bare := s.level()
	at := s.spot(from, last)
	at.bare = bare
	for level -= b.lowest; len(b.here) <= level; {
		b.here = append(b.here, nil)
	}
	b.here[level] = append(b.here[level], at)
}

// level is the number of operations spent and not returned, and of those that cannot
// be hidden.
func (s *search) level() (level int, bare int32) {
	const first = 0x5555555555555555
	for _, w := range s.mask {
		level += bits.OnesCount64(w & first)
		bare += int32(bits.OnesCount64(w &^ first))
	}
	return level + int(s.uses.total[s.use]), bare
}

// take stands at a spot.
func (s *search) take(at *spot) {
	s.state, s.use = at.state, at.use
	copy(s.mask, s.breadth.masks[at.mask:])
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
	const ofSpot, ofNode = 28, 8
	size := int64(cap(b.ahead)+cap(b.spare)+cap(b.level))*ofSpot + int64(cap(b.masks))*8 + int64(cap(b.free))*4 + int64(cap(b.nodes))*ofNode
	for _, l := range b.here {
		size += int64(cap(l)) * ofSpot
	}
	return size
}
