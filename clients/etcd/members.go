package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	neturl "net/url"
	"slices"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"nemesis/clients"
)

var (
	_ clients.Membership = System{}
	_ clients.Joining    = (*deployment)(nil)
)

// Join lets a node's member join again. It gets an ID from the cluster, and must be told who belongs when it starts.
func (d *deployment) Join(node string, _ int) (clients.Join, error) {
	i := slices.IndexFunc(d.components, func(c clients.Component) bool { return c.Node == node })
	if i < 0 {
		return clients.Join{}, fmt.Errorf("find etcd member %q: there is no such node in the cluster", node)
	}
	j := clients.Join{Component: d.components[i].Name(), Argv: d.components[i].Spec.Argv}
	for _, m := range d.cluster.members {
		if m.Name == node {
			j.Member.ID = node // its name: the cluster gives IDs
			j.Member.Address = netip.AddrPortFrom(m.Address, peerPort).String()
		} else {
			j.Servers = append(j.Servers, netip.AddrPortFrom(m.Address, clientPort))
		}
	}
	return j, nil
}

// listed asks one member for all, linearizably where its version can.
func listed(ctx context.Context, at netip.AddrPort) ([]*pb.Member, error) {
	conn, err := connect(at.Addr(), new(clients.Dialer))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r, err := pb.NewClusterClient(conn.ActiveConnection()).MemberList(ctx, &pb.MemberListRequest{Linearizable: true})
	return r.GetMembers(), err
}

// hostOf is the address of a member among its peers; "" for one that gives none.
func hostOf(m *pb.Member) string {
	for _, text := range m.PeerURLs {
		if u, err := neturl.Parse(text); err == nil && u.Host != "" {
			return u.Host
		}
	}
	return ""
}

func idOf(m *pb.Member) string { return strconv.FormatUint(m.ID, 16) }

// Members asks one member after another.
func (System) Members(ctx context.Context, servers []netip.AddrPort) (members []clients.Member, err error) {
	err = clients.EachServer(ctx, servers, func(ctx context.Context, at netip.AddrPort) error {
		all, err := listed(ctx, at)
		members = nil
		for _, m := range all {
			members = append(members, clients.Member{ID: idOf(m), Address: hostOf(m)})
		}
		return err
	})
	return members, err
}

// RemoveMember asks one member after another. Of those that refuse since the cluster is not healthy enough, it asks again.
func (System) RemoveMember(ctx context.Context, servers []netip.AddrPort, id string) error {
	number, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		return fmt.Errorf("remove member %q: it is no ID of etcd", id)
	}
	err = clients.EachServer(ctx, servers, func(ctx context.Context, at netip.AddrPort) error {
		all, err := listed(ctx, at)
		if err != nil || !slices.ContainsFunc(all, func(m *pb.Member) bool { return m.ID == number }) {
			return err
		}
		conn, err := connect(at.Addr(), new(clients.Dialer))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.MemberRemove(ctx, number)
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove member %s: %w", id, err)
	}
	return nil
}

// AddMember adds a voter; its ID is yet its name. A member checks the list that it is started with against the cluster's, so no other is added
// while one has not started yet; etcd tells those by their having no name.
func (System) AddMember(ctx context.Context, servers []netip.AddrPort, m clients.Member) (arguments []string, err error) {
	peer := "http://" + m.Address
	err = clients.EachServer(ctx, servers, func(ctx context.Context, at netip.AddrPort) error {
		all, err := listed(ctx, at)
		if err != nil {
			return err
		}
		own := slices.ContainsFunc(all, func(o *pb.Member) bool { return hostOf(o) == m.Address })
		if slices.ContainsFunc(all, func(o *pb.Member) bool { return o.Name == "" && hostOf(o) != m.Address }) {
			return errors.New("another new member has not started yet")
		}
		if !own {
			conn, err := connect(at.Addr(), new(clients.Dialer))
			if err != nil {
				return err
			}
			defer conn.Close()
			added, err := conn.MemberAdd(ctx, []string{peer})
			if err != nil {
				return err
			}
			all = added.Members
		}
		arguments, err = initial(all, m.Address, m.ID)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("add member %s: %w", m.Address, err)
	}
	return arguments, nil
}

// initial are the arguments by which a member called name at own finds its cluster.
func initial(all []*pb.Member, own, called string) ([]string, error) {
	var names []string
	for _, m := range all {
		name := m.Name
		if hostOf(m) == own {
			name = called
		}
		for _, peer := range m.PeerURLs {
			names = append(names, name+"="+peer)
		}
	}
	if !slices.ContainsFunc(all, func(m *pb.Member) bool { return hostOf(m) == own }) {
		return nil, fmt.Errorf("it is not in the list of members")
	}
	return []string{"--initial-cluster", strings.Join(names, ","), "--initial-cluster-state", "existing"}, nil
}
