// Package iron speaks to the servers of the IronFleet paper (Hawblitzel and others, SOSP 2015), which the user starts: their
// marshalling, both of their transports, and how they are put on nodes. The systems are in packages ironrsl, ironkv and ironlock.
//
// It is written from the protocol's facts, which docs/servers.md has, and shares no code with those servers.
package iron

import (
	"encoding/binary"
	"errors"
)

// All integers are unsigned, of 64 bits, big-endian. Bytes have their length before them, a choice its number.

// AppendUint appends a number.
func AppendUint(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// AppendBytes appends bytes with their length.
func AppendBytes(b, v []byte) []byte { return append(AppendUint(b, uint64(len(v))), v...) }

// ErrMessage is that an answer is no message of the protocol.
var ErrMessage = errors.New("the server answered with something that is no message")

// Reader reads a message. Once something was missing it reads zeros, and End says so. Memory is taken for what is there, not for
// what was announced.
type Reader struct {
	b   []byte
	bad bool
}

// NewReader reads a message, whose bytes it keeps.
func NewReader(message []byte) *Reader { return &Reader{b: message} }

// Fail makes the message none.
func (r *Reader) Fail() { r.b, r.bad = nil, true }

// Uint reads a number.
func (r *Reader) Uint() uint64 {
	if len(r.b) < 8 {
		r.Fail()
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// Bytes reads bytes with their length.
func (r *Reader) Bytes() []byte {
	n := r.Uint()
	if n > uint64(len(r.b)) {
		r.Fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// End is ErrMessage unless all was read and nothing was missing.
func (r *Reader) End() error {
	if r.bad || len(r.b) > 0 {
		return ErrMessage
	}
	return nil
}
