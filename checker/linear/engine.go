package linear

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"nemesis/checker"
)

// answer is what a search concludes about one register.
type answer int8

const (
	undecided answer = iota
	legal            // there is an order
	illegal          // there is none
)

// search decides whether ops, sorted in any way, have a linear order. It is the
// only place that knows the engine: whatever replaces it takes the same
// operations and obeys the same leash.
//
// The engine is Porcupine, which silently misjudges an operation without a
// return; crashed operations therefore return at history.Never, with an answer
// that fits any state. Its own time limit cannot be told from an answer and knows
// no memory limit, so it is not used: once the leash is pulled no step is allowed
// any more, the search soon finds nothing left to try, and its "illegal" is read
// as undecided. A "legal" needs every step to have been allowed, so it stands.
func search(ops []op, leash *leash) answer {
	if len(ops) == 0 {
		return legal
	}
	const (
		certain = true
		unsure  = false
	)
	entries := make([]porcupine.Operation, len(ops))
	for i := range ops {
		entries[i] = porcupine.Operation{ClientId: i, Input: &ops[i], Output: certain, Call: ops[i].call, Return: ops[i].ret}
		if ops[i].crashed {
			entries[i].Output = unsure
		}
	}
	model := porcupine.Model{
		Init: func() interface{} { return initial },
		Step: func(state, input, output interface{}) (bool, interface{}) {
			if !leash.step() {
				return false, state
			}
			s, o := state.(int32), input.(*op)
			switch o.kind {
			case read:
				return o.old == s || output == unsure, state
			case write:
				return true, o.new
			}
			if o.old == s {
				return true, o.new
			}
			return output == unsure, state
		},
		Equal: func(a, b interface{}) bool { return a.(int32) == b.(int32) },
		// Spread the few small numbers over all bits: Porcupine xors this with the
		// hash of a bit set.
		Hash: func(state interface{}) uint64 { return uint64(uint32(state.(int32))+1) * 0x9e3779b97f4a7c15 },
	}
	if porcupine.CheckOperations(model, entries) {
		return legal
	}
	if leash.pulled() {
		return undecided
	}
	return illegal
}

// guard watches over all searches of one Check: the context and the memory.
type guard struct {
	ctx    context.Context
	memory int64

	mu      sync.Mutex
	leashes map[*leash]struct{}
	done    chan struct{}
}

func newGuard(ctx context.Context, memory int64) *guard {
	g := &guard{ctx: ctx, memory: memory, leashes: make(map[*leash]struct{}), done: make(chan struct{})}
	go g.watch()
	return g
}

func (g *guard) close() { close(g.done) }

// The reasons for pulling a leash.
const (
	outOfTime int32 = iota + 1
	outOfMemory
	outOfSteps
)

// watch pulls every leash when the context ends, or when the heap exceeds its
// bound even after a collection. A collection that frees less than a quarter
// counts as exceeding, or the process would do nothing but collect.
func (g *guard) watch() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-g.done:
			return
		case <-g.ctx.Done():
			g.pullAll(outOfTime)
			return
		case <-tick.C:
			if g.memory > 0 && heap() > g.memory {
				runtime.GC()
				if heap() > g.memory/4*3 {
					g.pullAll(outOfMemory)
				}
			}
		}
	}
}

func heap() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

func (g *guard) pullAll(why int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for l := range g.leashes {
		l.pull(why)
	}
}

// leash bounds one search. It is pulled from outside, or by itself when the
// search has taken its number of steps.
type leash struct {
	guard *guard
	why   atomic.Int32
	timer *time.Timer
	left  int64 // steps; negative is no bound. Used by the search's goroutine only.
}

// leash starts to bound a search: by the guard, by patience (0 is no bound) and
// by a number of steps (0 is no bound). Steps make what is found in vain the same
// on a slow machine as on a fast one. The caller ends it.
func (g *guard) leash(patience time.Duration, steps int64) *leash {
	l := &leash{guard: g, left: steps}
	if steps == 0 {
		l.left = -1
	}
	if patience > 0 {
		l.timer = time.AfterFunc(patience, func() { l.pull(outOfTime) })
	}
	g.mu.Lock()
	g.leashes[l] = struct{}{}
	g.mu.Unlock()
	if g.ctx.Err() != nil {
		l.pull(outOfTime)
	}
	return l
}

func (l *leash) pull(why int32) { l.why.CompareAndSwap(0, why) }

func (l *leash) pulled() bool { return l.why.Load() != 0 }

func (l *leash) step() bool {
	if l.left == 0 {
		l.pull(outOfSteps)
	}
	if l.left > 0 {
		l.left--
	}
	return !l.pulled()
}

// end stops the watch over a search and says why it was pulled, "" if it was not.
func (l *leash) end() string {
	if l.timer != nil {
		l.timer.Stop()
	}
	l.guard.mu.Lock()
	delete(l.guard.leashes, l)
	l.guard.mu.Unlock()
	switch l.why.Load() {
	case outOfTime:
		return checker.Stopped(l.guard.ctx)
	case outOfMemory:
		return "ran out of memory; give more with --checker-memory"
	case outOfSteps:
		return "ran out of steps"
	}
	return ""
}
