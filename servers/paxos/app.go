package paxos

import (
	"cmp"
	"encoding/binary"
	"slices"

	"nemesis/servers/defect"
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
		return errEncoding
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
)

// KVOp is an operation on a key.
type KVOp struct {
	Kind   KVKind
	Key    string
	Value  []byte
	Expect []byte
}

// Encode returns the operation's encoding.
func (o KVOp) Encode() []byte {
	b := append([]byte(nil), byte(o.Kind))
	b = appendBytes(b, []byte(o.Key))
	b = appendBytes(b, o.Value)
	if o.Kind == KVCAS {
		b = appendBool(b, o.Expect != nil)
		b = appendBytes(b, o.Expect)
	}
	return b
}

func decodeKVOp(b []byte) (KVOp, error) {
	r := reader{b: b}
	o := KVOp{Kind: KVKind(r.byte()), Key: string(r.bytes()), Value: r.bytes()}
	if o.Kind == KVCAS {
		there := r.bool()
		o.Expect = r.bytes()
		if !there {
			o.Expect = nil
		} else if o.Expect == nil {
			o.Expect = []byte{}
		}
	}
	if o.Kind < KVGet || o.Kind > KVIncrement {
		r.fail()
	}
	return o, r.end()
}

// KVStatus is the first byte of a KV's result; the rest is the value.
type KVStatus byte

// Statuses of results.
const (
	KVInvalid  KVStatus = iota // the operation is none
	KVFound                    // get: the value; delete: there was one
	KVAbsent                   // get, delete: there is no value
	KVDone                     // set, append, increment (with the new value), cas that took place
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
	value, there := kv.data[o.Key]
	switch o.Kind {
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

// Query executes a KVOp that is a get.
func (kv *KV) Query(op []byte) []byte {
	o, err := decodeKVOp(op)
	if err != nil || o.Kind != KVGet {
		return []byte{byte(KVInvalid)}
	}
	return kv.get(o.Key)
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
	b := appendUint(nil, uint64(len(pairs)))
	for _, p := range pairs {
		b = appendBytes(b, []byte(p.key))
		b = appendBytes(b, p.value)
	}
	return b
}

// Restore replaces the map.
func (kv *KV) Restore(b []byte) error {
	r := reader{b: b}
	n := r.count()
	data := make(map[string][]byte, n)
	for range n {
		data[string(r.bytes())] = r.bytes()
	}
	if err := r.end(); err != nil {
		return err
	}
	kv.data = data
	return nil
}
