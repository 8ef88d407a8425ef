package netswitch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Options are what a Switch is opened with.
type Options struct {
	// Device is the name of the TUN device, which must not exist: at most 15 letters, digits
	// and dashes.
	Device string
	// Peers are the addresses whose packets are changed, IPv4 and IPv6. Each must be in reach by
	// one interface without a gateway.
	Peers []netip.Addr
	Rule  Rule
	Seed  uint64
	// Observe returns what else a Status tells, as JSON, from any goroutine; nil for nothing.
	Observe func() json.RawMessage
}

// Try says why no switch can be opened in the network namespace of the calling thread, which is
// best one of its own: the device is there for a moment.
func Try() error {
	tun, err := openTUN("nms-try")
	if err != nil {
		return err
	}
	unix.Close(tun)
	raw, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return fmt.Errorf("open a raw socket: %w", err)
	}
	unix.Close(raw)
	return nil
}

// Reaches says why the way to some of the peers is none that a switch can stand before.
func Reaches(peers []netip.Addr) error {
	_, err := waysTo(peers)
	return err
}

// Leads reports whether packets to all of the peers go to this device, in the network namespace
// of the calling thread.
func Leads(device string, peers []netip.Addr) bool {
	for _, p := range peers {
		routes, err := netlink.RouteGet(p.Unmap().AsSlice())
		if err != nil || len(routes) == 0 {
			return false
		}
		link, err := netlink.LinkByIndex(routes[0].LinkIndex)
		if err != nil || link.Attrs().Name != device {
			return false
		}
	}
	return true
}

// Exists reports whether there is a device of this name.
func Exists(device string) (bool, error) {
	_, err := netlink.LinkByName(device)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the device %s: %w", device, err)
	}
	return true, nil
}

// Remove removes a device, if there is one of this name. Its process finds out, and ends.
func Remove(device string) error {
	link, err := netlink.LinkByName(device)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	var missing netlink.LinkNotFoundError
	if err != nil && !errors.As(err, &missing) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove the device %s: %w", device, err)
	}
	return nil
}

// Switch is one at work. It is safe for concurrent use.
type Switch struct {
	tun    int
	wake   [2]int // a pipe whose end wakes Run
	raw4   int    // -1 where no peer has such an address
	raw6   int
	began  time.Time
	routes []way

	mu   sync.Mutex // guards what follows
	core *Core
	to4  unix.SockaddrInet4 // for the packet that is being sent, so that none is made for each
	to6  unix.SockaddrInet6
}

// way is the direct route to a peer.
type way struct {
	peer  netip.Addr
	from  netip.Addr
	index int // of the interface
	name  string
	mtu   int
}

// queueLength is how many packets wait in the device until Run reads them.
const queueLength = 4096

// Open makes the device and the sockets in the network namespace of the calling thread, and the
// routes last: from then on packets come to the Switch, and wait until Run is called. What
// fails leaves nothing behind.
func Open(o Options) (s *Switch, err error) {
	if err := o.Rule.Check(); err != nil {
		return nil, err
	}
	s = &Switch{tun: -1, raw4: -1, raw6: -1, wake: [2]int{-1, -1}}
	defer func() {
		if err != nil {
			s.close()
			s = nil
		}
	}()
	if s.routes, err = waysTo(o.Peers); err != nil {
		return s, err
	}
	if s.tun, err = openTUN(o.Device); err != nil {
		return s, err
	}
	if err = unix.Pipe2(s.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return s, fmt.Errorf("make a pipe: %w", err)
	}
	for _, w := range s.routes {
		if err = s.openRaw(w); err != nil {
			return s, err
		}
	}
	s.core, s.began = New(o.Rule, o.Peers, o.Seed), time.Now()
	return s, s.route(o.Device)
}

// waysTo finds how the peers are reached.
func waysTo(peers []netip.Addr) ([]way, error) {
	var ways []way
	for _, p := range peers {
		p = p.Unmap()
		routes, err := netlink.RouteGet(p.AsSlice())
		if err == nil && len(routes) == 0 {
			err = errors.New("there is none")
		}
		if err != nil {
			return nil, fmt.Errorf("find the way to %s: %w", p, err)
		}
		link, err := netlink.LinkByIndex(routes[0].LinkIndex)
		if err != nil {
			return nil, fmt.Errorf("find the interface that leads to %s: %w", p, err)
		}
		from, _ := netip.AddrFromSlice(routes[0].Src)
		w := way{peer: p, from: from.Unmap(), index: link.Attrs().Index, name: link.Attrs().Name, mtu: link.Attrs().MTU}
		switch {
		case routes[0].Gw != nil:
			return nil, fmt.Errorf("%s is behind the gateway %s: the switch needs peers on the node's own network", p, routes[0].Gw)
		case link.Type() == "tuntap" || link.Type() == "tun" || w.name == "lo":
			return nil, fmt.Errorf("the way to %s is %s, which leads to no other node, or is another switch", p, w.name)
		case len(ways) > 0 && ways[0].index != w.index:
			return nil, fmt.Errorf("%s and %s are reached by two interfaces, %s and %s: the switch stands before one", ways[0].peer, p, ways[0].name, w.name)
		}
		if p.Is4() {
			// Packets from the peer come by one interface and the route to it leads by another.
			for _, conf := range []string{"all", w.name} {
				if text, _ := os.ReadFile("/proc/sys/net/ipv4/conf/" + conf + "/rp_filter"); len(text) > 0 && text[0] == '1' {
					return nil, fmt.Errorf("the kernel would throw away what comes from %s: set net.ipv4.conf.%s.rp_filter to 0 or 2", p, conf)
				}
			}
		}
		ways = append(ways, w)
	}
	if len(ways) == 0 {
		return nil, errors.New("there is no peer")
	}
	return ways, nil
}

