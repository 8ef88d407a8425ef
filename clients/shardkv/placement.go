package shardkv

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"nemesis/clients/group"
	"nemesis/history"
)

// Operations on the map.
const (
	opMove  = 5
	opSplit = 6
	opMap   = 8
)

// shard is a range of keys and who holds it; an empty end is that of all keys.
type shard struct {
	from, end []byte
	epoch     uint64
	holder    uint64
}

func (s shard) has(key []byte) bool {
	return bytes.Compare(key, s.from) >= 0 && (len(s.end) == 0 || bytes.Compare(key, s.end) < 0)
}

// meets says whether the shard has keys from one on and before an end, which is that of all keys if empty.
func (s shard) meets(from, end []byte) bool {
	return (len(end) == 0 || bytes.Compare(s.from, end) < 0) && (len(s.end) == 0 || bytes.Compare(from, s.end) < 0)
}

var errMap = errors.New("the placement group answered with no map")

// readMap decodes the result of an operation on the map: whether it was carried out, and the map after it.
func readMap(result []byte) (shards []shard, carried bool, err error) {
	d := group.NewDecoder(result)
	carried = d.Byte() == 0
	d.Number() // version
	d.Number() // shards so far
	for range d.Count() {
		d.Number() // its number
		s := shard{from: d.Bytes(), end: d.Bytes(), epoch: d.Number(), holder: d.Number()}
		d.Number() // target
		d.Number() // first holder
		for range 2 {
			for range d.Count() {
				d.Number() // backups, and those that are to be
			}
		}
		shards = append(shards, s)
	}
	for range d.Count() {
		d.Number() // node
		d.Number() // start
		d.Number() // renewals
		d.Byte()   // live
	}
	if !d.End() || len(shards) == 0 {
		return nil, false, errMap
	}
	return shards, carried, nil
}

// shards reads the map.
func (c *client) shards(ctx context.Context) ([]shard, error) { return askMap(ctx, c.placement) }

// askMap has the placement group read the map.
func askMap(ctx context.Context, placement *group.Session) ([]shard, error) {
	result, err := placement.Read(ctx, []byte{opMap})
	if err != nil {
		return nil, err
	}
	all, _, err := readMap(result)
	return all, err
}

// change carries out an operation on the map; done is false where it was refused.
func (c *client) change(ctx context.Context, op []byte) (after []shard, carried bool, err error) {
	result, err := c.placement.Change(ctx, op)
	if err != nil {
		return nil, false, err
	}
	return readMap(result)
}

// movePause is how long to wait before looking again whether a move is done.
const movePause = 20 * time.Millisecond

// move gives a range of numbers to another node, cutting shards at its borders, and waits until that node holds all of it. begun
// says that something may have been moved.
func (c *client) move(ctx context.Context, m history.Move) (begun bool, err error) {
	to := uint64(0)
	for i, name := range c.names {
		if name == m.To {
			to = firstStore + uint64(i) + 1
		}
	}
	if to == 0 || m.High != 0 && m.High <= m.Low {
		return false, fmt.Errorf("shardkv moves ranges to nodes of the cluster, and %d to %d to %.40q is no such move", m.Low, m.High, m.To)
	}
	from, end := numberKey(m.Low), []byte(nil)
	if m.High != 0 {
		end = numberKey(m.High)
	}
	all, err := c.shards(ctx)
	if err != nil {
		return false, err
	}
	if m.Low == 0 {
		from = nil // the first shard begins before all numbers
	}
	for _, border := range [][]byte{from, end} {
		if len(border) == 0 {
			continue
		}
		if all, _, err = c.change(ctx, group.AppendBytes([]byte{opSplit}, border)); err != nil { // refused where it is a border already
			return false, err
		}
	}
	for _, s := range all {
		if !s.meets(from, end) || s.holder == to {
			continue
		}
		op := binary.AppendUvarint(group.AppendBytes([]byte{opMove}, s.from), to)
		_, carried, err := c.change(ctx, op)
		switch {
		case err != nil:
			open := (*group.Unanswered)(nil)
			return begun || !errors.As(err, &open) || open.Open, err
		case !carried:
			return begun, errors.New("the placement group refuses the move: its target has no lease")
		}
		begun = true
	}
	for begun {
		all, err := c.shards(ctx)
		if err != nil {
			return true, fmt.Errorf("the move was ordered, and nobody says whether it is done: %w", err)
		}
		left := 0
		for _, s := range all {
			if s.meets(from, end) && s.holder != to {
				left++
			}
		}
		if left == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return true, fmt.Errorf("the move was ordered, and %d of its shards have not come yet", left)
		case <-time.After(movePause):
		}
	}
	return begun, nil
}
