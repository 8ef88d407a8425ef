package shardkv

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/spec"
	"nemesis/servers/wire"
)

// StoreOptions are a store's settings.
type StoreOptions struct {
	ID       core.Address
	Grantors []core.Address
	Lease    Lease
	// Addresses are where nodes listen. Only a host needs them.
	Addresses map[core.Address]string
	// CopyBytes is how much of a shard one message carries; 1 MiB if 0. SaveEvery is the number of records after which
	// the log is shortened; 100 000 if 0.
	CopyBytes int
	SaveEvery int
	Trace     bool // put events of spec.Shards into Output.Trace, with times of the node's own clock
}

// Store is a node that holds shards: a core.Core.
type Store struct {
	opt      StoreOptions
	boot     uint64
	begun    bool
	now      time.Duration
	out      core.Output
	replicas map[uint64]*replica
	m        Map
	pendingM bool // the map asks for something that has to wait
	until    time.Duration
	ask      asker
	retryAt  time.Duration

	records int    // since the last snapshot
	saves   uint64 // snapshots so far
	saving  bool
	saved   uint64   // the snapshot that became durable in this step, or 0
	since   [][]byte // records since the snapshot that is being saved
}

// NewStore makes a store from what its disk holds.
func NewStore(o StoreOptions, stored core.Stored) (*Store, error) {
	if o.CopyBytes == 0 {
		o.CopyBytes = 1 << 20
	}
	if o.SaveEvery == 0 {
		o.SaveEvery = 100_000
	}
	if o.ID == 0 || o.ID.IsClient() || len(o.Grantors) == 0 || o.Lease.Retry <= 0 || o.Lease.Length <= 2*o.Lease.ClockError {
		return nil, fmt.Errorf("start store %d: it has no number, no grantors, no retry time, or a lease of %v that a clock error of %v leaves nothing of", o.ID, o.Lease.Length, o.Lease.ClockError)
	}
	s := &Store{opt: o, replicas: map[uint64]*replica{}}
	if err := s.recover(stored); err != nil {
		return nil, fmt.Errorf("recover store %d: %w", o.ID, err)
	}
	s.boot++
	s.record(appendUints([]byte{recBoot}, s.boot))
	s.ask = asker{store: s}
	return s, nil
}

// Step takes one event in.
func (s *Store) Step(e core.Event) core.Output {
	if !s.begun || e.Now < s.now {
		s.begun, s.until = true, e.Now // no lease
		s.retryAt, s.ask.sentAt, s.ask.renewAt = e.Now, e.Now-s.opt.Lease.Retry, e.Now
	}
	s.now = e.Now
	switch m := e.Body.(type) {
	case *Op:
		s.onOp(e.From, m)
	case *Copy:
		s.onCopy(e.From, m)
	case *Copied:
		s.onCopied(e.From, m)
	case *Replicate:
		s.onReplicate(e.From, m)
	case *Replicated:
		s.onReplicated(e.From, m)
	case core.Saved:
		s.saved = m.ID
	default:
		s.ask.receive(e.From, m)
	}
	if s.pendingM {
		s.adopt()
	}
	for _, r := range s.sorted() {
		s.commit(r)
	}
	if s.now >= s.retryAt {
		s.retryAt = s.now + s.opt.Lease.Retry
		for _, r := range s.sorted() {
			s.retry(r)
		}
	}
	s.ask.elapse()
	if s.saved != 0 { // last, since what is recorded in this step must be in the new log too
		s.out.Compact = &core.Compaction{Snapshot: s.saved, Records: s.since}
		s.saving, s.saved = false, 0
		s.records, s.since = len(s.since), nil
	}
	s.save()
	out := s.out
	s.out = core.Output{}
	return out
}

// Deadline is when the store wants to be stepped next.
func (s *Store) Deadline() time.Duration {
	if !s.begun {
		return 0
	}
	return min(s.retryAt, s.ask.deadline())
}

// AddressOf is where a node listens, or "" if that is not known.
func (s *Store) AddressOf(n core.Address) string { return s.opt.Addresses[n] }

func (s *Store) sorted() []*replica {
	return slices.SortedFunc(maps.Values(s.replicas), func(a, b *replica) int { return cmp.Compare(a.id, b.id) })
}

func (s *Store) send(to core.Address, m core.Body) {
	s.out.Send = append(s.out.Send, core.Message{To: to, Body: m})
}

func (s *Store) sendDurably(to core.Address, m core.Body) {
	s.out.AfterSync = append(s.out.AfterSync, core.Message{To: to, Body: m})
}

func (s *Store) trace(event any) {
	if s.opt.Trace {
		s.out.Trace = append(s.out.Trace, event)
	}
}

// leased says that the node may serve what it holds.
func (s *Store) leased() bool { return s.now < s.until }

