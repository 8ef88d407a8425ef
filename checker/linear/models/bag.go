package models

import (
	"cmp"
	"slices"
)

// bag holds values, each as often as it was put in, and never changes: a step makes a new
// one, which shares what they have in common. A step costs the logarithm of the greatest
// value, however many there are; values are small numbers.
//
// It is a tree over the digits of values to the base 16, whose leaves count. A change copies
// the path to its leaf; so the newest few changes stay beside the tree until there are
// enough to copy, in one go, what their paths have in common. The zero bag is empty.
type bag struct {
	root   *knot
	height int32 // of root: 0 for a leaf
	recent int32 // how many of late are in use; the rest are zero
	late   [8]change
	n      int
	hash   uint64 // the sum of the values' hashes
}

// change is so many of a value more.
type change struct{ v, by int32 }

// knot is a leaf, with counts, or has kids.
type knot struct {
	counts *[width]int32
	kids   *[width]*knot
}

const (
	digit = 4
	width = 1 << digit
)

// newLeaf and newFork are knots with their content in one piece of memory.
func newLeaf(counts *[width]int32) *knot {
	l := &struct {
		knot
		content [width]int32
	}{content: *counts}
	l.counts = &l.content
	return &l.knot
}

func newFork(kids *[width]*knot) *knot {
	f := &struct {
		knot
		content [width]*knot
	}{content: *kids}
	f.kids = &f.content
	return &f.knot
}

func (b bag) len() int { return b.n }

func (b bag) covers(v int32) bool { return uint32(v)>>(digit*(b.height+1)) == 0 }

// count is how often v is in the bag.
func (b bag) count(v int32) int32 {
	n := int32(0)
	for _, c := range b.late[:b.recent] {
		if c.v == v {
			n += c.by
		}
	}
	if !b.covers(v) {
		return n
	}
	k := b.root
	for h := b.height; k != nil; h-- {
		at := uint32(v) >> (digit * h) % width
		if h == 0 {
			return n + k.counts[at]
		}
		k = k.kids[at]
	}
	return n
}

// with is the bag with one v more.
func (b bag) with(v int32) bag {
	b.note(change{v, 1})
	b.n++
	b.hash += hashNumber(uint64(v))
	return b
}

// without is the bag with one v less, which it has.
func (b bag) without(v int32) bag {
	if b.n == 1 {
		return bag{}
	}
	b.note(change{v, -1})
	b.n--
	b.hash -= hashNumber(uint64(v))
	return b
}

func (b *bag) note(c change) {
	if int(b.recent) == len(b.late) {
		b.settle()
	}
	b.late[b.recent] = c
	b.recent++
}

// settle brings all changes into the tree.
func (b *bag) settle() {
	if b.recent == 0 {
		return
	}
	late := b.late
	changes := late[:b.recent]
	slices.SortFunc(changes, func(x, y change) int { return cmp.Compare(x.v, y.v) })
	for !b.covers(changes[len(changes)-1].v) {
		if b.root != nil {
			b.root = newFork(&[width]*knot{b.root})
		}
		b.height++
	}
	b.root = b.root.changed(b.height, changes)
	b.late, b.recent = [len(b.late)]change{}, 0
}

// changed is a copy of k with changes, which are by value; nil when nothing is left in it.
func (k *knot) changed(height int32, changes []change) *knot {
	if height == 0 {
		var counts [width]int32
		if k != nil {
			counts = *k.counts
		}
		for _, c := range changes {
			counts[c.v%width] += c.by
		}
		if counts == [width]int32{} {
			return nil
		}
		return newLeaf(&counts)
	}
	var kids [width]*knot
	if k != nil {
		kids = *k.kids
	}
	for len(changes) > 0 {
		part, some := changes[0].v>>(digit*height), 1
		for some < len(changes) && changes[some].v>>(digit*height) == part {
			some++
		}
		kids[part%width] = kids[part%width].changed(height-1, changes[:some])
		changes = changes[some:]
	}
	if kids == [width]*knot{} {
		return nil
	}
	return newFork(&kids)
}

// smallest is the smallest value, of a bag that is not empty.
func (b bag) smallest() int32 {
	b.settle()
	v, k := int32(0), b.root
	for h := b.height; ; h-- {
		at := 0
		for h == 0 && k.counts[at] == 0 || h > 0 && k.kids[at] == nil {
			at++
		}
		v = v<<digit | int32(at)
		if h == 0 {
			return v
		}
		k = k.kids[at]
	}
}

func (b bag) equal(c bag) bool {
	return b.n == c.n && b.hash == c.hash && (b.root == c.root && b.late == c.late || b.values() == c.values())
}

// values are all of them in ascending order.
func (b bag) values() packed {
	b.settle()
	all := make([]int32, 0, b.n)
	var walk func(k *knot, height int32, from int32)
	walk = func(k *knot, height int32, from int32) {
		if k == nil {
			return
		}
		for at := range int32(width) {
			if height > 0 {
				walk(k.kids[at], height-1, (from+at)<<digit)
				continue
			}
			for range k.counts[at] {
				all = append(all, from+at)
			}
		}
	}
	walk(b.root, b.height, 0)
	return pack(all...)
}

// holds reports whether the bag has exactly these values, which are in ascending order and
// different.
func (b bag) holds(values packed) bool {
	if b.n != values.len() {
		return false
	}
	b.settle()
	for i := range b.n {
		if b.count(values.at(i)) == 0 {
			return false
		}
	}
	return true
}
