package paxos

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The protocol is that of docs/servers.md: frames of a length (8 bytes, big-endian) and a message; in messages numbers are
// unsigned varints, and bytes have their length before them.

// Tags of messages.
const (
	tagRequest  = 13
	tagReply    = 14
	tagInquiry  = 15
	tagStanding = 16
)

// Kinds of requests.
const (
	apply    = 1
	query    = 2
	register = 3
)

// status is how a server took a request.
type status byte

const (
	done      status = 0
	notLeader status = 1 // not taken
	deposed   status = 2 // taken, and perhaps executed
	expired   status = 3 // the session is closed
	refused   status = 4 // not taken, and never will be
	busy      status = 5 // not taken
)

func (s status) String() string {
	names := [...]string{"done", "not the leader", "no longer the leader", "session expired", "refused", "busy"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("status %d", byte(s))
}

// request asks for an operation. Session and seq name it.
type request struct {
	kind         byte
	session, seq uint64
	op           []byte
}

// reply answers a request. Of a register, session is the new one.
type reply struct {
	kind         byte
	session, seq uint64
	status       status
	leader       uint64
	result       []byte
}

// standing answers an inquiry.
type standing struct {
	sequence, node uint64 // the ballot
	leader         uint64 // 0 for nobody
	executed       uint64
}

// longest is what a server may answer at most, in bytes.
const longest = 16 << 20

// hello is the first frame of a client's connection.
func hello() []byte { return frame(append([]byte("nemesis1"), make([]byte, 8)...)) }

// frame is a message with its length.
func frame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(len(message))), message...)
}

func (r request) message() []byte {
	b := binary.AppendUvarint([]byte{tagRequest, r.kind}, r.session)
	return appendBytes(binary.AppendUvarint(b, r.seq), r.op)
}

// readFrame reads a message of at most longest bytes. Memory is taken for what has arrived, not for what was announced.
func readFrame(r *bufio.Reader) ([]byte, error) {
	var header [8]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint64(header[:])
	if size > longest {
		return nil, fmt.Errorf("the server answered with a frame of %d bytes, and %d is the limit", size, longest)
	}
	message, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err == nil && uint64(len(message)) < size {
		err = io.ErrUnexpectedEOF
	}
	return message, err
}

var errMessage = errors.New("the server answered with something that is no message")

func readReply(message []byte) (reply, error) {
	d := decoder{b: message}
	tag := d.byte()
	r := reply{kind: d.byte(), session: d.number(), seq: d.number(), status: status(d.byte()), leader: d.number(), result: d.bytes()}
	if tag != tagReply || r.status > busy || !d.end() {
		return reply{}, errMessage
	}
	return r, nil
}

func readStanding(message []byte) (standing, error) {
	d := decoder{b: message}
	tag := d.byte()
	s := standing{sequence: d.number(), node: d.number(), leader: d.number(), executed: d.number()}
	if tag != tagStanding || !d.end() {
		return standing{}, errMessage
	}
	return s, nil
}

func appendBytes(b, v []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

// decoder reads a message. Once something was missing, it reads zeros, and end says so.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.b, d.bad = nil, true }

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) number() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// end says that all was read and nothing was missing.
func (d *decoder) end() bool { return !d.bad && len(d.b) == 0 }
