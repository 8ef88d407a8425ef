package paxos

import (
	"cmp"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

func compareKeys(a, b requestKey) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.session, b.session), cmp.Compare(a.seq, b.seq))
}

func (c *Core) onRequest(from core.Address, m *Request) {
	refuse := func(s Status, why string) {
		c.send(from, &Reply{Kind: m.Kind, Session: m.Session, Seq: m.Seq, Status: s, Leader: c.leader, Result: []byte(why)})
	}
	if c.opt.Defect == defect.R18 && m.Kind == Read {
		c.traceRequest(m.Command)
		c.answer(from, m.Command, outcome{session: m.Session, result: c.state.app.Query(m.Op)})
		return
	}
	switch {
	case c.role != leading:
		refuse(NotLeader, "")
		return
	case len(c.lead.waiting)+len(c.lead.reads) >= c.opt.MaxPending, c.lead.queueBytes > c.opt.MaxPending*1024:
		refuse(Busy, "")
		return
	case len(m.Op) > c.opt.BatchBytes:
		refuse(Refused, "the operation is longer than a batch may be")
		return
	}
	w := c.lead.waiting[m.key()]
	if w == nil { // or else it is one request still, with one answer
		c.traceRequest(m.Command)
	}
	if m.Kind == Apply && c.answerFromCache(from, m.Command) {
		return
	}
	if w != nil {
		w.client = from // sent again
		return
	}
	switch m.Kind {
	case Read:
		c.onRead(from, m.Command)
	case Change:
		c.onChange(from, m, refuse)
	case Apply:
		c.lead.latest[m.Session] = max(c.lead.latest[m.Session], m.Seq)
		c.enqueue(from, m.Command)
	default:
		c.enqueue(from, m.Command)
	}
}

// answerFromCache answers a request that was executed already, and drops one that its client has given up since.
func (c *Core) answerFromCache(from core.Address, m Command) bool {
	e := c.state.sessions[m.Session]
	if e == nil {
		return false // the session may be open in a slot that is not executed yet
	}
	had := e.Value.(*session)
	if m.Seq == had.seq {
		c.answer(from, m, outcome{session: m.Session, result: had.result})
	}
	return m.Seq == had.seq || m.Seq < had.seq && c.opt.Defect != defect.R14
}

func (c *Core) enqueue(from core.Address, m Command) {
	c.lead.waiting[m.key()] = &waiter{client: from}
	if len(c.lead.queue) == 0 {
		c.lead.batchAt = c.now + c.opt.BatchDelay
	}
	c.lead.queue = append(c.lead.queue, m)
	c.lead.queueBytes += len(m.Op) + 32
}

// onChange takes a change of members in, one at a time.
func (c *Core) onChange(from core.Address, m *Request, refuse func(Status, string)) {
	change, err := decodeMemberChange(m.Op)
	if err != nil {
		refuse(Refused, err.Error())
		return
	}
	if _, why := c.state.newest().changed(change); why != "" {
		refuse(Refused, why)
		return
	}
	if j := c.lead.joining; j != nil && j.member == change.Member && !change.Remove {
		j.command = m.Command
		c.lead.waiting[m.key()] = &waiter{client: from}
		return
	}
	if !c.state.settled() || c.lead.changeSlot > c.state.executed || c.lead.joining != nil {
		refuse(Refused, "an earlier change does not hold yet; try again")
		return
	}
	if change.Remove {
		c.enqueue(from, m.Command)
		return
	}
	c.lead.joining = &joiner{change.Member, m.Command}
	c.lead.waiting[m.key()] = &waiter{client: from}
	c.lead.heartbeatAt = c.now
	c.admit()
}

// admit proposes the node that joins once it has caught up to within a window.
func (c *Core) admit() {
	j := c.lead.joining
	if j == nil || c.lead.of(j.member.ID).executed+c.state.window < c.state.executed || c.lead.of(j.member.ID).executed == 0 && c.state.executed > 0 {
		return
	}
	c.lead.joining = nil
	if w := c.lead.waiting[j.command.key()]; w != nil {
		c.enqueue(w.client, j.command)
	}
}

