package models

import "strings"

// rope is a string that never changes and is made by appending: a step makes a new one on
// top of the old, so that it costs what it appends, and not what is there already. A nil
// rope is "".
type rope struct {
	head *rope
	tail string // not "" but in the first
	n    int    // bytes in all
	hash uint64
}

func ropeOf(s string) *rope { return (*rope)(nil).with(s) }

func (r *rope) len() int {
	if r == nil {
		return 0
	}
	return r.n
}

// sum is its hash.
func (r *rope) sum() uint64 {
	if r == nil {
		return hashNumber(0)
	}
	return hashNumber(r.hash)
}

func (r *rope) with(s string) *rope {
	if s == "" {
		return r
	}
	longer := &rope{head: r, tail: s, n: r.len() + len(s)}
	if r != nil {
		longer.hash = r.hash
	}
	for i := range len(s) {
		longer.hash = longer.hash*base + uint64(s[i]) + 1
	}
	return longer
}

// is reports whether the rope is s. Where it is not, the last part tells at once as a rule.
func (r *rope) is(s string) bool {
	if r.len() != len(s) {
		return false
	}
	for ; r != nil; r = r.head {
		if !strings.HasSuffix(s, r.tail) {
			return false
		}
		s = s[:len(s)-len(r.tail)]
	}
	return true
}

func (r *rope) equal(q *rope) bool {
	if r == q {
		return true
	}
	return r != nil && q != nil && r.n == q.n && r.hash == q.hash && r.is(q.String())
}

func (r *rope) String() string {
	b := make([]byte, r.len())
	for end := len(b); r != nil; r = r.head {
		end -= len(r.tail)
		copy(b[end:], r.tail)
	}
	return string(b)
}
