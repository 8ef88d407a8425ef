package paxos

import (
	"fmt"

	"nemesis/servers/core"
	"nemesis/servers/wire"
)

// Tags of encoded messages.
const (
	tagCanvass byte = 1 + iota
	tagSupport
	tagPrepare
	tagPromise
	tagAccept
	tagAccepted
	tagReject
	tagHeartbeat
	tagHeartbeatAck
	tagFetch
	tagEntries
	tagChunk
	tagRequest
	tagReply
	tagInquiry
	tagStanding
)

// Canvass asks whether the receiver would promise the ballot now (a pre-vote). It binds nobody.
type Canvass struct {
	Ballot   Ballot
	Executed Slot
}

// Support answers a Canvass. What the sender has promised and executed tells a candidate what to exceed and to fetch.
type Support struct {
	Ballot   Ballot
	OK       bool
	Promised Ballot
	Executed Slot
}

// Prepare begins phase 1 (1a) for each slot above Executed.
type Prepare struct {
	Ballot   Ballot
	Executed Slot
}

// Vote is a value that a node voted for in a slot, or knows to be chosen.
type Vote struct {
	Slot   Slot
	Ballot Ballot
	Chosen bool
	Batch  *Batch
}

// Promise answers a Prepare (1b). Executed is the sender's; Votes are all of its votes in slots above both Executed and
// that of the Prepare. They may come in Parts messages with the same Answer, numbered from 0.
type Promise struct {
	Ballot      Ballot
	Executed    Slot
	Answer      uint64
	Part, Parts uint64
	Votes       []Vote
}

// Accept proposes a batch in a slot (2a). Every slot up to Commit is chosen.
type Accept struct {
	Ballot Ballot
	Slot   Slot
	Commit Slot
	Batch  *Batch
}

// Accepted is a vote (2b), which is on disk.
type Accepted struct {
	Ballot   Ballot
	Slot     Slot
	Executed Slot
}

// Reject says that the sender has promised a higher ballot than that of a message it got.
type Reject struct {
	Ballot   Ballot // of the message
	Promised Ballot
}

// Heartbeat says that the sender leads. Truncate is the quorum-th highest executed slot.
type Heartbeat struct {
	Ballot   Ballot
	Round    uint64
	Commit   Slot
	Truncate Slot
}

// HeartbeatAck answers a Heartbeat: the sender had not promised a higher ballot, and will promise no other node for the
// length of a lease.
type HeartbeatAck struct {
	Ballot   Ballot
	Round    uint64
	Executed Slot
}

// Fetch asks for what was chosen from slot Next on. Blank says that the sender has no state, not even a configuration.
// Snapshot and Offset name what it has of a snapshot.
type Fetch struct {
	Next     Slot
	Blank    bool
	Snapshot Slot
	Offset   uint64
}

// Entries answers a Fetch with batches chosen in the slots from From on.
type Entries struct {
	From    Slot
	Batches []*Batch
}

// Chunk answers a Fetch with a piece of a snapshot of the state after Slot.
type Chunk struct {
	Slot   Slot
	Size   uint64
	Offset uint64
	Data   []byte
}

// Request is a client's.
type Request struct{ Command }

// Status is the outcome of a request.
type Status byte

// Outcomes.
const (
	// OK: Result is the application's, or of a Register the session as Reply.Session.
	OK Status = iota
	// NotLeader: the node did not take the request. Leader is a guess, or 0.
	NotLeader
	// Deposed: the node took the request and does not lead any more; it may be executed or not. Ask again.
	Deposed
	// Expired: the session is closed. Whether an earlier attempt was executed is not known.
	Expired
	// Refused: a change of members that cannot be made. Result says why.
	Refused
	// Busy: the node did not take the request, having too many.
	Busy
)

func (s Status) String() string {
	return [...]string{"ok", "not leader", "deposed", "expired", "refused", "busy"}[s]
}

