package paxos

import (
	"bytes"
	"hash/fnv"
	"slices"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

// fetching is what a node that has missed something does about it.
type fetching struct {
	at       time.Duration // when to ask; core.Never if nothing is missing
	target   Slot          // somebody has executed up to here
	source   core.Address  // who said so
	attempts int           // since the last answer
	snapshot Slot          // of which data is the beginning
	data     []byte
}

// serving is the snapshot that a node hands out.
type serving struct {
	slot  Slot
	data  []byte
	until time.Duration
}

const (
	// maxSnapshot is the limit of a snapshot in bytes.
	maxSnapshot = 4 << 30
	// servingTime is for how long a snapshot is kept for a node that does not ask for more of it.
	servingTime = 10 * time.Second
	// commitEvery is the number of slots after which a commit record is written though nothing else is.
	commitEvery = 256
)

// learnCommit notes that every slot up to commit is chosen, as the ballot's leader says. A vote of this ballot is for what
// it proposed, which is what was chosen; a vote of another ballot may be for anything.
func (c *Core) learnCommit(b Ballot, commit Slot) {
	slot := c.state.executed + 1
	for ; slot <= commit; slot++ {
		e := c.log[slot]
		if e == nil || !e.chosen && e.vote != b && c.opt.Defect != defect.R20 {
			break
		}
		e.chosen = true
	}
	if slot <= commit {
		c.noteExecuted(b.Node, commit)
	}
}

// noteExecuted notes that a node has executed up to a slot. What is missing here is fetched after a while, for it may
// just be late.
func (c *Core) noteExecuted(from core.Address, slot Slot) {
	if slot <= c.state.executed || from == c.opt.ID {
		return
	}
	c.fetching.target, c.fetching.source = max(c.fetching.target, slot), from
	if c.fetching.at == core.Never {
		c.fetching.at = c.now + c.opt.Retry/2
	}
}

// execute executes every slot that is chosen, in order.
func (c *Core) execute() {
	for {
		e := c.log[c.state.executed+1]
		if e == nil || !e.chosen {
			break
		}
		delete(c.lead.inflight, c.state.executed+1)
		c.executeBatch(e.batch)
		c.lead.aliveAt = c.now
	}
	if c.fetching.target <= c.state.executed {
		c.fetching = fetching{at: core.Never}
	}
}

func (c *Core) executeBatch(batch *Batch) {
	commands := batch.Commands
	if c.opt.Defect == defect.R22 {
		commands = shuffled(commands, c.opt.ID)
	}
	var before []byte // R21 only
	if c.opt.Defect == defect.R21 && c.snapshotDue() {
		before = c.state.encodeSessions()
	}
	for place, m := range commands {
		if before != nil && place == len(commands)/2 {
			c.save(c.state.executed, c.state.encodeWith(c.state.executed, before))
		}
		o := c.state.apply(m, place)
		c.traceExecution(m, o)
		c.answerWaiting(m, o)
	}
	c.state.finish()
}

// shuffled is what R22 does: an order that depends on the node.
func shuffled(commands []Command, node core.Address) []Command {
	rank := func(m Command) uint64 {
		h := fnv.New64a()
		h.Write([]byte{byte(node), byte(m.Session), byte(m.Session >> 16), byte(m.Seq)})
		return h.Sum64()
	}
	commands = slices.Clone(commands)
	slices.SortFunc(commands, func(a, b Command) int { return int(rank(a)>>1) - int(rank(b)>>1) })
	return commands
}

// fetch asks for what is missing: whoever said that it has it, then the others in turn.
func (c *Core) fetch() {
	f := &c.fetching
	f.at = c.now + c.opt.Retry
	to := f.source
	if f.attempts >= 2 {
		others := slices.DeleteFunc(c.peers(), func(n core.Address) bool { return n == c.opt.ID })
		if len(others) > 0 {
			to = others[f.attempts%len(others)]
		}
	}
	f.attempts++
	c.send(to, &Fetch{Next: c.state.executed + 1, Blank: c.state.blank(), Snapshot: f.snapshot, Offset: uint64(len(f.data))})
}

func (c *Core) onFetch(from core.Address, m *Fetch) {
	if c.state.blank() || m.Next > c.state.executed || m.Next == 0 {
		return
	}
	if !m.Blank {
		answer := &Entries{From: m.Next}
		size := 0
		for slot := m.Next; slot <= c.state.executed; slot++ {
			e := c.log[slot]
			if e == nil || !e.chosen {
				break
			}
			if size += e.batch.size(); size > c.opt.TransferBytes && len(answer.Batches) > 0 {
				break
			}
			answer.Batches = append(answer.Batches, e.batch)
		}
		if len(answer.Batches) > 0 {
			c.send(from, answer)
			return
		}
	}
	if c.serving.slot == 0 || m.Snapshot != c.serving.slot {
		c.serving = serving{slot: c.state.executed, data: c.state.encode()}
		m = &Fetch{Snapshot: c.serving.slot}
	}
	c.serving.until = c.now + servingTime
	size := uint64(len(c.serving.data))
	if m.Offset > size {
		return
	}
	end := min(m.Offset+uint64(c.opt.TransferBytes), size)
	c.send(from, &Chunk{Slot: c.serving.slot, Size: size, Offset: m.Offset, Data: c.serving.data[m.Offset:end]})
}

func (c *Core) onEntries(m *Entries) {
	progressed := false
	for i, batch := range m.Batches {
		slot := m.From + Slot(i)
		if slot <= c.state.executed || slot > c.state.executed+2*Slot(c.opt.LogWindow) {
			continue
		}
		if p := c.lead.inflight[slot]; p != nil && !bytes.Equal(p.batch.encoded, batch.encoded) {
			c.stepDown() // a later leader has had another value chosen; nothing of this ballot counts any more
		}
		c.choose(slot, batch)
		progressed = true
	}
	if progressed {
		c.execute()
		c.fetchMore()
	}
}

// fetchMore asks for the rest at once.
func (c *Core) fetchMore() {
	c.lead.aliveAt = c.now
	if c.fetching.at != core.Never {
		c.fetching.at, c.fetching.attempts = c.now, 0
	}
}

func (c *Core) onChunk(from core.Address, m *Chunk) {
	f := &c.fetching
	if m.Slot <= c.state.executed && c.opt.Defect != defect.R11 || m.Size > maxSnapshot || m.Slot == 0 {
		return
	}
	if f.snapshot != m.Slot {
		if m.Offset != 0 {
			return
		}
		f.snapshot, f.data = m.Slot, nil
	}
	if m.Offset != uint64(len(f.data)) || m.Offset+uint64(len(m.Data)) > m.Size {
		return
	}
	f.data, f.source = append(f.data, m.Data...), from
	if uint64(len(f.data)) == m.Size {
		c.install(m.Slot, f.data)
	}
	c.fetchMore()
}

// install replaces the state by a newer one. Votes that it makes useless are kept until it is durable.
func (c *Core) install(slot Slot, data []byte) {
	c.fetching.snapshot, c.fetching.data = 0, nil
	if c.state.restore(data) != nil {
		return // damaged, or of another application
	}
	c.traceState()
	c.installed = slot
	c.save(slot, data)
	if c.role == leading {
		c.forgetProposed()
	}
	c.execute()
}

// forgetProposed tells clients whose requests may be among what a snapshot includes to ask again.
func (c *Core) forgetProposed() {
	for slot := range c.lead.inflight {
		if slot <= c.state.executed {
			delete(c.lead.inflight, slot)
		}
	}
	var lost []requestKey
	for k, w := range c.lead.waiting {
		if w.proposed {
			lost = append(lost, k)
		}
	}
	slices.SortFunc(lost, compareKeys)
	for _, k := range lost {
		c.traceWithdrawal(k)
		c.send(c.lead.waiting[k].client, &Reply{Kind: k.kind, Session: k.session, Seq: k.seq, Status: Deposed, Leader: c.leader})
		delete(c.lead.waiting, k)
	}
}

func (c *Core) snapshotDue() bool {
	return c.saving == 0 && c.state.executed >= c.lastSnapshot+Slot(c.opt.SnapshotEvery)
}

// snapshot saves the state now and then, so that the log can be shortened.
func (c *Core) snapshot() {
	if c.snapshotDue() && c.opt.Defect != defect.R21 {
		c.save(c.state.executed, c.state.encode())
	}
	if c.serving.slot != 0 && c.now > c.serving.until {
		c.serving = serving{}
	}
}

func (c *Core) save(slot Slot, data []byte) {
	c.saving, c.lastSnapshot = slot, slot
	c.out.Save = &core.Snapshot{ID: uint64(slot), Data: data}
}

// onSaved forgets what the snapshot includes.
func (c *Core) onSaved(slot Slot) {
	if slot == c.saving {
		c.saving = 0
	}
	if slot <= c.base {
		return
	}
	c.base = slot
	if c.installed <= c.base {
		c.installed = 0
	}
	c.forget()
	c.compacting = true
}

// compact replaces the log. It comes last in a step, since what is recorded in the same step must be in the new log too.
func (c *Core) compact() {
	if c.compacting {
		c.compacting = false
		c.out.Compact = &core.Compaction{Snapshot: uint64(c.base), Records: c.retained()}
	}
}

// forget drops log entries that a quorum has executed and that the own durable snapshot includes.
func (c *Core) forget() {
	for keep := min(c.base, c.truncate); c.forgotten < keep; {
		c.forgotten++
		delete(c.log, c.forgotten)
	}
}

// recordCommit notes how far the node has executed, along with what is recorded anyway. An installed snapshot that is not
// durable yet is not in the log, so nothing is noted then.
func (c *Core) recordCommit() {
	if c.installed != 0 || c.state.executed <= c.recorded {
		return
	}
	if len(c.out.Records) > 0 || c.state.executed-c.recorded >= commitEvery {
		c.recorded = c.state.executed
		c.record(recordCommit(c.recorded))
	}
}
