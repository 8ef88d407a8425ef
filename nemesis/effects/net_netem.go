package effects

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// NetemKind is Netem's kind.
const NetemKind = "net.netem"

// Netem delays, loses, duplicates, reorders and damages the packets that this node
// sends to its peers, and limits their rate, with the kernel's network emulator. What
// the peers send is theirs to change, so a link is changed in both directions by two
// effects, one at each end.
//
//	root ── prio N: ─┬─ N:1 N:2 N:3   everything else, as without us
//	                 └─ N:4 ── netem  what the filters send there: packets to the peers
//
// There is one emulator on an interface, since kernels of 2025 and later refuse to
// duplicate where there are two. Its last request puts the whole in force at once.
//
// The tree takes the place of what the kernel itself had put there, and the kernel puts
// that back when the tree goes. What somebody else has put there is left alone: the
// effect is refused.
type Netem struct {
	ID string `json:"id"`
	// Peers are the addresses of the other nodes, IPv4 and IPv6.
	Peers  []netip.Addr         `json:"peers"`
	Change history.PacketChange `json:"change"`
	// Glance: a probe only looks whether the tree is there, which takes no time. It is no
	// part of what is in force.
	Glance bool `json:"glance,omitempty"`
}

// Glancing is the effect for a probe that takes no time.
func (n *Netem) Glancing() agent.Effect {
	glance := *n
	glance.Glance = true
	return &glance
}

// Applied is the effect as it is in the ledger.
func (n *Netem) Applied() agent.Effect {
	applied := *n
	applied.Glance = false
	return &applied
}

// Kind is NetemKind.
func (n *Netem) Kind() string { return NetemKind }

// String is the effect in one line.
func (n *Netem) String() string {
	peers := make([]string, len(n.Peers))
	for i, p := range n.Peers {
		peers[i] = p.String()
	}
	return fmt.Sprintf("%s: packets to %s: %s", n.ID, strings.Join(peers, ", "), PacketWords(n.Change))
}

// valid says what is wrong with the fields.
func (n *Netem) valid() error {
	if err := checkID(NetemKind, n.ID); err != nil {
		return err
	}
	if len(n.Peers) == 0 {
		return fmt.Errorf("%s %s: it names no peer", NetemKind, n.ID)
	}
	for _, p := range n.Peers {
		if !p.IsValid() || p.IsUnspecified() || p.Zone() != "" {
			return fmt.Errorf("%s %s: %s is not the address of a peer", NetemKind, n.ID, p)
		}
	}
	if err := PacketsCan(n.Change); err != nil {
		return fmt.Errorf("%s %s: %w", NetemKind, n.ID, err)
	}
	return nil
}

// The bounds of what can be asked for.
const (
	mostDelay = time.Minute
	leastRate = 8_000 // bits per second: a full packet takes a second and a half
)

// PacketsCan says why packets cannot be changed like this; nil when they can.
func PacketsCan(c history.PacketChange) error {
	delay, jitter := time.Duration(c.Delay), time.Duration(c.Jitter)
	if delay < 0 || delay > mostDelay || jitter < 0 || jitter > delay {
		return fmt.Errorf("a delay of %s ± %s is not between nothing and %s, with a jitter no larger than itself", delay, jitter, mostDelay)
	}
	for _, s := range []struct {
		name  string
		share float64
	}{{"loss", c.Loss}, {"duplicate", c.Duplicate}, {"reorder", c.Reorder}, {"corrupt", c.Corrupt}} {
		if !(s.share >= 0 && s.share <= 1) {
			return fmt.Errorf("%s is a share of packets from 0 to 1, not %v", s.name, s.share)
		}
	}
	switch {
	case c.Spread != "" && c.Spread != "normal" && c.Spread != "pareto":
		return fmt.Errorf("delays are spread evenly, normal or pareto, not %q", c.Spread)
	case c.Spread != "" && jitter == 0:
		return fmt.Errorf("a %s delay needs a jitter", c.Spread)
	case c.Reorder > 0 && delay == 0:
		return fmt.Errorf("packets are reordered by letting some overtake delayed ones: give a delay too")
	case c.Burst != 0 && !(c.Burst >= 1 && c.Burst <= 1000):
		return fmt.Errorf("bursts are of 1 to 1000 lost packets, not %v", c.Burst)
	case c.Burst > 1 && c.Loss == 0:
		return fmt.Errorf("bursts of losses need a loss")
	case c.Burst > 1 && (c.Loss == 1 || onset(c) > 1):
		return fmt.Errorf("losses of %v of all packets cannot come in bursts as short as %v", c.Loss, c.Burst)
	case c.Rate != 0 && c.Rate < leastRate:
		return fmt.Errorf("a rate of %d bits per second is less than %d", c.Rate, leastRate)
	case c == history.PacketChange{}:
		return fmt.Errorf("it changes nothing about packets")
	}
	return nil
}

