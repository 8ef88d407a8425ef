package zone

import (
	"math/rand"
	"testing"
)

func BenchmarkDecide(b *testing.B) {
	for _, bench := range []struct {
		name       string
		n, clients int
		crash      int
	}{
		{"1M/20clients/1%crashed", 1_000_000, 20, 1},
		{"1M/1000clients/1%crashed", 1_000_000, 1000, 1},
		{"1M/5clients", 1_000_000, 5, 0},
		{"1000/20clients", 1000, 20, 1},
	} {
		b.Run(bench.name, func(b *testing.B) {
			ops := simulated(rand.New(rand.NewSource(1)), bench.n, bench.clients, bench.crash, 100, false)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if d := Decide(ops, Options{}); d.Order == nil {
					b.Fatal(d)
				}
			}
		})
	}
}
