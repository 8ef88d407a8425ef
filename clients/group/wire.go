// Package group speaks to the servers that nemesis brings along: their frames, a connection to one of them, and a session with
// a group of servers that Multi-Paxos replicates. It follows docs/servers.md and shares no code with the servers.
package group

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Tags of messages.
const (
	TagRequest  = 13
	TagReply    = 14
	TagInquiry  = 15
	TagStanding = 16
)

// Kinds of requests.
const (
	Apply    = 1
	Query    = 2
	Register = 3
	Change   = 4 // adds or removes a server
)

// Status is how a server took a request.
type Status byte

// Statuses.
const (
	Done      Status = 0
	NotLeader Status = 1 // not taken
	Deposed   Status = 2 // taken, and perhaps executed
	Expired   Status = 3 // the session is closed
	Refused   Status = 4 // not taken, and never will be
	Busy      Status = 5 // not taken
)

func (s Status) String() string {
	names := [...]string{"done", "not the leader", "no longer the leader", "session expired", "refused", "busy"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("status %d", byte(s))
}

// Request asks for an operation. Session and Seq name it.
type Request struct {
	Kind         byte
	Session, Seq uint64
	Op           []byte
}

// Reply answers a request. Of a Register, Session is the new one.
type Reply struct {
	Kind         byte
	Session, Seq uint64
	Status       Status
	Leader       uint64 // 0 for nobody
	Result       []byte
}

// Standing answers an inquiry: where a server stands.
type Standing struct {
	Sequence, Node uint64 // the ballot
	Leader         uint64 // 0 for nobody
	Executed       uint64
	// Members are those of the newest configuration that the server knows of, From the first slot in which that holds.
	From    uint64
	Members []Member
}

// Member is a server of a group: its number, and where it listens.
type Member struct {
	ID      uint64
	Address string
}

// Longest is what a server may answer at most, in bytes.
const Longest = 16 << 20

// Hello is the first frame of a client's connection.
func Hello() []byte { return Frame(append([]byte("nemesis1"), make([]byte, 8)...)) }

// Frame is a message with its length: 8 bytes, big-endian.
func Frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(len(message))), message...)
}

// Message encodes the request.
func (r Request) Message() []byte {
	b := binary.AppendUvarint([]byte{TagRequest, r.Kind}, r.Session)
	return AppendBytes(binary.AppendUvarint(b, r.Seq), r.Op)
}

// trusted is how many bytes a server may announce for memory to be taken before they have arrived.
const trusted = 64 << 10

// ReadFrame reads a message of at most Longest bytes. Beyond 64 KiB memory is taken for what has arrived, not for what was announced.
func ReadFrame(r *bufio.Reader) ([]byte, error) {
	var header [8]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint64(header[:])
	if size > Longest {
		return nil, fmt.Errorf("the server answered with a frame of %d bytes, and %d is the limit", size, Longest)
	}
	if size <= trusted {
		message := make([]byte, size)
		if n, err := io.ReadFull(r, message); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return message[:n], err
		}
		return message, nil
	}
	message, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err == nil && uint64(len(message)) < size {
		err = io.ErrUnexpectedEOF
	}
	return message, err
}

// ErrMessage is that an answer is none of the protocol.
var ErrMessage = errors.New("the server answered with something that is no message")

// ReadReply decodes a reply.
func ReadReply(message []byte) (Reply, error) {
	d := NewDecoder(message)
	tag := d.Byte()
	r := Reply{d.Byte(), d.Number(), d.Number(), Status(d.Byte()), d.Number(), d.Bytes()}
	if tag != TagReply || r.Status > Busy || !d.End() {
		return Reply{}, ErrMessage
	}
	return r, nil
}

// ReadStanding decodes a standing.
func ReadStanding(message []byte) (Standing, error) {
	d := NewDecoder(message)
	tag := d.Byte()
	s := Standing{Sequence: d.Number(), Node: d.Number(), Leader: d.Number(), Executed: d.Number(), From: d.Number()}
	for range d.Count() {
		s.Members = append(s.Members, Member{d.Number(), string(d.Bytes())})
	}
	if tag != TagStanding || !d.End() {
		return Standing{}, ErrMessage
	}
	return s, nil
}

// AppendBytes appends bytes with their number before them.
func AppendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// Decoder reads a message: numbers are unsigned varints, bytes have their number before them. Once something was missing, it
// reads zeros, and End says so.
type Decoder struct {
	b   []byte
	bad bool
}

// NewDecoder reads b, which it shares.
func NewDecoder(b []byte) *Decoder { return &Decoder{b: b} }

func (d *Decoder) fail() { d.b, d.bad = nil, true }

// Byte reads a byte.
func (d *Decoder) Byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

// Number reads a number.
func (d *Decoder) Number() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// Bytes reads bytes.
func (d *Decoder) Bytes() []byte {
	n := d.Number()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// Count reads the number of things that follow, each of which takes at least a byte.
func (d *Decoder) Count() int {
	n := d.Number()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

// End says that all was read and nothing was missing.
func (d *Decoder) End() bool { return !d.bad && len(d.b) == 0 }
