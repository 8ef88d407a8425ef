package paxos

import (
	"cmp"
	"fmt"

	"nemesis/servers/core"
)

// Slot numbers a place in the log, from 1.
type Slot uint64

// Ballot is a leader's turn. The zero Ballot is below all others.
type Ballot struct {
	Sequence uint64
	Node     core.Address
}

// Compare orders ballots by sequence, then by node.
func (b Ballot) Compare(o Ballot) int {
	return cmp.Or(cmp.Compare(b.Sequence, o.Sequence), cmp.Compare(b.Node, o.Node))
}

func (b Ballot) String() string { return fmt.Sprintf("%d.%d", b.Sequence, b.Node) }
