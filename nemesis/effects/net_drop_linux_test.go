package effects_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
	"nemesis/nodes/local/localtest"
)

// peers are addresses of this world's loopback that play the other node: 127/8 is
// there anyway, an IPv6 one is added.
func peers(t *testing.T) []netip.Addr {
	t.Helper()
	localtest.Need(t) // a network of our own
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	v6 := netip.MustParseAddr("fd00:6e65:6d::2")
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: v6.AsSlice(), Mask: net.CIDRMask(128, 128)}}
	if err := netlink.AddrReplace(lo, addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.AddrDel(lo, addr) })
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 2}), v6}
}

// echo serves on the peer's address until the test ends, and gives one connection.
func echo(t *testing.T, peer netip.Addr) net.Conn {
	t.Helper()
	listener, err := net.Listen("tcp", netip.AddrPortFrom(peer, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 64)
				for {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					if _, err := c.Write(b[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	// From another address than the peer's own, or both ends would be the peer.
	from := net.IPv4(127, 0, 0, 1)
	if peer.Is6() {
		from = net.IPv6loopback
	}
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// says sends a line and waits for its echo for that long.
func says(c net.Conn, line string, wait time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(line)); err != nil {
		return err
	}
	got := make([]byte, len(line))
	for n := 0; n < len(got); {
		m, err := c.Read(got[n:])
		if err != nil {
			return err
		}
		n += m
	}
	if string(got) != line {
		return fmt.Errorf("got %q for %q", got, line)
	}
	return nil
}

func TestADropCutsEstablishedConnectionsAndUndoingItMendsThem(t *testing.T) {
	all := peers(t)
	for _, ways := range []struct {
		name    string
		in, out bool
	}{{"in", true, false}, {"out", false, true}, {"both", true, true}} {
		for _, peer := range all {
			t.Run(ways.name+" "+peer.String(), func(t *testing.T) {
				n := node{t, agenttest.Connect(t, agenttest.Dir(t))}
				drop := &effects.Drop{ID: "f1", Peers: []netip.Addr{peer}, In: ways.in, Out: ways.out}
				c := echo(t, peer)
				if err := says(c, "before", time.Minute); err != nil {
					t.Fatal(err)
				}
				n.apply(drop)
				n.apply(drop)
				if err := says(c, "during", 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("through the cut: %v", err)
				}
				e, err := n.Probe(context.Background(), drop)
				if err != nil || !e.Confirmed {
					t.Errorf("%+v, %v", e, err)
				}
				for _, m := range e.Measures {
					if want := map[string]bool{"dropped from " + peer.String(): ways.in, "dropped to " + peer.String(): ways.out}; !want[m.Name] {
						t.Errorf("counts %q", m.Name)
					}
				}
				n.undo(drop)
				n.undo(drop)
				n.shows(drop, true, "no rule of it is left", 0)
				// TCP sends again by itself; what was written during the cut arrives now.
				if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, len("during"))
				if _, err := c.Read(got); err != nil || string(got) != "during" {
					t.Errorf("after the cut: %q, %v", got, err)
				}
			})
		}
	}
}

func TestADropThatNothingMetIsNotConfirmed(t *testing.T) {
	localtest.Need(t)
	n := node{t, agenttest.Connect(t, agenttest.Dir(t))}
	drop := &effects.Drop{ID: "f1", Peers: []netip.Addr{netip.MustParseAddr("192.0.2.77")}, In: true, Out: true}
	n.apply(drop)
	n.shows(drop, false, "the rules are in place and no packet met them yet", 0)
}

func TestSomebodyWhoDeletesOurTableIsNoticed(t *testing.T) {
	localtest.Need(t)
	n := node{t, agenttest.Connect(t, agenttest.Dir(t))}
	drop := &effects.Drop{ID: "f1", Peers: []netip.Addr{netip.MustParseAddr("192.0.2.77")}, In: true}
	n.apply(drop)
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := conn.ListTables()
	if err != nil || len(tables) != 1 {
		t.Fatalf("%v, %v", tables, err)
	}
	conn.DelTable(tables[0])
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	n.shows(drop, false, "table "+tables[0].Name+" is gone: something else on the node deleted it", 0)
	n.undoneByOthers(drop)
	n.undo(drop)
	n.shows(drop, true, "no rule of it is left", 0)
}

// ruleset is everything in nftables but our own tables.
func ruleset(t *testing.T) map[string][]*nftables.Rule {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	chains, err := conn.ListChains()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]*nftables.Rule{}
	for _, c := range chains {
		if strings.HasPrefix(c.Table.Name, "nemesis_") {
			continue
		}
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprintf("%d %s %s %v %v %v %s", c.Table.Family, c.Table.Name, c.Name, c.Hooknum, c.Priority, c.Policy, c.Type)
		if c.Hooknum != nil {
			key = fmt.Sprintf("%d %s %s %d %d %d %s", c.Table.Family, c.Table.Name, c.Name, *c.Hooknum, *c.Priority, *c.Policy, c.Type)
		}
		all[key] = rules
	}
	return all
}

func TestNobodyElsesRulesAreTouched(t *testing.T) {
	all := peers(t)
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	// A firewall as a user may have it, with a name close to ours, and one that lets
	// established connections pass.
	var tables []*nftables.Table
	for _, name := range []string{"filter", "nemesis", "nemesisx_f1"} {
		table := conn.AddTable(&nftables.Table{Name: name, Family: nftables.TableFamilyINet})
		tables = append(tables, table)
		policy := nftables.ChainPolicyAccept
		chain := conn.AddChain(&nftables.Chain{Name: "in", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityFilter, Policy: &policy})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, UserData: []byte{0, 4, 'm', 'i', 'n', 0}, Exprs: []expr.Any{
			&expr.Ct{Key: expr.CtKeySTATE, Register: 1}, &expr.Verdict{Kind: expr.VerdictAccept},
		}})
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, table := range tables {
			conn.DelTable(table)
		}
		if err := conn.Flush(); err != nil {
			t.Error(err)
		}
	})
	before := ruleset(t)
	if len(before) < 3 {
		t.Fatalf("only %d chains to watch", len(before))
	}
	unchanged := func(when string) {
		t.Helper()
		if d := cmp.Diff(before, ruleset(t)); d != "" {
			t.Errorf("%s: %s", when, d)
		}
	}

	first := node{t, agenttest.Connect(t, agenttest.Dir(t))}
	second := node{t, agenttest.Connect(t, agenttest.Dir(t))} // another agent, another directory
	unchanged("after the trial of Check")
	f1 := &effects.Drop{ID: "f1", Peers: all, In: true, Out: true}
	f2 := &effects.Drop{ID: "f2", Peers: all[:1], In: true}
	first.apply(f1)
	first.apply(f2)
	second.apply(f1)
	unchanged("with faults in force")
	first.undo(f1)
	for _, still := range []struct {
		n node
		e *effects.Drop
	}{{first, f2}, {second, f1}} {
		if e, err := still.n.Probe(context.Background(), still.e); err != nil || !strings.Contains(e.Summary, "no packet met them yet") {
			t.Errorf("another fault's rules went too: %+v, %v", e, err)
		}
	}
	if _, err := first.HealAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	second.undo(f1)
	unchanged("after healing")
	left, err := conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range left {
		if strings.HasPrefix(table.Name, "nemesis_") {
			t.Errorf("table %s is left", table.Name)
		}
	}
}

