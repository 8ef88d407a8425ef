package shardkv

import (
	"cmp"
	"slices"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/paxos"
	"nemesis/servers/spec"
	"nemesis/servers/wire"
)

// adopt does what the map asks for.
func (s *Store) adopt() {
	s.pendingM = false
	for _, r := range s.replicas {
		if r.holds && r.durable < r.last() {
			s.pendingM = true // first everything that was written must be on the own disk
			return
		}
	}
	parts := map[uint64]*replica{} // before any replica changes
	for _, shard := range s.m.Shards {
		if r := s.replicas[shard.ID]; shard.Holder == s.opt.ID && (r == nil || r.incoming == nil && r.keys != shard.Range) {
			parts[shard.ID] = s.assemble(shard)
		}
	}
	for _, shard := range s.m.Shards {
		r, part := s.replicas[shard.ID], parts[shard.ID]
		if r == nil && part != nil {
			s.keep(part)
			r = part
		}
		switch {
		case r == nil:
		case shard.Holder == s.opt.ID && r.incoming == nil:
			s.hold(r, shard, part)
		default:
			s.yield(r, shard)
		}
	}
	for _, r := range s.sorted() {
		if s.merged(r) {
			s.drop(r)
		}
	}
}

// assemble makes the replica of a shard that this node holds from those that it had of the same keys, since when the map may
// have been changed by any number of splits and merges: a key's newest epoch counts. Without one, it is empty if nobody else ever
// held the shard, and otherwise nil.
func (s *Store) assemble(shard Shard) *replica {
	var from []*replica
	for _, r := range s.sorted() {
		if r.incoming == nil && shard.Range.Overlaps(r.keys) {
			from = append(from, r)
		}
	}
	if len(from) == 0 && shard.First != s.opt.ID {
		return nil
	}
	slices.SortStableFunc(from, func(a, b *replica) int { return cmp.Compare(a.epoch, b.epoch) })
	whole := newReplica(shard)
	for _, r := range from {
		s.finish(r)
		whole.take(r)
	}
	return whole
}

func (s *Store) keep(r *replica) {
	s.put(r)
	s.record(append([]byte{recCopy}, r.encode()...))
}

// finish applies the writes that wait. They are on the own disk, and in a new epoch no backup has to have them. Their clients ask
// again.
func (s *Store) finish(r *replica) {
	for _, w := range r.pending {
		r.inherit(w.seq, w.op)
	}
	r.backups, r.pending, r.log = nil, nil, nil
}

// hold makes this node the holder in the epoch of the map, and sees to its backups. With a part, that is what the shard is now.
func (s *Store) hold(r *replica, shard Shard, part *replica) {
	if !r.holds || r.epoch != shard.Epoch {
		s.finish(r)
		if part != nil {
			r.seq, r.data, r.replies, r.recent = max(r.seq, part.seq), part.data, part.replies, part.recent
		}
		r.keys, r.epoch, r.holds, r.stopped, r.released = shard.Range, shard.Epoch, true, false, false
		r.backups = map[core.Address]*backup{}
		s.record(append([]byte{recCopy}, r.encode()...))
		r.durable = 0
		s.sendDurably(s.opt.ID, &Replicated{r.id, r.epoch, r.seq})
	}
	s.traceGrant(r)
	for _, n := range r.nodes() {
		b := r.backups[n]
		inSync, joins := slices.Contains(shard.Backups, n), slices.Contains(shard.Joining, n)
		switch {
		case !inSync && !joins:
			delete(r.backups, n)
		case inSync:
			b.reported = true
		case b.reported: // its turn has ended; it must catch up first
			b.synced, b.reported = false, false
		}
	}
	for _, n := range slices.Concat(shard.Backups, shard.Joining) {
		if r.backups[n] == nil {
			r.backups[n] = &backup{data: r.encode(), copySeq: r.seq}
			s.supply(r, n)
		}
	}
	if target := r.backups[shard.Target]; target != nil && target.synced && target.reported {
		r.stopped = true
	}
}

// traceGrant tells until when this node may serve a shard. What it has inherited takes effect then.
func (s *Store) traceGrant(r *replica) {
	if !s.current(r) || r.released || !s.term.valid() {
		return
	}
	s.trace(spec.Grant{Range: r.keys, Holder: uint64(s.opt.ID), Epoch: r.epoch, At: s.term.now, Until: s.term.until, Map: s.m.Version})
	for _, w := range r.recent {
		if has(r.keys, w.op.Key) {
			serve := s.served(r, w.op, w.found, nil)
			serve.Inherited = true
			s.trace(serve)
		}
	}
	r.recent = nil
}

// merged says that a replica's shard is gone. One that is newer than the map is not.
func (s *Store) merged(r *replica) bool {
	return r.id <= s.m.Newest && s.shard(r.id).ID == 0
}

// yield makes this node a backup, or nothing.
func (s *Store) yield(r *replica, shard Shard) {
	if r.holds && s.keepsMoved() {
		return
	}
	if r.holds {
		s.finish(r)
		r.holds = false
	}
	if shard.Epoch > r.epoch && shard.Holder != s.opt.ID && !slices.Contains(shard.Backups, s.opt.ID) && !slices.Contains(shard.Joining, s.opt.ID) {
		s.drop(r)
	}
}