// onOp serves a client.
func (s *Store) onOp(from core.Address, o *Op) {
	r, holder := s.find(o.Key)
	answer := func(m Result) {
		m.Seq, m.Holder = o.Seq, holder
		s.send(from, &m)
	}
	switch {
	case o.Kind < Get || o.Kind > Append:
		answer(Result{Status: Invalid})
		return
	case r == nil || r.stopped:
		answer(Result{Status: Redirect})
		return
	case !s.leased():
		return // it may hold the shard again in a moment; the client asks again
	}
	if o.Kind == Get {
		value, found := r.data[o.Key]
		s.trace(s.served(r, *o, found, value))
		answer(Result{Found: found, Value: value, Epoch: r.epoch})
		return
	}
	if had, there := r.replies[o.Client]; there && had.seq >= o.Seq {
		status := OK
		if had.seq > o.Seq {
			status = Stale
		}
		answer(Result{Status: status, Found: had.found, Epoch: r.epoch})
		return
	}
	for _, w := range r.pending {
		if w.op.Client == o.Client && w.op.Seq == o.Seq {
			w.client = from // sent again
			return
		}
	}
	w := &write{r.last() + 1, *o, from}
	r.pending, r.log = append(r.pending, w), append(r.log, w)
	s.record(appendOp(appendUints([]byte{recApply}, r.id, w.seq), w.op))
	s.sendDurably(s.opt.ID, &Replicated{r.id, r.epoch, w.seq})
	for _, n := range r.nodes() {
		if r.backups[n].ready {
			s.send(n, &Replicate{r.id, r.epoch, w.seq, r.seq, w.op})
		}
	}
}

func (s *Store) served(r *replica, o Op, found bool, value []byte) spec.Serve {
	expect := o.Expect
	if !o.Absent && expect == nil {
		expect = []byte{}
	} else if o.Absent {
		expect = nil
	}
	return spec.Serve{
		Request: spec.Request{Client: o.Client, Seq: o.Seq}, Node: uint64(s.opt.ID), Epoch: r.epoch, At: s.now,
		Kind: o.Kind.String(), Key: o.Key, Value: o.Value, Expect: expect, Found: found, Result: value,
	}
}

// find returns the replica that this node serves a key from, or nil, and who holds the key.
func (s *Store) find(key string) (*replica, core.Address) {
	for _, shard := range s.m.Shards {
		if !has(shard.Range, key) {
			continue
		}
		r := s.replicas[shard.ID]
		if r == nil || !s.current(r) {
			r = nil
		}
		return r, shard.Holder
	}
	return nil, 0
}

// current says that this node holds the replica's shard, in the epoch of the map.
func (s *Store) current(r *replica) bool {
	shard := s.shard(r.id)
	return r.holds && shard.Holder == s.opt.ID && shard.Epoch == r.epoch
}

// commit applies and acknowledges the writes that are on all disks.
func (s *Store) commit(r *replica) {
	if !s.current(r) {
		return
	}
	for len(r.pending) > 0 && r.committed(r.pending[0].seq) && s.leased() {
		w := r.pending[0]
		r.pending = r.pending[1:]
		rep, fresh := r.apply(w)
		if fresh {
			s.trace(s.served(r, w.op, rep.found, nil))
		}
		if rep.seq == w.op.Seq && w.client != 0 {
			s.send(w.client, &Result{Seq: w.op.Seq, Found: rep.found, Holder: s.opt.ID, Epoch: r.epoch})
		}
	}
	for _, n := range r.nodes() {
		if b := r.backups[n]; b.ready && !b.synced && b.acked >= r.seq {
			b.synced = true
		}
	}
	r.trim()
}

// retry sends again what backups have not acknowledged.
func (s *Store) retry(r *replica) {
	if !r.holds {
		return
	}
	for _, n := range r.nodes() {
		b := r.backups[n]
		if s.now-b.sentAt < s.opt.Lease.Retry {
			continue
		}
		s.supply(r, n)
	}
}

// supply sends a backup what it lacks: a chunk of its copy, or writes.
func (s *Store) supply(r *replica, n core.Address) {
	b := r.backups[n]
	b.sentAt = s.now
	if !b.ready {
		end := min(b.offset+uint64(s.opt.CopyBytes), uint64(len(b.data)))
		s.send(n, &Copy{r.id, r.epoch, b.copySeq, uint64(len(b.data)), b.offset, b.data[b.offset:end]})
		return
	}
	sent := 0
	for _, w := range r.log {
		if w.seq > b.acked && sent < 64 {
			s.send(n, &Replicate{r.id, r.epoch, w.seq, r.seq, w.op})
			sent++
		}
	}
}

func (s *Store) onCopied(from core.Address, m *Copied) {
	r := s.replicas[m.Shard]
	if r == nil || !r.holds || r.epoch != m.Epoch || r.backups[from] == nil {
		return
	}
	b := r.backups[from]
	if b.ready || m.Seq != b.copySeq || m.Offset > uint64(len(b.data)) || m.Offset <= b.offset {
		return
	}
	b.offset = m.Offset
	if b.offset == uint64(len(b.data)) {
		b.ready, b.acked, b.data = true, b.copySeq, nil
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
	} else if b := r.backups[from]; b != nil && b.ready {
		b.acked = max(b.acked, min(m.Seq, r.last()))
	}
}

