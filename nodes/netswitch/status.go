package netswitch

import (
	"encoding/json"
	"net/netip"
)

// Status is what a switch that is a process of its own answers to whoever asks.
type Status struct {
	// Error is why it could not be opened; "" when it is at work.
	Error  string                `json:"error,omitempty"`
	Counts map[netip.Addr]Counts `json:"counts,omitempty"`
	// Observed is what Options.Observe returned.
	Observed json.RawMessage `json:"observed,omitempty"`
}
