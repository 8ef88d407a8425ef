// Package wire encodes numbers and byte strings compactly: what messages and records of the servers are made of.
package wire

import (
	"encoding/binary"
	"errors"
)

// ErrEncoding is the error of an encoding that is cut short or wrong.
var ErrEncoding = errors.New("the encoding is cut short or wrong")

// Reader reads an encoding. After an error it reads zeros.
type Reader struct {
	left []byte
	err  error
}

// NewReader reads b, which it shares.
func NewReader(b []byte) *Reader { return &Reader{left: b} }

// Fail notes that what was read makes no sense.
func (r *Reader) Fail() { r.left, r.err = nil, ErrEncoding }

// Uint reads a number.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.left)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.left = r.left[n:]
	return v
}

// Bytes reads a byte string, not copied.
func (r *Reader) Bytes() []byte {
	n := r.Uint()
	if n > uint64(len(r.left)) {
		r.Fail()
		return nil
	}
	v := r.left[:n:n]
	r.left = r.left[n:]
	return v
}

// String reads a byte string as a string.
func (r *Reader) String() string { return string(r.Bytes()) }

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.left) == 0 {
		r.Fail()
		return 0
	}
	v := r.left[0]
	r.left = r.left[1:]
	return v
}

// Bool reads a truth value.
func (r *Reader) Bool() bool { return r.Byte() != 0 }

// Count reads the number of elements that follow, each of which takes at least one byte.
func (r *Reader) Count() int {
	n := r.Uint()
	if n > uint64(len(r.left)) {
		r.Fail()
		return 0
	}
	return int(n)
}

// Len is how many bytes are left.
func (r *Reader) Len() int { return len(r.left) }

// Rest reads all that is left, not copied.
func (r *Reader) Rest() []byte {
	v := r.left
	r.left = nil
	return v
}

// Err returns what was wrong so far.
func (r *Reader) Err() error { return r.err }

// End returns what was wrong, which includes that something is left over.
func (r *Reader) End() error {
	if r.err == nil && len(r.left) != 0 {
		r.Fail()
	}
	return r.err
}

// AppendUint appends a number.
func AppendUint[T ~uint64](b []byte, v T) []byte { return binary.AppendUvarint(b, uint64(v)) }

// AppendBytes appends a byte string.
func AppendBytes[T ~[]byte | ~string](b []byte, v T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// AppendBool appends a truth value.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
