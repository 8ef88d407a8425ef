// Package lock is a lock that goes around a ring of nodes: IronLock, the example of section 3 of the IronFleet paper (Hawblitzel and
// others, SOSP 2015), with what it leaves out: a node that crashes goes on where it was, and a transfer that is lost is sent again.
//
// A holder keeps the lock for a while, and then hands it to its successor with the next epoch. It notes on disk that it
// does not hold any more before it says so, and its successor notes that it holds before it acknowledges: so no two nodes
// hold at once, whatever crashes. Specification: spec.Lock.
package lock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/spec"
)

// Options are a node's settings.
type Options struct {
	ID    core.Address
	Ring  []core.Address // in order, the same on each node; the first one holds first
	Hold  time.Duration  // for how long a node holds
	Retry time.Duration  // after which a transfer that is not acknowledged is sent again
	Trace bool           // put spec.Locked into Output.Trace
	// Addresses are where the nodes listen. Only a host needs them.
	Addresses map[core.Address]string
}

// Transfer hands the lock over: the receiver holds it in Epoch.
type Transfer struct{ Epoch uint64 }

// Ack says that the sender has received a Transfer, durably.
type Ack struct{ Epoch uint64 }

// Ask asks a node, by anybody, and Told answers: the last epoch in which it held, and whether it still does.
type (
	Ask  struct{}
	Told struct {
		Epoch uint64
		Holds bool
	}
)

const (
	tagTransfer byte = 1 + iota
	tagAck
	tagAsk
	tagTold
)

// Append appends the encoding.
func (m Transfer) Append(b []byte) []byte { return appendEpoch(b, tagTransfer, m.Epoch) }

// Append appends the encoding.
func (m Ack) Append(b []byte) []byte { return appendEpoch(b, tagAck, m.Epoch) }

// Append appends the encoding.
func (m Ask) Append(b []byte) []byte { return appendEpoch(b, tagAsk, 0) }

// Append appends the encoding.
func (m Told) Append(b []byte) []byte {
	return append(appendEpoch(b, tagTold, m.Epoch), map[bool]byte{true: 1}[m.Holds])
}

func appendEpoch(b []byte, tag byte, epoch uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, tag), epoch)
}

// Decode reads a message.
func Decode(b []byte) (core.Body, error) {
	if len(b) == 9 {
		epoch := binary.BigEndian.Uint64(b[1:])
		switch b[0] {
		case tagTransfer:
			return Transfer{epoch}, nil
		case tagAck:
			return Ack{epoch}, nil
		case tagAsk:
			return Ask{}, nil
		}
	}
	if len(b) == 10 && b[0] == tagTold && b[9] <= 1 {
		return Told{binary.BigEndian.Uint64(b[1:]), b[9] == 1}, nil
	}
	return nil, errors.New("decode a message: it is none of a lock")
}

// Core is one node: a core.Core.
type Core struct {
	opt     Options
	epoch   uint64 // the last in which this node held
	holds   bool
	passing bool          // the successor has not acknowledged the next epoch
	at      time.Duration // when to hand over, or to send again
	fresh   bool          // nothing is recorded yet
	records int           // in the log
	begun   bool
	out     core.Output
}

// New makes a node from what its disk holds: the last record counts.
func New(o Options, stored core.Stored) (*Core, error) {
	if !slices.Contains(o.Ring, o.ID) || o.Hold <= 0 || o.Retry <= 0 {
		return nil, fmt.Errorf("start node %d: it is not in the ring %v, or a time is not above 0", o.ID, o.Ring)
	}
	c := &Core{opt: o, fresh: stored.Empty(), holds: o.Ring[0] == o.ID}
	if c.holds {
		c.epoch = 1
	}
	c.records = len(stored.Records)
	if n := c.records; n > 0 {
		r := stored.Records[n-1]
		if len(r) != 9 || r[8] > 1 {
			return nil, fmt.Errorf("start node %d: the record %x is none of a lock", o.ID, r)
		}
		c.epoch, c.holds = binary.BigEndian.Uint64(r), r[8] == 1
		c.passing = !c.holds && c.epoch > 0
	}
	return c, nil
}

// Step takes one event in.
func (c *Core) Step(e core.Event) core.Output {
	c.out = core.Output{}
	if !c.begun {
		c.begun, c.at = true, e.Now+c.opt.Hold
		if c.fresh {
			c.record()
		}
		if c.holds {
			c.announce()
		}
	}
	switch m := e.Body.(type) {
	case Transfer:
		if m.Epoch > c.epoch && !e.From.IsClient() {
			c.epoch, c.holds, c.passing, c.at = m.Epoch, true, false, e.Now+c.opt.Hold
			c.record()
			c.announce()
		}
		c.out.AfterSync = append(c.out.AfterSync, core.Message{To: e.From, Body: Ack(m)})
	case Ack:
		c.passing = c.passing && m.Epoch != c.epoch+1
	case Ask:
		c.out.Send = append(c.out.Send, core.Message{To: e.From, Body: Told{c.epoch, c.holds}})
	}
	if e.Now >= c.at && c.holds {
		c.holds, c.passing = false, true
		c.record()
	}
	if e.Now >= c.at && c.passing {
		c.at = e.Now + c.opt.Retry
		next := c.opt.Ring[(slices.Index(c.opt.Ring, c.opt.ID)+1)%len(c.opt.Ring)]
		c.out.AfterSync = append(c.out.AfterSync, core.Message{To: next, Body: Transfer{c.epoch + 1}})
	}
	return c.out
}

// Deadline is when the node wants to be stepped next.
func (c *Core) Deadline() time.Duration {
	switch {
	case !c.begun:
		return 0
	case c.holds || c.passing:
		return c.at
	}
	return core.Never
}

// record notes the state: the last record counts.
func (c *Core) record() {
	b := binary.BigEndian.AppendUint64(nil, c.epoch)
	b = append(b, map[bool]byte{true: 1}[c.holds])
	c.out.Records = append(c.out.Records, b)
	if c.records++; c.records >= compactEvery || c.out.Compact != nil {
		c.records, c.out.Compact = 0, &core.Compaction{Records: [][]byte{b}}
	}
}

// compactEvery is the number of records after which the log begins anew.
const compactEvery = 1000

func (c *Core) announce() {
	if c.opt.Trace {
		c.out.Trace = append(c.out.Trace, spec.Locked{Node: uint64(c.opt.ID), Epoch: c.epoch})
	}
}

// Holds says whether the node holds the lock, and its last epoch.
func (c *Core) Holds() (epoch uint64, holds bool) { return c.epoch, c.holds }

// AddressOf is where a node listens, or "" if that is not known.
func (c *Core) AddressOf(n core.Address) string { return c.opt.Addresses[n] }
