package shardkv

import (
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/paxos"
)

// Lease is the terms on which stores hold shards, the same on every node.
type Lease struct {
	Length time.Duration
	// ClockError is the declared bound: over any time as long as Length, no node's monotonic clock goes wrong by more.
	ClockError time.Duration
	Retry      time.Duration // after which what was not answered is sent again
}

// Grantor is a node of the placement group: a paxos.Core that also ends the turns of stores that do not renew.
type Grantor struct {
	*paxos.Core
	id        core.Address
	lease     Lease
	placement *Placement
	seen      map[core.Address]renewal
	session   uint64
	seq       uint64
	askedAt   time.Duration
	now       time.Duration
	clock     time.Duration // by which turns are measured: now
	leads     bool
	begun     bool
	defect    defect.ID
}

// renewal is when a grantor first saw a node's latest renewal executed.
type renewal struct {
	number uint64
	live   bool
	at     time.Duration
}

// NewGrantor makes a grantor. The options' App must be the placement.
func NewGrantor(o paxos.Options, p *Placement, l Lease, stored core.Stored) (*Grantor, error) {
	o.App = p
	c, err := paxos.New(o, stored)
	if err != nil {
		return nil, err
	}
	return &Grantor{Core: c, id: o.ID, lease: l, placement: p, seen: map[core.Address]renewal{}}, nil
}

// Step takes one event in.
func (g *Grantor) Step(e core.Event) core.Output {
	if reply, ok := e.Body.(*paxos.Reply); ok && e.From == g.id {
		if reply.Kind == paxos.Register && reply.Status == paxos.OK {
			g.session = reply.Session
		} else if reply.Status == paxos.Expired {
			g.session = 0
		}
		e.Body = nil
	}
	out := g.Core.Step(e)
	if e.Now < g.now { // the clock went back, which is beyond the bound
		clear(g.seen)
		g.askedAt = 0
	}
	g.now, g.clock = e.Now, e.Now
	if g.defect == defect.K04 {
		g.clock = e.Wall
	}
	g.observe()
	led := g.leads
	_, g.leads = g.Leading()
	if g.leads && !led && g.defect == defect.K28 {
		g.forget()
	}
	if late := g.late(); g.leads && late != nil && g.now >= g.askedAt && out.Save == nil && out.Compact == nil {
		g.askedAt = g.now + g.lease.Retry
		request := &paxos.Request{Command: paxos.Command{Kind: paxos.Register, Seq: uint64(g.now)}}
		if g.session != 0 {
			g.seq++
			request.Command = paxos.Command{Kind: paxos.Apply, Session: g.session, Seq: g.seq, Op: End(late.Node, late.Renewals)}
		}
		more := g.Core.Step(core.Event{Now: e.Now, Wall: e.Wall, From: g.id, Body: request})
		out = join(out, more)
	}
	return out
}

// observe notes the renewals executed since the last step. The node sent each of them before.
func (g *Grantor) observe() {
	for _, t := range g.placement.m.Turns {
		if had, there := g.seen[t.Node]; !there || had.number != t.Renewals || had.live != t.Live {
			g.seen[t.Node] = renewal{t.Renewals, t.Live, g.clock}
		}
	}
	if !g.begun && g.defect == defect.K07 {
		g.forget()
	}
	g.begun = true
}

// forget is what defects do with the time at which renewals were seen.
func (g *Grantor) forget() {
	for n, r := range g.seen {
		r.at = g.clock - g.turn() - 1
		g.seen[n] = r
	}
}

// turn is how long a node's turn lasts after a renewal was seen, by the clock of this one.
func (g *Grantor) turn() time.Duration {
	if g.defect == defect.K03 {
		return g.lease.Length
	}
	return g.lease.Length + g.lease.ClockError
}

// late is a turn that has to end, or nil.
func (g *Grantor) late() *Turn {
	for i, t := range g.placement.m.Turns {
		if t.Live && g.clock > g.seen[t.Node].at+g.turn() {
			return &g.placement.m.Turns[i]
		}
	}
	return nil
}

// Deadline is when the grantor wants to be stepped next.
func (g *Grantor) Deadline() time.Duration {
	d := g.Core.Deadline()
	if !g.leads {
		return d
	}
	for _, t := range g.placement.m.Turns {
		if t.Live {
			d = min(d, max(g.seen[t.Node].at+g.turn()+1+g.now-g.clock, g.askedAt))
		}
	}
	return d
}

// join appends an output to one of the step before it.
func join(a, b core.Output) core.Output {
	a.Send = append(a.Send, b.Send...)
	a.Records = append(a.Records, b.Records...)
	a.AfterSync = append(a.AfterSync, b.AfterSync...)
	a.Trace = append(a.Trace, b.Trace...)
	if b.Save != nil {
		a.Save = b.Save
	}
	if b.Compact != nil {
		a.Compact = b.Compact
	}
	return a
}

// Map is the placement as this node knows it.
func (g *Grantor) Map() Map { return g.placement.m }

// SetLease changes the terms that this grantor keeps to. Other than those of the stores they are a mistake, which tests make.
func (g *Grantor) SetLease(l Lease) { g.lease = l }