// onCopy takes in a piece of a shard.
func (s *Store) onCopy(from core.Address, m *Copy) {
	r := s.replicas[m.Shard]
	if r != nil && (m.Epoch < r.epoch || r.holds && m.Epoch == r.epoch) {
		return
	}
	if r != nil && r.epoch == m.Epoch && r.seq >= m.Seq { // it has the copy, and perhaps more
		s.sendDurably(from, &Copied{m.Shard, m.Epoch, m.Seq, m.Size})
		return
	}
	if r == nil {
		r = newReplica(Shard{ID: m.Shard})
		s.replicas[m.Shard] = r
	}
	in := r.incoming
	if in == nil || in.Epoch < m.Epoch || in.Epoch == m.Epoch && in.Seq != m.Seq && m.Offset == 0 {
		in = &Copy{Shard: m.Shard, Epoch: m.Epoch, Seq: m.Seq, Size: m.Size}
		r.incoming = in
	}
	if in.Epoch != m.Epoch || in.Seq != m.Seq || in.Size != m.Size || m.Offset+uint64(len(m.Data)) > m.Size {
		return
	}
	if m.Offset == uint64(len(in.Data)) {
		in.Data = append(in.Data, m.Data...)
	}
	if uint64(len(in.Data)) < in.Size {
		s.send(from, &Copied{m.Shard, m.Epoch, m.Seq, uint64(len(in.Data))})
		return
	}
	whole, err := decodeReplica(in.Data)
	if err != nil || whole.id != m.Shard || whole.epoch != m.Epoch {
		r.incoming = nil
		return
	}
	s.replicas[m.Shard] = whole
	s.record(append([]byte{recCopy}, in.Data...))
	s.sendDurably(from, &Copied{m.Shard, m.Epoch, m.Seq, m.Size})
}

// onReplicate takes in a write, in order, under the epoch of the copy it belongs to.
func (s *Store) onReplicate(from core.Address, m *Replicate) {
	r := s.replicas[m.Shard]
	if r == nil || r.holds || r.incoming != nil || r.epoch != m.Epoch || m.Seq > r.seq+1 {
		return
	}
	if m.Seq == r.seq+1 {
		r.inherit(m.Seq, m.Op)
		r.recent = slices.DeleteFunc(r.recent, func(w inherited) bool { return w.seq <= m.Commit })
		s.record(appendOp(appendUints([]byte{recApply}, r.id, m.Seq), m.Op))
	}
	s.sendDurably(from, &Replicated{m.Shard, m.Epoch, r.seq})
}

// record appends a record to the log.
func (s *Store) record(b []byte) {
	s.out.Records = append(s.out.Records, b)
	s.records++
	if s.saving {
		s.since = append(s.since, b)
	}
}

// Tags of records.
const (
	recBoot  byte = 1 + iota // the node started
	recCopy                  // a replica as a whole
	recApply                 // a write
	recDrop                  // a replica is gone
)

// save shortens the log when it has grown.
func (s *Store) save() {
	if s.saving || s.records < s.opt.SaveEvery || s.out.Compact != nil {
		return
	}
	for _, r := range s.replicas {
		if len(r.pending) > 0 {
			return // the snapshot is of writes applied
		}
	}
	whole := slices.DeleteFunc(s.sorted(), func(r *replica) bool { return r.epoch == 0 }) // without those of which a first copy arrives
	b := wire.AppendUint(appendUints(nil, s.boot), uint64(len(whole)))
	for _, r := range whole {
		b = wire.AppendBytes(b, r.encode())
	}
	s.saves++
	s.saving, s.since = true, nil
	s.out.Save = &core.Snapshot{ID: s.saves, Data: b}
}

func (s *Store) recover(stored core.Stored) error {
	if stored.Snapshot != nil {
		in := wire.NewReader(stored.Snapshot.Data)
		s.saves, s.boot = stored.Snapshot.ID, in.Uint()
		for range in.Count() {
			r, err := decodeReplica(in.Bytes())
			if err != nil {
				return err
			}
			s.replicas[r.id] = r
		}
		if err := in.End(); err != nil {
			return err
		}
	}
	for i, record := range stored.Records {
		if len(record) == 0 {
			return fmt.Errorf("record %d is empty", i)
		}
		in := wire.NewReader(record[1:])
		switch record[0] {
		case recBoot:
			s.boot = in.Uint()
		case recCopy:
			r, err := decodeReplica(record[1:])
			if err != nil {
				return fmt.Errorf("record %d: %w", i, err)
			}
			s.replicas[r.id] = r
			continue
		case recApply:
			id, seq, op := in.Uint(), in.Uint(), readOp(in)
			if r := s.replicas[id]; r != nil && seq == r.seq+1 {
				r.inherit(seq, op)
				r.durable = r.seq
			}
		case recDrop:
			delete(s.replicas, in.Uint())
		default:
			return fmt.Errorf("record %d is of kind %d, which this version does not know", i, record[0])
		}
		if err := in.End(); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
	}
	return nil
}
