package netswitch

import (
	"fmt"
	"time"

	"nemesis/history"
)

// Rule is what is done to packets, all of it at once. Shares are from 0 to 1. The zero value
// does nothing.
type Rule struct {
	history.PacketChange
	// Jam holds all packets for up to so long and delivers them at once; then it holds anew.
	// 0 holds none.
	Jam history.Duration `json:"jam,omitempty"`
	// Reset is the share of established connections that are reset at both ends, when this
	// node next says something on them. Those that are opened since are left alone, or until
	// Again has passed, from when on they are established ones, too; 0 is never.
	Reset float64          `json:"reset,omitempty"`
	Again history.Duration `json:"again,omitempty"`
	// HalfOpen is the share of established connections that are reset at this node, while the
	// peer hears nothing of it, nor anything else on them.
	HalfOpen float64 `json:"halfOpen,omitempty"`
	// Damage is the share of packets with a payload of which one byte is changed, and the
	// checksum with it.
	Damage float64 `json:"damage,omitempty"`
}

// The bounds of Jam and Again.
const (
	LeastHold = 10 * time.Millisecond
	MostHold  = 10 * time.Second
)

// Check says, as a clause, what is wrong with what a PacketChange does not have; nil when
// nothing is. The change itself is checked by whoever reads it.
func (r Rule) Check() error {
	for _, d := range []struct {
		name string
		time history.Duration
	}{{"packets are held", r.Jam}, {"connections are reset anew", r.Again}} {
		if t := time.Duration(d.time); t != 0 && (t < LeastHold || t > MostHold) {
			return fmt.Errorf("%s for or after %s to %s, not %s", d.name, LeastHold, MostHold, t)
		}
	}
	for _, s := range []struct {
		name  string
		share float64
	}{{"reset", r.Reset}, {"half-open", r.HalfOpen}, {"damage", r.Damage}} {
		if !(s.share >= 0 && s.share <= 1) {
			return fmt.Errorf("%s is a share from 0 to 1, not %v", s.name, s.share)
		}
	}
	switch {
	case r.Again != 0 && r.Reset == 0:
		return fmt.Errorf("what is reset anew needs a share of connections to reset")
	case r.Reset > 0 && r.HalfOpen > 0:
		return fmt.Errorf("a connection is reset at both ends or at one")
	}
	return nil
}

// passes: what is not on a connection to be ended is sent on at once, as it is.
func (r Rule) passes() bool {
	r.Reset, r.Again, r.HalfOpen = 0, 0, 0
	return r == Rule{}
}

// Counts are the decisions about the packets to one peer.
type Counts struct {
	// Packets and Bytes came from the kernel.
	Packets int64 `json:"packets"`
	Bytes   int64 `json:"bytes"`
	// Lost, Duplicated, Corrupted and Damaged are packets to which that was done; Delayed were
	// held back, Reordered were sent at once although others are held back.
	Lost       int64 `json:"lost"`
	Delayed    int64 `json:"delayed"`
	Duplicated int64 `json:"duplicated"`
	Reordered  int64 `json:"reordered"`
	Corrupted  int64 `json:"corrupted"`
	Damaged    int64 `json:"damaged"`
	// Payloads are packets that could be damaged.
	Payloads int64 `json:"payloads"`
	// Jammed were held for a Jam, Jams are how often some were delivered at once.
	Jammed int64 `json:"jammed"`
	Jams   int64 `json:"jams"`
	// Reset and HalfOpened are connections, Spared those that were established and met no such
	// decision. Swallowed are packets on half-open connections.
	Reset      int64 `json:"reset"`
	HalfOpened int64 `json:"halfOpened"`
	Spared     int64 `json:"spared"`
	Swallowed  int64 `json:"swallowed"`
	// Overflowed were lost since too many were held.
	Overflowed int64 `json:"overflowed"`
	// Waiting are held now.
	Waiting int64 `json:"waiting"`
	// Unsent were refused by the kernel.
	Unsent int64 `json:"unsent"`
}
