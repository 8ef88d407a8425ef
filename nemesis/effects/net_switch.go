package effects

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/nodes/netswitch"
)

// SwitchKind is Switch's kind.
const SwitchKind = "net.switch"

// Switch changes the packets that this node sends to its peers as Netem does, without the
// kernel's emulator, and in ways that the emulator does not know: by a switch in user space
// (package netswitch), which is a worker of the agent. A link is changed in both directions by
// two effects, one at each end.
//
// The worker has a device to which the peers' packets are led. Without the worker there is no
// device, and packets go where they went before: it ends with the agent, however that ends, and
// when it is undone. It then delivers what it holds.
type Switch struct {
	ID string `json:"id"`
	// Peers are the addresses of the other nodes, IPv4 and IPv6.
	Peers []netip.Addr   `json:"peers"`
	Rule  netswitch.Rule `json:"rule"`
	// Seed decides what becomes of each packet.
	Seed uint64 `json:"seed"`
	// Both: the peers change what they send to this node alike, so that an echo meets the rule
	// twice.
	Both bool `json:"both,omitempty"`
	// Device is filled in by the agent, for its worker.
	Device string `json:"device,omitempty"`
	// Glance: a probe only looks whether the worker is there. Connections: it only lists the
	// connections with the peers, and needs no effect in force. Neither is a part of what is in force.
	Glance      bool `json:"glance,omitempty"`
	Connections bool `json:"connections,omitempty"`
}

// Glancing is the effect for a probe that takes no time.
func (s *Switch) Glancing() agent.Effect {
	glance := *s
	glance.Glance = true
	return &glance
}

// Kind is SwitchKind.
func (s *Switch) Kind() string { return SwitchKind }

// String is the effect in one line.
func (s *Switch) String() string {
	peers := make([]string, len(s.Peers))
	for i, p := range s.Peers {
		peers[i] = p.String()
	}
	return fmt.Sprintf("%s: packets to %s: %s", s.ID, strings.Join(peers, ", "), RuleWords(s.Rule))
}

// valid says what is wrong with the fields.
func (s *Switch) valid() error {
	// The peers are those of an emulator.
	same := Netem{ID: s.ID, Peers: s.Peers, Change: history.PacketChange{Loss: 1}}
	if err := same.valid(); err != nil {
		return errors.New(strings.Replace(err.Error(), NetemKind, SwitchKind, 1))
	}
	if err := RuleCan(s.Rule); err != nil {
		return fmt.Errorf("%s %s: %w", SwitchKind, s.ID, err)
	}
	return nil
}

// RuleCan says why packets cannot be changed like this by a switch; nil when they can.
func RuleCan(r netswitch.Rule) error {
	if r == (netswitch.Rule{}) {
		return errors.New("it changes nothing about packets")
	}
	if r.PacketChange != (history.PacketChange{}) {
		if err := PacketsCan(r.PacketChange); err != nil {
			return err
		}
	}
	return r.Check()
}

// RuleWords are a rule in words.
func RuleWords(r netswitch.Rule) string {
	var parts []string
	if words := PacketWords(r.PacketChange); words != "" {
		parts = append(parts, words)
	}
	if r.Jam > 0 {
		parts = append(parts, fmt.Sprintf("held for up to %s and delivered at once", time.Duration(r.Jam)))
	}
	which := func(share float64) string {
		if share == 1 {
			return "all established connections"
		}
		return percent(share) + " of the established connections"
	}
	if r.Reset > 0 {
		text := which(r.Reset) + " reset"
		if r.Again > 0 {
			text += fmt.Sprintf(", again each %s", time.Duration(r.Again))
		}
		parts = append(parts, text)
	}
	if r.HalfOpen > 0 {
		parts = append(parts, which(r.HalfOpen)+" ended at one end and left open at the other")
	}
	if r.Damage > 0 {
		parts = append(parts, percent(r.Damage)+" with changed contents and a right checksum")
	}
	return strings.Join(parts, ", ")
}

// Applied is the effect as it is in the ledger.
func (s *Switch) Applied() agent.Effect {
	applied := *s
	applied.Device, applied.Glance, applied.Connections = "", false, false
	return &applied
}

// worker is the effect as its worker gets it.
func (s *Switch) worker(h *agent.Host) *Switch {
	w := *s
	w.Device, w.Glance, w.Connections = s.device(h), false, false
	return &w
}

// device is a name of the agent's directory, too, so that two agents on one machine do not take
// each other's. It fits into the 15 letters that the kernel has for it.
func (s *Switch) device(h *agent.Host) string {
	sum := sha256.Sum256([]byte(h.Dir + "\x00" + s.ID))
	return "nms" + hex.EncodeToString(sum[:5])
}
