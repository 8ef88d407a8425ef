//go:build !linux

package effects

import (
	"errors"

	"nemesis/history"
	"nemesis/nodes/agent"
)

var errNotLinux = errors.New("packets cannot be dropped: nftables is Linux's")

// Check always fails: effects act on Linux nodes.
func (d *Drop) Check(*agent.Host) error { return errNotLinux }

// Apply always fails.
func (d *Drop) Apply(*agent.Host) error { return errNotLinux }

// Undo always fails.
func (d *Drop) Undo(*agent.Host) error { return errNotLinux }

// Probe always fails.
func (d *Drop) Probe(*agent.Host) (history.Evidence, error) {
	return history.Evidence{}, errNotLinux
}
