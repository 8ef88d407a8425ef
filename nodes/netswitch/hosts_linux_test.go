package netswitch

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The first thread stays with the test binary: no test takes it into another namespace.
func init() { runtime.LockOSThread() }

// host is a network namespace with one end of a cable.
type host struct {
	ns   *os.File
	addr []netip.Addr
}

// do runs f on a thread in the host's namespace. The thread ends with it.
func (h host) do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// newHost makes a namespace that lasts as long as the test.
func newHost(tb testing.TB) host {
	tb.Helper()
	var h host
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			h.ns, err = os.Open("/proc/thread-self/ns/net")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		tb.Skipf("no network namespace can be made here: %v", err)
	}
	tb.Cleanup(func() { h.ns.Close() })
	return h
}

// twoHosts are joined by a cable.
func twoHosts(tb testing.TB) (near, far host) {
	tb.Helper()
	near, far = newHost(tb), newHost(tb)
	if tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err != nil {
		tb.Skip(err)
	} else {
		tun.Close()
	}
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	must(near.do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(far.ns.Fd()))})
	}))
	for i, h := range []*host{&near, &far} {
		must(h.do(func() error { return configure(byte(i + 1)) }))
		h.addr = []netip.Addr{netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)}), netip.MustParseAddr(fmt.Sprintf("fd77::%d", i+1))}
	}
	// The kernel brings a link up by a worker, after a while on a busy machine.
	eventually(tb, "the cable comes up", func() bool {
		up := false
		must(near.do(func() error {
			link, err := netlink.LinkByName("eth0")
			up = err == nil && link.Attrs().OperState == netlink.OperUp
			return err
		}))
		return up
	})
	return near, far
}

func eventually(tb testing.TB, what string, is func() bool) {
	tb.Helper()
	for began := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			tb.Fatal("after a minute it is still not so that " + what)
		}
	}
}

func configure(number byte) error {
	for _, conf := range []string{"all", "eth0"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+conf+"/rp_filter", []byte("0"), 0o644); err != nil && !os.IsNotExist(err) && !os.IsPermission(err) {
			return err
		}
	}
	for _, name := range []string{"lo", "eth0"} {
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err != nil {
			return err
		}
		if name == "lo" {
			continue
		}
		for _, a := range []netlink.Addr{
			{IPNet: &net.IPNet{IP: net.IPv4(10, 77, 0, number), Mask: net.CIDRMask(24, 32)}},
			{IPNet: &net.IPNet{IP: net.ParseIP(fmt.Sprintf("fd77::%d", number)), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD},
		} {
			if err := netlink.AddrAdd(link, &a); err != nil {
				return err
			}
		}
	}
	return nil
}

// open puts a switch before a host, in this process. It is out of the way when the test ends.
func (h host) open(tb testing.TB, rule Rule, peers ...netip.Addr) *Switch {
	tb.Helper()
	var s *Switch
	if err := h.do(func() (err error) {
		s, err = Open(Options{Device: "nms0", Peers: peers, Rule: rule, Seed: 1})
		return err
	}); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run() }()
	tb.Cleanup(func() {
		s.Stop()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	})
	return s
}

// listen and dial are those of net, in the host.
func (h host) listen(tb testing.TB, addr netip.Addr) net.Listener {
	tb.Helper()
	var l net.Listener
	if err := h.do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

func (h host) dial(to net.Addr) (c net.Conn, err error) {
	err = h.do(func() (err error) {
		// On this thread: the dialer would start others for two addresses.
		c, err = (&net.Dialer{Timeout: time.Minute}).Dial("tcp", to.String())
		return err
	})
	return c, err
}

// pair is a connection from the near host to the far one.
func pair(tb testing.TB, near, far host, addr netip.Addr) (here, there net.Conn) {
	tb.Helper()
	l := far.listen(tb, addr)
	here, err := near.dial(l.Addr())
	if err == nil {
		there, err = l.Accept()
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}
