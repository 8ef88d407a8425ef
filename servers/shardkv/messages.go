package shardkv

import (
	"fmt"

	"nemesis/servers/core"
	"nemesis/servers/paxos"
	"nemesis/servers/wire"
)

// Kind is what an operation does to a key.
type Kind byte

// Operations.
const (
	Get Kind = 1 + iota
	Set
	Delete
	CAS       // sets Value if the value is Expect; Absent expects that there is none
	Append    // appends Value
	Increment // adds one to the value, 8 bytes big-endian
)

func (k Kind) String() string {
	if k < Get || k > Increment {
		return fmt.Sprintf("kind %d", byte(k))
	}
	return [...]string{"", "get", "set", "delete", "cas", "append", "increment"}[k]
}

// Op is an operation. Client and Seq name it: a client numbers its own from 1 and has one at a time.
type Op struct {
	Client, Seq uint64
	Kind        Kind
	Key         string
	Value       []byte
	Expect      []byte
	Absent      bool
}

// Status is the outcome of an operation.
type Status byte

// Outcomes.
const (
	OK       Status = iota
	Redirect        // not executed: Holder holds the key, as far as the node knows
	Stale           // not executed: the client has sent a later one
	Invalid         // not executed: it is no operation
)

// Result answers an Op.
type Result struct {
	Seq    uint64
	Status Status
	Found  bool // get, delete: there was a value; cas: it took place
	Value  []byte
	Holder core.Address
	Epoch  uint64
}

// Copy is a piece of a shard for a node that is to be a backup; the copy is of the state after the write Seq.
type Copy struct {
	Shard, Epoch, Seq uint64
	Size, Offset      uint64
	Data              []byte
}

// Copied says that the sender has the copy's bytes up to Offset; at its end it is on disk.
type Copied struct{ Shard, Epoch, Seq, Offset uint64 }

// Replicate is a write for a backup. Every write up to Commit is executed.
type Replicate struct {
	Shard, Epoch, Seq, Commit uint64
	Op                        Op
}

// Replicated says that the sender has every write up to Seq on disk.
type Replicated struct{ Shard, Epoch, Seq uint64 }

// Tags of messages. They do not meet those of package paxos, whose requests and replies stores send and get too.
const (
	tagOp byte = 100 + iota
	tagResult
	tagCopy
	tagCopied
	tagReplicate
	tagReplicated
	tagBetween
)

func appendOp(b []byte, o Op) []byte {
	b = append(wire.AppendUint(wire.AppendUint(b, o.Client), o.Seq), byte(o.Kind))
	b = wire.AppendBytes(wire.AppendBytes(b, o.Key), o.Value)
	return wire.AppendBool(wire.AppendBytes(b, o.Expect), o.Absent)
}

func readOp(r *wire.Reader) Op {
	o := Op{Client: r.Uint(), Seq: r.Uint(), Kind: Kind(r.Byte()), Key: r.String(), Value: r.Bytes(), Expect: r.Bytes(), Absent: r.Bool()}
	return o
}

func appendUints(b []byte, values ...uint64) []byte {
	for _, v := range values {
		b = wire.AppendUint(b, v)
	}
	return b
}

// Append appends the encoding.
func (m *Op) Append(b []byte) []byte { return appendOp(append(b, tagOp), *m) }

// Append appends the encoding.
func (m *Result) Append(b []byte) []byte {
	b = append(wire.AppendUint(append(b, tagResult), m.Seq), byte(m.Status))
	b = wire.AppendBytes(wire.AppendBool(b, m.Found), m.Value)
	return appendUints(b, uint64(m.Holder), m.Epoch)
}

// Append appends the encoding.
func (m *Copy) Append(b []byte) []byte {
	return wire.AppendBytes(appendUints(append(b, tagCopy), m.Shard, m.Epoch, m.Seq, m.Size, m.Offset), m.Data)
}

// Append appends the encoding.
func (m *Copied) Append(b []byte) []byte {
	return appendUints(append(b, tagCopied), m.Shard, m.Epoch, m.Seq, m.Offset)
}

// Append appends the encoding.
func (m *Replicate) Append(b []byte) []byte {
	return appendOp(appendUints(append(b, tagReplicate), m.Shard, m.Epoch, m.Seq, m.Commit), m.Op)
}

// Append appends the encoding.
func (m *Replicated) Append(b []byte) []byte {
	return appendUints(append(b, tagReplicated), m.Shard, m.Epoch, m.Seq)
}

// Append appends the encoding.
func (m *Between) Append(b []byte) []byte {
	return m.Body.Append(append(b, tagBetween, byte(m.From), byte(m.To)))
}

// Decode reads a message of a node.
func Decode(b []byte) (core.Body, error) {
	if len(b) == 0 || b[0] < tagOp {
		return paxos.Decode(b)
	}
	if b[0] == tagBetween {
		return decodeBetween(b)
	}
	r := wire.NewReader(b[1:])
	var m core.Body
	switch b[0] {
	case tagOp:
		o := readOp(r)
		m = &o
	case tagResult:
		m = &Result{r.Uint(), Status(r.Byte()), r.Bool(), r.Bytes(), core.Address(r.Uint()), r.Uint()}
	case tagCopy:
		m = &Copy{r.Uint(), r.Uint(), r.Uint(), r.Uint(), r.Uint(), r.Bytes()}
	case tagCopied:
		m = &Copied{r.Uint(), r.Uint(), r.Uint(), r.Uint()}
	case tagReplicate:
		m = &Replicate{r.Uint(), r.Uint(), r.Uint(), r.Uint(), readOp(r)}
	case tagReplicated:
		m = &Replicated{r.Uint(), r.Uint(), r.Uint()}
	default:
		return nil, fmt.Errorf("decode a message: there is no kind %d", b[0])
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("decode a message: %w", err)
	}
	return m, nil
}

func decodeBetween(b []byte) (core.Body, error) {
	if len(b) < 4 || Part(b[1]) > GrantorPart || Part(b[2]) > GrantorPart || b[3] == tagBetween {
		return nil, fmt.Errorf("decode a message between parts of nodes: %w", wire.ErrEncoding)
	}
	body, err := Decode(b[3:])
	return &Between{Part(b[1]), Part(b[2]), body}, err
}
