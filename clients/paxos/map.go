package paxos

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"nemesis/clients"
	"nemesis/clients/group"
)

// Map is a client of a group outside of any run, for one goroutine.
type Map struct{ session *group.Session }

// Dial makes a client of the group at these addresses (node i+1 at addresses[i]) that asks node own+1 first. Patience is
// how long it waits for one node. Nonce must be unlike that of every other client of the group. Connections are made
// when they are needed.
func Dial(addresses []netip.AddrPort, own int, patience time.Duration, nonce uint64) *Map {
	return &Map{group.NewSession(group.Conns(addresses, new(clients.Dialer)), own, patience, nonce)}
}

// Leader asks a node which one leads: the index of its address, if it knows one.
func Leader(ctx context.Context, address netip.AddrPort) (int, error) {
	s, err := group.Inquire(ctx, address)
	switch {
	case err != nil:
		return 0, fmt.Errorf("ask %v for the leader: %w", address, err)
	case s.Leader == 0:
		return 0, fmt.Errorf("ask %v for the leader: it knows none", address)
	}
	return int(s.Leader - 1), nil
}

// Set stores a value. After an error it may be stored or not.
func (m *Map) Set(ctx context.Context, key string, value []byte) error {
	result, err := m.session.Change(ctx, operation(kvSet, key, value))
	if err == nil && (len(result) != 1 || result[0] != kvDone) {
		err = errResult
	}
	return err
}

// Get reads a value; ErrAbsent if there is none.
func (m *Map) Get(ctx context.Context, key string) (string, error) {
	result, err := m.session.Read(ctx, operation(kvGet, key, nil))
	if err != nil {
		return "", err
	}
	value, there, err := got(result)
	if err == nil && !there {
		err = ErrAbsent
	}
	return value, err
}

// ErrAbsent is that a key has no value.
var ErrAbsent = errors.New("the key has no value")

// Close ends the client's connections.
func (m *Map) Close() error { return m.session.Close() }
