package paxos

import (
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

// pendingRead waits until a quorum has acknowledged a heartbeat that was sent after it came.
type pendingRead struct {
	client  core.Address
	command Command
	round   uint64
}

func (c *Core) onRead(from core.Address, m Command) {
	switch {
	case c.opt.Defect == defect.R16:
		c.answer(from, m, outcome{session: m.Session, result: c.state.app.Query(m.Op)})
	case c.opt.Reads == ReadLog || !c.oneConfiguration():
		c.enqueue(from, m)
	default:
		c.lead.reads = append(c.lead.reads, pendingRead{from, m, c.lead.round + 1})
	}
}

// oneConfiguration says that all slots in which anybody may propose have the configuration of the next one, and no change
// is on its way. Only then does a quorum of it meet each quorum that another leader would need.
func (c *Core) oneConfiguration() bool {
	return c.state.settled() && c.lead.changeSlot <= c.state.executed
}

// caughtUp says that the state includes every slot that was chosen before this node became leader.
func (c *Core) caughtUp() bool {
	g := c.state.config(c.state.executed + 1)
	return c.state.executed >= c.lead.barrier && c.promisedAt(g, noSlot) >= c.quorum(g)
}

// leaseHolds says that no other node can have become leader.
func (c *Core) leaseHolds() bool {
	if c.opt.Reads != ReadLease {
		return false
	}
	since := c.quorumth(c.state.config(c.state.executed+1), func(p *progress) time.Duration { return p.leasedAt })
	return c.leaseClock() < since+c.opt.Lease-2*c.opt.ClockError
}

// confirmed is the newest heartbeat that a quorum has acknowledged.
func (c *Core) confirmed() uint64 {
	g := c.state.config(c.state.executed + 1)
	return uint64(c.quorumth(g, func(p *progress) time.Duration { return time.Duration(p.round) }))
}

// readsWantRound says that a read waits for a heartbeat that was not sent yet, and none is under way.
func (c *Core) readsWantRound() bool {
	n := len(c.lead.reads)
	return n > 0 && c.lead.reads[n-1].round > c.lead.round && !c.more && !c.leaseHolds() && c.confirmed() >= c.lead.round
}

// answerReads answers what may be answered.
func (c *Core) answerReads() {
	if c.role != leading || len(c.lead.reads) == 0 || !c.caughtUp() {
		return
	}
	reads := c.lead.reads
	if !c.oneConfiguration() {
		c.lead.reads = nil
		for _, r := range reads {
			c.enqueue(r.client, r.command)
		}
		c.propose()
		return
	}
	confirmed := c.confirmed()
	if c.leaseHolds() {
		confirmed = noRound
	}
	n := 0
	for n < len(reads) && reads[n].round <= confirmed {
		r := reads[n]
		c.answer(r.client, r.command, outcome{session: r.command.Session, result: c.state.app.Query(r.command.Op)})
		n++
	}
	c.lead.reads = reads[n:]
}

const noRound = uint64(1<<64 - 1)
