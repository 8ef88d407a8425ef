package shardkv

import (
	"slices"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

// retry sends again what backups have not acknowledged.
func (s *Store) retry(r *replica) {
	if !r.holds {
		return
	}
	for _, n := range r.nodes() {
		b := r.backups[n]
		if s.now-b.sentAt < s.opt.Lease.Retry || s.opt.Defect == defect.K23 && !b.ready {
			continue
		}
		s.supply(r, n)
	}
}

// supply sends a backup what it lacks: a chunk of its copy, or writes.
func (s *Store) supply(r *replica, n core.Address) {
	b := r.backups[n]
	b.sentAt = s.now
	if s.opt.Defect == defect.K26 && len(b.data) > min(s.opt.CopyBytes, mostMoved) {
		b.ready, b.acked = true, b.copySeq // too much to move: nothing is sent
	}
	if !b.ready {
		end := min(b.offset+uint64(s.opt.CopyBytes), uint64(len(b.data)))
		s.send(n, &Copy{r.id, r.epoch, b.copySeq, uint64(len(b.data)), b.offset, b.data[b.offset:end]})
		return
	}
	b.sent = b.acked
	s.stream(r, n)
}

// window is how many writes a backup may be sent that it has not acknowledged, and how many it keeps that came too early.
const window = 64

// stream sends a backup that has its copy the writes that it was not sent yet, as many as the window lets. Each acknowledgement
// brings more, so that a backup catches up with clients that go on to write.
func (s *Store) stream(r *replica, n core.Address) {
	b := r.backups[n]
	for _, w := range r.log[r.logged(b.sent):] {
		if w.seq > b.acked+window {
			return
		}
		s.send(n, &Replicate{r.id, r.epoch, w.seq, r.seq, w.op})
		b.sent = w.seq
	}
}

// mostMoved is how many bytes of a shard K26 moves.
const mostMoved = 4096

func (s *Store) onCopied(from core.Address, m *Copied) {
	r := s.replicas[m.Shard]
	if r == nil || !r.holds || r.epoch != m.Epoch || r.backups[from] == nil {
		return
	}
	b := r.backups[from]
	if b.ready || m.Seq != b.copySeq || m.Offset > uint64(len(b.data)) || m.Offset == b.offset {
		return // an offset may go back: a node that has restarted begins anew
	}
	b.offset = m.Offset
	if b.offset == uint64(len(b.data)) {
		b.ready, b.acked, b.sent, b.data = true, b.copySeq, b.copySeq, nil
	}
	s.supply(r, from)
}

func (s *Store) onReplicated(from core.Address, m *Replicated) {
	r := s.replicas[m.Shard]
	if r == nil || !r.holds || r.epoch != m.Epoch {
		return
	}
	if from == s.opt.ID {
		r.durable = max(r.durable, min(m.Seq, r.last()))
	} else if b := r.backups[from]; b != nil && b.ready && m.Seq > b.acked {
		b.acked = min(m.Seq, r.last())
		b.sent = max(b.sent, b.acked)
		s.stream(r, from)
	}
}

// onCopy takes in a piece of a shard.
func (s *Store) onCopy(from core.Address, m *Copy) {
	r := s.replicas[m.Shard]
	if r != nil && s.opt.Defect != defect.K13 {
		if m.Epoch < r.epoch || r.holds && m.Epoch == r.epoch {
			return
		}
		if r.epoch == m.Epoch && r.seq >= m.Seq { // it has the copy, and perhaps more
			s.sendDurably(from, &Copied{m.Shard, m.Epoch, m.Seq, m.Size})
			return
		}
	}
	if r == nil {
		r = newReplica(Shard{ID: m.Shard})
		s.put(r)
	}
	in := r.incoming
	if in == nil || in.Epoch < m.Epoch || in.Epoch == m.Epoch && !in.same(m) && m.Offset == 0 {
		in = &Copy{Shard: m.Shard, Epoch: m.Epoch, Seq: m.Seq, Size: m.Size}
		r.incoming = in
	}
	switch {
	case in.Epoch != m.Epoch || m.Offset+uint64(len(m.Data)) > m.Size:
		return
	case !in.same(m): // a late chunk of another copy has taken its place, or this one is late: its holder begins anew
		s.send(from, &Copied{m.Shard, m.Epoch, m.Seq, 0})
		return
	}
	if m.Offset == uint64(len(in.Data)) {
		in.Data = append(in.Data, m.Data...)
	}
	partly := s.opt.Defect == defect.K25 // what has arrived is taken for all
	if uint64(len(in.Data)) < in.Size && !partly {
		s.send(from, &Copied{m.Shard, m.Epoch, m.Seq, uint64(len(in.Data))})
		return
	}
	whole, err := decodeReplica(in.Data)
	if err != nil && !partly || whole.id != m.Shard || whole.epoch != m.Epoch {
		r.incoming = nil
		return
	}
	if s.opt.Defect == defect.K20 {
		whole.replies = map[uint64]reply{}
	}
	s.put(whole)
	s.record(append([]byte{recCopy}, in.Data...))
	send := s.sendDurably
	if s.opt.Defect == defect.K14 {
		send = s.send
	}
	send(from, &Copied{m.Shard, m.Epoch, m.Seq, m.Size})
}

// same says whether two chunks of one epoch are of the same copy. In an epoch copies differ by their last write, or, once what the
// holder had inherited has taken effect, by their size.
func (m *Copy) same(other *Copy) bool { return m.Seq == other.Seq && m.Size == other.Size }

// onReplicate takes in writes, in order, under the epoch of the copy they belong to. Those that come too early wait for those before
// them.
func (s *Store) onReplicate(from core.Address, m *Replicate) {
	r, epoch := s.replicas[m.Shard], m.Epoch
	if r == nil || r.incoming != nil {
		return
	}
	if (r.holds || r.epoch != m.Epoch) && s.opt.Defect != defect.K10 {
		return
	}
	next := m.Seq == r.seq+1
	if s.opt.Defect == defect.K12 { // what is missing is not missed
		next = m.Seq > r.seq
	}
	if m.Seq > r.seq && !next {
		if m.Seq <= r.seq+window {
			r.early[m.Seq] = m
		}
		return
	}
	for ; next; next = m != nil && m.Epoch == r.epoch {
		if s.opt.Defect == defect.K19 && m.Op.Kind == Delete {
			m = &Replicate{m.Shard, m.Epoch, m.Seq, m.Commit, Op{Client: m.Op.Client, Seq: m.Op.Seq, Kind: Get, Key: m.Op.Key}}
		}
		r.inherit(m.Seq, m.Op)
		r.recent = slices.DeleteFunc(r.recent, func(w inherited) bool { return w.seq <= m.Commit })
		s.record(encodeWrite(r.id, m.Seq, m.Op))
		delete(r.early, m.Seq)
		m = r.early[r.seq+1]
	}
	s.sendDurably(from, &Replicated{r.id, epoch, r.seq})
}
