package paxos

import (
	"nemesis/servers/core"
	"nemesis/servers/wire"
)

// reader reads an encoding, and the terms of this package in it.
type reader struct{ *wire.Reader }

func newReader(b []byte) reader { return reader{wire.NewReader(b)} }

func (r reader) slot() Slot            { return Slot(r.Uint()) }
func (r reader) address() core.Address { return core.Address(r.Uint()) }
func (r reader) ballot() Ballot        { return Ballot{r.Uint(), r.address()} }

func appendBallot(b []byte, v Ballot) []byte {
	return wire.AppendUint(wire.AppendUint(b, v.Sequence), v.Node)
}
