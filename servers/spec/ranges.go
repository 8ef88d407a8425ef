package spec

import (
	"encoding/binary"
	"time"
)

// KeyRange is the keys from From on and before To. An empty To means that there is no end.
type KeyRange struct{ From, To string }

// Overlaps says whether the ranges have a key in common.
func (r KeyRange) Overlaps(o KeyRange) bool {
	return (o.To == "" || r.From < o.To) && (r.To == "" || o.From < r.To)
}

func (r KeyRange) contains(o KeyRange) bool {
	return r.From <= o.From && (r.To == "" || o.To != "" && o.To <= r.To)
}

func (r KeyRange) has(key string) bool { return key >= r.From && (r.To == "" || key < r.To) }

// without returns the grants with the range taken out of theirs.
func without(grants []Grant, r KeyRange) []Grant {
	var kept []Grant
	for _, g := range grants {
		if !g.Range.Overlaps(r) {
			kept = append(kept, g)
			continue
		}
		if left := g; g.Range.From < r.From {
			left.Range.To = r.From
			kept = append(kept, left)
		}
		if right := g; r.To != "" && (g.Range.To == "" || r.To < g.Range.To) {
			right.Range.From = r.To
			kept = append(kept, right)
		}
	}
	return kept
}

// increment adds one to a number of 8 bytes, big-endian; anything else counts as 0.
func increment(value []byte) []byte {
	var n uint64
	if len(value) == 8 {
		n = binary.BigEndian.Uint64(value)
	}
	return binary.BigEndian.AppendUint64(nil, n+1)
}

// ended is the end of a lease that was given up.
const ended time.Duration = -1 << 62
