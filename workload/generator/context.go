package generator

import (
	"math/rand/v2"
	"slices"
)

// Context is the situation in which a generator is asked. Combinators narrow it.
type Context struct {
	// Time is now, nanoseconds since the run began.
	Time int64
	// Free and All are the idle and all workers this generator may use, ascending.
	Free []int
	All  []int
	// Process maps a worker to its current process.
	Process []int
	// Rand is the one seeded source of the workload.
	Rand *rand.Rand
}

// NewContext is the situation at the start: every one of threads workers idle,
// each being the process of its own number.
func NewContext(threads int, r *rand.Rand) *Context {
	c := &Context{Rand: r, Process: make([]int, threads), All: make([]int, threads)}
	for i := range threads {
		c.Process[i], c.All[i] = i, i
	}
	c.Free = slices.Clone(c.All)
	return c
}

// Begin marks a worker as busy and reports whether it was idle.
// Only the owner of the context calls Begin, End and Retire, never a generator.
func (c *Context) Begin(thread int) bool {
	at, idle := slices.BinarySearch(c.Free, thread)
	if idle {
		c.Free = slices.Delete(c.Free, at, at+1)
	}
	return idle
}

// End marks a worker as idle.
func (c *Context) End(thread int) {
	if at, idle := slices.BinarySearch(c.Free, thread); !idle {
		c.Free = slices.Insert(c.Free, at, thread)
	}
}

// Retire gives a worker its next process: the outcome of the last one's
// operation is unknown, so that process may still be acting.
func (c *Context) Retire(thread int) { c.Process[thread] += len(c.Process) }

// Choose fills in the worker of an operation that any idle one may do. It draws
// at random, so that no worker, and hence no node, is starved at low rates.
func (c *Context) Choose(op Op) Op {
	if op.Thread == AnyThread && len(c.Free) > 0 {
		op.Thread = c.Free[c.Rand.IntN(len(c.Free))]
	}
	return op
}

// part is the context of the workers at positions [from, to) of All.
func (c *Context) part(from, to int) *Context {
	sub := *c
	sub.All = c.All[from:to]
	if from == to {
		sub.Free = nil
		return &sub
	}
	low, _ := slices.BinarySearch(c.Free, sub.All[0])
	high, _ := slices.BinarySearch(c.Free, sub.All[len(sub.All)-1]+1)
	sub.Free = c.Free[low:high]
	return &sub
}

// only is the context of the workers that keep accepts.
func (c *Context) only(keep func(thread int) bool) *Context {
	sub := *c
	sub.All, sub.Free = filter(c.All, keep), filter(c.Free, keep)
	return &sub
}

func filter(threads []int, keep func(int) bool) []int {
	var kept []int
	for _, t := range threads {
		if keep(t) {
			kept = append(kept, t)
		}
	}
	return kept
}

// position is where a worker stands in All, -1 when it is not of this context.
func (c *Context) position(thread int) int {
	if at, found := slices.BinarySearch(c.All, thread); found {
		return at
	}
	return -1
}

// idle reports whether every worker of the context is free.
func (c *Context) idle() bool { return len(c.Free) == len(c.All) }
