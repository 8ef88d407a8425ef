package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/paxos"
	"nemesis/servers/shardkv"
	"nemesis/servers/spec"
)

// asked and answered are a client's notes for the model.
type (
	asked    struct{ request spec.Request }
	answered struct {
		request spec.Request
		result  *shardkv.Result // nil of a request to the placement group
	}
)

// retry is after which a client sends an operation again.
const retry = 60 * ms

// client makes one operation after another, or, as the admin, changes of the map. It is a core.Core.
type client struct {
	model   *model
	address core.Address
	rng     *rand.Rand
	admin   bool
	jobs    [][]byte

	session, seq uint64
	busy         bool
	hops         int // redirects followed since it last asked on its own
	body         core.Body
	to           core.Address
	at           time.Duration
	out          core.Output
}

func (c *client) Deadline() time.Duration { return c.at }

// name is how the specification calls the current request.
func (c *client) name() spec.Request { return spec.Request{Client: uint64(c.address), Seq: c.seq} }

func (c *client) Step(e core.Event) core.Output {
	c.out = core.Output{}
	switch m := e.Body.(type) {
	case *paxos.Reply:
		c.onReply(e.Now, m)
	case *shardkv.Result:
		c.onResult(e, m)
	}
	if e.Now >= c.at {
		switch {
		case c.busy:
			c.to, c.hops = c.pick(), 0
			c.send(e.Now)
		case e.Now < c.model.cfg.Until+lag*2/3:
			c.next(e.Now)
		default:
			c.at = core.Never
		}
	}
	return c.out
}

func (c *client) onReply(now time.Duration, m *paxos.Reply) {
	request, ok := c.body.(*paxos.Request)
	if !ok || !c.busy || m.Seq != request.Seq || m.Kind != request.Kind {
		return
	}
	switch m.Status {
	case paxos.OK, paxos.Expired, paxos.Refused:
		c.tell(answered{request: c.name()})
		if m.Kind == paxos.Register && m.Status == paxos.OK {
			c.session = m.Session
		}
		c.done(now)
	case paxos.NotLeader:
		if m.Leader != 0 {
			c.to = m.Leader
		}
	}
}

func (c *client) onResult(e core.Event, m *shardkv.Result) {
	if _, ok := c.body.(*shardkv.Op); !ok || !c.busy || m.Seq != c.seq {
		return
	}
	switch {
	case m.Status == shardkv.OK:
		c.tell(answered{c.name(), m})
		c.done(e.Now)
	case m.Status == shardkv.Redirect && m.Holder != 0 && c.hops < 3:
		if node, _ := shardkv.NodeOf(m.Holder); node != e.From {
			c.hops++ // doubled answers of stores that redirect to each other must not multiply
			c.to = node
			c.send(e.Now)
		}
	}
}

func (c *client) tell(event any) { c.out.Trace = append(c.out.Trace, event) }

func (c *client) done(now time.Duration) {
	c.busy, c.at = false, now+time.Duration(c.rng.Int64N(int64(c.model.cfg.Think)))
}

func (c *client) pick() core.Address {
	if _, ok := c.body.(*paxos.Request); ok {
		return core.Address(1 + c.rng.IntN(grantors))
	}
	return core.Address(1 + c.rng.IntN(c.model.cfg.Nodes))
}

func (c *client) next(now time.Duration) {
	switch {
	case c.admin && c.session == 0:
		c.seq++
		c.body = &paxos.Request{Command: paxos.Command{Kind: paxos.Register, Seq: uint64(c.address)}}
	case c.admin:
		if len(c.jobs) == 0 {
			c.at = now + 20*ms
			return
		}
		c.seq++
		c.body = &paxos.Request{Command: paxos.Command{Kind: paxos.Apply, Session: c.session, Seq: c.seq, Op: c.jobs[0]}}
		c.jobs = c.jobs[1:]
	default:
		c.seq++
		c.body = c.operation()
	}
	c.busy, c.hops = true, 0
	c.to = c.pick()
	c.tell(asked{c.name()})
	c.send(now)
}

func (c *client) operation() *shardkv.Op {
	all := keys()
	o := &shardkv.Op{Client: uint64(c.address), Seq: c.seq, Kind: shardkv.Kind(1 + c.rng.IntN(6)), Key: all[c.rng.IntN(len(all))], Absent: true}
	if c.rng.IntN(3) == 0 {
		o.Kind = shardkv.Get
	}
	switch o.Kind {
	case shardkv.Set, shardkv.Append, shardkv.CAS:
		o.Value = []byte(fmt.Sprintf("%d.%d ", c.address-core.FirstClient, c.seq))
	}
	return o
}

func (c *client) send(now time.Duration) {
	c.at = now + retry
	c.out.Send = append(c.out.Send, core.Message{To: c.to, Body: c.body})
}
