package shardkv

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/spec"
	"nemesis/servers/wire"
)

// StoreOptions are a store's settings.
type StoreOptions struct {
	ID       core.Address
	Grantors []core.Address
	Lease    Lease
	// CopyBytes is how much of a shard one message carries; 1 MiB if 0.
	CopyBytes int
	Trace     bool // put events of spec.Shards into Output.Trace, with times of the node's own clock
	Defect    defect.ID
}

// Store is the part of a node that holds shards. It is stepped like a core.Core; its records are shortened by the node.
type Store struct {
	opt      StoreOptions
	boot     uint64
	begun    bool
	now      time.Duration
	out      core.Output
	replicas map[uint64]*replica
	m        Map
	first    Map  // the first one: K22
	pendingM bool // the map asks for something that has to wait
	term     term
	ask      asker
	retryAt  time.Duration
	admitted map[uint64]bool // clients served so far: K02
}

// NewStore makes a store from an encoded state, which may be nil, and the records since.
func NewStore(o StoreOptions, state []byte, records [][]byte) (*Store, error) {
	if o.CopyBytes == 0 {
		o.CopyBytes = 1 << 20
	}
	if o.ID == 0 || o.ID.IsClient() || len(o.Grantors) == 0 || o.Lease.Retry <= 0 || o.Lease.Length <= 2*o.Lease.ClockError {
		return nil, fmt.Errorf("start store %d: it has no number, no grantors, no retry time, or a lease of %v that a clock error of %v leaves nothing of", o.ID, o.Lease.Length, o.Lease.ClockError)
	}
	s := &Store{opt: o, replicas: map[uint64]*replica{}, admitted: map[uint64]bool{}, term: term{Lease: o.Lease, defect: o.Defect}}
	if err := s.recover(state, records); err != nil {
		return nil, fmt.Errorf("recover store %d: %w", o.ID, err)
	}
	s.boot++
	s.record(appendUints([]byte{recBoot}, s.boot))
	s.ask = asker{store: s}
	return s, nil
}

