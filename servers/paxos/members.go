package paxos

import (
	"slices"

	"nemesis/servers/core"
	"nemesis/servers/wire"
)

// Member is a node of a group with the address at which the others reach it, which this package only hands on.
type Member struct {
	ID      core.Address
	Address string
}

// MemberChange adds a node to a group or removes one.
type MemberChange struct {
	Remove bool
	Member Member
}

// Encode returns the change as the Op of a Change request.
func (m MemberChange) Encode() []byte {
	return appendMember(wire.AppendBool(nil, m.Remove), m.Member)
}

func decodeMemberChange(b []byte) (MemberChange, error) {
	r := newReader(b)
	m := MemberChange{r.Bool(), r.member()}
	if m.Member.ID == 0 || m.Member.ID.IsClient() {
		r.Fail()
	}
	return m, r.End()
}

func appendMember(b []byte, m Member) []byte {
	return wire.AppendBytes(wire.AppendUint(b, m.ID), []byte(m.Address))
}
func (r reader) member() Member { return Member{r.address(), string(r.Bytes())} }

// config is a configuration and the first slot in which it holds.
type config struct {
	from    Slot
	members []Member // in the order of their IDs; not changed in place
}

func (c config) has(n core.Address) bool {
	return slices.ContainsFunc(c.members, func(m Member) bool { return m.ID == n })
}

// changed returns the members after the change, or why it cannot be made.
func (c config) changed(m MemberChange) (members []Member, refused string) {
	switch {
	case m.Remove && !c.has(m.Member.ID):
		return nil, "the node is no member"
	case m.Remove && len(c.members) == 1:
		return nil, "the last member cannot be removed"
	case m.Remove:
		return slices.DeleteFunc(slices.Clone(c.members), func(o Member) bool { return o.ID == m.Member.ID }), ""
	case c.has(m.Member.ID):
		return nil, "the node is a member already"
	}
	members = append(slices.Clone(c.members), m.Member)
	slices.SortFunc(members, func(a, b Member) int { return int(a.ID) - int(b.ID) })
	return members, ""
}