func TestADropThatMakesNoSenseIsRefused(t *testing.T) {
	localtest.Need(t)
	n := node{t, agenttest.Connect(t, agenttest.Dir(t))}
	good := []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	for _, c := range []struct {
		drop effects.Drop
		want string
	}{
		{effects.Drop{ID: "f1", In: true}, "names no peer or no direction"},
		{effects.Drop{ID: "f1", Peers: good}, "names no peer or no direction"},
		{effects.Drop{ID: "f1 }", Peers: good, In: true}, "is not up to 32"},
		{effects.Drop{ID: "f1", Peers: []netip.Addr{netip.IPv4Unspecified()}, In: true}, "0.0.0.0 is not the address of a peer"},
		{effects.Drop{ID: "f1", Peers: []netip.Addr{{}}, In: true}, "invalid IP is not the address of a peer"},
		{effects.Drop{ID: "f1", Peers: []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}, In: true}, "is not the address of a peer"},
	} {
		if err := n.Apply(context.Background(), &c.drop); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want …%s…", c.drop, err, c.want)
		}
	}
	if l, err := n.Ledger(context.Background()); err != nil || len(l) != 0 {
		t.Errorf("%q, %v", l, err)
	}
}

func TestANodeThatMayNotDropPacketsSaysSoInPreflight(t *testing.T) {
	localtest.Need(t)
	// Root of a user namespace that does not own the network, as in a container.
	conn := agenttest.NewConn()
	conn.Attr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
	}
	c, err := agent.Connect(context.Background(), conn, agent.Options{Dir: agenttest.Dir(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background(), false)
	const want = "packets cannot be dropped: nftables needs root (CAP_NET_ADMIN) here: log in as root or pass --sudo"
	if got := c.Facts().Cannot; got[effects.DropKind] != want || got[effects.KillKind] != "" {
		t.Errorf("%q", got)
	}
	drop := &effects.Drop{ID: "f1", Peers: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, In: true}
	if err := c.Check(context.Background(), drop); err == nil || err.Error() != "check net.drop on n1: "+want {
		t.Errorf("got %v", err)
	}
	if err := c.Apply(context.Background(), drop); err == nil || err.Error() != "apply net.drop on n1: "+want {
		t.Errorf("got %v", err)
	}
	if l, err := c.Ledger(context.Background()); err != nil || len(l) != 0 {
		t.Errorf("%q, %v", l, err)
	}
}