func openTUN(device string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/net/tun: %w; the kernel lacks TUN, or does not let us have it", err)
	}
	req, err := unix.NewIfreq(device)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("make the device %s: %w", device, err)
	}
	return fd, nil
}

// openRaw opens the socket that sends whole packets of a family by the interface, whatever
// other routes there are.
func (s *Switch) openRaw(w way) error {
	fd, family := &s.raw4, unix.AF_INET
	if w.peer.Is6() {
		fd, family = &s.raw6, unix.AF_INET6
	}
	if *fd >= 0 {
		return nil
	}
	var err error
	if *fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_RAW); err != nil {
		*fd = -1
		return fmt.Errorf("open a raw socket: %w", err)
	}
	if err := unix.BindToDevice(*fd, w.name); err != nil {
		return fmt.Errorf("bind a raw socket to %s: %w", w.name, err)
	}
	// Nothing arrives there: the socket is for a protocol that there is not.
	_ = unix.SetsockoptInt(*fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
	return nil
}

// route switches the device on and leads the peers' packets to it.
func (s *Switch) route(device string) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find the device %s: %w", device, err)
	}
	mtu := s.routes[0].mtu
	if err := netlink.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("set the MTU of %s: %w", device, err)
	}
	if err := netlink.LinkSetTxQLen(link, queueLength); err != nil {
		return fmt.Errorf("set the queue of %s: %w", device, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("switch on the device %s: %w", device, err)
	}
	for _, w := range s.routes {
		dst := netlink.NewIPNet(w.peer.AsSlice())
		r := netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK}
		if w.from.IsValid() {
			r.Src = w.from.AsSlice()
		}
		if err := netlink.RouteAdd(&r); err != nil {
			return fmt.Errorf("lead packets for %s to %s: %w", w.peer, device, err)
		}
	}
	return nil
}

// Counts are the decisions so far, by peer.
func (s *Switch) Counts() map[netip.Addr]Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.core.Counts()
}

// Stop makes Run end. Before it does, what is held is delivered.
func (s *Switch) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wake[1] >= 0 {
		_, _ = unix.Write(s.wake[1], []byte{1})
	}
}

// batch is how many packets are read before what is due is sent.
const batch = 64

// Run sends packets on until Stop, and then closes everything: the device and its routes are
// gone when it returns. Its error says why it ended otherwise.
func (s *Switch) Run() error {
	runtime.LockOSThread() // it waits in the kernel, mostly
	defer runtime.UnlockOSThread()
	defer s.close()
	buffer := make([]byte, 65536)
	fds := []unix.PollFd{{Fd: int32(s.tun), Events: unix.POLLIN}, {Fd: int32(s.wake[0]), Events: unix.POLLIN}}
	for {
		more, err := s.read(buffer)
		if err != nil {
			return err
		}
		next, waits := s.send(false)
		if more {
			continue
		}
		timeout := (*unix.Timespec)(nil)
		if waits {
			t := unix.NsecToTimespec(int64(max(next-time.Since(s.began), 0)))
			timeout = &t
		}
		if _, err := unix.Ppoll(fds, timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for packets: %w", err)
		}
		if fds[1].Revents != 0 {
			s.send(true)
			return nil
		}
	}
}

// read takes packets from the device; more says that there may be others.
func (s *Switch) read(buffer []byte) (more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range batch {
		n, err := unix.Read(s.tun, buffer)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return false, nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, fmt.Errorf("read packets from the device, which something else may have removed: %w", err)
		}
		if s.core.Take(time.Since(s.began), buffer[:n]) {
			k, _ := parse(buffer[:n])
			s.deliver(Delivery{Bytes: buffer[:n], To: k.to, peer: s.core.peers[k.to]})
		}
	}
	return true, nil
}

// send delivers what is due, or all.
func (s *Switch) send(all bool) (next time.Duration, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		now := time.Since(s.began)
		if all {
			now = 1 << 62
		}
		d, ok := s.core.Due(now)
		if !ok {
			return s.core.Next()
		}
		s.deliver(d)
		s.core.Free(d)
	}
}

// deliver sends a packet. One that the kernel does not take now is lost, and counted.
func (s *Switch) deliver(d Delivery) {
	var err error
	switch {
	case d.Back:
		_, err = unix.Write(s.tun, d.Bytes)
	case d.To.Is4():
		s.to4.Addr = d.To.As4()
		err = unix.Sendto(s.raw4, d.Bytes, 0, &s.to4)
	default:
		s.to6.Addr = d.To.As16()
		err = unix.Sendto(s.raw6, d.Bytes, 0, &s.to6)
	}
	if err != nil {
		s.core.Unsent(d)
	}
}

func (s *Switch) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fd := range []*int{&s.tun, &s.raw4, &s.raw6, &s.wake[0], &s.wake[1]} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}
