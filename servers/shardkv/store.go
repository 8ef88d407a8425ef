package shardkv

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/spec"
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
	order    []*replica // the same, sorted; nil if not known
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

// sorted returns the replicas in order, in a slice that is not to be changed.
func (s *Store) sorted() []*replica {
	if s.order == nil {
		s.order = slices.SortedFunc(maps.Values(s.replicas), func(a, b *replica) int { return cmp.Compare(a.id, b.id) })
	}
	return s.order
}

// put takes in a replica, in the place of the one that there was.
func (s *Store) put(r *replica) {
	s.replicas[r.id] = r
	s.order = nil
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
		if s.opt.Trace {
			s.trace(s.served(r, *o, found, value))
		}
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
	s.record(encodeWrite(r.id, w.seq, w.op))
	s.sendDurably(s.opt.ID, &Replicated{r.id, r.epoch, w.seq})
	for _, n := range r.nodes() {
		if r.backups[n].ready {
			s.stream(r, n)
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
	for i := range s.m.Shards {
		shard := &s.m.Shards[i]
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
	if len(r.pending) == 0 && len(r.backups) == 0 || !s.current(r) {
		return
	}
	for len(r.pending) > 0 && r.committed(r.pending[0].seq) && s.mayServe(r.pending[0].op.Client) {
		w := r.pending[0]
		r.pending = dropFirst(r.pending, 1)
		rep, fresh := r.apply(w)
		if fresh && s.opt.Trace {
			s.trace(s.served(r, w.op, rep.found, nil))
		}
		if rep.seq == w.op.Seq && w.client != 0 {
			s.send(w.client, &Result{Seq: w.op.Seq, Found: rep.found, Holder: s.opt.ID, Epoch: r.epoch})
		}
	}
	for _, b := range r.backups {
		if b.ready && !b.synced && b.acked >= r.seq {
			b.synced = true
		}
	}
	r.trim(s.opt.Defect != defect.K12)
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
