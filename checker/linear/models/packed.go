package models

import (
	"encoding/binary"
	"slices"
	"strings"
)

// packed is a sequence of values as text, four bytes each: it can be compared, used as
// a key and shared, which a slice cannot.
type packed string

func pack(vs ...int32) packed {
	b := make([]byte, 0, 4*len(vs))
	for _, v := range vs {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	return packed(b)
}

func (p packed) len() int { return len(p) / 4 }

func (p packed) at(i int) int32 {
	return int32(uint32(p[4*i])<<24 | uint32(p[4*i+1])<<16 | uint32(p[4*i+2])<<8 | uint32(p[4*i+3]))
}

func (p packed) values() []int32 {
	vs := make([]int32, p.len())
	for i := range vs {
		vs[i] = p.at(i)
	}
	return vs
}

// find is where v stands, or would, in a sequence in ascending order.
func (p packed) find(v int32) (int, bool) {
	low, high := 0, p.len()
	for low < high {
		mid := (low + high) / 2
		if p.at(mid) < v {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < p.len() && p.at(low) == v
}

// sorted is the ascending sequence of different values.
func sorted(vs []int32) packed {
	slices.Sort(vs)
	return pack(slices.Compact(vs)...)
}

func (p packed) text(one func(int32) string, open, end string) string {
	parts := make([]string, p.len())
	for i := range parts {
		parts[i] = one(p.at(i))
	}
	return open + strings.Join(parts, " ") + end
}
