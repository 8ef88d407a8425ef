package host

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nemesis/servers/paxos"
	"nemesis/servers/wal"
)

// BenchmarkGroup measures three nodes in one process, with clients that make one request at a time: increments, each of which is on
// the disks of a quorum before it is answered, and reads by read index and by lease.
func BenchmarkGroup(b *testing.B) {
	for _, reads := range []paxos.ReadMode{paxos.ReadIndex, paxos.ReadLease} {
		for _, clients := range []int{1, 64, 256} {
			for _, kind := range []paxos.CommandKind{paxos.Apply, paxos.Read} {
				if kind == paxos.Apply && reads == paxos.ReadLease {
					continue
				}
				name := fmt.Sprintf("reads-by-%v/clients=%d", reads, clients)
				if kind == paxos.Apply {
					name = fmt.Sprintf("puts/clients=%d", clients)
				}
				b.Run(name, func(b *testing.B) { benchmarkGroup(b, reads, clients, kind) })
			}
		}
	}
}

func benchmarkGroup(b *testing.B, reads paxos.ReadMode, clients int, kind paxos.CommandKind) {
	g := newGroup(b, 3)
	g.reads, g.every = reads, 100_000
	g.start(1, 2, 3)
	sessions := make([]*session, clients)
	for i := range sessions {
		sessions[i] = g.session()
	}
	op := make([]byte, 128)
	var left atomic.Int64
	left.Store(int64(b.N))
	latencies := make([][]time.Duration, clients)
	b.ReportAllocs()
	b.ResetTimer()
	var done sync.WaitGroup
	for i, s := range sessions {
		done.Go(func() {
			for left.Add(-1) >= 0 {
				start := time.Now()
				s.seq++
				s.ask(paxos.Command{Kind: kind, Session: s.id, Seq: s.seq, Op: op})
				latencies[i] = append(latencies[i], time.Since(start))
			}
		})
	}
	done.Wait()
	b.StopTimer()
	all := slices.Concat(latencies...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-us")
}

// BenchmarkSync measures what one sync of 200 bytes takes here.
func BenchmarkSync(b *testing.B) {
	dir, err := wal.OpenDir(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	l, _, err := wal.Open(dir, "")
	if err != nil {
		b.Fatal(err)
	}
	record := [][]byte{make([]byte, 200)}
	for b.Loop() {
		if err := l.Write(record); err != nil {
			b.Fatal(err)
		}
		if err := l.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFrame measures a request's way through its frame.
func BenchmarkFrame(b *testing.B) {
	m := &paxos.Request{Command: paxos.Command{Kind: paxos.Apply, Session: 1, Seq: 1, Op: make([]byte, 128)}}
	var frame []byte
	b.ReportAllocs()
	for b.Loop() {
		frame = AppendFrame(frame[:0], m)
		if _, err := paxos.Decode(frame[frameHeader:]); err != nil {
			b.Fatal(err)
		}
	}
}
