package generator

import (
	"encoding/json"
	"math/rand/v2"
)

// Op is an operation that a generator wants done, and when.
type Op struct {
	// Time is the earliest moment to invoke it, nanoseconds since the run began.
	Time int64
	// Thread is the worker that must do it; AnyThread lets the interpreter choose a free one.
	Thread int
	F      string
	Key    string
	Value  json.RawMessage
}

// AnyThread in Op.Thread means that any free worker of the context may do it.
const AnyThread = -1

// Generator is an immutable value that yields operations one by one.
//
// Next returns what to do in the situation ctx, and the generator that follows
// once that operation has been taken. A caller that does not take the operation
// keeps the old generator: asking changes nothing except the context's random source.
type Generator interface {
	Next(ctx *Context) (Op, Status, Generator)
	// Update tells of an event (invocation or completion) of an operation that this
	// generator or one beside it yielded, and returns the generator that follows.
	Update(ctx *Context, ev Event) Generator
}

// Status is the kind of answer Next gives.
type Status int

const (
	// Done: there will never be another operation.
	Done Status = iota
	// Pending: nothing now; ask again after the next event or moment.
	Pending
	// Ready: the Op is valid.
	Ready
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

// Event is an invocation or a completion, as generators see it.
type Event struct {
	Time       int64
	Thread     int
	Process    int
	F          string
	Key        string
	Invocation bool
	OK         bool // a completion of type ok
}
