package engine

import (
	"math/bits"
	"slices"
)

// memo is the set of configurations visited: a hash table with open addressing whose
// entries are a barrier, a window and a state, each with the uses of crashed
// operations that it was visited with.
type memo struct {
	words   int // of a window
	uses    *uses
	without Reduction
	defects defect

	table []entry
	count int
	// better counts how often a configuration was visited again with fewer uses.
	better int
	// wide holds the windows of more than one word, chain the uses of entries with more
	// than one.
	wide  []uint64
	chain []link
}

// entry is empty when barrier is 0; it holds the barrier plus one.
type entry struct {
	mask    uint64 // the window, or where it lies in wide
	tag     uint32 // of the hash
	barrier int32
	state   int32
	use     int32 // the only use; or ^n, where n is the first in chain
}

type link struct{ use, next int32 }

const entrySize, linkSize = 24, 8

func (m *memo) reset() {
	if len(m.table) > 1<<16 {
		m.table = make([]entry, 1<<10)
	} else {
		clear(m.table)
	}
	m.count, m.wide, m.chain = 0, m.wide[:0], m.chain[:0]
}

// bytes is the size of the table, and what it will need when it grows next.
func (m *memo) bytes() int64 {
	size := int64(len(m.table))*entrySize + int64(cap(m.wide))*8 + int64(cap(m.chain))*linkSize
	if m.full() {
		size += 2 * int64(len(m.table)) * entrySize
	}
	return size
}

func (m *memo) full() bool { return m.count*4 >= len(m.table)*3 }

func mix(h, x uint64) uint64 {
	high, low := bits.Mul64(h^x, 0x9e3779b97f4a7c15)
	return high ^ low
}

func hash(barrier, state int32, mask []uint64) uint64 {
	h := mix(0x2545f4914f6cdd1d, uint64(uint32(barrier))<<32|uint64(uint32(state)))
	for _, w := range mask {
		h = mix(h, w+0xd6e8feb86659fd93)
	}
	return h
}

// visit adds a configuration. It reports false when it need not be searched: it, or one
// that dominates it, is in the set already.
func (m *memo) visit(barrier int32, mask []uint64, state, use int32) bool {
	if m.full() {
		m.grow()
	}
	h := hash(barrier, state, mask)
	tag := uint32(h >> 32)
	last := uint64(len(m.table) - 1)
	at := h & last
	for ; m.table[at].barrier != 0; at = (at + 1) & last {
		e := &m.table[at]
		if e.tag == tag && e.barrier == barrier+1 && e.state == state && m.window(e, mask) {
			return m.use(e, use)
		}
	}
	m.count++
	e := entry{tag: tag, barrier: barrier + 1, state: state, use: use}
	switch m.words {
	case 0:
	case 1:
		e.mask = mask[0]
	default:
		e.mask = uint64(len(m.wide))
		m.wide = append(m.wide, mask...)
	}
	m.table[at] = e
	return true
}

func (m *memo) window(e *entry, mask []uint64) bool {
	if m.words <= 1 {
		return m.words == 0 || e.mask == mask[0]
	}
	return slices.Equal(m.wide[e.mask:e.mask+uint64(m.words)], mask)
}

// use adds a use to an entry's antichain, unless one that is as good is there.
func (m *memo) use(e *entry, use int32) bool {
	if m.defects&ignoresUse != 0 {
		return false
	}
	if e.use >= 0 {
		switch {
		case m.covers(e.use, use):
			return false
		case m.covers(use, e.use):
			m.better++
			e.use = use
			return true
		}
		m.chain = append(m.chain, link{e.use, none}, link{use, int32(len(m.chain))})
		e.use = ^int32(len(m.chain) - 1)
		return true
	}
	for n := ^e.use; n != none; n = m.chain[n].next {
		if m.covers(m.chain[n].use, use) {
			return false
		}
	}
	// What the new use covers goes; the first place that gets free is reused.
	place, before := none, none
	for n := ^e.use; n != none; {
		next := m.chain[n].next
		switch {
		case !m.covers(use, m.chain[n].use):
			before = n
		case place == none:
			place, before = n, n
			m.better++
			m.chain[n].use = use
		default:
			m.chain[before].next = next
		}
		n = next
	}
	if place == none {
		m.chain = append(m.chain, link{use, ^e.use})
		e.use = ^int32(len(m.chain) - 1)
	}
	return true
}

