package paxos

import (
	"cmp"
	"encoding/binary"
	"slices"

	"nemesis/servers/defect"
	"nemesis/servers/wire"
)

// Application is what a group replicates. All of its methods are deterministic: what they do and return follows from the
// state and the arguments, not from time, chance or the order of a map. They do not panic whatever a client sends.
type Application interface {
	// Apply executes an operation and returns its result.
	Apply(op []byte) []byte
	// Query returns the result of an operation that changes nothing.
	Query(op []byte) []byte
	// Snapshot returns an encoding of the state. Equal states have equal encodings.
	Snapshot() []byte
	// Restore replaces the state by an encoded one.
	Restore(snapshot []byte) error
}

// Counter is an application that counts: each Apply adds one and returns the count as 8 bytes, big-endian. A Query
// returns it too. Operations are not looked at.
type Counter struct{ n uint64 }

// Apply adds one.
func (c *Counter) Apply([]byte) []byte { c.n++; return c.Query(nil) }

// Query returns the count.
func (c *Counter) Query([]byte) []byte { return binary.BigEndian.AppendUint64(nil, c.n) }

// Snapshot returns the count.
func (c *Counter) Snapshot() []byte { return c.Query(nil) }

// Restore sets the count.
func (c *Counter) Restore(b []byte) error {
	if len(b) != 8 {
		return wire.ErrEncoding
	}
	c.n = binary.BigEndian.Uint64(b)
	return nil
}

// KVKind is what an operation of a KV does.
type KVKind byte

// Operations of a KV.
const (
	KVGet KVKind = 1 + iota
	KVSet
	KVDelete
	KVCAS       // sets Value if the value is Expect, which nil means absent
	KVAppend    // appends Value to the value
	KVIncrement // adds one to the value, 8 bytes big-endian, and returns it
	KVTransact  // executes Parts, one after another with nothing between them
)

// KVOp is an operation on a key, or several at once.
type KVOp struct {
	Kind   KVKind
	Key    string
	Value  []byte
	Expect []byte
	Parts  []KVOp // of KVTransact, none of them a KVTransact; a cas that does not match does not stop those behind it
}

// Encode returns the operation's encoding.
func (o KVOp) Encode() []byte {
	b := append([]byte(nil), byte(o.Kind))
	b = wire.AppendBytes(b, []byte(o.Key))
	b = wire.AppendBytes(b, o.Value)
	if o.Kind == KVCAS {
		b = wire.AppendBool(b, o.Expect != nil)
		b = wire.AppendBytes(b, o.Expect)
	}
	if o.Kind == KVTransact {
		b = wire.AppendUint(b, uint64(len(o.Parts)))
		for _, part := range o.Parts {
			b = wire.AppendBytes(b, part.Encode())
		}
	}
	return b
}

func decodeKVOp(b []byte) (KVOp, error) {
	r := newReader(b)
	o := KVOp{Kind: KVKind(r.Byte()), Key: string(r.Bytes()), Value: r.Bytes()}
	if o.Kind == KVCAS {
		there := r.Bool()
		o.Expect = r.Bytes()
		if !there {
			o.Expect = nil
		} else if o.Expect == nil {
			o.Expect = []byte{}
		}
	}
	if o.Kind == KVTransact {
		for range r.Count() {
			b := r.Bytes()
			if len(b) > 0 && KVKind(b[0]) == KVTransact {
				r.Fail()
				break
			}
			part, err := decodeKVOp(b)
			if err != nil {
				r.Fail()
				break
			}
			o.Parts = append(o.Parts, part)
		}
	}
	if o.Kind < KVGet || o.Kind > KVTransact {
		r.Fail()
	}
	return o, r.End()
}

// KVStatus is the first byte of a KV's result; the rest is the value. Of a KVTransact it is the results of the parts, each
// with its length before it.
type KVStatus byte

// Statuses of results.
const (
	KVInvalid  KVStatus = iota // the operation is none
	KVFound                    // get: the value; delete: there was one
	KVAbsent                   // get, delete: there is no value
	KVDone                     // set, append, increment (with the new value), transact, cas that took place
	KVMismatch                 // cas: the value is another
)

// KV is an application that maps keys to values.
type KV struct {
	data   map[string][]byte
	defect defect.ID
}

// NewKV returns an empty map.
func NewKV(d defect.ID) *KV { return &KV{data: map[string][]byte{}, defect: d} }

// Apply executes a KVOp.
func (kv *KV) Apply(op []byte) []byte {
	o, err := decodeKVOp(op)
	if err != nil {
		if kv.defect == defect.R30 {
			panic(err)
		}
		return []byte{byte(KVInvalid)}
	}
	return kv.apply(o)
}

func (kv *KV) apply(o KVOp) []byte {
	value, there := kv.data[o.Key]
	switch o.Kind {
	case KVTransact:
		return transact(o.Parts, kv.apply)
	case KVGet:
		return kv.get(o.Key)
	case KVSet:
		kv.data[o.Key] = o.Value
	case KVAppend:
		kv.data[o.Key] = append(value[:len(value):len(value)], o.Value...)
	case KVDelete:
		delete(kv.data, o.Key)
		if !there {
			return []byte{byte(KVAbsent)}
		}
		return []byte{byte(KVFound)}
	case KVCAS:
		if there != (o.Expect != nil) || string(value) != string(o.Expect) {
			return []byte{byte(KVMismatch)}
		}
		kv.data[o.Key] = o.Value
	case KVIncrement:
		var n uint64
		if len(value) == 8 {
			n = binary.BigEndian.Uint64(value)
		}
		value = binary.BigEndian.AppendUint64(nil, n+1)
		kv.data[o.Key] = value
		return append([]byte{byte(KVDone)}, value...)
	}
	return []byte{byte(KVDone)}
}

// Query executes a KVOp that is a get, or several of them at once.
func (kv *KV) Query(op []byte) []byte {
	o, err := decodeKVOp(op)
	changes := func(o KVOp) bool { return o.Kind != KVGet }
	switch {
	case err != nil:
		return []byte{byte(KVInvalid)}
	case o.Kind == KVTransact && !slices.ContainsFunc(o.Parts, changes):
		return transact(o.Parts, func(part KVOp) []byte { return kv.get(part.Key) })
	case changes(o):
		return []byte{byte(KVInvalid)}
	}
	return kv.get(o.Key)
}

func transact(parts []KVOp, do func(KVOp) []byte) []byte {
	result := []byte{byte(KVDone)}
	for _, part := range parts {
		result = wire.AppendBytes(result, do(part))
	}
	return result
}

func (kv *KV) get(key string) []byte {
	value, there := kv.data[key]
	if !there {
		return []byte{byte(KVAbsent)}
	}
	return append([]byte{byte(KVFound)}, value...)
}

// Snapshot returns the map in the order of its keys.
func (kv *KV) Snapshot() []byte {
	type pair struct {
		key   string
		value []byte
	}
	pairs := make([]pair, 0, len(kv.data))
	for k, v := range kv.data {
		pairs = append(pairs, pair{k, v})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.key, b.key) })
	b := wire.AppendUint(nil, uint64(len(pairs)))
	for _, p := range pairs {
		b = wire.AppendBytes(b, []byte(p.key))
		b = wire.AppendBytes(b, p.value)
	}
	return b
}

// Restore replaces the map.
func (kv *KV) Restore(b []byte) error {
	r := newReader(b)
	n := r.Count()
	data := make(map[string][]byte, n)
	for range n {
		data[string(r.Bytes())] = r.Bytes()
	}
	if err := r.End(); err != nil {
		return err
	}
	kv.data = data
	return nil
}
