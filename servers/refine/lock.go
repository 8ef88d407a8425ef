package refine

import (
	"encoding/json"
	"fmt"

	"nemesis/servers/spec"
)

// Lock is the specification of a lock that goes around a ring.
type Lock struct{ spec spec.Lock }

// NewLock returns the specification of the ring 1, 2, … nodes.
func NewLock(nodes int) *Lock {
	l := &Lock{}
	for i := range nodes {
		l.spec.Ring = append(l.spec.Ring, uint64(i+1))
	}
	return l
}

// Read reads a step. Its place is its epoch.
func (l *Lock) Read(node uint64, kind string, event json.RawMessage, _ uint64) (any, uint64, error) {
	if kind != "locked" {
		return nil, 0, fmt.Errorf("a lock has no step %q", kind)
	}
	return read[spec.Locked](node, event, func(e spec.Locked) uint64 { return e.Epoch })
}

// Restart changes nothing.
func (l *Lock) Restart(uint64) error { return nil }

// Next takes a step. Its error is a *spec.Broken.
func (l *Lock) Next(taken any) error { return l.spec.Next(taken.(step).event) }

// Assume cannot: without an epoch nobody knows the next one's holder.
func (l *Lock) Assume(taken any) error {
	return fmt.Errorf("who held the lock before epoch %d is not in the traces", taken.(step).event.(spec.Locked).Epoch)
}
