package ownership

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestTerritoryAgreesWithAnArray compares it with what it stands for.
func TestTerritoryAgreesWithAnArray(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 9000).Draw(t, "n")
		land, plain := newTerritory[int](n), make([]int, n)
		for range rapid.IntRange(1, 40).Draw(t, "changes") {
			low := rapid.IntRange(0, n).Draw(t, "low")
			high := rapid.IntRange(low, n).Draw(t, "high")
			add := rapid.IntRange(0, 2).Draw(t, "add")
			land.change(low, high, func(v int) int { return v/2 + add })
			for i := low; i < high; i++ {
				plain[i] = plain[i]/2 + add
			}
			low = rapid.IntRange(0, n).Draw(t, "from")
			high = rapid.IntRange(low, n).Draw(t, "to")
			var got []int
			land.look(low, high, func(v int) { got = append(got, v) })
			if diff := slices.Compact(slices.Clone(plain[low:high])); !slices.Equal(slices.Compact(got), diff) {
				t.Fatalf("[%d, %d) of %d shows %v, not %v", low, high, n, got, diff)
			}
		}
		for i := range plain {
			if got := land.values[land.start(i)]; got != plain[i] {
				t.Fatalf("key %d of %d has %d, not %d", i, n, got, plain[i])
			}
		}
	})
}
