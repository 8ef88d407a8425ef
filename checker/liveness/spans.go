package liveness

import (
	"cmp"
	"slices"
	"sort"
)

// span is a piece of time, in nanoseconds since the run began, both ends included.
type span struct{ from, to int64 }

func (s span) length() int64 { return s.to - s.from }

// spans are pieces of time, ascending and apart from each other, with a running sum:
// before[i] is the length of the first i together. The zero value is no time at all.
type spans struct {
	list   []span
	before []int64
}

// union makes spans of pieces in any order, which may overlap. It keeps the slice.
func union(list []span) spans {
	slices.SortFunc(list, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	merged := list[:0]
	for _, s := range list {
		if s.to <= s.from {
			continue
		}
		if n := len(merged); n > 0 && s.from <= merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	return summed(merged)
}

func summed(list []span) spans {
	s := spans{list: list, before: make([]int64, len(list)+1)}
	for i, p := range list {
		s.before[i+1] = s.before[i] + p.length()
	}
	return s
}

// until is how much of the time before t lies in s.
func (s spans) until(t int64) int64 {
	i := sort.Search(len(s.list), func(i int) bool { return s.list[i].to >= t })
	if i == len(s.list) {
		return s.before[i]
	}
	return s.before[i] + max(t-s.list[i].from, 0)
}

// within is how much of [from, to] lies in s.
func (s spans) within(from, to int64) int64 {
	if to <= from {
		return 0
	}
	return s.until(to) - s.until(from)
}

// minus is the time of s that is not in o.
func (s spans) minus(o spans) spans {
	if len(o.list) == 0 {
		return s
	}
	var left []span
	i := 0
	for _, p := range s.list {
		for i < len(o.list) && o.list[i].to <= p.from {
			i++
		}
		at := p.from
		for j := i; j < len(o.list) && o.list[j].from < p.to; j++ {
			if o.list[j].from > at {
				left = append(left, span{at, o.list[j].from})
			}
			at = max(at, o.list[j].to)
		}
		if at < p.to {
			left = append(left, span{at, p.to})
		}
	}
	return summed(left)
}
