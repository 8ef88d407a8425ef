// Package measure tells what a piece of work takes, for benchmarks.
//
// Time is the wall clock's. Memory is measured after a collection that gave everything back:
// for a run of 50 ms or more, the highest that the Go runtime held of the system's memory
// during the run, above what it held before; for a shorter one, which a sampler would miss,
// all bytes that it allocated, which is never less than its peak.
package measure

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"time"
)

// Cost is what one run took.
type Cost struct {
	Took  time.Duration
	Bytes int64
	// Full: the run was stopped because it held too much.
	Full bool
}

// MS is the time in milliseconds.
func (c Cost) MS() float64 { return float64(c.Took.Nanoseconds()) / 1e6 }

// MB is the memory in millions of bytes.
func (c Cost) MB() float64 { return float64(c.Bytes) / 1e6 }

// short is the time below which allocated bytes stand for the peak.
const short = 50 * time.Millisecond

// Once runs work once. full, if not nil, is called once when more than limit bytes
// are held.
func Once(work func(), limit int64, full func()) Cost {
	debug.FreeOSMemory()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	base := held()
	var peak atomic.Int64
	var isFull atomic.Bool
	peak.Store(base)
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			now := held()
			peak.Store(max(peak.Load(), now))
			if full != nil && now-base > limit && !isFull.Swap(true) {
				full()
			}
		}
	}()
	start := time.Now()
	work()
	took := time.Since(start)
	last := held()
	close(done)
	<-gone
	runtime.ReadMemStats(&after)
	c := Cost{Took: took, Bytes: max(peak.Load(), last) - base, Full: isFull.Load()}
	if took < short {
		c.Bytes = int64(after.TotalAlloc - before.TotalAlloc)
	}
	return c
}

// held is the memory that the runtime has of the system and has not given back.
func held() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64()) - int64(sample[1].Value.Uint64())
}

// batch is how long runs too short for the clock are repeated, to be divided by their
// number: what a first run pays for cold caches says nothing about either side.
const batch = 5 * time.Millisecond

// quickly measures a run that is known to be short.
func quickly(work func()) Cost {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n := int64(0)
	start := time.Now()
	took := time.Duration(0)
	for took < batch {
		work()
		n++
		took = time.Since(start)
	}
	runtime.ReadMemStats(&after)
	return Cost{Took: took / time.Duration(n), Bytes: int64(after.TotalAlloc-before.TotalAlloc) / n}
}

// Repeated is the median of some runs, by time; one of more than a second, or that was
// stopped, stands alone.
func Repeated(times int, work func(), limit int64, full func()) Cost {
	first := Once(work, limit, full)
	if first.Took >= time.Second || first.Full {
		return first
	}
	var all []Cost
	for len(all) < times {
		if first.Took < short {
			all = append(all, quickly(work))
		} else {
			all = append(all, Once(work, limit, full))
		}
	}
	slices.SortFunc(all, func(a, b Cost) int { return int(a.Took - b.Took) })
	return all[len(all)/2]
}
