//go:build !linux

package effects

import (
	"errors"

	"nemesis/history"
	"nemesis/nodes/agent"
)

var errNoNetem = errors.New("packets cannot be changed: the network emulator is Linux's")

// Check always fails: effects act on Linux nodes.
func (n *Netem) Check(*agent.Host) error { return errNoNetem }

// Apply always fails.
func (n *Netem) Apply(*agent.Host) error { return errNoNetem }

// Undo always fails.
func (n *Netem) Undo(*agent.Host) error { return errNoNetem }

// Probe always fails.
func (n *Netem) Probe(*agent.Host) (history.Evidence, error) { return history.Evidence{}, errNoNetem }