func (m *memo) covers(a, b int32) bool {
	if m.without&Dominance != 0 {
		return a == b
	}
	if m.defects&dominatesReversed != 0 {
		a, b = b, a
	}
	return m.uses.covers(a, b)
}

func (m *memo) grow() {
	old := m.table
	m.table = make([]entry, max(64, 2*len(old)))
	last := uint64(len(m.table) - 1)
	for i := range old {
		e := &old[i]
		if e.barrier == 0 {
			continue
		}
		var mask []uint64
		switch {
		case m.words == 1:
			mask = []uint64{e.mask}
		case m.words > 1:
			mask = m.wide[e.mask : e.mask+uint64(m.words)]
		}
		at := hash(e.barrier-1, e.state, mask) & last
		for m.table[at].barrier != 0 {
			at = (at + 1) & last
		}
		m.table[at] = *e
	}
}

// uses numbers vectors: how many crashed operations of each kind were used. Counts are
// lanes of words, just wide enough for the largest with its top bit left over, so that
// a few subtractions compare two vectors.
type uses struct {
	lane  int    // bits of a count
	tops  uint64 // the top bit of each lane of a word
	words int    // of a vector
	all   []uint64
	table []int32 // number plus one
	// total is, by number, how many crashed operations were used in all.
	total []int32
	next  []uint64 // a vector being made
}

// newUses numbers the vector of zeros 0.
func newUses(kinds []kind) *uses {
	most := 0
	for i := range kinds {
		most = max(most, len(kinds[i].ops))
	}
	u := &uses{lane: 2}
	for most >= 1<<(u.lane-1) {
		u.lane *= 2
	}
	for at := u.lane - 1; at < 64; at += u.lane {
		u.tops |= 1 << at
	}
	each := 64 / u.lane
	u.words = (len(kinds) + each - 1) / each
	u.next = make([]uint64, u.words)
	u.table = make([]int32, 16)
	u.intern(0)
	return u
}

func (u *uses) vector(use int32) []uint64 {
	return u.all[int(use)*u.words : (int(use)+1)*u.words]
}

func (u *uses) of(use int32, kind int) int {
	at := kind * u.lane
	return int(u.vector(use)[at>>6] >> (at & 63) & (1<<u.lane - 1))
}

// more is the use with one more of a kind.
func (u *uses) more(use int32, kind int) int32 {
	copy(u.next, u.vector(use))
	at := kind * u.lane
	u.next[at>>6] += 1 << (at & 63)
	return u.intern(u.total[use] + 1)
}

// covers reports whether a has used at most as many of each kind as b.
func (u *uses) covers(a, b int32) bool {
	if a == b {
		return true
	}
	va, vb := u.vector(a), u.vector(b)
	for i := range va {
		// A lane's top bit survives when nothing is borrowed from it.
		if ((vb[i]|u.tops)-va[i])&u.tops != u.tops {
			return false
		}
	}
	return true
}

// intern numbers the vector in next, of a total.
func (u *uses) intern(total int32) int32 {
	if len(u.total)*2 >= len(u.table) {
		old := u.table
		u.table = make([]int32, 2*len(old))
		for _, n := range old {
			if n != 0 {
				*u.place(u.vector(n - 1)) = n
			}
		}
	}
	p := u.place(u.next)
	if *p == 0 {
		u.all = append(u.all, u.next...)
		u.total = append(u.total, total)
		*p = int32(len(u.total))
	}
	return *p - 1
}

// place is where a vector's number stands, or belongs.
func (u *uses) place(vector []uint64) *int32 {
	last := uint64(len(u.table) - 1)
	at := hash(0, 0, vector) & last
	for u.table[at] != 0 && !slices.Equal(u.vector(u.table[at]-1), vector) {
		at = (at + 1) & last
	}
	return &u.table[at]
}

func (u *uses) bytes() int64 {
	return int64(cap(u.all))*8 + int64(cap(u.total))*4 + int64(len(u.table))*4
}
