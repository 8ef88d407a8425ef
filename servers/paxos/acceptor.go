package paxos

import (
	"slices"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

func (c *Core) onAccept(from core.Address, m *Accept) {
	c.hear(m.Ballot)
	if !c.obey(from, m.Ballot) {
		return
	}
	if c.accept(m.Ballot, m.Slot, m.Batch) {
		reply := &Accepted{m.Ballot, m.Slot, c.state.executed}
		if c.opt.Defect == defect.R02 {
			c.send(from, reply)
		} else {
			c.sendDurably(from, reply)
		}
	}
	c.learnCommit(m.Ballot, m.Commit)
}

// obey makes the node a follower of the ballot's leader, unless it has promised a higher one.
func (c *Core) obey(from core.Address, b Ballot) bool {
	if c.compare(b, c.promised) < 0 {
		c.send(from, &Reject{b, c.promised})
		return false
	}
	if b != c.promised {
		c.promise(b)
	}
	if b.Node != c.opt.ID {
		c.follow(b)
	}
	return true
}

// accept votes for the batch and says whether the vote may be answered.
func (c *Core) accept(b Ballot, slot Slot, batch *Batch) bool {
	if slot <= c.base || slot <= c.forgotten {
		return true // a durable snapshot includes it
	}
	if slot > c.state.executed+2*Slot(c.opt.LogWindow) {
		return false // the node must catch up first
	}
	e := c.log[slot]
	switch {
	case e == nil:
		c.log[slot] = &entry{vote: b, batch: batch}
	case e.chosen, e.vote == b:
		return true
	default:
		e.vote, e.batch = b, batch
	}
	c.record(recordAccept(b, slot, batch))
	return true
}

// slotsAbove returns the slots of the log above a slot, in order.
func (c *Core) slotsAbove(slot Slot) []Slot {
	var slots []Slot
	for s := range c.log {
		if s > slot {
			slots = append(slots, s)
		}
	}
	slices.Sort(slots)
	return slots
}

func (c *Core) onHeartbeat(from core.Address, m *Heartbeat) {
	c.hear(m.Ballot)
	if !c.obey(from, m.Ballot) {
		return
	}
	c.grant(from)
	ack := &HeartbeatAck{m.Ballot, m.Round, c.state.executed}
	if c.fresh || len(c.out.Records) > 0 {
		c.sendDurably(from, ack) // a restarted node must find that it may have granted a lease
	} else {
		c.send(from, ack)
	}
	c.truncate = max(c.truncate, min(m.Truncate, c.state.executed))
	c.forget()
	c.learnCommit(m.Ballot, m.Commit)
}

// grant promises the leader that no other node is promised anything for the length of a lease.
func (c *Core) grant(leader core.Address) {
	c.leaseHolder, c.leaseUntil = leader, max(c.leaseUntil, c.now+c.opt.Lease)
}
