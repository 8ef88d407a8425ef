package paxos

import (
	"container/list"
	"fmt"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/wire"
)

// state is what the group replicates: after the same slots it is the same on every node.
type state struct {
	app         Application
	window      Slot
	executed    Slot   // every slot up to here is in the state
	position    uint64 // operations applied so far
	configs     []config
	maxSessions int
	sessions    map[uint64]*list.Element // of *session
	recent      *list.List               // sessions, the most recently used first
	defect      defect.ID
	node        core.Address // for R22 only
}

// session is a client's entry in the reply cache.
type session struct {
	id     uint64
	seq    uint64
	result []byte
}

func newState(o Options) *state {
	s := &state{app: o.App, window: Slot(o.Window), maxSessions: o.MaxSessions, defect: o.Defect, node: o.ID}
	if s.defect == defect.R13 {
		s.maxSessions = 2
	}
	s.clearSessions()
	if len(o.Members) > 0 {
		s.configs = []config{{from: 1}}
		for _, m := range o.Members {
			s.configs[0].members, _ = s.configs[0].changed(MemberChange{Member: m})
		}
	}
	return s
}

func (s *state) clearSessions() { s.sessions, s.recent = map[uint64]*list.Element{}, list.New() }

// blank says that the node has no configuration yet.
func (s *state) blank() bool { return len(s.configs) == 0 }

// config returns the configuration of a slot, which is at most window above what is executed.
func (s *state) config(slot Slot) config {
	for i := len(s.configs) - 1; i >= 0; i-- {
		if s.configs[i].from <= slot {
			return s.configs[i]
		}
	}
	return config{}
}

// newest is the last configuration known, which may not hold yet.
func (s *state) newest() config {
	if s.blank() {
		return config{}
	}
	return s.configs[len(s.configs)-1]
}

// settled says that one configuration holds in all slots in which anybody may propose now.
func (s *state) settled() bool { return s.newest().from <= s.executed+1 }

// outcome is what executing a command gave.
type outcome struct {
	status  Status
	session uint64
	result  []byte
	fresh   bool // an operation was applied just now
}

// apply executes the command that is at a place of the slot after executed.
func (s *state) apply(c Command, place int) outcome {
	switch c.Kind {
	case Register:
		id := uint64(s.executed+1)<<16 | uint64(place)
		s.open(id)
		return outcome{session: id}
	case Read:
		return outcome{session: c.Session, result: s.app.Query(c.Op)}
	case Change:
		if refused := s.change(c.Op); refused != "" {
			return outcome{status: Refused, result: []byte(refused)}
		}
		return outcome{}
	}
	element := s.sessions[c.Session]
	if element == nil && (s.defect == defect.R12 || s.defect == defect.R13) {
		element = s.open(c.Session)
	}
	if element == nil {
		return outcome{status: Expired, session: c.Session}
	}
	had := element.Value.(*session)
	s.recent.MoveToFront(element)
	if c.Seq == had.seq && s.defect != defect.R14 {
		return outcome{session: c.Session, result: had.result}
	}
	if c.Seq < had.seq && s.defect != defect.R14 {
		return outcome{status: Expired, session: c.Session} // the client has gone on since
	}
	s.position++
	had.seq, had.result = max(had.seq, c.Seq), s.app.Apply(c.Op)
	return outcome{session: c.Session, result: had.result, fresh: true}
}

func (s *state) open(id uint64) *list.Element {
	e := s.recent.PushFront(&session{id: id})
	s.sessions[id] = e
	if s.recent.Len() > s.maxSessions {
		last := s.recent.Back()
		delete(s.sessions, s.recent.Remove(last).(*session).id)
	}
	return e
}

// change makes a change of members, or says why not.
func (s *state) change(op []byte) (refused string) {
	m, err := decodeMemberChange(op)
	if err != nil {
		return err.Error()
	}
	slot := s.executed + 1
	if s.newest().from > slot {
		return "an earlier change does not hold yet; try again"
	}
	members, refused := s.newest().changed(m)
	if refused == "" {
		s.configs = append(s.configs, config{slot + s.window, members})
	}
	return refused
}

// finish notes that the slot after executed is executed.
func (s *state) finish() {
	s.executed++
	for len(s.configs) > 1 && s.configs[1].from <= s.executed+1 {
		s.configs = s.configs[1:]
	}
}

// encode returns the state's encoding. Equal states have equal encodings.
func (s *state) encode() []byte { return s.encodeWith(s.executed, s.encodeSessions()) }

func (s *state) encodeSessions() []byte {
	if s.defect == defect.R12 {
		return wire.AppendUint[uint64](nil, 0)
	}
	b := wire.AppendUint(nil, uint64(s.recent.Len()))
	for e := s.recent.Front(); e != nil; e = e.Next() {
		had := e.Value.(*session)
		b = wire.AppendBytes(wire.AppendUint(wire.AppendUint(b, had.id), had.seq), had.result)
	}
	return b
}

func (s *state) encodeWith(executed Slot, sessions []byte) []byte {
	b := wire.AppendUint(wire.AppendUint(wire.AppendUint(nil, executed), s.position), s.window)
	b = wire.AppendUint(wire.AppendUint(b, uint64(s.maxSessions)), uint64(len(s.configs)))
	for _, c := range s.configs {
		b = wire.AppendUint(wire.AppendUint(b, c.from), uint64(len(c.members)))
		for _, m := range c.members {
			b = appendMember(b, m)
		}
	}
	b = append(b, sessions...)
	return append(b, s.app.Snapshot()...)
}

// restore replaces the state by an encoded one.
func (s *state) restore(b []byte) error {
	r := newReader(b)
	executed, position, window, maxSessions := r.slot(), r.Uint(), r.slot(), int(r.Uint())
	var configs []config
	for range r.Count() {
		c := config{from: r.slot()}
		for range r.Count() {
			c.members = append(c.members, r.member())
		}
		configs = append(configs, c)
	}
	if window == 0 || maxSessions <= 0 || len(configs) == 0 {
		r.Fail()
	}
	old := *s
	s.clearSessions()
	for range r.Count() {
		had := &session{id: r.Uint(), seq: r.Uint(), result: r.Bytes()}
		s.sessions[had.id] = s.recent.PushBack(had)
	}
	err := r.Err()
	if err == nil {
		err = s.app.Restore(r.Rest())
	}
	if err != nil {
		*s = old
		return fmt.Errorf("restore a snapshot: %w", err)
	}
	s.executed, s.position, s.window, s.maxSessions, s.configs = executed, position, window, maxSessions, configs
	return nil
}
