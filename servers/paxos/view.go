package paxos

import (
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

// candidate is what a node knows while it tries to become leader.
type candidate struct {
	ballot   Ballot
	supports map[core.Address]bool
	promises map[core.Address]*promise
	retryAt  time.Duration
}

// promise is what one node promised.
type promise struct {
	answer   uint64
	executed Slot
	parts    map[uint64]bool
	whole    bool
}

// waitForLeader starts the view timeout anew.
func (c *Core) waitForLeader() {
	c.electionAt = c.now + c.timeout + time.Duration(c.rng.Int64N(int64(c.timeout)/2+1))
}

// follow makes the node a follower of the ballot's leader, from which something was heard.
func (c *Core) follow(b Ballot) {
	if c.role != follower {
		c.stepDown()
	}
	if c.leader != b.Node {
		c.leader, c.leaderSince = b.Node, c.now
	}
	if c.now-c.leaderSince >= c.opt.ViewTimeout && c.opt.Defect != defect.R23 {
		c.timeout = c.opt.ViewTimeout
	}
	c.waitForLeader()
}

// stepDown ends a candidacy or a leadership.
func (c *Core) stepDown() {
	wasLeading := c.role == leading
	c.role, c.leader = follower, 0
	c.candidate = candidate{retryAt: core.Never}
	if wasLeading {
		c.endLeading()
	}
	c.waitForLeader()
}

// viewTimeout is called when no leader was heard, or a candidacy took too long.
func (c *Core) viewTimeout() {
	if c.role == leading {
		return // elapseLeading decides
	}
	if c.role != follower || c.opt.Defect == defect.R23 {
		c.timeout *= 2
		if c.opt.Defect != defect.R23 {
			c.timeout = min(c.timeout, c.opt.MaxViewTimeout)
		}
		c.timeout = min(c.timeout, 24*time.Hour)
	}
	c.role, c.leader = follower, 0
	c.candidate = candidate{retryAt: core.Never}
	c.waitForLeader()
	if c.eligible(c.opt.ID, c.state.executed) {
		c.canvass()
	}
}

// eligible says whether a node that has executed this much may be elected. If it knows more than this node, it may be a
// member without this node's knowing.
func (c *Core) eligible(n core.Address, executed Slot) bool {
	if c.state.blank() {
		return n != c.opt.ID
	}
	if c.state.config(c.state.executed + 1).has(n) {
		return true
	}
	return n != c.opt.ID && executed > c.state.executed
}

func (c *Core) canvass() {
	c.role = canvassing
	c.heard.Sequence = max(c.heard.Sequence, c.promised.Sequence)
	c.candidate = candidate{ballot: Ballot{c.heard.Sequence + 1, c.opt.ID}, supports: map[core.Address]bool{}}
	c.retryCandidate()
}

// retryCandidate asks those that have not answered.
func (c *Core) retryCandidate() {
	c.candidate.retryAt = c.now + c.opt.Retry
	switch c.role {
	case canvassing:
		for _, n := range c.peers() {
			if n == c.opt.ID {
				c.onSupport(n, &Support{Ballot: c.candidate.ballot, OK: c.wouldPromise(n, c.candidate.ballot, c.state.executed)})
			} else if !c.candidate.supports[n] {
				c.send(n, &Canvass{c.candidate.ballot, c.state.executed})
			}
		}
	case preparing, leading: // a leader needs more promises when members change
		if c.opt.Defect == defect.R24 {
			c.candidate.retryAt = core.Never
		}
		for _, n := range c.peers() {
			if p := c.candidate.promises[n]; p == nil || !p.whole {
				c.send(n, &Prepare{c.candidate.ballot, c.state.executed})
			}
		}
	default:
		c.candidate.retryAt = core.Never
	}
}

func (c *Core) wouldPromise(from core.Address, b Ballot, executed Slot) bool {
	return c.eligible(from, executed) && !c.leased(from) && c.compare(b, c.promised) > 0
}

// leased says that the node must not promise another one now.
func (c *Core) leased(to core.Address) bool {
	return c.now < c.leaseUntil && c.leaseHolder != to
}

func (c *Core) onCanvass(from core.Address, m *Canvass) {
	c.hear(m.Ballot)
	c.send(from, &Support{Ballot: m.Ballot, OK: c.wouldPromise(from, m.Ballot, m.Executed), Promised: c.promised, Executed: c.state.executed})
}

func (c *Core) hear(b Ballot) { c.heard.Sequence = max(c.heard.Sequence, b.Sequence) }

func (c *Core) onSupport(from core.Address, m *Support) {
	c.hear(m.Promised)
	c.noteExecuted(from, m.Executed)
	if c.role != canvassing || m.Ballot != c.candidate.ballot || !m.OK {
		return
	}
	c.candidate.supports[from] = true
	g := c.state.config(c.state.executed + 1)
	n := 0
	for _, member := range g.members {
		if c.candidate.supports[member.ID] {
			n++
		}
	}
	if n >= c.quorum(g) {
		c.prepare()
	}
}

// prepare begins phase 1. The attempt has a view timeout to succeed in.
func (c *Core) prepare() {
	c.role = preparing
	c.heard.Sequence = max(c.heard.Sequence, c.promised.Sequence)
	c.candidate = candidate{ballot: Ballot{c.heard.Sequence + 1, c.opt.ID}, promises: map[core.Address]*promise{}}
	c.hear(c.candidate.ballot)
	c.lead = newLead(c.candidate.ballot)
	c.waitForLeader()
	if c.opt.Defect == defect.R24 {
		c.electionAt = core.Never
	}
	c.retryCandidate()
}

func (c *Core) onPrepare(from core.Address, m *Prepare) {
	c.hear(m.Ballot)
	c.noteExecuted(from, m.Executed)
	if !c.eligible(from, m.Executed) || c.leased(from) {
		return
	}
	order := c.compare(m.Ballot, c.promised)
	if order < 0 || order == 0 && m.Ballot.Node != from && c.opt.Defect != defect.R04 {
		c.send(from, &Reject{m.Ballot, c.promised})
		return
	}
	if order > 0 || c.opt.Defect == defect.R04 {
		c.promise(m.Ballot)
		if from != c.opt.ID && c.role != follower {
			c.stepDown()
		}
		if from != c.opt.ID {
			c.leader = 0
			c.waitForLeader() // give it the time to win
			if c.opt.Defect == defect.R24 {
				c.electionAt = core.Never
			}
		}
	}
	for _, p := range c.votesAbove(m) {
		if c.opt.Defect == defect.R01 {
			c.send(from, p)
			continue
		}
		c.sendDurably(from, p)
	}
}

// promise raises the ballot below which nothing is accepted.
func (c *Core) promise(b Ballot) {
	c.promised = b
	c.record(recordPromise(b))
}

// votesAbove returns the promise in as many messages as it takes.
func (c *Core) votesAbove(m *Prepare) []*Promise {
	above := max(m.Executed, c.state.executed)
	answer := c.rng.Uint64()
	parts := []*Promise{{Ballot: m.Ballot, Executed: c.state.executed, Answer: answer}}
	size := 0
	for _, slot := range c.slotsAbove(above) {
		e := c.log[slot]
		if size += e.batch.size(); size > c.opt.TransferBytes && len(parts[len(parts)-1].Votes) > 0 {
			parts = append(parts, &Promise{Ballot: m.Ballot, Executed: c.state.executed, Answer: answer, Part: uint64(len(parts))})
			size = e.batch.size()
		}
		last := parts[len(parts)-1]
		last.Votes = append(last.Votes, Vote{slot, e.vote, e.chosen, e.batch})
	}
	for _, p := range parts {
		p.Parts = uint64(len(parts))
	}
	return parts
}

func (c *Core) onPromise(from core.Address, m *Promise) {
	c.noteExecuted(from, m.Executed)
	if c.role != preparing && c.role != leading || m.Ballot != c.candidate.ballot {
		return
	}
	p := c.candidate.promises[from]
	if p == nil || p.answer != m.Answer && !p.whole {
		p = &promise{answer: m.Answer, executed: m.Executed, parts: map[uint64]bool{}}
		c.candidate.promises[from] = p
	}
	if p.answer != m.Answer || m.Part >= m.Parts {
		return
	}
	p.parts[m.Part] = true
	for _, v := range m.Votes {
		c.lead.report(from, v, c.opt.Defect)
	}
	if p.whole || uint64(len(p.parts)) < m.Parts {
		return
	}
	p.whole = true
	c.lead.barrier = max(c.lead.barrier, m.Executed)
	g := c.state.config(c.state.executed + 1)
	if c.role == preparing && c.promisedAt(g, noSlot) >= c.quorum(g) {
		c.beginLeading()
	}
}

// noSlot is above all slots.
const noSlot = Slot(1<<64 - 1)

// promisedAt is the number of members that have told all of their votes in the slot.
func (c *Core) promisedAt(g config, slot Slot) int {
	n := 0
	for _, m := range g.members {
		if p := c.candidate.promises[m.ID]; p != nil && p.whole && (p.executed < slot || c.opt.Defect == defect.R10) {
			n++
		}
	}
	return n
}

func (c *Core) onReject(m *Reject) {
	c.hear(m.Promised)
	switch {
	case c.role == follower || c.role == canvassing:
	case m.Ballot == c.candidate.ballot && c.compare(m.Promised, m.Ballot) > 0:
		c.stepDown()
	}
}
