package simulation

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/paxos"
	"nemesis/servers/spec"
)

// client is a client of a group: it opens a session and makes one request after another, each of which it sends again,
// to one node after another, until it is answered. It is a core.Core.
type client struct {
	address core.Address
	nodes   []core.Address
	rng     *rand.Rand
	think   time.Duration // between requests, on average
	retry   time.Duration
	until   time.Duration // no new requests after this
	giveUp  float64       // share of requests that it gives up after the first retry
	reads   float64       // share of reads

	session  uint64
	seq      uint64
	busy     bool // a request waits
	request  paxos.Request
	attempts int
	guess    core.Address // the leader, perhaps
	at       time.Duration
	out      core.Output
}

// asked and settled are the client's notes for the liveness of what the specification does not know.
type (
	asked   struct{ request spec.Request }
	settled struct{ request spec.Request }
)

func (c *client) Deadline() time.Duration { return c.at }

func (c *client) Step(e core.Event) core.Output {
	c.out = core.Output{}
	if reply, ok := e.Body.(*paxos.Reply); ok {
		c.onReply(e.Now, e.From, reply)
	}
	if e.Now >= c.at {
		if c.busy {
			c.again(e.Now)
		} else {
			c.next(e.Now)
		}
	}
	return c.out
}

// name is how the specification calls the current request.
func (c *client) name() spec.Request {
	if c.request.Kind == paxos.Register {
		return spec.Request{Client: uint64(c.address), Seq: c.request.Seq}
	}
	return spec.Request{Client: c.request.Session, Seq: c.request.Seq}
}

// next makes a request.
func (c *client) next(now time.Duration) {
	if now >= c.until {
		c.at = core.Never
		return
	}
	c.busy, c.attempts = true, 0
	c.seq++
	switch {
	case c.session == 0:
		c.request = paxos.Request{Command: paxos.Command{Kind: paxos.Register, Seq: uint64(c.address)<<32 + c.seq}}
		c.tell(asked{c.name()})
	case c.rng.Float64() < c.reads:
		op := paxos.KVOp{Kind: paxos.KVGet, Key: c.key()}.Encode()
		c.request = paxos.Request{Command: paxos.Command{Kind: paxos.Read, Session: c.session, Seq: c.seq, Op: op}}
		c.tell(spec.Invoke{Request: c.name(), Op: op, Read: true})
	default:
		op := c.operation()
		c.request = paxos.Request{Command: paxos.Command{Kind: paxos.Apply, Session: c.session, Seq: c.seq, Op: op}}
		c.tell(spec.Invoke{Request: c.name(), Op: op})
	}
	c.send(now, c.guess)
}

func (c *client) tell(event any) { c.out.Trace = append(c.out.Trace, event) }

func (c *client) key() string { return string(rune('a' + c.rng.IntN(3))) }

func (c *client) operation() []byte {
	o := paxos.KVOp{Key: c.key(), Value: binary.BigEndian.AppendUint32(nil, uint32(c.address)<<24|uint32(c.seq))}
	switch c.rng.IntN(10) {
	case 0:
		o.Kind = paxos.KVDelete
	case 1, 2:
		o.Kind = paxos.KVSet
	case 3:
		o.Kind = paxos.KVCAS
	case 4, 5, 6:
		o.Kind = paxos.KVIncrement
	case 7:
		if c.rng.IntN(10) == 0 {
			return []byte{0xff, 0x01} // no operation at all
		}
		o.Kind = paxos.KVSet
	default:
		o.Kind, o.Value = paxos.KVAppend, o.Value[1:]
	}
	return o.Encode()
}

func (c *client) send(now time.Duration, to core.Address) {
	if to == 0 {
		to = c.nodes[c.rng.IntN(len(c.nodes))]
	}
	c.at = now + c.retry
	request := c.request
	c.out.Send = append(c.out.Send, core.Message{To: to, Body: &request})
}

// again sends the request to the next node.
func (c *client) again(now time.Duration) {
	c.attempts++
	if c.attempts == 1 && c.request.Kind == paxos.Apply && c.rng.Float64() < c.giveUp {
		c.done(now)
		return
	}
	c.guess = 0
	c.send(now, c.nodes[(int(c.address)+c.attempts)%len(c.nodes)])
}

// done goes on to the next request.
func (c *client) done(now time.Duration) {
	c.tell(settled{c.name()})
	c.busy = false
	c.at = now + time.Duration(c.rng.Int64N(int64(2*c.think)+1))
}

func (c *client) onReply(now time.Duration, from core.Address, m *paxos.Reply) {
	if !c.busy || m.Seq != c.request.Seq || m.Kind != c.request.Kind {
		return
	}
	switch m.Status {
	case paxos.OK:
		c.guess = from
		switch m.Kind {
		case paxos.Register:
			c.session = m.Session
		case paxos.Apply, paxos.Read:
			c.tell(spec.Reply{Request: c.name(), Result: m.Result})
		}
		c.done(now)
	case paxos.Expired:
		c.session = 0 // whether the request was executed is not known
		c.done(now)
	case paxos.Refused:
		c.done(now)
	case paxos.NotLeader:
		if m.Leader != 0 && m.Leader != from && m.Leader != c.guess {
			c.guess = m.Leader
			c.send(now, m.Leader)
		}
	}
}

// admin makes changes of members, one after another.
type admin struct {
	client
	jobs []paxos.MemberChange
}

func (a *admin) Step(e core.Event) core.Output {
	a.out = core.Output{}
	if reply, ok := e.Body.(*paxos.Reply); ok && a.busy && reply.Seq == a.request.Seq {
		switch reply.Status {
		case paxos.OK:
			a.busy = false
		case paxos.Refused:
			a.busy = string(reply.Result) == fmt.Sprint(reply.Result) // a change that is refused is given up
		case paxos.NotLeader:
			a.guess = reply.Leader
		}
	}
	if e.Now >= a.at {
		a.at = e.Now + 100*time.Millisecond
		if !a.busy && len(a.jobs) > 0 {
			a.seq++
			a.busy, a.attempts = true, 0
			a.request = paxos.Request{Command: paxos.Command{Kind: paxos.Change, Seq: uint64(a.address)<<32 + a.seq, Op: a.jobs[0].Encode()}}
			a.jobs = a.jobs[1:]
		}
		if a.busy {
			if a.attempts++; a.attempts > 30 {
				a.busy = false
			}
			a.send(e.Now, a.guess)
			a.guess = 0
			a.at = e.Now + 100*time.Millisecond
		}
	}
	return a.out
}
