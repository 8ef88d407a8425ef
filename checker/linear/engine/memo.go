package engine

import (
	"math/bits"
	"slices"
)

// memo is the set of configurations visited: a hash table with open addressing. What
// Dominance compares for being equal is the key of an entry: the barrier, the state and
// the window but for the slots of operations that overwrite. What it compares for being
// more or less is a cost: the window's rest and the use of crashed operations. Each entry
// has the costs, none of them above another, that it was visited at.
type memo struct {
	words   int // of a window
	uses    *uses
	without Reduction
	defects defect

	table []entry
	count int
	// again counts how often a configuration was visited again at less cost, fewer how
	// often that was with other crashed operations used.
	again, fewer int
	// wide holds windows of more than one word, chain the costs of entries with several.
	wide  []uint64
	chain []link

	// What look looked for, and where it belongs.
	key, mask []uint64
	use       int32
	now       entry
	at        uint64
}

// cost is what a configuration has spent: rest is a window, or where it lies in wide.
type cost struct {
	rest uint64
	use  int32
}

// entry is empty when barrier is 0; it holds the barrier plus one, or minus that for a
// configuration whose next return may pass.
type entry struct {
	mask    uint64 // the key's window, or where it lies in wide
	rest    uint64 // of the only cost
	tag     uint32 // of the hash
	barrier int32
	state   int32
	use     int32 // of the only cost; or ^n, where n is the first in chain
}

type link struct {
	cost
	next int32
}

const entrySize, linkSize = 32, 24

func newMemo(words int, u *uses, opt Options) memo {
	return memo{words: words, uses: u, without: opt.Without, defects: opt.defects, table: make([]entry, 64), key: make([]uint64, words)}
}

