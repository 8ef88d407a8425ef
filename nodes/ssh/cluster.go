package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"nemesis/nodes"
)

// Cluster is a list of hosts as the cluster of a run. It makes nothing, so its
// Close takes nothing away. It is safe for concurrent use.
type Cluster struct {
	hosts []Host
	opt   Options
}

// NewCluster looks up the hosts' addresses, once for the whole run: a name that
// changes its address half-way must not turn one node into another. Two names of
// one machine are refused, since a fault on one would strike the other, and so are
// files of keys that cannot be read, before anything is begun with them. Nobody is
// dialled but forwarded hosts.
func NewCluster(ctx context.Context, hosts []Host, opt Options) (*Cluster, error) {
	c := &Cluster{hosts: slices.Clone(hosts), opt: opt}
	machines := map[netip.AddrPort]string{}
	var forwarded []*Host
	for i := range c.hosts {
		h := &c.hosts[i]
		legs, err := route(*h, opt)
		if err != nil {
			return nil, err
		}
		closeKeys(legs)
		s := legs[len(legs)-1].settings
		if h.Forwarded {
			forwarded = append(forwarded, h)
			continue
		}
		if !h.Node.Address.IsValid() {
			addrs, err := lookUp(ctx, s.hostName)
			if err != nil {
				return nil, fmt.Errorf("look up %s: %w", h.Node.Name, err)
			}
			h.Node.Address, h.Node.Others = addrs[0], addrs[1:]
		}
		at := netip.AddrPortFrom(h.Node.Address, uint16(s.port))
		if other, ok := machines[at]; ok {
			return nil, &UsageError{fmt.Sprintf("read nodes: %s and %s are both %s; name each node once", other, h.Node.Name, at)}
		}
		machines[at] = h.Node.Name
	}
	if err := locate(ctx, forwarded, opt); err != nil {
		return nil, err
	}
	return c, nil
}

// lookUp returns a host's addresses, IPv4 first.
func lookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if ctx.Err() != nil {
		return nil, because(ctx.Err(), "no answer in time; check DNS")
	}
	if err != nil || len(found) == 0 {
		return nil, because(err, "no address is known for %q; check the spelling, /etc/hosts and DNS", host)
	}
	var addrs []netip.Addr
	for _, want4 := range []bool{true, false} {
		for _, addr := range found {
			if addr = addr.Unmap(); addr.Is4() == want4 && !slices.Contains(addrs, addr) {
				addrs = append(addrs, addr)
			}
		}
	}
	return addrs, nil
}

func (c *Cluster) Nodes() []nodes.Node {
	all := make([]nodes.Node, len(c.hosts))
	for i, h := range c.hosts {
		all[i] = h.Node
	}
	return all
}

func (c *Cluster) Connect(ctx context.Context, name string) (nodes.Conn, error) {
	for _, h := range c.hosts {
		if h.Node.Name == name {
			return Dial(ctx, h, c.opt)
		}
	}
	return nil, errors.New("connect to " + name + ": the cluster has no such node")
}

func (c *Cluster) Close() error { return nil }
