package paxos

import (
	"bytes"
	"slices"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

// lead is what a leader knows, and what a candidate learns in phase 1.
type lead struct {
	ballot  Ballot
	reports map[Slot]report // what the promises tell of slots not proposed yet
	highest Slot            // the highest slot of a report
	barrier Slot            // every slot that may have been chosen before is at or below

	next     Slot
	inflight map[Slot]*proposal
	progress map[core.Address]*progress

	queue      []Command
	queueBytes int
	batchAt    time.Duration // when the queue is proposed even if it fills no batch
	waiting    map[requestKey]*waiter
	latest     map[uint64]uint64 // session to its latest sequence number: R15 only

	changeSlot Slot    // of the last change of members proposed
	joining    *joiner // a node to be added, which catches up

	round       uint64 // of heartbeats
	sent        map[uint64]time.Duration
	heartbeatAt time.Duration
	retryAt     time.Duration
	aliveAt     time.Duration // the last sign that it can do its work
	reads       []pendingRead
}

// report is the vote of the highest ballot that promises tell of a slot.
type report struct {
	Vote
	by []core.Address // who told this value: R06 and R09 only
}

// proposal is a slot in phase 2.
type proposal struct {
	batch  *Batch
	votes  map[core.Address]bool
	count  int // of packets: R08 only
	sentAt time.Duration
}

// progress is what the leader knows of a node.
type progress struct {
	executed Slot
	round    uint64        // the last heartbeat acknowledged
	leasedAt time.Duration // when that heartbeat was sent
	heardAt  time.Duration
}

// requestKey names a request.
type requestKey struct {
	kind    CommandKind
	session uint64
	seq     uint64
}

func (c Command) key() requestKey { return requestKey{c.Kind, c.Session, c.Seq} }

// waiter is a client that waits for a request's outcome.
type waiter struct {
	client   core.Address
	proposed bool
}

// joiner is a node that is added once it has caught up.
type joiner struct {
	member  Member
	command Command
}

func newLead(b Ballot) lead {
	return lead{
		ballot: b, reports: map[Slot]report{}, inflight: map[Slot]*proposal{}, progress: map[core.Address]*progress{},
		waiting: map[requestKey]*waiter{}, latest: map[uint64]uint64{}, sent: map[uint64]time.Duration{},
		batchAt: core.Never, heartbeatAt: core.Never, retryAt: core.Never,
	}
}

// report notes a vote told by a promise.
func (l *lead) report(from core.Address, v Vote, d defect.ID) {
	if l.next > v.Slot {
		return // proposed already
	}
	had, there := l.reports[v.Slot]
	better := v.Chosen || !had.Chosen && v.Ballot.Compare(had.Ballot) > 0
	same := there && bytes.Equal(had.Batch.encoded, v.Batch.encoded)
	if !there || better && d != defect.R05 {
		had.Vote = v
		if !same {
			had.by = nil
		}
	}
	if bytes.Equal(had.Batch.encoded, v.Batch.encoded) {
		had.by = append(had.by, from)
	}
	l.reports[v.Slot] = had
	l.highest, l.barrier = max(l.highest, v.Slot), max(l.barrier, v.Slot)
}

func (l *lead) clockWentBack(now time.Duration) {
	for _, p := range l.progress {
		p.heardAt = min(p.heardAt, now)
		p.round, p.leasedAt = 0, now-24*time.Hour
	}
	clear(l.sent)
	for _, p := range l.inflight {
		p.sentAt = min(p.sentAt, now)
	}
	l.aliveAt = min(l.aliveAt, now)
	l.heartbeatAt, l.retryAt, l.batchAt = min(l.heartbeatAt, now), min(l.retryAt, now), min(l.batchAt, now)
}

// of returns the progress of a node.
func (l *lead) of(n core.Address) *progress {
	p := l.progress[n]
	if p == nil {
		p = &progress{leasedAt: -24 * time.Hour}
		l.progress[n] = p
	}
	return p
}

// beginLeading is called once a quorum has promised.
func (c *Core) beginLeading() {
	c.role = leading
	if c.leader != c.opt.ID {
		c.leader, c.leaderSince = c.opt.ID, c.now
	}
	c.electionAt = core.Never
	c.lead.next = c.state.executed + 1
	c.lead.aliveAt = c.now
	for n, p := range c.candidate.promises {
		c.lead.of(n).heardAt, c.lead.of(n).executed = c.now, p.executed
	}
	c.lead.retryAt = c.now + c.opt.Retry
	c.heartbeat()
}

// endLeading tells the clients that wait.
func (c *Core) endLeading() {
	l := c.lead
	c.lead = lead{batchAt: core.Never, heartbeatAt: core.Never, retryAt: core.Never}
	if c.opt.Defect == defect.R39 {
		c.executeQueue(l)
		return
	}
	keys := make([]requestKey, 0, len(l.waiting))
	for k := range l.waiting {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, compareKeys)
	for _, k := range keys {
		w := l.waiting[k]
		status := NotLeader
		if w.proposed {
			status = Deposed
		}
		c.traceWithdrawal(k)
		c.send(w.client, &Reply{Kind: k.kind, Session: k.session, Seq: k.seq, Status: status})
	}
	for _, r := range l.reads {
		c.traceWithdrawal(r.command.key())
		c.send(r.client, &Reply{Kind: Read, Session: r.command.Session, Seq: r.command.Seq, Status: NotLeader})
	}
}

// elapseLeading does what is due for a leader.
func (c *Core) elapseLeading() {
	g := c.state.config(c.state.executed + 1)
	c.lead.of(c.opt.ID).heardAt = c.now
	if c.state.executed >= c.lead.barrier {
		c.lead.aliveAt = c.now
	}
	heard := c.quorumth(g, func(p *progress) time.Duration { return p.heardAt })
	switch {
	case !g.has(c.opt.ID): // removed
		c.stepDown()
		return
	case c.now-heard > 2*c.opt.ViewTimeout, c.now-c.lead.aliveAt > 2*c.timeout:
		c.timeout = min(2*c.timeout, c.opt.MaxViewTimeout)
		c.stepDown()
		return
	}
	if c.now-c.leaderSince >= c.opt.ViewTimeout && c.opt.Defect != defect.R23 {
		c.timeout = c.opt.ViewTimeout
	}
	if c.now >= c.lead.heartbeatAt || c.readsWantRound() {
		c.heartbeat()
	}
	if c.now >= c.lead.retryAt {
		c.retryProposals()
	}
}

// quorumth returns the value that a quorum of the configuration reaches.
func (c *Core) quorumth(g config, of func(*progress) time.Duration) time.Duration {
	values := make([]time.Duration, 0, 8)
	for _, m := range g.members {
		values = append(values, of(c.lead.of(m.ID)))
	}
	slices.Sort(values)
	return values[len(values)-c.quorum(g)]
}

// heartbeat tells everybody that this node leads.
func (c *Core) heartbeat() {
	l := &c.lead
	l.round++
	l.heartbeatAt = c.now + c.opt.Heartbeat
	l.sent[l.round] = c.leaseClock()
	delete(l.sent, l.round-256)
	c.grant(c.opt.ID)
	self := l.of(c.opt.ID)
	self.round, self.leasedAt, self.executed = l.round, c.leaseClock(), c.state.executed
	g := c.state.config(c.state.executed + 1)
	truncate := Slot(c.quorumth(g, func(p *progress) time.Duration { return time.Duration(p.executed) }))
	if c.opt.Defect == defect.R26 {
		for _, m := range g.members {
			truncate = min(truncate, l.of(m.ID).executed)
		}
	}
	c.truncate = max(c.truncate, truncate)
	c.forget()
	beat := &Heartbeat{l.ballot, l.round, c.state.executed, c.truncate}
	for _, n := range c.audience() {
		c.send(n, beat)
	}
}

// audience is everybody who follows the leader, without itself.
func (c *Core) audience() []core.Address {
	all := c.peers()
	if j := c.lead.joining; j != nil && !slices.Contains(all, j.member.ID) {
		all = append(all, j.member.ID)
	}
	if c.opt.Defect == defect.R38 {
		for n := range c.lead.progress {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
		slices.Sort(all)
	}
	return slices.DeleteFunc(all, func(n core.Address) bool { return n == c.opt.ID })
}

func (c *Core) leaseClock() time.Duration {
	if c.opt.Defect == defect.R17 {
		return c.wall
	}
	return c.now
}

func (c *Core) onHeartbeatAck(from core.Address, m *HeartbeatAck) {
	if c.role != leading || m.Ballot != c.lead.ballot {
		return
	}
	p := c.heardFrom(from, m.Executed)
	if sent, known := c.lead.sent[m.Round]; known && m.Round > p.round {
		p.round, p.leasedAt = m.Round, sent
	}
	c.admit()
}

// heardFrom notes that a node follows, and what it has executed.
func (c *Core) heardFrom(n core.Address, executed Slot) *progress {
	p := c.lead.of(n)
	p.heardAt = c.now
	p.executed = max(p.executed, executed)
	c.noteExecuted(n, executed)
	return p
}

// retryProposals sends again what was not answered.
func (c *Core) retryProposals() {
	c.lead.retryAt = c.now + c.opt.Retry
	if c.opt.Defect == defect.R27 {
		return
	}
	for slot := c.state.executed + 1; slot < c.lead.next; slot++ {
		p := c.lead.inflight[slot]
		if p == nil || c.now-p.sentAt < c.opt.Retry {
			continue
		}
		p.sentAt = c.now
		c.sendProposal(slot, p)
	}
}

func (c *Core) sendProposal(slot Slot, p *proposal) {
	accept := &Accept{c.lead.ballot, slot, c.state.executed, p.batch}
	for _, m := range c.state.config(slot).members {
		if m.ID != c.opt.ID && !p.votes[m.ID] {
			c.send(m.ID, accept)
		}
	}
	if c.opt.Defect == defect.R38 {
		for _, n := range c.audience() {
			if !c.state.config(slot).has(n) {
				c.send(n, accept)
			}
		}
	}
}

func (c *Core) onAccepted(from core.Address, m *Accepted) {
	if c.role != leading || m.Ballot != c.lead.ballot && c.opt.Defect != defect.R09 {
		return
	}
	c.heardFrom(from, m.Executed)
	p := c.lead.inflight[m.Slot]
	if p == nil {
		return
	}
	p.votes[from] = true
	p.count++
	if c.decided(m.Slot, p, from) {
		c.choose(m.Slot, p.batch)
	}
}

// decided says whether the slot is chosen.
func (c *Core) decided(slot Slot, p *proposal, from core.Address) bool {
	g := c.state.config(slot)
	switch c.opt.Defect {
	case defect.R08:
		return p.count >= c.quorum(g)
	case defect.R19:
		return from == c.opt.ID
	case defect.R38:
		return len(p.votes) >= c.quorum(g)
	}
	n := 0
	for _, m := range g.members {
		if p.votes[m.ID] {
			n++
		}
	}
	return n >= c.quorum(g)
}

// choose notes that the slot is chosen, by the leader's own count or because a promise or another node says so.
func (c *Core) choose(slot Slot, batch *Batch) {
	if slot <= c.state.executed {
		return
	}
	e := c.log[slot]
	if e == nil {
		e = &entry{}
		c.log[slot] = e
	}
	if e.batch == nil || e.batch != batch && !bytes.Equal(e.batch.encoded, batch.encoded) {
		e.vote = Ballot{}
		e.batch = batch
		c.record(recordLearn(slot, batch))
	}
	e.chosen = true
	delete(c.lead.inflight, slot)
}
