package shardkv

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/spec"
	"nemesis/servers/wire"
)

// replica is a node's copy of a shard.
type replica struct {
	id      uint64
	keys    spec.KeyRange
	epoch   uint64
	seq     uint64 // the last write applied
	data    map[string][]byte
	replies map[uint64]reply // by client: the reply cache
	recent  []inherited      // applied, and perhaps not executed as far as its holder knew

	// Of the holder.
	holds    bool
	stopped  bool     // takes no more operations: it is to be handed over
	released bool     // serves nothing: it is being handed over
	pending  []*write // not yet on all disks, in order
	durable  uint64   // the last write on the own disk
	log      []*write // what some backup may not have
	backups  map[core.Address]*backup

	// Of a node that gets a copy, or has one.
	incoming *Copy
	early    map[uint64]*Replicate // writes that came before those before them
}

// reply is the last reply to a client.
type reply struct {
	seq   uint64
	found bool
}

// inherited is a write that takes effect when its node becomes holder, unless it did before.
type inherited struct {
	seq   uint64
	op    Op
	found bool
}

// inherit applies a write of which it is not known whether it was executed.
func (r *replica) inherit(seq uint64, op Op) {
	if rep, fresh := r.apply(&write{seq: seq, op: op}); fresh {
		r.recent = append(r.recent, inherited{seq, op, rep.found})
	}
}

// write is an operation with its place in the shard's order.
type write struct {
	seq    uint64
	op     Op
	client core.Address
}

// backup is what a holder knows of another replica.
type backup struct {
	data     []byte // the copy, while it is being sent
	copySeq  uint64 // the last write that it includes
	offset   uint64
	ready    bool   // it has the copy
	acked    uint64 // it has every write up to here
	sent     uint64 // it was sent every write up to here, since they were last sent again
	synced   bool   // nothing is acknowledged without it
	reported bool   // the placement group knows that it is in sync
	sentAt   time.Duration
}

func newReplica(s Shard) *replica {
	return &replica{id: s.ID, keys: s.Range, epoch: s.Epoch, data: map[string][]byte{}, replies: map[uint64]reply{}, early: map[uint64]*Replicate{}}
}

// encode returns the replica as it is after its last write applied.
func (r *replica) encode() []byte {
	b := appendUints(nil, r.id, r.epoch, r.seq)
	b = wire.AppendBytes(wire.AppendBytes(b, r.keys.From), r.keys.To)
	b = wire.AppendUint(b, uint64(len(r.data)))
	for _, k := range slices.Sorted(maps.Keys(r.data)) {
		b = wire.AppendBytes(wire.AppendBytes(b, k), r.data[k])
	}
	b = wire.AppendUint(b, uint64(len(r.replies)))
	for _, client := range slices.Sorted(maps.Keys(r.replies)) {
		b = wire.AppendBool(appendUints(b, client, r.replies[client].seq), r.replies[client].found)
	}
	b = wire.AppendUint(b, uint64(len(r.recent)))
	for _, w := range r.recent {
		b = wire.AppendBool(appendOp(wire.AppendUint(b, w.seq), w.op), w.found)
	}
	return b
}

// decodeReplica reads an encoding. With an error it returns what the encoding begins with.
func decodeReplica(b []byte) (*replica, error) {
	in := wire.NewReader(b)
	r := newReplica(Shard{ID: in.Uint(), Epoch: in.Uint()})
	r.seq = in.Uint()
	r.keys = spec.KeyRange{From: in.String(), To: in.String()}
	for range in.Count() {
		k, v := in.String(), in.Bytes()
		if in.Err() != nil {
			break
		}
		r.data[k] = v
	}
	for range in.Count() {
		client, rep := in.Uint(), reply{in.Uint(), in.Bool()}
		if in.Err() != nil {
			break
		}
		r.replies[client] = rep
	}
	for range in.Count() {
		r.recent = append(r.recent, inherited{in.Uint(), readOp(in), in.Bool()})
	}
	r.durable = r.seq
	return r, in.End()
}

