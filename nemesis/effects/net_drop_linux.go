package effects

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// Check asks the kernel for the very rules, in a transaction that also deletes them
// again, so that nothing is ever in force.
func (d *Drop) Check(h *agent.Host) error {
	trial := &Drop{ID: "check", In: true, Out: true, Peers: []netip.Addr{
		netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.MustParseAddr("2001:db8::1"),
	}}
	conn, err := nftables.New()
	if err == nil {
		t := trial.build(conn, h)
		conn.DelTable(t)
		err = conn.Flush()
	}
	return refused(err)
}

// refused says why the kernel does not take our rules.
func refused(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return errors.New("packets cannot be dropped: nftables needs root (CAP_NET_ADMIN) here: log in as root or pass --sudo")
	case errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("packets cannot be dropped: this kernel lacks nf_tables or a part of it: %w", err)
	}
	return fmt.Errorf("packets cannot be dropped: nftables refuses the rules: %w", err)
}

// Apply makes the table. One that is there already stays, with its counters.
func (d *Drop) Apply(h *agent.Host) error {
	if err := d.valid(); err != nil {
		return err
	}
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("reach nftables: %w", err)
	}
	if there, err := exists(conn, d.table(h)); err != nil || there {
		return refused(err)
	}
	d.build(conn, h)
	return refused(conn.Flush())
}

// Undo deletes the table.
func (d *Drop) Undo(h *agent.Host) error {
	if err := d.valid(); err != nil {
		return nil // it was refused, so it never acted
	}
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("reach nftables: %w", err)
	}
	conn.DelTable(&nftables.Table{Name: d.table(h), Family: nftables.TableFamilyINet})
	if err := conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("delete nftables table %s: %w", d.table(h), err)
	}
	return nil
}

// Probe reads the counters: in force, it acted when packets were dropped.
func (d *Drop) Probe(h *agent.Host) (history.Evidence, error) {
	if err := d.valid(); err != nil {
		return history.Evidence{}, err
	}
	conn, err := nftables.New()
	if err != nil {
		return history.Evidence{}, fmt.Errorf("reach nftables: %w", err)
	}
	name := d.table(h)
	there, err := exists(conn, name)
	if err != nil {
		return history.Evidence{}, err
	}
	inForce := h.InForce(d)
	switch {
	case !there && inForce:
		return history.Evidence{Undone: true, Summary: "table " + name + " is gone: something else on the node deleted it"}, nil
	case !there:
		return history.Evidence{Confirmed: true, Summary: "no rule of it is left"}, nil
	}
	counts, err := d.counts(conn, name)
	if err != nil {
		return history.Evidence{}, err
	}
	e := dropEvidence(counts)
	if !inForce {
		e.Confirmed = false
		e.Summary = "table " + name + " is still there; " + e.Summary
	}
	return e, nil
}

func exists(conn *nftables.Conn, table string) (bool, error) {
	_, err := conn.ListTableOfFamily(table, nftables.TableFamilyINet)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for nftables table %s: %w", table, err)
	}
	return true, nil
}

const chainIn, chainOut = "in", "out"

// build queues the table with all its rules.
func (d *Drop) build(conn *nftables.Conn, h *agent.Host) *nftables.Table {
	t := conn.AddTable(&nftables.Table{Name: d.table(h), Family: nftables.TableFamilyINet})
	chain := func(name string, hook *nftables.ChainHook, out bool) {
		c := conn.AddChain(&nftables.Chain{Name: name, Table: t, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityRaw})
		for _, e := range neighbourDiscovery() {
			conn.AddRule(&nftables.Rule{Table: t, Chain: c, Exprs: e})
		}
		for _, p := range d.Peers {
			conn.AddRule(&nftables.Rule{
				Table: t, Chain: c, Exprs: dropPeer(p, out),
				UserData: userdata.AppendString(nil, userdata.TypeComment, p.String()),
			})
		}
	}
	if d.In {
		chain(chainIn, nftables.ChainHookPrerouting, false)
	}
	if d.Out {
		chain(chainOut, nftables.ChainHookOutput, true)
	}
	return t
}

// dropPeer: packets whose source (or destination) is the peer are counted and dropped.
func dropPeer(peer netip.Addr, out bool) []expr.Any {
	peer = peer.Unmap()
	family, offset, size := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4) // where the source address lies in the header
	if peer.Is6() {
		family, offset, size = unix.NFPROTO_IPV6, 8, 16
	}
	if out {
		offset += size // the destination follows it
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: peer.AsSlice()},
		&expr.Counter{},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// neighbourDiscovery passes ICMPv6 neighbour solicitations and advertisements on to
// whatever chains come next.
func neighbourDiscovery() [][]expr.Any {
	var rules [][]expr.Any
	for _, icmp := range []byte{135, 136} {
		rules = append(rules, []expr.Any{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV6}},
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_ICMPV6}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{icmp}},
			&expr.Verdict{Kind: expr.VerdictReturn},
		})
	}
	return rules
}

// counts reads how many packets each rule dropped.
func (d *Drop) counts(conn *nftables.Conn, table string) ([]count, error) {
	t := &nftables.Table{Name: table, Family: nftables.TableFamilyINet}
	var out []count
	for _, c := range []struct {
		chain string
		out   bool
		there bool
	}{{chainIn, false, d.In}, {chainOut, true, d.Out}} {
		if !c.there {
			continue
		}
		rules, err := conn.GetRules(t, &nftables.Chain{Name: c.chain, Table: t})
		if err != nil {
			return nil, fmt.Errorf("read the counters of nftables table %s: %w", table, err)
		}
		for _, r := range rules {
			comment, _ := userdata.GetString(r.UserData, userdata.TypeComment)
			peer, err := netip.ParseAddr(comment)
			if err != nil {
				continue // neighbour discovery
			}
			for _, e := range r.Exprs {
				if n, ok := e.(*expr.Counter); ok {
					out = append(out, count{peer: peer, out: c.out, packets: n.Packets, bytes: n.Bytes})
				}
			}
		}
	}
	return out, nil
}
