package paxos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"nemesis/clients"
	"nemesis/clients/group"
)

var (
	_ clients.Membership = System{}
	_ clients.Joining    = (*deployment)(nil)
)

// Join gives a node's server a number that no server of the group had, as it must: the place of its node, and for each change as many
// more as there are nodes. So whoever knows the nodes knows where a number is.
func (d *deployment) Join(node string, change int) (clients.Join, error) {
	i, err := d.servers.Index(node)
	if err != nil {
		return clients.Join{}, err
	}
	n := len(d.servers.Names)
	id := i + 1 + n*change
	if id > group.MostServers {
		return clients.Join{}, fmt.Errorf("let the server of %s join again: numbers of servers end at %d", node, group.MostServers)
	}
	component := d.components[i]
	j := clients.Join{
		Component: component.Name(), First: true,
		Member: clients.Member{ID: strconv.Itoa(id), Address: d.servers.Addresses[i].String()},
		Argv:   append(slices.Clone(component.Spec.Argv), "--id", strconv.Itoa(id), "--join", d.servers.Addresses[i].String()),
	}
	// The one that goes is asked too: while it leads, nobody else can change the members.
	j.Servers = d.servers.Addresses
	return j, nil
}

// newest asks all servers for their standing, and returns the standing of one that has executed most, with all that answered by
// their addresses.
func newest(ctx context.Context, servers []netip.AddrPort) (most group.Standing, all map[string]group.Standing, err error) {
	type answer struct {
		group.Standing
		at  string
		err error
	}
	answers := make(chan answer, len(servers))
	for _, at := range servers {
		go func() {
			s, err := group.Inquire(ctx, at)
			answers <- answer{s, at.String(), err}
		}()
	}
	all = map[string]group.Standing{}
	for range servers {
		a := <-answers
		if a.err != nil {
			err = a.err
			continue
		}
		all[a.at] = a.Standing
		if a.Executed >= most.Executed {
			most = a.Standing
		}
	}
	if len(all) > 0 {
		err = nil
	}
	return most, all, err
}

// Members are those of the server that has executed most of those that answer.
func (System) Members(ctx context.Context, servers []netip.AddrPort) ([]clients.Member, error) {
	var members []clients.Member
	err := clients.EachServer(ctx, servers[:min(1, len(servers))], func(ctx context.Context, _ netip.AddrPort) error {
		s, _, err := newest(ctx, servers)
		members = nil
		for _, m := range s.Members {
			members = append(members, clients.Member{ID: strconv.FormatUint(m.ID, 10), Address: m.Address})
		}
		if err == nil && len(members) == 0 {
			err = errors.New("knows of no members")
		}
		return err
	})
	return members, err
}

// RemoveMember waits until a quorum of those that stay has executed every slot in which the server that goes has a vote: until
// then they may need it.
func (s System) RemoveMember(ctx context.Context, servers []netip.AddrPort, id string) error {
	number, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return fmt.Errorf("remove member %q: it is no number of a server", id)
	}
	err = s.change(ctx, servers, true, group.Member{ID: number}, func(most group.Standing, all map[string]group.Standing) error {
		if slices.ContainsFunc(most.Members, func(m group.Member) bool { return m.ID == number }) {
			return errors.New("it is a member still")
		}
		know := 0
		for _, m := range most.Members {
			if st, answers := all[m.Address]; answers && st.Executed+1 >= most.From {
				know++
			}
		}
		if know < len(most.Members)/2+1 {
			return fmt.Errorf("too few servers have executed slot %d, before which it is a member", most.From)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove member %s: %w", id, err)
	}
	return nil
}

// AddMember returns once the server has caught up and belongs to the group.
func (s System) AddMember(ctx context.Context, servers []netip.AddrPort, m clients.Member) ([]string, error) {
	number, err := strconv.ParseUint(m.ID, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("add member %q: it is no number of a server", m.ID)
	}
	err = s.change(ctx, servers, false, group.Member{ID: number, Address: m.Address}, func(most group.Standing, _ map[string]group.Standing) error {
		if !slices.ContainsFunc(most.Members, func(o group.Member) bool { return o.ID == number }) {
			return errors.New("it is no member yet")
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("add member %s: %w", m.ID, err)
	}
	return nil, nil
}

// change asks for a change of members, of the leader and then of everybody, until done finds nothing missing.
func (System) change(ctx context.Context, servers []netip.AddrPort, remove bool, m group.Member, done func(most group.Standing, all map[string]group.Standing) error) error {
	op := []byte{0}
	if remove {
		op[0] = 1
	}
	op = group.AppendBytes(binary.AppendUvarint(op, m.ID), []byte(m.Address))
	last := "it was not asked for"
	// A change that is asked for again under another number is refused once it is made.
	seq := m.ID << 20
	err := clients.EachServer(ctx, servers, func(ctx context.Context, at netip.AddrPort) error {
		most, all, err := newest(ctx, servers)
		if err != nil {
			return err
		}
		missing := done(most, all)
		if missing == nil {
			return nil
		}
		here := slices.ContainsFunc(most.Members, func(o group.Member) bool { return o.ID == m.ID })
		if here == remove {
			seq++
			c := &group.Conn{Address: at, Dialer: new(clients.Dialer)}
			defer c.Close()
			q := group.Request{Kind: group.Change, Seq: seq, Op: op}
			if r, err := c.Ask(ctx, q); err != nil {
				last = err.Error()
			} else if last = r.Status.String(); r.Status == group.Refused {
				last = "refused: " + string(r.Result)
			}
		}
		return fmt.Errorf("%w (%s)", missing, last)
	})
	return err
}