// propose opens slots for what waits, as far as the windows allow.
func (c *Core) propose() {
	if c.role != leading {
		return
	}
	l := &c.lead
	l.next = max(l.next, c.state.executed+1)
	for l.next <= c.state.executed+c.state.window && l.next <= c.truncate+Slot(c.opt.LogWindow) {
		g := c.state.config(l.next)
		if c.promisedAt(g, l.next) < c.quorum(g) {
			return // retryCandidate asks for more promises, or what others have executed is fetched
		}
		told, reported := l.reports[l.next]
		if reported && c.opt.Defect == defect.R06 && len(told.by) < 2 && !told.Chosen {
			reported = false
		}
		switch {
		case reported && told.Chosen:
			c.choose(l.next, told.Batch)
			l.next++
			c.execute()
		case reported:
			c.open(told.Batch)
			if c.opt.Defect == defect.R09 {
				for _, n := range told.by {
					l.inflight[l.next-1].votes[n] = true
				}
			}
		case l.next <= l.highest:
			c.open(newBatch(nil))
		case l.next <= l.barrier && c.opt.Defect != defect.R10:
			return // chosen, and reported by nobody who promised: it must be fetched
		case len(l.queue) > 0 && c.batchReady():
			c.open(c.nextBatch())
		case len(l.queue) == 0 && (l.next == 1 || l.next < c.state.newest().from || l.changeSlot > c.state.executed && l.next <= l.changeSlot+c.state.window):
			c.open(newBatch(nil)) // there is something to hand to a node that joins, and a change of members comes to hold
		default:
			return
		}
		delete(l.reports, l.next-1)
	}
}

func (c *Core) batchReady() bool {
	l := &c.lead
	full := len(l.queue) >= c.opt.BatchCount || l.queueBytes >= c.opt.BatchBytes
	return full || !c.more && c.now >= l.batchAt
}

// nextBatch takes a batch off the queue. A change of members is alone in its batch.
func (c *Core) nextBatch() *Batch {
	l := &c.lead
	n, size := 0, 0
	for n < len(l.queue) && n < c.opt.BatchCount {
		m := l.queue[n]
		size += len(m.Op) + 32
		if n > 0 && (size > c.opt.BatchBytes || m.Kind == Change) {
			break
		}
		n++
		if m.Kind == Change {
			break
		}
	}
	taken := l.queue[:n:n]
	l.queue = l.queue[n:]
	for _, m := range taken {
		l.queueBytes -= len(m.Op) + 32
		if w := l.waiting[m.key()]; w != nil {
			w.proposed = true
		}
	}
	l.batchAt = core.Never
	if len(l.queue) > 0 {
		l.batchAt = c.now + c.opt.BatchDelay
	}
	return newBatch(taken)
}

// open proposes the batch in the next slot.
func (c *Core) open(batch *Batch) {
	l := &c.lead
	slot := l.next
	l.next++
	for _, m := range batch.Commands {
		if m.Kind == Change {
			l.changeSlot = slot
		}
	}
	p := &proposal{batch: batch, votes: map[core.Address]bool{}, sentAt: c.now}
	l.inflight[slot] = p
	c.sendProposal(slot, p)
	if c.compare(l.ballot, c.promised) < 0 {
		return // deposed; a Reject to itself is on its way
	}
	if c.accept(l.ballot, slot, batch) {
		c.sendDurably(c.opt.ID, &Accepted{l.ballot, slot, c.state.executed})
	}
}

// answer tells a client the outcome of its request.
func (c *Core) answer(client core.Address, m Command, o outcome) {
	c.traceAnswer(m, o)
	c.send(client, &Reply{Kind: m.Kind, Session: o.session, Seq: m.Seq, Status: o.status, Leader: c.leader, Result: o.result})
}

// answerWaiting tells the client that waits for the request, if it does so here.
func (c *Core) answerWaiting(m Command, o outcome) {
	if c.role != leading {
		return
	}
	w := c.lead.waiting[m.key()]
	if w == nil {
		return
	}
	delete(c.lead.waiting, m.key())
	if c.opt.Defect == defect.R15 && m.Kind == Apply {
		m.Seq = c.lead.latest[m.Session]
	}
	if o.session == 0 {
		o.session = m.Session
	}
	c.answer(w.client, m, o)
}

// executeQueue is what R39 does: a deposed leader executes what it still holds on its own.
func (c *Core) executeQueue(l lead) {
	for _, m := range l.queue {
		w := l.waiting[m.key()]
		if m.Kind != Apply || w == nil || c.state.sessions[m.Session] == nil {
			continue
		}
		o := c.state.apply(m, 0)
		c.traceExecution(m, o)
		c.answer(w.client, m, o)
	}
}
