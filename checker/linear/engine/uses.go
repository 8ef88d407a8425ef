package engine

import "slices"

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
	// groups are kinds that make the same value, if one of them overwrites; group
	// says to which a kind belongs, none for those of no group.
	groups []group
	group  []int32

	all   []uint64
	table []int32 // number plus one
	// total is, by number, how many crashed operations were used in all.
	total []int32
	next  []uint64 // a vector being made
}

// group is a kind that overwrites, and the kinds that it can stand in for.
type group struct {
	over  int
	kinds []int
}

// newUses numbers the vector of zeros 0.
func newUses(kinds []kind, classes []class, opt Options) *uses {
	u := &uses{group: make([]int32, len(kinds))}
	of := make(map[int32]int32)
	for n := range kinds {
		u.group[n] = none
		c := &classes[kinds[n].class]
		if _, taken := of[c.makes]; c.overwrites && c.makes != none && !taken {
			of[c.makes] = int32(len(u.groups))
			u.group[n] = int32(len(u.groups))
			u.groups = append(u.groups, group{over: n})
		}
	}
	sums := make([]int, len(u.groups))
	most := 0
	for n := range kinds {
		c := &classes[kinds[n].class]
		most = max(most, len(kinds[n].ops))
		if g, ok := of[c.makes]; ok && c.makes != none {
			if sums[g] += len(kinds[n].ops); u.groups[g].over != n {
				u.group[n] = g
				u.groups[g].kinds = append(u.groups[g].kinds, n)
			}
			most = max(most, sums[g])
		}
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
	u.words = u.kinds + (len(u.groups)+u.each-1)/u.each
	u.next = make([]uint64, u.words)
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

// atMost reports whether no count of a is above that of b: a lane's top bit survives a
// subtraction when nothing is borrowed from it.
func (u *uses) atMost(a, b []uint64) bool {
	for i := range a {
		if ((b[i]|u.tops)-a[i])&u.tops != u.tops {
			return false
		}
	}
	return true
}

// covers reports whether what a has used is no loss against b: see Dominance.
func (u *uses) covers(a, b int32) bool {
	if a == b {
		return true
	}
	va, vb := u.vector(a), u.vector(b)
	if !u.atMost(va[u.kinds:], vb[u.kinds:]) {
		return false
	}
	if u.atMost(va[:u.kinds], vb[:u.kinds]) {
		return true
	}
	if len(u.groups) == 0 {
		return false
	}
	for n, g := range u.group {
		if g == none && u.count(va, n) > u.count(vb, n) {
			return false
		}
	}
	for i := range u.groups {
		g := &u.groups[i]
		spare := u.count(vb, g.over) - u.count(va, g.over)
		for _, n := range g.kinds {
			spare -= max(0, u.count(va, n)-u.count(vb, n))
		}
		if spare < 0 {
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
