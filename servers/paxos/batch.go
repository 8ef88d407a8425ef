package paxos

import (
	"fmt"
	"strings"
)

// CommandKind says what a command does.
type CommandKind byte

// Kinds of commands, which are also those of requests.
const (
	// Apply executes Op on the application, once for each Session and Seq.
	Apply CommandKind = 1 + iota
	// Read queries the application.
	Read
	// Register opens a session. Seq is a number of the client's choice by which it knows the reply.
	Register
	// Change adds or removes a node: Op is an encoded MemberChange. Seq is as for Register.
	Change
)

// Command is one entry of a batch.
type Command struct {
	Kind    CommandKind
	Session uint64
	Seq     uint64
	Op      []byte
}

// maxBatchCount is the limit of commands in a batch: session numbers are slot<<16 + place.
const maxBatchCount = 1<<16 - 1

// Batch is what one slot chooses: commands that are executed in order. It is immutable. One without commands does nothing.
type Batch struct {
	Commands []Command
	encoded  []byte
}

func newBatch(commands []Command) *Batch {
	b := appendUint(nil, uint64(len(commands)))
	for _, c := range commands {
		b = append(b, byte(c.Kind))
		b = appendUint(b, c.Session)
		b = appendUint(b, c.Seq)
		b = appendBytes(b, c.Op)
	}
	return &Batch{commands, b}
}

func (r *reader) batch() *Batch {
	encoded := r.bytes()
	in := reader{b: encoded}
	n := in.count()
	if n > maxBatchCount {
		in.fail()
	}
	b := &Batch{encoded: encoded, Commands: make([]Command, 0, min(n, len(in.b)/4))}
	for range n {
		c := Command{Kind: CommandKind(in.byte()), Session: in.uint(), Seq: in.uint(), Op: in.bytes()}
		if c.Kind < Apply || c.Kind > Change {
			in.fail()
		}
		b.Commands = append(b.Commands, c)
	}
	if in.end() != nil {
		r.fail()
	}
	return b
}

// size is the batch's share of a message in bytes.
func (b *Batch) size() int { return len(b.encoded) + 32 }

// String lists the commands, for traces.
func (b *Batch) String() string {
	parts := make([]string, 0, len(b.Commands))
	for _, c := range b.Commands {
		parts = append(parts, fmt.Sprintf("%d/%d.%d", c.Kind, c.Session, c.Seq))
	}
	return "[" + strings.Join(parts, " ") + "]"
}