func (m *memo) reset() {
	if len(m.table) > 1<<16 {
		m.table = make([]entry, 1<<10)
	} else {
		clear(m.table)
	}
	m.count, m.again, m.fewer, m.wide, m.chain = 0, 0, 0, m.wide[:0], m.chain[:0]
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

// look finds the place of a configuration, for visit or current. overs are the first bits
// of the slots whose operations overwrite.
func (m *memo) look(barrier int32, mask, open, overs []uint64, state, use int32) {
	if m.full() {
		m.grow()
	}
	m.mask, m.use = mask, use
	if m.without&Dominance != 0 {
		copy(m.key, mask)
	} else {
		for w := range mask {
			m.key[w] = mask[w] &^ (open[w] & overs[w] * 3)
		}
	}
	h := hash(stored(barrier), state, m.key)
	last := uint64(len(m.table) - 1)
	m.now = entry{tag: uint32(h >> 32), barrier: stored(barrier), state: state, use: use}
	for m.at = h & last; m.table[m.at].barrier != 0; m.at = (m.at + 1) & last {
		e := &m.table[m.at]
		if e.tag == m.now.tag && e.barrier == m.now.barrier && e.state == state && m.same(e.mask, m.key) {
			return
		}
	}
}

// stored is how an entry holds a barrier, or ^barrier.
func stored(barrier int32) int32 {
	if barrier < 0 {
		return barrier
	}
	return barrier + 1
}

// visit adds the configuration. It reports false when it need not be searched: it, or one
// that dominates it, is in the set already.
func (m *memo) visit() bool {
	e := &m.table[m.at]
	if e.barrier == 0 {
		m.count++
		m.now.mask, m.now.rest = m.keep(m.key, nil), m.keep(m.mask, m.key)
		*e = m.now
		return true
	}
	c := cost{m.keep(m.mask, m.key), m.use}
	if m.spend(e, c) {
		return true
	}
	m.drop(c)
	return false
}

// current reports whether the configuration's cost is still in the set.
func (m *memo) current() bool {
	e := &m.table[m.at]
	c := cost{m.keep(m.mask, m.key), m.use}
	defer m.drop(c)
	if e.use >= 0 {
		return e.use == c.use && m.equal(e.rest, c.rest)
	}
	for n := ^e.use; n != none; n = m.chain[n].next {
		if m.chain[n].use == c.use && m.equal(m.chain[n].rest, c.rest) {
			return true
		}
	}
	return false
}

func (m *memo) equal(a, b uint64) bool {
	if m.words == 1 {
		return a == b
	}
	return slices.Equal(m.wide[a:a+uint64(m.words)], m.wide[b:b+uint64(m.words)])
}

// keep stores a window without the bits of another.
func (m *memo) keep(mask, but []uint64) uint64 {
	if m.words == 1 {
		if but == nil {
			return mask[0]
		}
		return mask[0] &^ but[0]
	}
	at := len(m.wide)
	m.wide = append(m.wide, mask...)
	for w := range but {
		m.wide[at+w] &^= but[w]
	}
	return uint64(at)
}

// drop takes back the last that was kept.
func (m *memo) drop(c cost) {
	if m.words > 1 {
		m.wide = m.wide[:c.rest]
	}
}

func (m *memo) same(kept uint64, mask []uint64) bool {
	if m.words == 1 {
		return kept == mask[0]
	}
	return slices.Equal(m.wide[kept:kept+uint64(m.words)], mask)
}

// spend adds a cost to an entry, unless one that is as low is there.
func (m *memo) spend(e *entry, c cost) bool {
	if m.defects&ignoresUse != 0 {
		return false
	}
	if e.use >= 0 {
		only := cost{e.rest, e.use}
		switch {
		case m.covers(only, c):
			return false
		case m.covers(c, only):
			m.improve(only, c)
			e.rest, e.use = c.rest, c.use
			return true
		}
		m.chain = append(m.chain, link{only, none}, link{c, int32(len(m.chain))})
		e.use = ^int32(len(m.chain) - 1)
		return true
	}
	for n := ^e.use; n != none; n = m.chain[n].next {
		if m.covers(m.chain[n].cost, c) {
			return false
		}
	}
	// What the new cost covers goes; the first place that gets free is reused.
	place, before := none, none
	for n := ^e.use; n != none; {
		next := m.chain[n].next
		switch {
		case !m.covers(c, m.chain[n].cost):
			before = n
		case place == none:
			place, before = n, n
			m.improve(m.chain[n].cost, c)
			m.chain[n].cost = c
		default:
			m.chain[before].next = next
		}
		n = next
	}
	if place == none {
		m.chain = append(m.chain, link{c, ^e.use})
		e.use = ^int32(len(m.chain) - 1)
	}
	return true
}

func (m *memo) improve(was, is cost) {
	m.again++
	if was.use != is.use {
		m.fewer++
	}
}

// covers reports whether a has spent nothing that b has not.
func (m *memo) covers(a, b cost) bool {
	if m.without&Dominance != 0 {
		return a.use == b.use // the rest is empty
	}
	if m.defects&dominatesReversed != 0 {
		a, b = b, a
	}
	if m.words == 1 {
		if a.rest&^b.rest != 0 {
			return false
		}
	} else {
		for w := range uint64(m.words) {
			if m.wide[a.rest+w]&^m.wide[b.rest+w] != 0 {
				return false
			}
		}
	}
	return m.uses.covers(a.use, b.use)
}

func (m *memo) grow() {
	old := m.table
	m.table = make([]entry, 2*len(old))
	last := uint64(len(m.table) - 1)
	var word [1]uint64
	for i := range old {
		e := &old[i]
		if e.barrier == 0 {
			continue
		}
		mask := word[:]
		if word[0] = e.mask; m.words > 1 {
			mask = m.wide[e.mask : e.mask+uint64(m.words)]
		}
		at := hash(e.barrier, e.state, mask) & last
		for m.table[at].barrier != 0 {
			at = (at + 1) & last
		}
		m.table[at] = *e
	}
}