func (s *Store) drop(r *replica) {
	delete(s.replicas, r.id)
	s.order = nil
	s.record(wire.AppendUint([]byte{recDrop}, r.id))
}

// asker is a store as a client of the placement group. It asks one thing at a time, so that the maps it gets are in the
// order of the group's log.
type asker struct {
	store     *Store
	session   uint64
	seq       uint64
	request   *paxos.Request
	op        []byte
	firstSent time.Duration // of the request
	leaseFrom time.Duration // the same by the clock that leases are counted by
	sentAt    time.Duration
	renewAt   time.Duration
	to        int // index of the grantor
}

func (a *asker) deadline() time.Duration {
	if a.request != nil {
		return a.sentAt + a.store.opt.Lease.Retry
	}
	return a.renewAt
}

// elapse sends what is due.
func (a *asker) elapse() {
	s := a.store
	if a.request == nil {
		a.next()
	} else if s.now >= a.sentAt+s.opt.Lease.Retry {
		a.to++
		a.send()
	}
}

func (a *asker) next() {
	s := a.store
	c := paxos.Command{Kind: paxos.Register, Seq: uint64(s.opt.ID)<<40 ^ s.boot<<20 ^ a.seq}
	if a.session != 0 {
		op := a.wanted()
		if op == nil {
			return
		}
		a.op = op
		c = paxos.Command{Kind: paxos.Apply, Session: a.session, Op: op}
	}
	a.seq++
	if c.Kind == paxos.Apply {
		c.Seq = a.seq
	}
	a.request, a.firstSent, a.leaseFrom = &paxos.Request{Command: c}, s.now, s.term.now
	a.send()
}

// grantor is the one that is asked.
func (a *asker) grantor() core.Address {
	return a.store.opt.Grantors[a.to%len(a.store.opt.Grantors)]
}

// wanted is the next operation for the placement group, or nil.
func (a *asker) wanted() []byte {
	s := a.store
	if s.opt.Defect == defect.K27 && slices.ContainsFunc(s.sorted(), func(r *replica) bool { return len(r.pending) > 0 }) {
		a.renewAt = max(a.renewAt, s.now+s.opt.Lease.Retry)
		return nil
	}
	if s.now >= a.renewAt {
		return Renew(s.opt.ID, s.boot)
	}
	if s.pendingM {
		return nil
	}
	for _, r := range s.sorted() {
		if !r.holds || len(r.backups) == 0 && !r.stopped {
			continue // nothing to report or to hand over
		}
		shard := s.shard(r.id)
		if shard.Epoch != r.epoch {
			continue
		}
		if n := r.unreported(); n != 0 {
			return InSync(r.id, r.epoch, n)
		}
		if r.stopped && len(r.pending) == 0 {
			r.released = true
			s.trace(spec.Release{Range: r.keys, Holder: uint64(s.opt.ID), Epoch: r.epoch, Map: s.m.Version})
			return HandOver(r.id, r.epoch, shard.Target)
		}
	}
	return nil
}

func (s *Store) shard(id uint64) Shard {
	for i := range s.m.Shards { // not by value: it is asked for in every step
		if s.m.Shards[i].ID == id {
			return s.m.Shards[i]
		}
	}
	return Shard{}
}

func (a *asker) send() {
	a.sentAt = a.store.now
	// Durably: the number of this boot, by which the group tells that the store has restarted, must not be used again.
	a.store.sendDurably(a.grantor(), a.request)
}

func (a *asker) receive(from core.Address, body core.Body) {
	s := a.store
	m, ok := body.(*paxos.Reply)
	if !ok || a.request == nil || m.Kind != a.request.Kind {
		return
	}
	if m.Seq != a.request.Seq || m.Kind == paxos.Apply && m.Session != a.session {
		a.receiveLate(m)
		return
	}
	switch m.Status {
	case paxos.OK:
	case paxos.NotLeader:
		if i := slices.Index(s.opt.Grantors, m.Leader); i >= 0 && m.Leader != from {
			a.to = i
			a.send()
		}
		return
	case paxos.Expired:
		a.session, a.request = 0, nil
		return
	default:
		return
	}
	a.request = nil
	if m.Kind == paxos.Register {
		a.session = m.Session
		return
	}
	placement, done, err := DecodeMap(m.Result)
	if err != nil {
		return
	}
	if done && a.op[0] == opRenew {
		s.term.granted(a.leaseFrom)
		a.renewAt = a.firstSent + s.opt.Lease.Length/3
	} else if a.op[0] == opRenew {
		a.renewAt = s.now + s.opt.Lease.Retry
	}
	if s.first.Version == 0 {
		s.first = placement
	}
	s.m = placement
	for _, r := range s.sorted() {
		if a.op[0] == opHandOver && !done {
			r.stopped, r.released = false, false
		}
		s.traceGrant(r)
	}
	s.pendingM = true
}

// receiveLate is what defects do with the answer to an earlier request, which counts for nothing.
func (a *asker) receiveLate(m *paxos.Reply) {
	s := a.store
	placement, done, err := DecodeMap(m.Result)
	if m.Status != paxos.OK || m.Kind != paxos.Apply || err != nil {
		return
	}
	switch s.opt.Defect {
	case defect.K08:
		if done && a.op[0] == opRenew {
			s.term.granted(a.leaseFrom)
		}
	case defect.K21:
		s.m, s.pendingM = placement, true
	}
}
