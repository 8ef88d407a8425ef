package benchmark

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"nemesis/checker/linear"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/order"
)

// cost is what one run took.
type cost struct {
	took  time.Duration
	bytes int64
	// full: the run was stopped because it held too much.
	full bool
}

func (c cost) ms() float64 { return float64(c.took.Nanoseconds()) / 1e6 }
func (c cost) mb() float64 { return float64(c.bytes) / 1e6 }

// short is the time below which allocated bytes stand for the peak.
const short = 50 * time.Millisecond

// measure runs work once. full, if not nil, is called once when more than limit bytes
// are held.
func measure(work func(), limit int64, full func()) cost {
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
	c := cost{took: took, bytes: max(peak.Load(), last) - base, full: isFull.Load()}
	if took < short {
		c.bytes = int64(after.TotalAlloc - before.TotalAlloc)
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
func quickly(work func()) cost {
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
	return cost{took: took / time.Duration(n), bytes: int64(after.TotalAlloc-before.TotalAlloc) / n}
}

// repeated is the median of some runs, by time; one of more than a second, or that was
// stopped, stands alone.
func repeated(times int, work func(), limit int64, full func()) cost {
	first := measure(work, limit, full)
	if first.took >= time.Second || first.full {
		return first
	}
	var all []cost
	for len(all) < times {
		if first.took < short {
			all = append(all, quickly(work))
		} else {
			all = append(all, measure(work, limit, full))
		}
	}
	slices.SortFunc(all, func(a, b cost) int { return int(a.took - b.took) })
	return all[len(all)/2]
}

// ours has our checker judge an object.
func ours(ctx context.Context, cfg Config, object *models.Object, times int) (cost, order.Answer, error) {
	var result linear.Result
	var err error
	c := repeated(times, func() {
		ctx, cancel := context.WithTimeout(ctx, cfg.OursTime)
		defer cancel()
		result, err = linear.Check(ctx, object.Model, object.Operations, linear.Options{Hints: object.Hints, Checks: object.Checks})
	}, 0, nil)
	return c, result.Answer, err
}

// outcome is what became of the rival.
type outcome struct {
	cost
	answer   order.Answer
	timedOut bool
}

// rival has Porcupine judge an object, within limits. It knows no limit of memory; once it
// reaches ours no step is allowed any more, so that it soon gives up.
func rival(cfg Config, object *models.Object, times int) outcome {
	var stop atomic.Bool
	model := object.Model
	step := model.Step
	model.Step = func(state, input, output any) (bool, any) {
		if stop.Load() {
			return false, state
		}
		return step(state, input, output)
	}
	result := porcupine.Unknown
	c := repeated(times, func() {
		result = porcupine.CheckOperationsTimeout(model, object.Operations, cfg.RivalTime)
	}, cfg.RivalMemory, func() { stop.Store(true) })
	stop.Store(true) // for a search that goes on after a time-out
	o := outcome{cost: c, timedOut: result == porcupine.Unknown}
	switch {
	case o.stopped():
	case result == porcupine.Ok:
		o.answer = order.Legal
	default:
		o.answer = order.Illegal
	}
	return o
}

// stopped reports whether the rival reached a limit.
func (o outcome) stopped() bool { return o.timedOut || o.full }

func word(a order.Answer) string {
	switch a {
	case order.Legal:
		return "legal"
	case order.Illegal:
		return "illegal"
	}
	return "undecided"
}

func answerOf(legal bool) order.Answer {
	if legal {
		return order.Legal
	}
	return order.Illegal
}

// against fills a row in from both sides' runs on one history of known verdict.
func against(c cost, answer order.Answer, r outcome, known order.Answer) Row {
	row := Row{OursMS: c.ms(), OursMB: c.mb(), RivalMS: r.ms(), RivalMB: r.mb(),
		RivalTimedOut: r.timedOut && !r.full, RivalOutOfMemory: r.full}
	switch {
	case answer != known:
		row.Wrong = "ours says " + word(answer) + " where " + word(known) + " is known"
	case !r.stopped() && r.answer != known:
		row.Wrong = "the rival says " + word(r.answer) + " where " + word(known) + " is known"
	}
	return row
}