// last is the number of the last write, applied or not.
func (r *replica) last() uint64 {
	if n := len(r.pending); n > 0 {
		return r.pending[n-1].seq
	}
	return r.seq
}

// apply executes a write, unless its client has gone on since.
func (r *replica) apply(w *write) (rep reply, fresh bool) {
	r.seq = w.seq
	if had, there := r.replies[w.op.Client]; there && had.seq >= w.op.Seq {
		return had, false
	}
	value, found := r.data[w.op.Key]
	rep = reply{seq: w.op.Seq, found: found}
	switch w.op.Kind {
	case Set:
		r.data[w.op.Key] = w.op.Value
	case Append:
		r.data[w.op.Key] = append(value[:len(value):len(value)], w.op.Value...)
	case Delete:
		delete(r.data, w.op.Key)
	case Increment:
		var n uint64
		if len(value) == 8 {
			n = binary.BigEndian.Uint64(value)
		}
		r.data[w.op.Key] = binary.BigEndian.AppendUint64(nil, n+1)
	case CAS:
		rep.found = found != w.op.Absent && bytes.Equal(value, w.op.Expect)
		if rep.found {
			r.data[w.op.Key] = w.op.Value
		}
	}
	r.replies[w.op.Client] = rep
	return rep, true
}

// committed says that a write is on all disks that it must be on.
func (r *replica) committed(seq uint64) bool {
	if r.durable < seq {
		return false
	}
	for _, b := range r.backups {
		if b.synced && b.acked < seq {
			return false
		}
	}
	return true
}

// unreported is the first backup that is in sync and of which the placement group does not know it, or 0.
func (r *replica) unreported() core.Address {
	first := core.Address(0)
	for n, b := range r.backups {
		if b.synced && !b.reported && (first == 0 || n < first) {
			first = n
		}
	}
	return first
}

// logged is the index in the log of the first write after one.
func (r *replica) logged(after uint64) int {
	if len(r.log) == 0 || after < r.log[0].seq {
		return 0
	}
	return min(int(after-r.log[0].seq)+1, len(r.log)) // without gaps
}

// trim forgets writes that every backup has. With joining, a node that gets a copy has only those that the copy includes.
func (r *replica) trim(joining bool) {
	low := r.seq
	for _, b := range r.backups {
		if b.ready {
			low = min(low, b.acked)
		} else if joining {
			low = min(low, b.copySeq)
		}
	}
	n := 0
	for n < len(r.log) && r.log[n].seq <= low {
		n++
	}
	r.log = dropFirst(r.log, n)
}

// dropFirst leaves out the first n writes. Where none are left the memory is used again.
func dropFirst(writes []*write, n int) []*write {
	clear(writes[:n])
	if n == len(writes) {
		return writes[:0]
	}
	return writes[n:]
}

// take takes in what another replica has of the range, in the place of what there was.
func (r *replica) take(other *replica) {
	both := func(key string) bool { return has(r.keys, key) && has(other.keys, key) }
	maps.DeleteFunc(r.data, func(k string, _ []byte) bool { return both(k) })
	for k, v := range other.data {
		if both(k) {
			r.data[k] = v
		}
	}
	r.recent = slices.DeleteFunc(r.recent, func(w inherited) bool { return both(w.op.Key) })
	for _, w := range other.recent {
		if both(w.op.Key) {
			r.recent = append(r.recent, w)
		}
	}
	for client, rep := range other.replies {
		if rep.seq > r.replies[client].seq {
			r.replies[client] = rep
		}
	}
	r.seq = max(r.seq, other.seq)
	r.durable = r.seq
}

func has(k spec.KeyRange, key string) bool {
	return k.Overlaps(spec.KeyRange{From: key, To: key + "\x00"})
}

// nodes returns the backups in order.
func (r *replica) nodes() []core.Address {
	if len(r.backups) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Keys(r.backups), cmp.Compare)
}
