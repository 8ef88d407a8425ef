//go:build !linux

package effects

import (
	"context"
	"errors"

	"nemesis/history"
	"nemesis/nodes/agent"
)

var errNoSwitch = errors.New("packets cannot be changed: the switch needs TUN devices of Linux")

// Check always fails: effects act on Linux nodes.
func (s *Switch) Check(*agent.Host) error { return errNoSwitch }

// Apply always fails.
func (s *Switch) Apply(*agent.Host) error { return errNoSwitch }

// Undo always fails.
func (s *Switch) Undo(*agent.Host) error { return errNoSwitch }

// Probe always fails.
func (s *Switch) Probe(*agent.Host) (history.Evidence, error) { return history.Evidence{}, errNoSwitch }

// Work always fails.
func (s *Switch) Work(context.Context) error { return errNoSwitch }
