package shardkv

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"nemesis/clients"
	"nemesis/clients/group"
	"nemesis/history"
)

// client is one logical process.
type client struct {
	data      *session
	placement *group.Session
	names     []string // of node i+1
	// counts: what it adds to and reads are counters.
	counts bool
}

// Invoke performs one operation:
//
//	read   register         null → int or null
//	write  register         int
//	cas    register         [expected, new]; expected null means absent
//	add    set              int
//	list   set              null → [int,…]
//	add    counter          1
//	read   counter          null → int
//	serve  shard-ownership  null → the grant of the client's own node, under which it answered for the key
//	holder shard-ownership  null → the grant of the key's holder, as the placement group has it
//	move   any              {"low":…,"high":…,"to":…}, which ends when all of the range has come
func (c *client) Invoke(ctx context.Context, op history.Event) clients.Completion {
	switch {
	case c.counts && op.F == history.FRead:
		return c.count(ctx, op.Key)
	case c.counts && op.F == history.FAdd:
		return c.increment(ctx, op.Key, op.Value)
	}
	switch op.F {
	case history.FRead:
		return c.read(ctx, op.Key)
	case history.FWrite:
		return c.write(ctx, op.Key, op.Value)
	case history.FCAS:
		return c.compareAndSet(ctx, op.Key, op.Value)
	case history.FAdd:
		return c.add(ctx, op.Key, op.Value)
	case history.FList:
		return c.list(ctx, op.Key)
	case history.FServe:
		return c.serve(ctx, op.Key)
	case history.FHolder:
		return c.holder(ctx, op.Key)
	case history.FMove:
		return c.moveRange(ctx, op.Value)
	}
	return clients.Failed(fmt.Errorf("shardkv cannot perform %q", op.F))
}

// Close ends the client's connections.
func (c *client) Close() error { return errors.Join(c.data.close(), c.placement.Close()) }

// errResult is that an answer makes no sense. What it answers may have been done.
var errResult = errors.New("the server answered with no result of this operation")

// A register is one key that holds one decimal integer, or is absent.

func (c *client) read(ctx context.Context, key string) clients.Completion {
	r, err := c.data.do(ctx, operation{kind: get, key: registerKey(key)})
	switch {
	case err != nil:
		return clients.Failed(err)
	case !r.found:
		return clients.Done(history.EncodeNull())
	}
	return clients.Done(clients.StoredInt(string(r.value)))
}

func (c *client) write(ctx context.Context, key string, value json.RawMessage) clients.Completion {
	n, err := argument(value)
	if err != nil {
		return clients.Failed(err)
	}
	return c.changed(c.data.do(ctx, operation{kind: set, key: registerKey(key), value: n}))
}

// mismatch is the error of a compare-and-set that saw another value than it expected. It went through the shard's log like
// any write, so it is an observation.
const mismatch = "mismatch"

func (c *client) compareAndSet(ctx context.Context, key string, value json.RawMessage) clients.Completion {
	pair, err := history.DecodeCompareAndSet(value)
	if err != nil {
		return clients.Failed(fmt.Errorf("cas takes [expected, new], not %s", history.Quote(value)))
	}
	o := operation{kind: cas, key: registerKey(key), expectsNone: history.IsNull(pair.Expected)}
	if !o.expectsNone {
		if o.expect, err = argument(pair.Expected); err != nil {
			return clients.Failed(err)
		}
	}
	if o.value, err = argument(pair.New); err != nil {
		return clients.Failed(err)
	}
	r, err := c.data.do(ctx, o)
	if err == nil && !r.found {
		return clients.Completion{Type: history.Fail, Error: mismatch}
	}
	return c.changed(r, err)
}

// changed is how an operation ended that was to change something.
func (c *client) changed(_ result, err error) clients.Completion {
	if err != nil {
		return group.Ended(err)
	}
	return clients.Done(nil)
}

// A set is one key whose value is its elements in the order in which they came, each followed by a comma.

func (c *client) add(ctx context.Context, key string, value json.RawMessage) clients.Completion {
	n, err := argument(value)
	if err != nil {
		return clients.Failed(err)
	}
	return c.changed(c.data.do(ctx, operation{kind: appendTo, key: setKey(key), value: append(n, ',')}))
}

func (c *client) list(ctx context.Context, key string) clients.Completion {
	r, err := c.data.do(ctx, operation{kind: get, key: setKey(key)})
	if err != nil {
		return clients.Failed(err)
	}
	elements := []json.RawMessage{}
	if len(r.value) > 0 {
		for _, n := range strings.Split(strings.TrimSuffix(string(r.value), ","), ",") {
			elements = append(elements, clients.StoredInt(n))
		}
	}
	return clients.Done(history.EncodeElements(elements))
}

// A counter is one key whose value is 8 bytes, or is absent.

func (c *client) increment(ctx context.Context, key string, value json.RawMessage) clients.Completion {
	if n, err := history.DecodeInt(value); err != nil || n != 1 {
		return clients.Failed(fmt.Errorf("shardkv's counters count by 1, not by %s", history.Quote(value)))
	}
	return c.changed(c.data.do(ctx, operation{kind: increment, key: counterKey(key)}))
}

func (c *client) count(ctx context.Context, key string) clients.Completion {
	r, err := c.data.do(ctx, operation{kind: get, key: counterKey(key)})
	switch {
	case err != nil:
		return clients.Failed(err)
	case !r.found:
		return clients.Done(history.EncodeInt(0))
	case len(r.value) != 8:
		return clients.Unsure(errResult)
	}
	return clients.Done(history.EncodeInt(int64(binary.BigEndian.Uint64(r.value))))
}

// serve reads a key at the client's own node: what it answers, it answers as the key's holder.
func (c *client) serve(ctx context.Context, key string) clients.Completion {
	k, err := rangeKey(key)
	if err != nil {
		return clients.Failed(err)
	}
	r, err := c.data.ask(ctx, operation{kind: get, key: k})
	switch {
	case err != nil:
		return clients.Failed(err)
	case r.status != done:
		return clients.Failed(errors.New("this node does not hold the key"))
	}
	grant := &history.Grant{Owner: c.names[c.data.own], Token: int64(r.epoch)}
	return clients.Done(grant.Encode())
}

func (c *client) holder(ctx context.Context, key string) clients.Completion {
	k, err := rangeKey(key)
	if err != nil {
		return clients.Failed(err)
	}
	all, err := c.shards(ctx)
	if err != nil {
		return clients.Failed(err)
	}
	for _, s := range all {
		if node := nodeOf(s.holder, len(c.names)); s.has(k) && node >= 0 {
			grant := &history.Grant{Owner: c.names[node], Token: int64(s.epoch)}
			return clients.Done(grant.Encode())
		}
	}
	return clients.Done(history.EncodeNull())
}

func (c *client) moveRange(ctx context.Context, value json.RawMessage) clients.Completion {
	m, err := history.DecodeMove(value)
	if err != nil {
		return clients.Failed(fmt.Errorf("move takes a range and a node, not %s", history.Quote(value)))
	}
	begun, err := c.move(ctx, m)
	switch {
	case err == nil:
		return clients.Done(nil)
	case !begun:
		return clients.Failed(err)
	}
	return clients.Unsure(err)
}

// argument is an integer that the workload wants written.
func argument(value json.RawMessage) ([]byte, error) {
	n, err := history.DecodeInt(value)
	if err != nil {
		return nil, fmt.Errorf("shardkv's clients write integers, not %s", history.Quote(value))
	}
	return strconv.AppendInt(nil, n, 10), nil
}
