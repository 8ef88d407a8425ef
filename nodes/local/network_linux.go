package local

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bridgeName is the wire all nodes are plugged into; its address is the control side's.
const bridgeName = "nemesis0"

// hasIPv6 reports whether this kernel speaks it, and new interfaces as well.
func hasIPv6() bool {
	return readSetting("net/ipv6/conf/default/disable_ipv6") == "0"
}

// raiseNetwork makes the world's own network: loopback and an empty bridge.
func raiseNetwork() error {
	if err := raise("lo"); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = bridgeName
	// Snooping would hold back IPv6 neighbour discovery until a querier shows up.
	snoop := false
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snoop}); err != nil {
		return fmt.Errorf("add bridge %s: %w", bridgeName, err)
	}
	return raise(bridgeName, addressesOf(control)...)
}

// addressesOf are a node's addresses with their prefix lengths.
func addressesOf(number int) []netip.Prefix {
	all := []netip.Prefix{netip.PrefixFrom(address4(number), network4.Bits())}
	if hasIPv6() {
		all = append(all, netip.PrefixFrom(address6(number), network6.Bits()))
	}
	return all
}

// raise gives an interface its addresses and switches it on.
func raise(name string, addresses ...netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find interface %s: %w", name, err)
	}
	for _, a := range addresses {
		addr, err := netlink.ParseAddr(a.String())
		if err != nil {
			return fmt.Errorf("set address %s: %w", a, err)
		}
		// Nobody else is on this wire, and a second of looking for a duplicate is long.
		addr.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, addr); err != nil && !errors.Is(err, syscall.EEXIST) {
			return fmt.Errorf("set address %s on %s: %w", a, name, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("switch on interface %s: %w", name, err)
	}
	return nil
}

// plug lays a cable from the bridge to eth0 in the namespace of a process.
func plug(name string, pid int) error {
	bridge, err := netlink.LinkByName(bridgeName)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", bridgeName, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.MasterIndex = bridge.Attrs().Index
	err = netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsPid(pid)})
	if errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("plug in node %s: this world already has a cluster; close it first", name)
	}
	if err != nil {
		return fmt.Errorf("plug in node %s: %w", name, err)
	}
	return raise(name)
}

// unplug takes the cable away, both ends. A namespace that died took its end along
// already, and with it ours.
func unplug(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	var missing netlink.LinkNotFoundError
	if err != nil && !errors.As(err, &missing) && !errors.Is(err, syscall.ENODEV) {
		return fmt.Errorf("unplug node %s: %w", name, err)
	}
	return nil
}
