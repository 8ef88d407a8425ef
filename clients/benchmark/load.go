package benchmark

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"nemesis/clients"
)

const (
	valueSize = 128 // bytes
	keys      = 1000
	// longest is the highest latency that is told apart, in microseconds.
	longest = int64(time.Minute / time.Microsecond)
)

// measure lets the row's clients ask for cfg.Time, after a tenth of it that does not count.
func (g *group) measure(ctx context.Context, r row, cfg Config) (Figures, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asking := make([]client, r.clients)
	for i := range asking {
		c, err := g.connect(ctx, g.addresses, g.at, g.nonces.Next())
		if err != nil {
			return Figures{}, err
		}
		defer c.Close()
		asking[i] = c
	}
	value := bytes.Repeat([]byte("v"), valueSize)
	if r.kind == read {
		for i := range keys {
			if err := asking[i%len(asking)].put(ctx, key(i), value); err != nil {
				return Figures{}, err
			}
		}
	}
	var (
		all    sync.WaitGroup
		latest = make([]*hdrhistogram.Histogram, len(asking))
		counts = make([]int, len(asking))
		errs   = make([]error, len(asking))
		before = g.processorTime()
		begin  = time.Now().Add(cfg.Time / 10)
		end    = begin.Add(cfg.Time)
	)
	for i, c := range asking {
		draw := rand.New(rand.NewPCG(cfg.Seed, uint64(i)))
		latest[i] = hdrhistogram.New(1, longest, 3)
		all.Go(func() {
			counts[i], errs[i] = ask(ctx, c, r.kind, draw, value, begin, end, latest[i])
			if errs[i] != nil {
				cancel() // the others' figures are worth nothing
			}
		})
	}
	all.Wait()
	used := g.processorTime() - before
	sum, count := hdrhistogram.New(1, longest, 3), 0
	for i, h := range latest {
		if errs[i] != nil {
			return Figures{}, errs[i]
		}
		sum.Merge(h)
		count += counts[i]
	}
	if sum.TotalCount() == 0 {
		return Figures{}, fmt.Errorf("no operation ended within %s", cfg.Time)
	}
	return Figures{
		PerSecond: float64(sum.TotalCount()) / cfg.Time.Seconds(),
		P50MS:     float64(sum.ValueAtQuantile(50)) / 1000,
		P99MS:     float64(sum.ValueAtQuantile(99)) / 1000,
		CPUMicros: float64(used.Microseconds()) / float64(count),
	}, nil
}

func key(i int) string { return fmt.Sprintf("key-%04d", i) }

// ask asks one thing after the other until end, and notes how long each took that was asked from begin on and answered
// by the end. It returns how many were answered in all.
func ask(ctx context.Context, c client, kind operation, rng *rand.Rand, value []byte, begin, end time.Time, latency *hdrhistogram.Histogram) (count int, err error) {
	for {
		k, start := key(rng.IntN(keys)), time.Now()
		if start.After(end) {
			return count, nil
		}
		if kind == put {
			err = c.put(ctx, k, value)
		} else {
			err = c.get(ctx, k)
		}
		if err != nil {
			return count, err
		}
		count++
		if now := time.Now(); !start.Before(begin) && now.Before(end) {
			if err := latency.RecordValue(max(now.Sub(start).Microseconds(), 1)); err != nil {
				return count, err
			}
		}
	}
}

// lastLine is the last line of a server's log, safe to print.
func lastLine(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(io.NewSectionReader(f, max(0, size-4096), 4096))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return clients.Printable(lines[len(lines)-1])
}
