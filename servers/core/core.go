// Package core is the contract between a pure protocol core and what runs it: the simulator (servers/sim) and
// the hosts that serve real clients.
//
// A core is a deterministic state machine. It has no goroutine, clock, disk, socket or source of chance of its
// own: the same events in the same order give the same outputs. What runs a core gives it one Event at a time and
// does what the Output says, under these rules, on which the proofs of the protocols rest:
//
//   - Records are appended to the log in order. AfterSync messages leave only once every record of this and of
//     every earlier Output is on disk. Send messages may leave at once. Several outputs may share one sync.
//   - A message to the core's own address comes back to it as an event, under the same rule.
//   - Messages may be lost, doubled, delayed and reordered; they arrive unchanged or not at all, and From is true.
//   - Save is written so that after a crash the whole new snapshot or the whole old one is there. Once it is durable
//     the core is told by a Saved event. Compact replaces the log by the given records, atomically.
//   - When writing or syncing fails, the core is thrown away, and a new one is made from what the disk holds.
//     AfterSync messages of records that may not have reached the disk never leave.
//   - Event.Now is read after the event has reached the process: a message that waited in a queue while the process
//     was stopped is stamped when it is taken out.
package core

import "time"

// Address names an endpoint of messages: a node (1 to FirstClient-1) or a client (FirstClient and above).
type Address uint64

// FirstClient is the lowest address of a client.
const FirstClient Address = 1 << 32

// IsClient says whether the address is a client's.
func (a Address) IsClient() bool { return a >= FirstClient }

// Body is what a message says. It is immutable once sent: simulated receivers share it.
type Body interface {
	// Append appends the body's encoding to b.
	Append(b []byte) []byte
}

// Message is a body on its way. From is filled in by what carries it.
type Message struct {
	From, To Address
	Body     Body
}

// Event is what a core takes in: a message, news of its disk (Saved), or, with a nil Body, only the time.
type Event struct {
	// Now is the node's monotonic clock. Its origin is arbitrary but does not change while the process lives.
	Now time.Duration
	// Wall is the node's wall clock as time since the epoch. It may jump; no correct core decides by it.
	Wall time.Duration
	From Address
	Body Body
	// More says that another event is waiting already: a core may put off what is cheaper in bulk until one has none behind it.
	More bool
}

// Saved tells a core that the snapshot with this ID is durable.
type Saved struct{ ID uint64 }

// Append appends nothing: Saved never leaves its process.
func (Saved) Append(b []byte) []byte { return b }

// Snapshot is a state to be written to disk as a whole. IDs of one core grow.
type Snapshot struct {
	ID   uint64
	Data []byte
}

// Compaction replaces the log: after a crash, the snapshot of this ID and then these records are what is read.
// Snapshot 0 means that there is none.
type Compaction struct {
	Snapshot uint64
	Records  [][]byte
}

// Stored is what a disk held when a process started.
type Stored struct {
	Snapshot *Snapshot // nil if there is none
	Records  [][]byte
}

// Empty says whether the disk held nothing: the node has never run here.
func (s Stored) Empty() bool { return s.Snapshot == nil && len(s.Records) == 0 }

// Output is what one step asks for. Its slices belong to the caller.
type Output struct {
	Send      []Message
	Records   [][]byte
	AfterSync []Message
	Save      *Snapshot
	Compact   *Compaction // replaces Records too: whatever of them counts must be in it
	// Trace holds the step in the words of a specification (events of servers/spec), if the core was asked to trace.
	Trace []any
}

// Never is a deadline that does not come.
const Never = time.Duration(1<<63 - 1)

// Core is a protocol's state machine. It is used by one goroutine at a time.
type Core interface {
	// Step takes one event in. Now never goes back between steps of one core, unless the node's clock is broken.
	Step(Event) Output
	// Deadline is the reading of Event.Now at which the core wants to be stepped even if nothing arrives.
	// It is valid until the next step.
	Deadline() time.Duration
}