// onset is the chance that a burst of losses begins with a packet. In the model of
// Gilbert, bursts end with chance 1/Burst, and losses are onset/(onset + 1/Burst) of
// all packets.
func onset(c history.PacketChange) float64 { return c.Loss / (1 - c.Loss) / c.Burst }

// PacketWords are a change in words: "100 ms ± 20 ms later, 5 % lost".
func PacketWords(c history.PacketChange) string {
	var parts []string
	share := func(of float64, what string) {
		if of > 0 {
			parts = append(parts, percent(of)+" "+what)
		}
	}
	if c.Delay > 0 {
		text := inMilliseconds(time.Duration(c.Delay))
		if c.Jitter > 0 {
			text += " ± " + inMilliseconds(time.Duration(c.Jitter))
		}
		if c.Spread != "" {
			text += " (" + c.Spread + ")"
		}
		parts = append(parts, text+" later")
	}
	lost := "lost"
	if c.Burst > 1 {
		lost = fmt.Sprintf("lost in bursts of %.3g", c.Burst)
	}
	share(c.Loss, lost)
	share(c.Duplicate, "twice")
	share(c.Reorder, "out of order")
	share(c.Corrupt, "damaged")
	if c.Rate > 0 {
		parts = append(parts, "at "+bits(float64(c.Rate)))
	}
	return strings.Join(parts, ", ")
}

func percent(share float64) string { return fmt.Sprintf("%.3g %%", share*100) }

func inMilliseconds(d time.Duration) string {
	return fmt.Sprintf("%.4g ms", float64(d)/float64(time.Millisecond))
}

func bits(perSecond float64) string {
	switch {
	case perSecond >= 1e9:
		return fmt.Sprintf("%.3g Gbit/s", perSecond/1e9)
	case perSecond >= 1e6:
		return fmt.Sprintf("%.3g Mbit/s", perSecond/1e6)
	}
	return fmt.Sprintf("%.3g kbit/s", perSecond/1e3)
}

// numbers are the two numbers by which the kernel knows our queues on an interface, the
// tree's and its emulator's. They come from the agent's directory too, so that the
// agents of one machine do not undo each other's, and lie where neither the kernel
// (from 8000) nor people (1, 10, 1000) choose theirs.
func (n *Netem) numbers(h *agent.Host) (tree, emulator uint16) {
	sum := sha256.Sum256([]byte(h.Dir + "\x00" + n.ID))
	tree = 0x5000 + binary.BigEndian.Uint16(sum[:])%0x2ff0&^1
	return tree, tree | 1
}

// piece is one part of the tree that is put on an interface.
type piece struct {
	// kind is "prio", "netem" or "filter".
	kind           string
	handle, parent uint32 // as the kernel has them: number << 16 | class
	// change is the emulator's, peer whose packets a filter sends to class handle.
	change history.PacketChange
	peer   netip.Addr
	// rank is the filter's place: those of one rank are of one protocol.
	rank uint16
}

const (
	atRoot  = 0xffffffff
	ourBand = 4 // after the three that everything else goes through
)

// tree is what is put on an interface that leads to these peers, in this order.
func (n *Netem) tree(h *agent.Host, peers []netip.Addr) []piece {
	tree, emulator := n.numbers(h)
	root, class := uint32(tree)<<16, uint32(tree)<<16|ourBand
	pieces := []piece{{kind: "prio", handle: root, parent: atRoot}}
	for _, p := range peers {
		p = p.Unmap()
		rank := uint16(1)
		if p.Is6() {
			rank = 2
		}
		pieces = append(pieces, piece{kind: "filter", handle: class, parent: root, peer: p, rank: rank})
	}
	return append(pieces, piece{kind: "netem", handle: uint32(emulator) << 16, parent: class, change: n.Change})
}

// String is a piece in the words of tc(8).
func (p piece) String() string {
	number := func(h uint32) string {
		if h == atRoot {
			return "root"
		}
		if h&0xffff == 0 {
			return fmt.Sprintf("%x:", h>>16)
		}
		return fmt.Sprintf("%x:%x", h>>16, h&0xffff)
	}
	switch p.kind {
	case "filter":
		protocol := "ip"
		if p.peer.Is6() {
			protocol = "ipv6"
		}
		return fmt.Sprintf("filter parent %s protocol %s pref %d u32 match dst %s flowid %s", number(p.parent), protocol, p.rank, p.peer, number(p.handle))
	case "netem":
		return fmt.Sprintf("qdisc netem %s parent %s: %s", number(p.handle), number(p.parent), PacketWords(p.change))
	}
	return fmt.Sprintf("qdisc %s %s %s", p.kind, number(p.handle), number(p.parent))
}

// chance is a share as the kernel counts it.
func chance(share float64) uint32 { return uint32(math.Round(share * math.MaxUint32)) }
