package shardkv

import (
	"slices"
	"time"

	"nemesis/servers/core"
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
	before := s.sorted()
	for _, shard := range s.m.Shards {
		if shard.Holder == s.opt.ID && s.replicas[shard.ID] == nil {
			s.create(shard)
		}
	}
	for _, shard := range s.m.Shards {
		r := s.replicas[shard.ID]
		switch {
		case r == nil:
		case shard.Holder == s.opt.ID && r.incoming == nil:
			s.hold(r, shard, before)
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

// create makes the replica of a shard that this node holds and has none of: a part of one that was split, or an empty one if
// nobody else ever held it.
func (s *Store) create(shard Shard) {
	for _, r := range s.sorted() {
		if r.incoming == nil && has(r.keys, shard.Range.From) {
			s.finish(r)
			s.keep(r.part(shard))
			return
		}
	}
	if shard.First == s.opt.ID {
		s.keep(newReplica(shard))
	}
}

func (s *Store) keep(r *replica) {
	s.replicas[r.id] = r
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

// hold makes this node the holder in the epoch of the map, and sees to its backups.
func (s *Store) hold(r *replica, shard Shard, before []*replica) {
	if !r.holds || r.epoch != shard.Epoch {
		s.finish(r)
		if shard.Range != r.keys {
			for _, right := range before {
				if right != r && right.incoming == nil && shard.Range.Overlaps(right.keys) && s.merged(right) {
					s.finish(right)
					r.join(right)
				}
			}
			for k := range r.data {
				if !has(shard.Range, k) {
					delete(r.data, k)
				}
			}
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
			r.log = append([]*write(nil), r.pending...)
			s.supply(r, n)
		}
	}
	if target := r.backups[shard.Target]; target != nil && target.synced && target.reported {
		r.stopped = true
	}
}

// traceGrant tells until when this node may serve a shard. What it has inherited takes effect then.
func (s *Store) traceGrant(r *replica) {
	if !s.current(r) || r.released || !s.leased() {
		return
	}
	s.trace(spec.Grant{Range: r.keys, Holder: uint64(s.opt.ID), Epoch: r.epoch, At: s.now, Until: s.until})
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
	firstSent time.Duration // of the request: when its lease begins
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
	a.request, a.firstSent = &paxos.Request{Command: c}, s.now
	a.send()
}

// wanted is the next operation for the placement group, or nil.
func (a *asker) wanted() []byte {
	s := a.store
	if s.now >= a.renewAt {
		return Renew(s.opt.ID, s.boot)
	}
	if s.pendingM {
		return nil
	}
	for _, r := range s.sorted() {
		if !r.holds {
			continue
		}
		shard := s.shard(r.id)
		if shard.Epoch != r.epoch {
			continue
		}
		for _, n := range r.nodes() {
			if b := r.backups[n]; b.synced && !b.reported {
				return InSync(r.id, r.epoch, n)
			}
		}
		if r.stopped && len(r.pending) == 0 {
			r.released = true
			s.trace(spec.Release{Range: r.keys, Holder: uint64(s.opt.ID), Epoch: r.epoch})
			return HandOver(r.id, r.epoch, shard.Target)
		}
	}
	return nil
}

func (s *Store) shard(id uint64) Shard {
	i := slices.IndexFunc(s.m.Shards, func(shard Shard) bool { return shard.ID == id })
	if i < 0 {
		return Shard{}
	}
	return s.m.Shards[i]
}

func (a *asker) send() {
	a.sentAt = a.store.now
	// Durably: the number of this boot, by which the group tells that the store has restarted, must not be used again.
	a.store.sendDurably(a.store.opt.Grantors[a.to%len(a.store.opt.Grantors)], a.request)
}

func (a *asker) receive(from core.Address, body core.Body) {
	s := a.store
	m, ok := body.(*paxos.Reply)
	if !ok || a.request == nil || m.Seq != a.request.Seq || m.Kind != a.request.Kind {
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
		s.until = max(s.until, a.firstSent+s.opt.Lease.Length-s.opt.Lease.ClockError)
		a.renewAt = a.firstSent + s.opt.Lease.Length/3
	} else if a.op[0] == opRenew {
		a.renewAt = s.now + s.opt.Lease.Retry
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