// Reply answers a request. Kind, Session and Seq are the request's, but for a Register, whose Session is the new one.
type Reply struct {
	Kind    CommandKind
	Session uint64
	Seq     uint64
	Status  Status
	Leader  core.Address
	Result  []byte
}

// Inquiry asks a node where it stands. Anybody may ask.
type Inquiry struct{}

// Standing answers an Inquiry. Promised is the ballot of a sender that leads, and otherwise the highest that it has
// promised; Leader is whom it takes for the leader, or 0. Members is the newest configuration that it knows of, From the
// first slot in which that holds.
type Standing struct {
	Promised Ballot
	Leader   core.Address
	Executed Slot
	From     Slot
	Members  []Member
}

// Append appends the encoding.
func (m *Canvass) Append(b []byte) []byte {
	return wire.AppendUint(appendBallot(append(b, tagCanvass), m.Ballot), m.Executed)
}

// Append appends the encoding.
func (m *Support) Append(b []byte) []byte {
	b = wire.AppendBool(appendBallot(append(b, tagSupport), m.Ballot), m.OK)
	return wire.AppendUint(appendBallot(b, m.Promised), m.Executed)
}

// Append appends the encoding.
func (m *Prepare) Append(b []byte) []byte {
	return wire.AppendUint(appendBallot(append(b, tagPrepare), m.Ballot), m.Executed)
}

// Append appends the encoding.
func (m *Promise) Append(b []byte) []byte {
	b = wire.AppendUint(appendBallot(append(b, tagPromise), m.Ballot), m.Executed)
	b = wire.AppendUint(wire.AppendUint(wire.AppendUint(b, m.Answer), m.Part), m.Parts)
	b = wire.AppendUint(b, uint64(len(m.Votes)))
	for _, v := range m.Votes {
		b = wire.AppendBool(appendBallot(wire.AppendUint(b, v.Slot), v.Ballot), v.Chosen)
		b = wire.AppendBytes(b, v.Batch.encoded)
	}
	return b
}

// Append appends the encoding.
func (m *Accept) Append(b []byte) []byte {
	b = wire.AppendUint(wire.AppendUint(appendBallot(append(b, tagAccept), m.Ballot), m.Slot), m.Commit)
	return wire.AppendBytes(b, m.Batch.encoded)
}

// Append appends the encoding.
func (m *Accepted) Append(b []byte) []byte {
	return wire.AppendUint(wire.AppendUint(appendBallot(append(b, tagAccepted), m.Ballot), m.Slot), m.Executed)
}

// Append appends the encoding.
func (m *Reject) Append(b []byte) []byte {
	return appendBallot(appendBallot(append(b, tagReject), m.Ballot), m.Promised)
}

// Append appends the encoding.
func (m *Heartbeat) Append(b []byte) []byte {
	b = wire.AppendUint(appendBallot(append(b, tagHeartbeat), m.Ballot), m.Round)
	return wire.AppendUint(wire.AppendUint(b, m.Commit), m.Truncate)
}

// Append appends the encoding.
func (m *HeartbeatAck) Append(b []byte) []byte {
	return wire.AppendUint(wire.AppendUint(appendBallot(append(b, tagHeartbeatAck), m.Ballot), m.Round), m.Executed)
}

// Append appends the encoding.
func (m *Fetch) Append(b []byte) []byte {
	b = wire.AppendBool(wire.AppendUint(append(b, tagFetch), m.Next), m.Blank)
	return wire.AppendUint(wire.AppendUint(b, m.Snapshot), m.Offset)
}

// Append appends the encoding.
func (m *Entries) Append(b []byte) []byte {
	b = wire.AppendUint(wire.AppendUint(append(b, tagEntries), m.From), uint64(len(m.Batches)))
	for _, batch := range m.Batches {
		b = wire.AppendBytes(b, batch.encoded)
	}
	return b
}

