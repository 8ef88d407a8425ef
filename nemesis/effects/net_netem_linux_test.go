package effects

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// twoHosts puts the test on one of two hosts, which are network namespaces of their own
// joined by a cable, and gives it the other's addresses. It skips where there can be no
// such thing.
func twoHosts(t *testing.T) []netip.Addr {
	t.Helper()
	runtime.LockOSThread() // never unlocked: the namespace goes with the thread, which ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("no network namespace can be made here: %v", err)
	}
	far, err := farHost()
	if err != nil {
		t.Skipf("no second network namespace can be made here: %v", err)
	}
	t.Cleanup(func() { far.Close() })
	if err := cable(far); err != nil {
		t.Skipf("no cable can be laid between two network namespaces: %v", err)
	}
	// The kernel brings a link up by a worker, after a while on a busy machine.
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		near, err := netlink.LinkByName("near")
		if err == nil && near.Attrs().OperState == netlink.OperUp {
			break
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("the cable does not come up: %v", err)
		}
	}
	return []netip.Addr{netip.MustParseAddr("10.77.0.2"), netip.MustParseAddr("fd77::2")}
}

// The first thread stays with TestMain, so that no test takes it into another
// namespace: it never ends, and stands for the whole process in /proc.
func init() { runtime.LockOSThread() }

// farHost makes a network namespace that lasts as long as the file.
func farHost() (far *os.File, err error) {
	err = aside(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		far, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	return far, err
}

// cable joins this thread's namespace and the far one, with an address at each end.
func cable(far *os.File) error {
	here := netlink.NewLinkAttrs()
	here.Name = "near"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: here, PeerName: "far"}); err != nil {
		return err
	}
	end, err := netlink.LinkByName("far")
	if err == nil {
		err = netlink.LinkSetNsFd(end, int(far.Fd()))
	}
	if err == nil {
		err = configure("near", 1)
	}
	if err != nil {
		return err
	}
	return aside(func() error {
		if err := unix.Setns(int(far.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return configure("far", 2)
	})
}

func configure(name string, number byte) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	for _, a := range []netlink.Addr{
		{IPNet: &net.IPNet{IP: net.IPv4(10, 77, 0, number), Mask: net.CIDRMask(24, 32)}},
		{IPNet: &net.IPNet{IP: net.ParseIP(fmt.Sprintf("fd77::%d", number)), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD},
	} {
		if err := netlink.AddrAdd(link, &a); err != nil {
			return err
		}
	}
	return nil
}

// Where the kernel has an emulator, everything that can be asked for is done, measured
// and undone. Where it has none, one line says so. To run it in a virtual machine, see
// docs/development.md.
func TestPacketsAreReallyChanged(t *testing.T) {
	if err := emulates(); err != nil {
		t.Skip(err)
	}
	ms := history.Duration(time.Millisecond)
	for name, change := range map[string]history.PacketChange{
		"delay":     {Delay: 60 * ms},
		"jitter":    {Delay: 60 * ms, Jitter: 10 * ms},
		"normal":    {Delay: 60 * ms, Jitter: 10 * ms, Spread: "normal"},
		"pareto":    {Delay: 60 * ms, Jitter: 10 * ms, Spread: "pareto"},
		"loss":      {Loss: 0.3},
		"bursts":    {Loss: 0.3, Burst: 4},
		"duplicate": {Duplicate: 0.3},
		"reorder":   {Delay: 30 * ms, Reorder: 0.3},
		"corrupt":   {Corrupt: 0.4},
		"rate":      {Rate: 2_000_000},
		"all":       {Delay: 40 * ms, Jitter: 5 * ms, Spread: "normal", Loss: 0.1, Duplicate: 0.2, Corrupt: 0.4, Rate: 4_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			peers := twoHosts(t)
			n := &Netem{ID: "f1", Peers: peers, Change: change}
			inForce := false
			h := &agent.Host{Dir: t.TempDir(), InForce: func(agent.Effect) bool { return inForce }}
			if err := n.Check(h); err != nil {
				t.Fatal(err)
			}
			before, err := n.Probe(h)
			if err != nil || !before.Confirmed {
				t.Errorf("before: %+v, %v", before, err)
			}
			inForce = true
			for range 2 { // the second changes nothing
				if err := n.Apply(h); err != nil {
					t.Fatal(err)
				}
			}
			var looks []history.Evidence
			for range 2 {
				during, err := n.Probe(h)
				if err != nil {
					t.Error(err)
				}
				looks = append(looks, during)
			}
			seen := n.Compare(before, looks...)
			t.Log(seen.Summary)
			if !seen.Confirmed {
				t.Errorf("not confirmed: %s", seen.Summary)
			}
			inForce = false
			for range 2 {
				if err := n.Undo(h); err != nil {
					t.Error(err)
				}
				after, err := n.Probe(h)
				if err != nil || !after.Confirmed {
					t.Errorf("after: %+v, %v", after, err)
				}
			}
			// What was never changed shows no change.
			if seen := n.Compare(before, before); seen.Confirmed && change.Loss+change.Duplicate+change.Reorder+change.Corrupt+float64(change.Delay)+float64(change.Rate) > 0 {
				t.Errorf("without a change it is confirmed: %s", seen.Summary)
			}
		})
	}
}

