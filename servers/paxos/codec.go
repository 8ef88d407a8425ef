package paxos

import (
	"encoding/binary"
	"errors"

	"nemesis/servers/core"
)

var errEncoding = errors.New("the encoding is cut short or wrong")

// reader reads an encoding. After an error it reads zeros, and err says so.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) fail() { r.b, r.err = nil, errEncoding }

// bytes returns the next bytes, not copied.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// count returns the number of elements that follow, each at least one byte long.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bool() bool            { return r.byte() != 0 }
func (r *reader) slot() Slot            { return Slot(r.uint()) }
func (r *reader) address() core.Address { return core.Address(r.uint()) }
func (r *reader) ballot() Ballot        { return Ballot{r.uint(), r.address()} }

// end returns the error, which includes that something is left over.
func (r *reader) end() error {
	if r.err == nil && len(r.b) != 0 {
		r.fail()
	}
	return r.err
}

func appendUint[T ~uint64](b []byte, v T) []byte { return binary.AppendUvarint(b, uint64(v)) }

func appendBytes(b, v []byte) []byte { return append(appendUint(b, uint64(len(v))), v...) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendBallot(b []byte, v Ballot) []byte { return appendUint(appendUint(b, v.Sequence), v.Node) }
