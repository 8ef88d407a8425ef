package ownership

import "math/bits"

// territory maps ranges of keys to values, as the latest change of each key left them.
// Keys are ranks 0 … n−1: positions among all the borders that a history names, so that
// keys between two borders share a fate. It is a row of segments; a bit for each
// rank tells whether one starts there, under a tree of words with one bit for each word
// below, so that the next start is found in a few steps however far away it is.
//
// A change splits at most two segments and may merge all those that it covers, so a
// series of n changes takes time O(n log n) as long as it treats what it covers alike.
type territory[T comparable] struct {
	levels [][]uint64
	values []T // of the segment that starts at each rank
	n      int
}

func newTerritory[T comparable](n int) *territory[T] {
	t := &territory[T]{values: make([]T, n), n: n}
	for size := n; ; {
		size = (size + 63) / 64
		t.levels = append(t.levels, make([]uint64, size))
		if size <= 1 {
			break
		}
	}
	if n > 0 {
		t.set(0)
	}
	return t
}

func (t *territory[T]) set(i int) {
	for l := range t.levels {
		t.levels[l][i/64] |= 1 << (i % 64)
		i /= 64
	}
}

func (t *territory[T]) clear(i int) {
	for l := range t.levels {
		word := &t.levels[l][i/64]
		*word &^= 1 << (i % 64)
		if *word != 0 {
			return
		}
		i /= 64
	}
}

// start is the latest start at or before rank i.
func (t *territory[T]) start(i int) int {
	for l := 0; l < len(t.levels); l++ {
		if w := t.levels[l][i/64] & (^uint64(0) >> (63 - i%64)); w != 0 {
			i = i/64*64 + 63 - bits.LeadingZeros64(w)
			for ; l > 0; l-- {
				i = i*64 + 63 - bits.LeadingZeros64(t.levels[l-1][i])
			}
			return i
		}
		if i/64 == 0 {
			break
		}
		i = i/64 - 1
	}
	return 0
}

// next is the first start after rank i, n without one.
func (t *territory[T]) next(i int) int {
	for l := 0; l < len(t.levels); l++ {
		i++
		if i/64 >= len(t.levels[l]) {
			return t.n
		}
		if w := t.levels[l][i/64] & (^uint64(0) << (i % 64)); w != 0 {
			i = i/64*64 + bits.TrailingZeros64(w)
			for ; l > 0; l-- {
				i = i*64 + bits.TrailingZeros64(t.levels[l-1][i])
			}
			return i
		}
		i /= 64
	}
	return t.n
}

// look visits the values of all segments that meet [low, high).
func (t *territory[T]) look(low, high int, visit func(T)) {
	if low >= high {
		return
	}
	for i := t.start(low); i < high; i = t.next(i) {
		visit(t.values[i])
	}
}

// change replaces the value of every key in [low, high).
func (t *territory[T]) change(low, high int, with func(T) T) {
	if low >= high {
		return
	}
	t.split(low)
	t.split(high)
	for i := low; i < high; {
		after := t.next(i)
		t.values[i] = with(t.values[i])
		if i > low {
			// Equal neighbours become one.
			if before := t.start(i - 1); t.values[before] == t.values[i] {
				t.clear(i)
			}
		}
		i = after
	}
}

// split lets a segment start at rank i.
func (t *territory[T]) split(i int) {
	if i >= t.n {
		return
	}
	if from := t.start(i); from != i {
		t.values[i] = t.values[from]
		t.set(i)
	}
}
