// Package generator decides what clients do next: a small algebra of immutable
// values that yield operations.
//
// A Generator answers one question, Next: given the time and the idle workers,
// what should be done now? It answers Ready with an operation, Pending (ask again
// later) or Done, together with the generator to ask from then on. Because a
// generator is a value, asking costs nothing: whoever does not like an answer
// drops it and keeps what he had. So a combinator may ask several members, take
// the best answer and forget the rest, and the whole algebra needs no locks, no
// goroutines and no sleeping. One goroutine, the interpreter of package run, owns
// the generator of a run; Simulation owns one in a test, in virtual time.
//
// Data passes in a circle. The interpreter shows a Context (time, idle workers,
// the seeded random source), takes an operation, tells every generator about its
// invocation through Update, and later about its completion in the same way:
//
//	g := generator.TimeLimit(60*time.Second,
//		generator.Stagger(10*time.Millisecond,
//			generator.Mix(reads, writes)))
//	op, status, g = g.Next(ctx)  // Ready: {Time: …, Thread: 3, F: "read"}
//	g = g.Update(ctx, event)     // invoked; later: completed
//
// A combinator that hands its members only a part of the workers (Reserve, Keys,
// EachThread, OnThreads) narrows the Context, and everything else, waiting for
// idle workers included, means those workers only. Thus combinators nest freely.
//
// A nil Generator is one that is done.
//
// The package is public API: programs of others may build workloads on it and try them in a
// Simulation, so it has combinators that no workload of nemesis uses. The examples show
// both.
package generator

import (
	"encoding/json"
	"math"
)

// AnyThread in Op.Thread means that any free worker of the context may do it.
const AnyThread = -1

// Never as the time of a Pending answer says that only an event can change it.
const Never int64 = math.MaxInt64

// Unlimited as a count means without end.
const Unlimited = -1

// patience bounds how often in a row a combinator asks a member that yields
// nothing usable, before it lets the interpreter go on with its other work.
const patience = 1000

// pause is how long such a combinator then waits, in nanoseconds.
const pause = 1_000_000

// Op is an operation that a generator wants done, and when.
type Op struct {
	// Time is the earliest moment to invoke it, nanoseconds since the run began.
	// In a Pending answer it is the moment to ask again unless an event comes first.
	Time int64
	// Thread is the worker that must do it; AnyThread lets the interpreter choose a free one.
	Thread int
	F      string
	Key    string
	Value  json.RawMessage
}

// Generator is an immutable value that yields operations one by one.
//
// Implementations must be comparable without a panic, most simply by being
// pointers: combinators compare a member with its successor to see whether it changed.
type Generator interface {
	// Next returns what to do in the situation ctx, and the generator that follows.
	//
	//   - Ready: do the operation. The generator that follows replaces this one
	//     only if the operation is really taken; otherwise keep this one.
	//   - Pending: nothing to do before Op.Time or the next event. The generator
	//     that follows replaces this one: it remembers since when it has waited.
	//   - Done: there will never be another operation; what follows is nil.
	//
	// Asking changes nothing except the context's random source.
	Next(ctx *Context) (Op, Status, Generator)
	// Update tells of an event (invocation or completion) of an operation that this
	// generator or one beside it yielded, and returns the generator that follows.
	// ctx is the situation after the event.
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

// Event is an invocation or a completion, as generators see it.
type Event struct {
	Time       int64
	Thread     int
	Process    int
	F          string
	Key        string
	Invocation bool
	OK         bool // a completion of type ok
	// Value is the argument or the result. Results come from servers: hostile text.
	Value json.RawMessage
}

// done and wait are the answers Done and Pending.
func done() (Op, Status, Generator) { return Op{}, Done, nil }

func wait(until int64, g Generator) (Op, Status, Generator) {
	return Op{Time: until, Thread: AnyThread}, Pending, g
}

// next asks g, which may be nil.
func next(g Generator, ctx *Context) (Op, Status, Generator) {
	if g == nil {
		return done()
	}
	return g.Next(ctx)
}

// update tells g, which may be nil.
func update(g Generator, ctx *Context, ev Event) Generator {
	if g == nil {
		return nil
	}
	return g.Update(ctx, ev)
}
