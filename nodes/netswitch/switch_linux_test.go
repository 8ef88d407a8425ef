package netswitch

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"nemesis/history"
)

// says sends text from one end and waits until the other has it.
func says(tb testing.TB, from, to net.Conn, text string) {
	tb.Helper()
	if _, err := from.Write([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	hears(tb, to, text)
}

func hears(tb testing.TB, c net.Conn, text string) {
	tb.Helper()
	got := make([]byte, len(text))
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		tb.Fatalf("got %q, %v; want %q", got, err, text)
	}
}

// A connection that was there before goes on when a switch comes, delays, and goes; what is
// held then is delivered.
func TestPacketsAreDelayedUntilTheSwitchStops(t *testing.T) {
	near, far := twoHosts(t)
	for _, addr := range far.addr {
		here, there := pair(t, near, far, addr)
		says(t, here, there, "before")
		s := near.open(t, Rule{PacketChange: history.PacketChange{Delay: 50 * ms}}, far.addr...)
		began := time.Now()
		says(t, here, there, "during")
		if took := time.Since(began); took < 50*time.Millisecond {
			t.Errorf("to %s it took %s", addr, took)
		}
		if c := s.Counts()[addr]; c.Delayed == 0 || c.Packets != c.Delayed {
			t.Errorf("%+v", c)
		}
		s.Stop()
		near.directly(t)
		s = near.open(t, Rule{Jam: history.Duration(MostHold)}, far.addr...)
		began = time.Now()
		if _, err := here.Write([]byte("held")); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is held", func() bool { return s.Counts()[addr].Waiting > 0 })
		s.Stop()
		hears(t, there, "held")
		if took := time.Since(began); took >= MostHold-2*time.Second {
			t.Logf("on a machine this busy nothing shows that it came early: %s", took)
		}
		near.directly(t)
		says(t, here, there, "after")
	}
}

// directly waits until no device of a switch is left.
func (h host) directly(tb testing.TB) {
	tb.Helper()
	eventually(tb, "the device is gone", func() bool {
		err := h.do(func() error {
			_, err := netlink.LinkByName("nms0")
			return err
		})
		var missing netlink.LinkNotFoundError
		return errors.As(err, &missing)
	})
}

// reset waits until a connection ends by a reset.
func isReset(tb testing.TB, c net.Conn) {
	tb.Helper()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		tb.Errorf("got %v, want a reset", err)
	}
}

func TestConnectionsAreResetAtBothEnds(t *testing.T) {
	near, far := twoHosts(t)
	for i, addr := range far.addr {
		here, there := pair(t, near, far, addr)
		idle, other := pair(t, near, far, addr)
		says(t, here, there, "before")
		s := near.open(t, Rule{Reset: 1}, far.addr...)
		if i == 0 {
			_, _ = here.Write([]byte("lost"))
		} else {
			_, _ = there.Write([]byte("and its acknowledgement is the end"))
			hears(t, here, "and its acknowledgement is the end")
		}
		isReset(t, here)
		isReset(t, there)
		fresh, farther := pair(t, near, far, addr)
		says(t, fresh, farther, "a new one")
		if c := s.Counts()[addr]; c.Reset != 1 {
			t.Errorf("%+v", c)
		}
		s.Stop()
		near.directly(t)
		says(t, idle, other, "one that was silent meanwhile lives on")
	}
}

func TestHalfOpenConnectionsOutliveTheSwitchUntilThePeerSpeaks(t *testing.T) {
	near, far := twoHosts(t)
	for _, addr := range far.addr {
		here, there := pair(t, near, far, addr)
		says(t, here, there, "before")
		s := near.open(t, Rule{HalfOpen: 1}, far.addr...)
		_, _ = here.Write([]byte("lost"))
		isReset(t, here)
		if _, err := there.Write([]byte("is anybody there?")); err != nil {
			t.Errorf("the peer knows that it ended: %v", err)
		}
		// This node's kernel answers with a reset, which is swallowed.
		eventually(t, "the kernel's own reset is swallowed", func() bool { return s.Counts()[addr].Swallowed >= 2 })
		_ = there.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := there.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the peer heard of it: %v", err)
		}
		s.Stop()
		near.directly(t)
		isReset(t, there) // it sends again by itself
	}
}

