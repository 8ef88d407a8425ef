package effects

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// Check builds a whole tree on the loopback of a network namespace of its own, where
// there is nobody to be disturbed and which goes away with the attempt; then it looks
// whether the node's interfaces are free. An effect that names peers is asked about the
// interfaces that lead to them, an empty one about any.
func (n *Netem) Check(h *agent.Host) error {
	if err := emulates(); err != nil {
		return err
	}
	if err := n.shaper(h, linuxTraffic{}).check(); err != nil {
		return fmt.Errorf("packets cannot be changed: %s", inOneLine(err))
	}
	return nil
}

// Apply puts the trees on the interfaces. One that is there already stays, with its
// counters.
func (n *Netem) Apply(h *agent.Host) error {
	if err := n.valid(); err != nil {
		return err
	}
	return n.shaper(h, linuxTraffic{}).apply()
}

// Undo deletes the trees; the kernel puts back what it had there by itself.
func (n *Netem) Undo(h *agent.Host) error {
	if n.valid() != nil {
		return nil // it was refused, so it never acted
	}
	return n.shaper(h, linuxTraffic{}).undo()
}

// Probe reads the emulators' counters and sends echoes to the peers.
func (n *Netem) Probe(h *agent.Host) (history.Evidence, error) {
	if err := n.valid(); err != nil {
		return history.Evidence{}, err
	}
	return n.shaper(h, linuxTraffic{}).probe()
}

// emulates says why this kernel cannot change packets.
func emulates() error { return aside(trial) }

// aside does something on a thread of its own, which ends with it: a namespace that it
// entered is left to nobody. That must not be the process's first thread, which never ends
// and stands for all of them in /proc.
func aside(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked, unless nothing was done here
		if unix.Gettid() != unix.Getpid() {
			done <- do()
			return
		}
		done <- aside(do) // not here, since this thread is taken meanwhile
		runtime.UnlockOSThread()
	}()
	return <-done
}

func trial() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if errors.Is(err, os.ErrPermission) {
			return errors.New("packets cannot be changed: that needs root (CAP_NET_ADMIN) here: log in as root or pass --sudo")
		}
		return fmt.Errorf("packets cannot be changed: no network namespace to try it in: %w", err)
	}
	n := Netem{ID: "check", Change: history.PacketChange{Delay: 1e6, Jitter: 1e5, Spread: "normal", Loss: 0.1, Burst: 2, Duplicate: 0.1, Reorder: 0.1, Corrupt: 0.1, Rate: 1e9}}
	peers := []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.MustParseAddr("2001:db8::1")}
	t := linuxTraffic{}
	devices, err := t.devices()
	if err != nil {
		return fmt.Errorf("packets cannot be changed: %w", err)
	}
	for _, d := range devices {
		if !d.loopback {
			continue
		}
		// The emulator first and alone: a kernel without it is told so, whatever else it lacks.
		tree := n.tree(&agent.Host{}, peers)
		alone := tree[len(tree)-1]
		alone.parent = atRoot
		err := t.add(d, alone)
		if err == nil {
			err = t.remove(d, uint16(alone.handle>>16))
		}
		if err != nil {
			return without(alone.kind, err)
		}
		for _, p := range tree {
			if err := t.add(d, p); err != nil {
				return without(p.kind, err)
			}
		}
		return nil
	}
	return errors.New("packets cannot be changed: a new network namespace has no loopback to try it on")
}

// without says which part of the kernel is missing.
func without(kind string, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return errors.New("packets cannot be changed: that needs root (CAP_NET_ADMIN) here: log in as root or pass --sudo")
	}
	module := map[string]string{"netem": "sch_netem", "prio": "sch_prio", "filter": "cls_u32"}[kind]
	part := map[string]string{"netem": "netem", "prio": "prio queues", "filter": "u32 filters"}[kind]
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("packets cannot be changed: this kernel has no %s: take one with the module %s (%w)", part, module, err)
	}
	return fmt.Errorf("packets cannot be changed: this kernel refuses %s: %w", part, err)
}

// linuxTraffic is the network namespace of the calling thread.
type linuxTraffic struct{}

func (linuxTraffic) route(to netip.Addr) (device, error) {
	routes, err := netlink.RouteGet(to.Unmap().AsSlice())
	if err != nil {
		return device{}, err
	}
	if len(routes) == 0 {
		return device{}, errors.New("there is none")
	}
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return device{}, err
	}
	return deviceOf(link), nil
}

func deviceOf(link netlink.Link) device {
	a := link.Attrs()
	return device{a.Index, a.Name, a.Flags&net.FlagLoopback != 0}
}

func (linuxTraffic) devices() ([]device, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	var out []device
	for _, link := range links {
		out = append(out, deviceOf(link))
	}
	return out, nil
}

func (linuxTraffic) queues(d device) ([]queue, error) {
	link, err := netlink.LinkByIndex(d.index)
	var list []netlink.Qdisc
	if err == nil {
		list, err = netlink.QdiscList(link)
	}
	if err != nil {
		return nil, fmt.Errorf("list the queueing disciplines of %s: %w", d.name, err)
	}
	var out []queue
	for _, q := range list {
		a := q.Attrs()
		if a.Parent >= netlink.HANDLE_CLSACT && a.Parent != atRoot {
			continue // for packets that arrive
		}
		one := queue{kind: q.Type(), handle: a.Handle, parent: a.Parent}
		if s := a.Statistics; s != nil && s.Basic != nil && s.Queue != nil {
			one.packets, one.bytes = uint64(s.Basic.Packets), s.Basic.Bytes
			one.dropped, one.waiting = uint64(s.Queue.Drops), uint64(s.Queue.Qlen)
		}
		out = append(out, one)
	}
	return out, nil
}

func (linuxTraffic) add(d device, p piece) error {
	attrs := netlink.QdiscAttrs{LinkIndex: d.index, Handle: p.handle, Parent: p.parent}
	switch p.kind {
	case "prio":
		prio := netlink.NewPrio(attrs)
		prio.Bands = ourBand
		return netlink.QdiscAdd(prio)
	case "filter":
		return netlink.FilterAdd(filterTo(d, p))
	}
	return addNetem(attrs, p.change)
}

// filterTo sends packets to a peer to our class.
func filterTo(d device, p piece) *netlink.U32 {
	protocol, offset := uint16(unix.ETH_P_IP), int32(16) // where the destination lies in the header
	if p.peer.Is6() {
		protocol, offset = unix.ETH_P_IPV6, 24
	}
	sel := &nl.TcU32Sel{Flags: nl.TC_U32_TERMINAL}
	for word := p.peer.AsSlice(); len(word) > 0; word, offset = word[4:], offset+4 {
		sel.Keys = append(sel.Keys, nl.TcU32Key{Mask: 0xffffffff, Val: binary.BigEndian.Uint32(word), Off: offset})
	}
	return &netlink.U32{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: d.index, Parent: p.parent, Priority: p.rank, Protocol: protocol},
		ClassId:     p.handle, Sel: sel,
	}
}

// remove names the tree by its number, so that the kernel refuses when another has its
// place by now.
func (linuxTraffic) remove(d device, tree uint16) error {
	err := netlink.QdiscDel(&netlink.Prio{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: d.index, Handle: uint32(tree) << 16, Parent: netlink.HANDLE_ROOT,
	}})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// plain is a setting of the first network namespace, which others do not show.
func (linuxTraffic) plain() string {
	text, err := os.ReadFile("/proc/sys/net/core/default_qdisc")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func (linuxTraffic) echo(to []netip.Addr, change history.PacketChange) (map[netip.Addr]echoes, error) {
	return ping(to, change)
}
