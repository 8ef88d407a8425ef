package engine

import (
	"math/bits"
	"slices"
)

// uses numbers vectors: how many crashed operations of each kind were used. Counts are
// lanes of words, just wide enough for the largest with its top bit left over, so that
// a few subtractions compare two vectors. Behind them, in words of their own, come the
// sums over each group.
type uses struct {
	lane  int    // bits of a count
	each  int    // counts in a word
	tops  uint64 // the top bit of each lane of a word
	kinds int    // words of the counts of kinds
	words int    // of a vector
	// A group is a kind that overwrites and its members, others that make the same value.
	// group says to which a kind belongs, none for those of no group; over has the kind
	// of each group that overwrites.
	group  []int32
	member []bool
	over   []int
	spent  []int // by group, for covers

	all   []uint64
	table []int32 // number plus one
	// total is, by number, how many crashed operations were used in all.
	total []int32
	next  []uint64 // a vector being made
}

// newUses numbers the vector of zeros 0.
func newUses(kinds []kind, classes []class) *uses {
	u := &uses{group: make([]int32, len(kinds)), member: make([]bool, len(kinds))}
	over := make(map[int32]int) // the kind that overwrites, by the value it makes
	for n := range kinds {
		u.group[n] = none
		if c := &classes[kinds[n].class]; c.overwrites && c.makes != none {
			over[c.makes] = n
		}
	}
	most := 0
	var sums []int
	for n := range kinds {
		most = max(most, len(kinds[n].ops))
		c := &classes[kinds[n].class]
		first, grouped := over[c.makes]
		if c.makes == none || !grouped || c.overwrites {
			continue
		}
		if u.group[first] == none {
			u.group[first] = int32(len(u.over))
			u.over = append(u.over, first)
			sums = append(sums, len(kinds[first].ops))
		}
		g := u.group[first]
		u.group[n], u.member[n] = g, true
		sums[g] += len(kinds[n].ops)
		most = max(most, sums[g])
	}
	u.lane = 2
	for most >= 1<<(u.lane-1) {
		u.lane *= 2
	}
	u.each = 64 / u.lane
	for at := u.lane - 1; at < 64; at += u.lane {
		u.tops |= 1 << at
	}
	u.kinds = (len(kinds) + u.each - 1) / u.each
	u.words = u.kinds + (len(u.over)+u.each-1)/u.each
	u.next = make([]uint64, u.words)
	u.spent = make([]int, len(u.over))
	u.table = make([]int32, 16)
	u.intern(0)
	return u
}

func (u *uses) vector(use int32) []uint64 {
	return u.all[int(use)*u.words : (int(use)+1)*u.words]
}

func (u *uses) of(use int32, kind int) int { return u.count(u.vector(use), kind) }

func (u *uses) count(vector []uint64, kind int) int {
	return int(vector[kind/u.each] >> (kind % u.each * u.lane) & (1<<u.lane - 1))
}

// more is the use with one more of a kind.
func (u *uses) more(use int32, kind int) int32 {
	copy(u.next, u.vector(use))
	u.next[kind/u.each] += 1 << (kind % u.each * u.lane)
	if g := int(u.group[kind]); g >= 0 {
		u.next[u.kinds+g/u.each] += 1 << (g % u.each * u.lane)
	}
	return u.intern(u.total[use] + 1)
}

// covers reports whether what a has used is no loss against b: see Dominance.
func (u *uses) covers(a, b int32) bool {
	if a == b {
		return true
	}
	if u.total[a] > u.total[b] {
		return false
	}
	// A lane's top bit survives a subtraction when nothing is borrowed from it.
	va, vb := u.vector(a), u.vector(b)
	for i := u.kinds; i < u.words; i++ {
		if ((vb[i]|u.tops)-va[i])&u.tops != u.tops {
			return false
		}
	}
	excess := false
	for i := range u.kinds {
		excess = excess || ((vb[i]|u.tops)-va[i])&u.tops != u.tops
	}
	return !excess || len(u.over) > 0 && u.stoodIn(va, vb)
}

// stoodIn reports whether b has used so many more that overwrite, as a has used others
// for which these could have stood in.
func (u *uses) stoodIn(va, vb []uint64) bool {
	clear(u.spent)
	for i := range u.kinds {
		// What a has more than b: the lanes of the difference that kept their top bit.
		more := (va[i] | u.tops) - vb[i]
		kept := more & u.tops
		for more &= kept - kept>>(u.lane-1); more != 0; {
			at := bits.TrailingZeros64(more) / u.lane
			n := i*u.each + at
			lane := uint64(1<<u.lane-1) << (at * u.lane)
			if !u.member[n] {
				return false
			}
			g := u.group[n]
			u.spent[g] += int(more & lane >> (at * u.lane))
			if u.spent[g] > u.count(vb, u.over[g])-u.count(va, u.over[g]) {
				return false
			}
			more &^= lane
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