func TestDamageReachesTheApplicationAndCorruptionDoesNot(t *testing.T) {
	near, far := twoHosts(t)
	data := make([]byte, 1<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	for _, addr := range far.addr {
		for _, c := range []struct {
			rule    Rule
			damaged bool
		}{{Rule{Damage: 0.1}, true}, {Rule{PacketChange: history.PacketChange{Corrupt: 0.02}}, false}} {
			here, there := pair(t, near, far, addr)
			s := near.open(t, c.rule, far.addr...)
			go func() {
				_, _ = here.Write(data)
				here.Close()
			}()
			_ = there.SetReadDeadline(time.Now().Add(time.Minute))
			got, err := io.ReadAll(there)
			if err != nil || len(got) != len(data) {
				t.Fatalf("%d bytes came, %v", len(got), err)
			}
			if damaged := !bytes.Equal(got, data); damaged != c.damaged {
				t.Errorf("%+v: the application sees damage: %v", c.rule, damaged)
			}
			differing := int64(0)
			for i := range got {
				if got[i] != data[i] {
					differing++
				}
			}
			counts := s.Counts()[addr]
			if differing > counts.Damaged || counts.Damaged+counts.Corrupted == 0 {
				t.Errorf("%d bytes differ: %+v", differing, counts)
			}
			s.Stop()
			near.directly(t)
		}
	}
}

// Somebody who removes the device has the direct way at once, and Run says why it ended.
func TestADeviceThatSomebodyRemovesIsOutOfTheWay(t *testing.T) {
	near, far := twoHosts(t)
	here, there := pair(t, near, far, far.addr[0])
	var s *Switch
	err := near.do(func() (err error) {
		s, err = Open(Options{Device: "nms0", Peers: far.addr, Rule: Rule{PacketChange: history.PacketChange{Loss: 1}}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run() }()
	if err := near.do(func() error {
		link, err := netlink.LinkByName("nms0")
		if err == nil {
			err = netlink.LinkDel(link)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "something else may have removed") {
		t.Errorf("Run says %v", err)
	}
	s.Stop() // has nothing left to do
	says(t, here, there, "it passes")
}

func TestWhereNoSwitchCanBe(t *testing.T) {
	near, far := twoHosts(t)
	open := func(o Options) error {
		return near.do(func() error {
			s, err := Open(o)
			if err == nil {
				s.close()
			}
			return err
		})
	}
	gateway := netlink.Route{Dst: netlink.NewIPNet(net.IPv4(192, 0, 2, 1)), Gw: far.addr[0].AsSlice()}
	if err := near.do(func() error { return netlink.RouteAdd(&gateway) }); err != nil {
		t.Fatal(err)
	}
	for want, peers := range map[string][]netip.Addr{
		"192.0.2.1 is behind the gateway 10.77.0.2": {netip.MustParseAddr("192.0.2.1")},
		"the way to 10.77.0.1 is lo":                {near.addr[0]},
		"find the way to 203.0.113.1":               {netip.MustParseAddr("203.0.113.1")},
		"there is no peer":                          nil,
	} {
		if err := open(Options{Device: "nms0", Peers: peers}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	near.open(t, Rule{}, far.addr...)
	if err := open(Options{Device: "nms1", Peers: far.addr}); err == nil || !strings.Contains(err.Error(), "the way to 10.77.0.2 is nms0") {
		t.Errorf("a second one before the same peers: %v", err)
	}
	if err := open(Options{Device: "nms0", Peers: nil}); err == nil {
		t.Error("a device that there is was opened again")
	}
	if err := open(Options{Device: "nms1", Peers: far.addr, Rule: Rule{Damage: 2}}); err == nil {
		t.Error("a wrong rule was taken")
	}
}
