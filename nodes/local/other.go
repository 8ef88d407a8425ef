//go:build !linux

package local

import (
	"context"
	"errors"

	"nemesis/nodes"
)

var errNotLinux = errors.New("local clusters need Linux: name the machines instead, as in --nodes host1,host2,host3")

// Cluster is never made on this operating system.
type Cluster struct{ nodes.Cluster }

// Notes is empty.
func (*Cluster) Notes() []string { return nil }

// Enter is empty.
func (*Cluster) Enter(string) string { return "" }

// Run says that local clusters need Linux.
func Run(context.Context, World) (int, error) { return 0, errNotLinux }

// New says that local clusters need Linux.
func New(context.Context, Options) (*Cluster, error) { return nil, errNotLinux }

// Check says that local clusters need Linux.
func Check(context.Context) error { return errNotLinux }

// RemoveAbandoned has nothing to remove.
func RemoveAbandoned(string) ([]string, error) { return nil, nil }

// Inside is false.
func Inside() bool { return false }

// Input says that local clusters need Linux.
func Input() ([]byte, error) { return nil, errNotLinux }

// Main has nothing to do: no process of a world is ever started here.
func Main([]string) int { return 64 }
