package effects

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// DropKind is Drop's kind.
const DropKind = "net.drop"

// Drop drops the packets between this node and its peers, silently, whatever the
// protocol and whether or not a connection is already established.
//
// It is one nftables table of ours with a chain at each hook that is needed. One
// transaction makes it and one deletes it, so it is there whole or not at all, and
// neither touches a rule of anybody else, nor of another Drop.
//
//   - In drops at prerouting, before connection tracking: a rule that somebody has
//     for established connections cannot let packets past.
//   - Out drops at output. The kernel tells a local sender of UDP about it (EPERM);
//     TCP takes it for loss. Drop at both ends, and the packets of one end are gone
//     even when the other end's agent is.
//   - Neighbour discovery passes, as ARP does in IPv4: otherwise a cut in one
//     direction would soon be one in both, since neither end could find the other.
type Drop struct {
	ID string `json:"id"`
	// Peers are the addresses of the other nodes, IPv4 and IPv6.
	Peers []netip.Addr `json:"peers"`
	// In drops what comes from them, Out what goes to them. At least one is set.
	In  bool `json:"in,omitempty"`
	Out bool `json:"out,omitempty"`
}

// Kind is DropKind.
func (d *Drop) Kind() string { return DropKind }

// String is the effect in one line.
func (d *Drop) String() string {
	peers := make([]string, len(d.Peers))
	for i, p := range d.Peers {
		peers[i] = p.String()
	}
	way := "from"
	switch {
	case d.In && d.Out:
		way = "from and to"
	case d.Out:
		way = "to"
	}
	return fmt.Sprintf("%s: packets %s %s", d.ID, way, strings.Join(peers, ", "))
}

// table names the effect's table: by the agent's directory too, so that two agents
// on one machine, each with a first fault, do not share one.
func (d *Drop) table(h *agent.Host) string {
	sum := sha256.Sum256([]byte(h.Dir))
	return "nemesis_" + hex.EncodeToString(sum[:4]) + "_" + d.ID
}

// valid says what is wrong with the fields.
func (d *Drop) valid() error {
	if err := checkID(DropKind, d.ID); err != nil {
		return err
	}
	if len(d.Peers) == 0 || !d.In && !d.Out {
		return fmt.Errorf("%s %s: it names no peer or no direction", DropKind, d.ID)
	}
	for _, p := range d.Peers {
		if !p.IsValid() || p.IsUnspecified() || p.Zone() != "" {
			return fmt.Errorf("%s %s: %s is not the address of a peer", DropKind, d.ID, p)
		}
	}
	return nil
}

// count is what one rule dropped.
type count struct {
	peer    netip.Addr
	out     bool
	packets uint64
	bytes   uint64
}

// evidence sums up counters of a table that is there.
func dropEvidence(counts []count) history.Evidence {
	var e history.Evidence
	var total uint64
	var parts []string
	for _, c := range counts {
		way := "from"
		if c.out {
			way = "to"
		}
		total += c.packets
		if c.packets > 0 {
			parts = append(parts, fmt.Sprintf("%d %s %s", c.packets, way, c.peer))
		}
		e.Measures = append(e.Measures, history.Measure{Name: "dropped " + way + " " + c.peer.String(), Value: float64(c.packets), Unit: "packets"})
	}
	e.Confirmed = total > 0
	switch {
	case total == 0:
		e.Summary = "the rules are in place and no packet met them yet"
	case total == 1:
		e.Summary = "1 packet dropped: " + strings.Join(parts, ", ")
	default:
		e.Summary = fmt.Sprintf("%d packets dropped: %s", total, strings.Join(parts, ", "))
	}
	return e
}