// Append appends the encoding.
func (m *Chunk) Append(b []byte) []byte {
	b = wire.AppendUint(wire.AppendUint(wire.AppendUint(append(b, tagChunk), m.Slot), m.Size), m.Offset)
	return wire.AppendBytes(b, m.Data)
}

// Append appends the encoding.
func (m *Request) Append(b []byte) []byte {
	b = append(b, tagRequest, byte(m.Kind))
	return wire.AppendBytes(wire.AppendUint(wire.AppendUint(b, m.Session), m.Seq), m.Op)
}

// Append appends the encoding.
func (m *Reply) Append(b []byte) []byte {
	b = wire.AppendUint(wire.AppendUint(append(b, tagReply, byte(m.Kind)), m.Session), m.Seq)
	return wire.AppendBytes(wire.AppendUint(append(b, byte(m.Status)), m.Leader), m.Result)
}

// Append appends the encoding.
func (m *Inquiry) Append(b []byte) []byte { return append(b, tagInquiry) }

// Append appends the encoding.
func (m *Standing) Append(b []byte) []byte {
	b = wire.AppendUint(wire.AppendUint(appendBallot(append(b, tagStanding), m.Promised), m.Leader), m.Executed)
	b = wire.AppendUint(wire.AppendUint(b, m.From), uint64(len(m.Members)))
	for _, n := range m.Members {
		b = appendMember(b, n)
	}
	return b
}

// Decode reads one message. The message shares memory with b.
func Decode(b []byte) (core.Body, error) {
	r := newReader(b)
	var m core.Body
	switch tag := r.Byte(); tag {
	case tagCanvass:
		m = &Canvass{r.ballot(), r.slot()}
	case tagSupport:
		m = &Support{r.ballot(), r.Bool(), r.ballot(), r.slot()}
	case tagPrepare:
		m = &Prepare{r.ballot(), r.slot()}
	case tagPromise:
		p := &Promise{Ballot: r.ballot(), Executed: r.slot(), Answer: r.Uint(), Part: r.Uint(), Parts: r.Uint()}
		for range r.Count() {
			p.Votes = append(p.Votes, Vote{r.slot(), r.ballot(), r.Bool(), r.batch()})
		}
		m = p
	case tagAccept:
		m = &Accept{r.ballot(), r.slot(), r.slot(), r.batch()}
	case tagAccepted:
		m = &Accepted{r.ballot(), r.slot(), r.slot()}
	case tagReject:
		m = &Reject{r.ballot(), r.ballot()}
	case tagHeartbeat:
		m = &Heartbeat{r.ballot(), r.Uint(), r.slot(), r.slot()}
	case tagHeartbeatAck:
		m = &HeartbeatAck{r.ballot(), r.Uint(), r.slot()}
	case tagFetch:
		m = &Fetch{r.slot(), r.Bool(), r.slot(), r.Uint()}
	case tagEntries:
		e := &Entries{From: r.slot()}
		for range r.Count() {
			e.Batches = append(e.Batches, r.batch())
		}
		m = e
	case tagChunk:
		m = &Chunk{r.slot(), r.Uint(), r.Uint(), r.Bytes()}
	case tagRequest:
		q := &Request{Command{CommandKind(r.Byte()), r.Uint(), r.Uint(), r.Bytes()}}
		if q.Kind < Apply || q.Kind > Change {
			r.Fail()
		}
		m = q
	case tagReply:
		p := &Reply{CommandKind(r.Byte()), r.Uint(), r.Uint(), Status(r.Byte()), r.address(), r.Bytes()}
		if p.Status > Busy {
			r.Fail()
		}
		m = p
	case tagInquiry:
		m = &Inquiry{}
	case tagStanding:
		s := &Standing{Promised: r.ballot(), Leader: r.address(), Executed: r.slot(), From: r.slot()}
		for range r.Count() {
			s.Members = append(s.Members, r.member())
		}
		m = s
	default:
		return nil, fmt.Errorf("decode a message: there is no kind %d", tag)
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("decode a message: %w", err)
	}
	return m, nil
}