// Step takes one event in.
func (s *Store) Step(e core.Event) core.Output {
	s.term.tick(e)
	if !s.begun || e.Now < s.now {
		s.begun = true
		s.term.lost()
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

// Ready says that the store has a lease: it can serve what it holds.
func (s *Store) Ready() bool { return s.term.valid() }

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

// onOp serves a client.
func (s *Store) onOp(from core.Address, o *Op) {
	r, holder := s.find(o.Key)
	answer := func(m Result) {
		m.Seq, m.Holder = o.Seq, holder
		s.send(from, &m)
	}
	switch {
	case o.Kind < Get || o.Kind > Increment:
		answer(Result{Status: Invalid})
		return
	case r == nil || r.stopped && !s.keepsMoved():
		answer(Result{Status: Redirect})
		return
	case !s.mayServe(o.Client):
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

// mayServe says whether the lease lets the store serve a client now.
func (s *Store) mayServe(client uint64) bool {
	if s.opt.Defect != defect.K02 {
		return s.term.valid()
	}
	if s.term.valid() { // looked at for the first operation only
		s.admitted[client] = true
	}
	return s.admitted[client]
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
		Kind: o.Kind.String(), Key: o.Key, Value: o.Value, Expect: expect, Found: found, Result: value, Map: s.m.Version,
	}
}

// find returns the replica that this node serves a key from, or nil, and who holds the key.
func (s *Store) find(key string) (*replica, core.Address) {
	for _, shard := range s.m.Shards {
		if !s.in(shard.Range, key) {
			continue
		}
		r := s.replicas[shard.ID]
		if r == nil || !s.current(r) {
			r = nil
		}
		if s.opt.Defect == defect.K22 {
			return r, holderOf(s.first, key)
		}
		return r, shard.Holder
	}
	return nil, 0
}

// in says whether a range has a key, as operations find it.
func (s *Store) in(k spec.KeyRange, key string) bool {
	switch s.opt.Defect {
	case defect.K17: // the range's end is in it
		return key >= k.From && (k.To == "" || key <= k.To)
	case defect.K18: // bytes are compared as signed numbers
		return signed(key) >= signed(k.From) && (k.To == "" || signed(key) < signed(k.To))
	}
	return has(k, key)
}

// signed moves keys that begin with a byte from 128 on before the others.
func signed(key string) string {
	if key == "" {
		return key
	}
	return string(key[0]^0x80) + key[1:]
}

func holderOf(m Map, key string) core.Address {
	for _, shard := range m.Shards {
		if has(shard.Range, key) {
			return shard.Holder
		}
	}
	return 0
}

// keepsMoved: the node goes on to serve what it has handed over.
func (s *Store) keepsMoved() bool { return s.opt.Defect == defect.K15 }

// current says that this node holds the replica's shard, in the epoch of the map.
func (s *Store) current(r *replica) bool {
	shard := s.shard(r.id)
	return r.holds && (s.keepsMoved() || shard.Holder == s.opt.ID && shard.Epoch == r.epoch)
}

// commit applies and acknowledges the writes that are on all disks.
func (s *Store) commit(r *replica) {
	if !s.current(r) {
		return
	}
	for len(r.pending) > 0 && r.committed(r.pending[0].seq) && s.mayServe(r.pending[0].op.Client) {
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
	r.trim(s.opt.Defect != defect.K12)
}

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
	sent := 0
	for _, w := range r.log {
		if w.seq > b.acked && sent < 64 {
			s.send(n, &Replicate{r.id, r.epoch, w.seq, r.seq, w.op})
			sent++
		}
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
	s.replicas[m.Shard] = whole
	s.record(append([]byte{recCopy}, in.Data...))
	send := s.sendDurably
	if s.opt.Defect == defect.K14 {
		send = s.send
	}
	send(from, &Copied{m.Shard, m.Epoch, m.Seq, m.Size})
}

// onReplicate takes in a write, in order, under the epoch of the copy it belongs to.
func (s *Store) onReplicate(from core.Address, m *Replicate) {
	r := s.replicas[m.Shard]
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
		return
	}
	if next {
		if s.opt.Defect == defect.K19 && m.Op.Kind == Delete {
			m = &Replicate{m.Shard, m.Epoch, m.Seq, m.Commit, Op{Client: m.Op.Client, Seq: m.Op.Seq, Kind: Get, Key: m.Op.Key}}
		}
		r.inherit(m.Seq, m.Op)
		r.recent = slices.DeleteFunc(r.recent, func(w inherited) bool { return w.seq <= m.Commit })
		s.record(appendOp(appendUints([]byte{recApply}, r.id, m.Seq), m.Op))
	}
	s.sendDurably(from, &Replicated{m.Shard, m.Epoch, r.seq})
}

// record appends a record to the log.
func (s *Store) record(b []byte) {
	s.out.Records = append(s.out.Records, b)
}

// Tags of records.
const (
	recBoot  byte = 1 + iota // the node started
	recCopy                  // a replica as a whole
	recApply                 // a write
	recDrop                  // a replica is gone
)

// snapshot encodes what the store has applied.
func (s *Store) snapshot() []byte {
	whole := slices.DeleteFunc(s.sorted(), func(r *replica) bool { return r.epoch == 0 }) // without those of which a first copy arrives
	b := wire.AppendUint(appendUints(nil, s.boot), uint64(len(whole)))
	for _, r := range whole {
		b = wire.AppendBytes(b, r.encode())
	}
	return b
}

// unapplied are the records of writes that the store has not applied.
func (s *Store) unapplied() [][]byte {
	var records [][]byte
	for _, r := range s.sorted() {
		for _, w := range r.pending {
			records = append(records, appendOp(appendUints([]byte{recApply}, r.id, w.seq), w.op))
		}
	}
	return records
}

func (s *Store) recover(state []byte, records [][]byte) error {
	if state != nil {
		in := wire.NewReader(state)
		s.boot = in.Uint()
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
	for i, record := range records {
		if err := s.replay(record); err != nil {
			return fmt.Errorf("record %d of the store: %w", i, err)
		}
	}
	if s.opt.Defect == defect.K24 {
		for _, r := range s.replicas {
			r.seq, r.durable = 0, 0
		}
	}
	return nil
}

// replay does again what a record says was done.
func (s *Store) replay(record []byte) error {
	if len(record) == 0 {
		return errors.New("it is empty")
	}
	in := wire.NewReader(record[1:])
	switch record[0] {
	case recBoot:
		s.boot = in.Uint()
	case recCopy:
		r, err := decodeReplica(record[1:])
		if err != nil && s.opt.Defect != defect.K25 {
			return err
		}
		s.replicas[r.id] = r
		return nil
	case recApply:
		id, seq, op := in.Uint(), in.Uint(), readOp(in)
		r := s.replicas[id]
		if r != nil && (seq == r.seq+1 || seq > r.seq && s.opt.Defect == defect.K12) {
			r.inherit(seq, op)
			r.durable = r.seq
		}
	case recDrop:
		delete(s.replicas, in.Uint())
	default:
		return fmt.Errorf("it is of kind %d, which this version does not know", record[0])
	}
	return in.End()
}

// Route says whether this node would serve a key now, and who holds it as far as the node knows.
func (s *Store) Route(key string) (serves bool, holder core.Address) {
	r, holder := s.find(key)
	return r != nil && !r.stopped && s.term.valid(), holder
}

// Describe tells the state in one line, for the reports of tests.
func (s *Store) Describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "store %d: boot %d session %#x request %+v renews in %v; ", s.opt.ID, s.boot, s.ask.session, s.ask.request, s.ask.renewAt-s.now)
	for _, r := range s.sorted() {
		fmt.Fprintf(&b, "shard %d %q epoch %d seq %d holds %v stopped %v pending %d durable %d incoming %v; ",
			r.id, r.keys, r.epoch, r.seq, r.holds, r.stopped, len(r.pending), r.durable, r.incoming != nil)
		for _, n := range r.nodes() {
			fmt.Fprintf(&b, "backup %d %+v; ", n, *r.backups[n])
		}
	}
	return b.String()
}
