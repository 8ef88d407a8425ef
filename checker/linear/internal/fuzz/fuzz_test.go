package fuzz

import (
	"sync"
	"testing"
)

func TestEveryHistoryIsComparedOnce(t *testing.T) {
	const total Total = 1000
	for _, c := range []struct {
		name, all, seed string
		usual           int
		first           uint64
		want            int
	}{
		{"an ordinary run", "", "", 1000, 0, 1000},
		{"a share of a deep run", "50000", "", 100, 0, 5000},
		{"a share too small for a history", "1", "", 10, 0, shards},
		{"a deep run that goes on from another", "3001", "7000", 1000, 7000, 3001},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.all == "" && testing.Short() {
				t.Skip("a short run compares fewer")
			}
			t.Setenv("NEMESIS_FUZZ", c.all)
			t.Setenv("NEMESIS_FUZZ_SEED", c.seed)
			var mutex sync.Mutex
			seen := make(map[uint64]int)
			n := total.Compare(t, c.usual, func(first uint64, n int) error {
				mutex.Lock()
				defer mutex.Unlock()
				for k := range uint64(n) {
					seen[first+k]++
				}
				return nil
			})
			if n != c.want || len(seen) != c.want {
				t.Errorf("%d histories, %d of them different; want %d", n, len(seen), c.want)
			}
			for k := range uint64(c.want) {
				if seen[c.first+k] != 1 {
					t.Errorf("the history of seed %d was compared %d times", c.first+k, seen[c.first+k])
				}
			}
		})
	}
}

func TestOneSidedGeneratorIsReported(t *testing.T) {
	for _, c := range []struct {
		legal, illegal int
		fine           bool
	}{{50, 50, true}, {20, 80, true}, {19, 81, false}, {99, 1, false}} {
		if err := Edge(c.legal, c.illegal); (err == nil) != c.fine {
			t.Errorf("%d legal, %d illegal: %v", c.legal, c.illegal, err)
		}
	}
}
