package models

// bag holds values, each as often as it was put in, and never changes: a step makes a new
// one, which shares what they have in common. A step costs the logarithm of the greatest
// value, however many there are; values are small numbers.
//
// It is a tree over the digits of values to the base 16, whose leaves count. The zero bag
// is empty.
type bag struct {
	root   *knot
	height int // of root: 0 for a leaf
	n      int
	hash   uint64 // the sum of the values' hashes
}

// knot is a leaf, with counts, or has kids.
type knot struct {
	counts *[width]int32
	kids   *[width]*knot
}

const (
	digit = 4
	width = 1 << digit
)

func (b bag) len() int { return b.n }

func (b bag) covers(v int32) bool { return uint32(v)>>(digit*(b.height+1)) == 0 }

// count is how often v is in the bag.
func (b bag) count(v int32) int32 {
	if !b.covers(v) {
		return 0
	}
	k := b.root
	for h := b.height; k != nil; h-- {
		at := uint32(v) >> (digit * h) % width
		if h == 0 {
			return k.counts[at]
		}
		k = k.kids[at]
	}
	return 0
}

// with is the bag with one v more.
func (b bag) with(v int32) bag {
	for !b.covers(v) {
		if b.root != nil {
			b.root = &knot{kids: &[width]*knot{b.root}}
		}
		b.height++
	}
	b.root = b.root.change(b.height, uint32(v), 1)
	b.n++
	b.hash += hashNumber(uint64(v))
	return b
}

// without is the bag with one v less, which it has.
func (b bag) without(v int32) bag {
	b.root = b.root.change(b.height, uint32(v), -1)
	b.n--
	b.hash -= hashNumber(uint64(v))
	if b.n == 0 {
		return bag{}
	}
	return b
}

// change is a copy of k with so many v more; nil when nothing is left in it.
func (k *knot) change(height int, v uint32, by int32) *knot {
	at := v >> (digit * height) % width
	if height == 0 {
		var counts [width]int32
		if k != nil {
			counts = *k.counts
		}
		if counts[at] += by; counts == [width]int32{} {
			return nil
		}
		return &knot{counts: &counts}
	}
	var kids [width]*knot
	if k != nil {
		kids = *k.kids
	}
	if kids[at] = kids[at].change(height-1, v, by); kids == [width]*knot{} {
		return nil
	}
	return &knot{kids: &kids}
}

// smallest is the smallest value, of a bag that is not empty.
func (b bag) smallest() int32 {
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
	return b.n == c.n && b.hash == c.hash && (b.root == c.root || b.values() == c.values())
}

// values are all of them in ascending order.
func (b bag) values() packed {
	all := make([]int32, 0, b.n)
	var walk func(k *knot, height int, from int32)
	walk = func(k *knot, height int, from int32) {
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
	for i := range b.n {
		if b.count(values.at(i)) == 0 {
			return false
		}
	}
	return true
}
