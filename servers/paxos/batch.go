package paxos

import (
	"fmt"
	"strings"

	"nemesis/servers/wire"
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
	b := wire.AppendUint(nil, uint64(len(commands)))
	for _, c := range commands {
		b = append(b, byte(c.Kind))
		b = wire.AppendUint(b, c.Session)
		b = wire.AppendUint(b, c.Seq)
		b = wire.AppendBytes(b, c.Op)
	}
	return &Batch{commands, b}
}

func (r reader) batch() *Batch {
	encoded := r.Bytes()
	in := newReader(encoded)
	n := in.Count()
	if n > maxBatchCount {
		in.Fail()
	}
	b := &Batch{encoded: encoded, Commands: make([]Command, 0, min(n, in.Len()/4))}
	for range n {
		c := Command{Kind: CommandKind(in.Byte()), Session: in.Uint(), Seq: in.Uint(), Op: in.Bytes()}
		if c.Kind < Apply || c.Kind > Change {
			in.Fail()
		}
		b.Commands = append(b.Commands, c)
	}
	if in.End() != nil {
		r.Fail()
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
