package shardkv

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"nemesis/clients"
	"nemesis/clients/group"
)

// Map is a client of a cluster outside of any run, for one goroutine. It remembers who holds which shard, asks the holder
// of a key at once, follows redirects, and reads the map of shards again when it was sent on.
type Map struct {
	data      *session
	placement *group.Session
	shards    []shard // nil if the map is to be read
}

// Dial makes a client of the cluster at these addresses (node i+1 at addresses[i]), all of which are the placement group. Patience
// is how long it waits for one node. Nonce must be unlike that of every other client of the cluster. Connections are made when
// they are needed.
func Dial(addresses []netip.AddrPort, patience time.Duration, nonce uint64) *Map {
	dialer := new(clients.Dialer)
	return &Map{
		data:      &session{nodes: group.Conns(addresses, dialer), patience: patience, id: nonce},
		placement: group.NewSession(group.Conns(addresses, dialer), 0, patience, nonce),
	}
}

// ErrAbsent is that a key has no value.
var ErrAbsent = errors.New("the key has no value")

// Set stores a value. After an error it may be stored or not.
func (m *Map) Set(ctx context.Context, key, value []byte) error {
	_, err := m.do(ctx, operation{kind: set, key: key, value: value})
	return err
}

// Get reads a value; ErrAbsent if there is none.
func (m *Map) Get(ctx context.Context, key []byte) ([]byte, error) {
	r, err := m.do(ctx, operation{kind: get, key: key})
	if err == nil && !r.found {
		err = ErrAbsent
	}
	return r.value, err
}

// Holder is the index of the address of the node that holds a key, or -1 where none is known.
func (m *Map) Holder(ctx context.Context, key []byte) (int, error) {
	if m.shards == nil {
		all, err := askMap(ctx, m.placement)
		if err != nil {
			return -1, err
		}
		m.shards = all
	}
	for _, s := range m.shards {
		if s.has(key) {
			return nodeOf(s.holder, len(m.data.nodes)), nil
		}
	}
	return -1, nil
}

// do executes an operation, once.
func (m *Map) do(ctx context.Context, o operation) (result, error) {
	first, err := m.Holder(ctx, o.key)
	if err != nil {
		return result{}, err
	}
	r, err := m.data.doFrom(ctx, max(first, 0), o)
	if err != nil || nodeOf(r.holder, len(m.data.nodes)) != first {
		m.shards = nil
	}
	return r, err
}

// Close ends the client's connections.
func (m *Map) Close() error { return errors.Join(m.data.close(), m.placement.Close()) }
