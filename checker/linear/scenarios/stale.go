package scenarios

import (
	"math"
	"math/rand/v2"

	"nemesis/history"
)

// stale makes one read of the last quarter answer with a value that was gone.
//
// The read R may not return v when some operation w that leaves another value behind was
// invoked after every operation that leaves v and was invoked by R's return had
// returned, and w itself returned before R's invocation: in every order, v's last maker
// stands before w and w before R, and nothing between w and R leaves v. Nothing
// that crashed leaves v, or it might have taken effect in between.
func stale(rng *rand.Rand, all []doing) bool {
	var makers, reads []int // by call, near enough: see call below
	for i := range all {
		switch {
		case all[i].left > 0:
			makers = append(makers, i)
		case all[i].deed == read && i >= len(all)*3/4:
			reads = append(reads, i)
		}
	}
	rng.Shuffle(len(reads), func(i, j int) { reads[i], reads[j] = reads[j], reads[i] })
	for _, at := range reads[:min(len(reads), 1000)] {
		for _, v := range recent(all, at) {
			if gone(all, makers, at, v) {
				all[at].op.Output = value(v)
				return true
			}
		}
	}
	return false
}

// recent are the different values left by the operations some way in front of a
// position, the latest first.
func recent(all []doing, at int) []int {
	const most = 400
	var values []int
	seen := make(map[int]bool)
	for i := at; i >= 0 && i > at-most; i-- {
		if v := all[i].left; v > 0 && !seen[v] {
			seen[v] = true
			values = append(values, v)
		}
	}
	return values
}

// gone reports whether v was certainly overwritten before the read at a position.
func gone(all []doing, makers []int, at, v int) bool {
	r := &all[at].op
	last := int64(math.MinInt64)
	for _, i := range makers {
		if m := &all[i]; m.left == v && m.op.Call <= r.Return {
			if m.op.Return == history.Never {
				return false
			}
			last = max(last, m.op.Return)
		}
	}
	for _, i := range makers {
		if m := &all[i]; m.left != v && m.op.Type == history.OK && m.op.Call > last && m.op.Return < r.Call {
			return true
		}
	}
	return false
}