// An emulator that somebody else has set up stays theirs.
func TestTheUsersOwnQueueIsLeftAlone(t *testing.T) {
	peers := twoHosts(t)
	link, err := netlink.LinkByName("near")
	if err != nil {
		t.Fatal(err)
	}
	theirs := &netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}, QdiscType: "pfifo"}
	if err := netlink.QdiscAdd(theirs); err != nil {
		t.Skipf("this kernel has no queueing discipline for a user to set: %v", err)
	}
	n := &Netem{ID: "f1", Peers: peers, Change: history.PacketChange{Loss: 0.1}}
	h := &agent.Host{Dir: t.TempDir(), InForce: func(agent.Effect) bool { return true }}
	want := "near has a queueing discipline already, pfifo 1:, which is not ours to replace"
	s := n.shaper(h, linuxTraffic{})
	if err := s.check(); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("check: %v", err)
	}
	if err := n.Apply(h); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("apply: %v", err)
	}
	if err := n.Undo(h); err != nil {
		t.Error(err)
	}
	queues, err := linuxTraffic{}.queues(deviceOf(link))
	if q, number := root(queues); err != nil || q.kind != "pfifo" || number != 1 {
		t.Errorf("afterwards there is %v, %v", queues, err)
	}
}

// The measuring itself needs no emulator.
func TestEchoesOfAWholeNetwork(t *testing.T) {
	peers := twoHosts(t)
	stranger := netip.MustParseAddr("10.77.0.9")
	// A delay is what is waited for, so that no answer comes too late on a busy machine.
	seen, err := ping(append(peers, stranger), history.PacketChange{Rate: 1e9, Delay: history.Duration(500 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		e := seen[p]
		if e.sent != streamLength || e.answered != streamLength || e.twice != 0 || e.overtaken != 0 || e.trip <= 0 {
			t.Errorf("%s: %+v", p, e)
		}
	}
	if seen[peers[0]].rate <= 0 {
		t.Errorf("no rate was measured: %+v", seen)
	}
	if e := seen[stranger]; e.sent != streamLength || e.answered != 0 || e.trip != 0 {
		t.Errorf("%s: %+v", stranger, e)
	}
}

// Neither the process nor any of its threads stays behind in the trial's namespace.
func TestTryingTheEmulatorLeavesTheProcessWhereItWas(t *testing.T) {
	before, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Skip(err)
	}
	for range 20 {
		_ = emulates()
		if after, _ := os.Readlink("/proc/self/ns/net"); after != before {
			t.Fatalf("it was in %s and is in %s", before, after)
		}
	}
}

// On a kernel without an emulator the reason is one line that names the module.
func TestAKernelWithoutEmulatorSaysSo(t *testing.T) {
	err := emulates()
	if err == nil {
		t.Skip("this kernel has one")
	}
	for _, part := range []string{"packets cannot be changed: ", "\n"} {
		if has := strings.Contains(err.Error(), part); has == (part == "\n") {
			t.Errorf("%q", err)
		}
	}
	for kind, want := range map[string]string{
		"netem":  "packets cannot be changed: this kernel has no netem: take one with the module sch_netem (no such file or directory)",
		"prio":   "packets cannot be changed: this kernel has no prio queues: take one with the module sch_prio (no such file or directory)",
		"filter": "packets cannot be changed: this kernel has no u32 filters: take one with the module cls_u32 (no such file or directory)",
	} {
		if got := without(kind, unix.ENOENT).Error(); got != want {
			t.Errorf("%s: %s", kind, got)
		}
	}
	t.Log(err)
}
