package ssh

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// locate finds the addresses of nodes whose SSH servers are reached at some other
// address: by asking each node for its own, and taking those that it shares with
// nobody, since the machines behind one translator of addresses all have the same
// on that side. An address in a network of this machine comes first.
func locate(ctx context.Context, hosts []*Host, opt Options) error {
	if len(hosts) == 0 {
		return nil
	}
	has := make([][]netip.Prefix, len(hosts))
	var all errgroup.Group
	for i, h := range hosts {
		all.Go(func() (err error) {
			has[i], err = ask(ctx, *h, opt)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	here := localNetworks()
	for i, h := range hosts {
		own := distinct(has, i, here)
		if len(own) == 0 {
			return fmt.Errorf("find the address of %s: it has none of its own; give its machine a network that it shares with the others and with this one", h.Node.Name)
		}
		h.Node.Address, h.Node.Others = own[0], own[1:]
	}
	return nil
}

// ask lists a node's addresses with their networks.
func ask(ctx context.Context, h Host, opt Options) ([]netip.Prefix, error) {
	conn, err := Dial(ctx, h, opt)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	out, err := conn.Run(ctx, nil, "ip", "-o", "address", "show", "scope", "global")
	if err != nil {
		return nil, fmt.Errorf("find the address of %s: %w", h.Node.Name, err)
	}
	var found []netip.Prefix
	for line := range strings.Lines(string(out)) {
		// 2: eth0    inet 192.168.56.11/24 brd …
		words := strings.Fields(line)
		if len(words) < 4 || (words[2] != "inet" && words[2] != "inet6") {
			continue
		}
		if p, err := netip.ParsePrefix(words[3]); err == nil {
			found = append(found, p)
		}
	}
	return found, nil
}

// distinct are the addresses of machine i that no other machine has, those in
// networks that we are in first, IPv4 before IPv6. Only networks of one kind are
// taken: an address beside a better one is a way around a partition, not a node's.
func distinct(has [][]netip.Prefix, i int, here []netip.Prefix) []netip.Addr {
	var near, far []netip.Addr
	for _, p := range has[i] {
		shared := false
		for j, others := range has {
			shared = shared || j != i && slices.ContainsFunc(others, func(o netip.Prefix) bool { return o.Addr() == p.Addr() })
		}
		switch {
		case shared:
		case slices.ContainsFunc(here, func(n netip.Prefix) bool { return n.Contains(p.Addr()) }):
			near = append(near, p.Addr())
		default:
			far = append(far, p.Addr())
		}
	}
	own := near
	if len(own) == 0 {
		own = far
	}
	slices.SortStableFunc(own, func(a, b netip.Addr) int { return a.BitLen() - b.BitLen() })
	return own
}

func localNetworks() []netip.Prefix {
	var networks []netip.Prefix
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // then no address is preferred
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() {
			networks = append(networks, p.Masked())
		}
	}
	return networks
}
