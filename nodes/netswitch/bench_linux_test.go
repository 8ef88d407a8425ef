package netswitch

import (
	"io"
	"testing"
	"time"

	"nemesis/history"
)

// BenchmarkTCP sends over one TCP connection between two hosts, with a switch before each, and
// without one.
//
//	go test ./nodes/netswitch -run xxx -bench TCP -benchmem
func BenchmarkTCP(b *testing.B) {
	ms := history.Duration(time.Millisecond)
	for _, c := range []struct {
		name string
		rule *Rule
	}{
		{"direct", nil},
		{"switch", &Rule{}},
		{"delay of 5 ms", &Rule{PacketChange: history.PacketChange{Delay: 5 * ms}}},
		{"damage of nothing", &Rule{Damage: 1e-12}},
	} {
		for _, family := range []int{0, 1} {
			b.Run(c.name+[]string{"/IPv4", "/IPv6"}[family], func(b *testing.B) {
				near, far := twoHosts(b)
				if c.rule != nil {
					near.open(b, *c.rule, far.addr...)
					far.open(b, *c.rule, near.addr...)
				}
				here, there := pair(b, near, far, far.addr[family])
				got := make(chan int64, 1)
				go func() {
					n, _ := io.Copy(io.Discard, there)
					got <- n
				}()
				const chunk = 1 << 20
				data := make([]byte, chunk)
				b.SetBytes(chunk)
				b.ReportAllocs()
				began := time.Now()
				for b.Loop() {
					if _, err := here.Write(data); err != nil {
						b.Fatal(err)
					}
				}
				here.Close()
				n := <-got
				b.ReportMetric(float64(n)*8/1e6/time.Since(began).Seconds(), "Mbit/s")
			})
		}
	}
}
