package paxos

import (
	"math/rand/v2"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

// started comes back to a node once its first record is on disk.
type started struct{}

func (started) Append(b []byte) []byte { return b }

type role int

const (
	follower   role = iota // follows a leader, or waits for one
	canvassing             // asks whether others would support it
	preparing              // runs phase 1
	leading
)

// Core is one node of a group: a core.Core.
type Core struct {
	opt   Options
	state *state
	rng   *rand.Rand
	out   core.Output
	now   time.Duration
	wall  time.Duration
	skew  time.Duration // what Event.Now has over now: R25 only
	more  bool
	begun bool // the first step was taken

	// The acceptor: what must survive a crash.
	promised Ballot
	log      map[Slot]*entry // above forgotten
	base     Slot            // the slot of the newest durable snapshot
	fresh    bool            // nothing was stored when the node started, and nothing is known to be durable yet

	// The lease that this node granted: until then it promises no other node.
	leaseHolder core.Address
	leaseUntil  time.Duration

	// The learner.
	truncate     Slot // the quorum-th highest executed slot
	forgotten    Slot // the log has no entry at or below
	recorded     Slot // the last commit record
	lastSnapshot Slot
	saving       Slot // the newest snapshot that is being saved, or 0
	compacting   bool // a snapshot became durable in this step
	installed    Slot // executed beyond the log, by a snapshot that is not durable yet; or 0
	fetching     fetching
	serving      serving

	// Views.
	role        role
	leader      core.Address // 0 if not known
	leaderSince time.Duration
	timeout     time.Duration
	electionAt  time.Duration
	heard       Ballot // the highest ballot heard of

	candidate candidate
	lead      lead
}

// entry is one slot of the log.
type entry struct {
	vote   Ballot
	batch  *Batch
	chosen bool
}

// New makes a node from what its disk holds, which may be nothing.
func New(o Options, stored core.Stored) (*Core, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Core{
		opt: o, state: newState(o), rng: rand.New(rand.NewPCG(o.Seed, uint64(o.ID))), log: map[Slot]*entry{},
		timeout: o.ViewTimeout, electionAt: core.Never, fresh: stored.Empty(), fetching: fetching{at: core.Never},
	}
	c.lead.retryAt, c.candidate.retryAt = core.Never, core.Never
	if c.fresh {
		c.record(recordGroup(c.state.encode(), c.state.blank()))
	} else if err := c.recover(stored); err != nil {
		return nil, err
	}
	c.traceState()
	return c, nil
}

// Step takes one event in.
func (c *Core) Step(e core.Event) core.Output {
	now := e.Now
	if c.opt.Defect == defect.R25 {
		now = e.Wall
		c.skew = e.Now - now
	}
	c.wall, c.more = e.Wall, e.More
	switch {
	case !c.begun:
		c.begun, c.now = true, now
		c.start()
	case now < c.now && c.opt.Defect != defect.R25:
		c.now = now
		c.clockWentBack()
	}
	c.now = now
	if e.Body != nil {
		c.receive(e.From, e.Body)
	}
	c.elapse()
	c.execute()
	c.propose()
	c.answerReads()
	c.snapshot()
	c.recordCommit()
	c.compact()
	out := c.out
	c.out = core.Output{}
	return out
}

// start sets the timers when the clock is first known. A node that may have granted a lease before a crash keeps to it.
func (c *Core) start() {
	if c.fresh {
		c.sendDurably(c.opt.ID, started{})
	} else {
		c.leaseHolder, c.leaseUntil = 0, c.now+c.opt.Lease
	}
	c.waitForLeader()
}

// clockWentBack puts every deadline where the clock now is. That is beyond any declared bound: leases that the node holds
// are given up, those that it granted begin again.
func (c *Core) clockWentBack() {
	if c.leaseUntil > 0 {
		c.leaseUntil = c.now + c.opt.Lease
	}
	c.leaderSince = min(c.leaderSince, c.now)
	if c.role != leading {
		c.waitForLeader()
	}
	if c.fetching.at != core.Never {
		c.fetching.at = c.now
	}
	c.candidate.retryAt = min(c.candidate.retryAt, c.now)
	c.lead.clockWentBack(c.now)
}

func (c *Core) receive(from core.Address, body core.Body) {
	switch m := body.(type) {
	case *Request:
		c.onRequest(from, m)
		return
	case *Inquiry:
		c.onInquiry(from)
		return
	}
	if from.IsClient() {
		return // a client has no part in the protocol
	}
	switch m := body.(type) {
	case *Accept:
		c.onAccept(from, m)
	case *Accepted:
		c.onAccepted(from, m)
	case *Heartbeat:
		c.onHeartbeat(from, m)
	case *HeartbeatAck:
		c.onHeartbeatAck(from, m)
	case *Canvass:
		c.onCanvass(from, m)
	case *Support:
		c.onSupport(from, m)
	case *Prepare:
		c.onPrepare(from, m)
	case *Promise:
		c.onPromise(from, m)
	case *Reject:
		c.onReject(m)
	case *Fetch:
		c.onFetch(from, m)
	case *Entries:
		c.onEntries(m)
	case *Chunk:
		c.onChunk(from, m)
	case started:
		c.fresh = false
	case core.Saved:
		c.onSaved(Slot(m.ID))
	}
}

func (c *Core) onInquiry(from core.Address) {
	standing := &Standing{Promised: c.promised, Leader: c.leader, Executed: c.state.executed, From: c.state.newest().from, Members: c.Members()}
	if ballot, leads := c.Leading(); leads {
		standing.Promised, standing.Leader = ballot, c.opt.ID
	}
	c.send(from, standing)
}

// elapse does what is due.
func (c *Core) elapse() {
	if c.now >= c.electionAt {
		c.viewTimeout()
	}
	if c.now >= c.candidate.retryAt {
		c.retryCandidate()
	}
	if c.now >= c.fetching.at {
		c.fetch()
	}
	if c.role == leading {
		c.elapseLeading()
	}
}

// Deadline is when the core wants to be stepped next.
func (c *Core) Deadline() time.Duration {
	if !c.begun {
		return 0 // the first step sets the timers
	}
	d := min(c.electionAt, c.candidate.retryAt, c.fetching.at)
	if c.role == leading {
		d = min(d, c.lead.heartbeatAt, c.lead.retryAt)
		if c.lead.batchAt > c.now { // otherwise the batch waits for a window to open
			d = min(d, c.lead.batchAt)
		}
	}
	if d == core.Never {
		return d
	}
	return d + c.skew
}

func (c *Core) send(to core.Address, body core.Body) {
	if to == c.opt.ID {
		c.out.AfterSync = append(c.out.AfterSync, core.Message{To: to, Body: body})
		return
	}
	c.out.Send = append(c.out.Send, core.Message{To: to, Body: body})
}

// sendDurably sends the message once all that is recorded is on disk.
func (c *Core) sendDurably(to core.Address, body core.Body) {
	c.out.AfterSync = append(c.out.AfterSync, core.Message{To: to, Body: body})
}

func (c *Core) record(r []byte) { c.out.Records = append(c.out.Records, r) }

// peers returns the nodes that have a part in any slot in which somebody may propose now, this one too if it has.
func (c *Core) peers() []core.Address {
	var all []core.Address
	seen := map[core.Address]bool{}
	for _, g := range c.state.configs {
		for _, m := range g.members {
			if !seen[m.ID] {
				seen[m.ID] = true
				all = append(all, m.ID)
			}
		}
	}
	return all
}

// quorum is the number of members that decide.
func (c *Core) quorum(g config) int {
	if c.opt.Defect == defect.R07 {
		return max(1, len(g.members)/2)
	}
	return len(g.members)/2 + 1
}

// compare orders ballots.
func (c *Core) compare(a, b Ballot) int {
	if c.opt.Defect == defect.R04 {
		a.Node, b.Node = 0, 0
	}
	return a.Compare(b)
}

// Leader is the node that this one takes for the leader, or 0.
func (c *Core) Leader() core.Address { return c.leader }

// Leading says whether this node leads, as far as it knows, and with which ballot.
func (c *Core) Leading() (Ballot, bool) { return c.lead.ballot, c.role == leading }

// Executed is the slot up to which this node has executed.
func (c *Core) Executed() Slot { return c.state.executed }

// Applied is the number of operations that the state includes.
func (c *Core) Applied() uint64 { return c.state.position }

// Digest is an encoding of all that the group replicates: after the same slot it is the same on each node.
func (c *Core) Digest() []byte { return c.state.encode() }

// Members returns the newest configuration that this node knows of.
func (c *Core) Members() []Member { return c.state.newest().members }

// AddressOf is where a node listens, or "" if this node does not know.
func (c *Core) AddressOf(n core.Address) string {
	for i := len(c.state.configs) - 1; i >= 0; i-- {
		for _, m := range c.state.configs[i].members {
			if m.ID == n {
				return m.Address
			}
		}
	}
	if j := c.lead.joining; j != nil && j.member.ID == n {
		return j.member.Address
	}
	return ""
}
