package paxos

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
	session *group.Session
	// counts: what it adds to and reads are counters.
	counts bool
}

// Invoke performs one operation:
//
//	read   register   null → int or null
//	write  register   int
//	cas    register   [expected, new]; expected null means absent
//	txn    append     [["r",key,null],["append",key,int],…] → the same with lists read
//	add    set        int
//	list   set        null → [int,…]
//	add    counter    1
//	read   counter    null → int
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
	case history.FTransaction:
		return c.transact(ctx, op.Value)
	case history.FAdd:
		return c.add(ctx, op.Key, op.Value)
	case history.FList:
		return c.list(ctx, op.Key)
	}
	return clients.Failed(fmt.Errorf("paxos cannot perform %q", op.F))
}

// Close ends the client's connections.
func (c *client) Close() error { return c.session.Close() }

// errResult is that an answer makes no sense. What it answers may have been done.
var errResult = errors.New("the server answered with no result of this operation")

// mismatch is the error of a compare-and-set that saw another value than it expected. It went through the log like any
// write, so it is an observation.
const mismatch = "mismatch"

func registerKey(key string) string { return "register/" + key }
func setKey(key string) string      { return "set/" + key }
func listKey(key string) string     { return "list/" + key }
func counterKey(key string) string  { return "counter/" + key }

// A register is one key that holds one decimal integer, or is absent.

func (c *client) read(ctx context.Context, key string) clients.Completion {
	value, there, ended := c.get(ctx, registerKey(key))
	switch {
	case ended != nil:
		return *ended
	case !there:
		return clients.Done(history.EncodeNull())
	}
	return clients.Done(clients.StoredInt(value))
}

// get reads one key.
func (c *client) get(ctx context.Context, key string) (value string, there bool, ended *clients.Completion) {
	result, err := c.session.Read(ctx, operation(kvGet, key, nil))
	if err != nil {
		done := clients.Failed(err)
		return "", false, &done
	}
	value, there, err = got(result)
	if err != nil {
		done := clients.Unsure(err)
		return "", false, &done
	}
	return value, there, nil
}

func (c *client) write(ctx context.Context, key string, value json.RawMessage) clients.Completion {
	n, err := argument(value)
	if err != nil {
		return clients.Failed(err)
	}
	return c.change(ctx, operation(kvSet, registerKey(key), n))
}

func (c *client) compareAndSet(ctx context.Context, key string, value json.RawMessage) clients.Completion {
	cas, err := history.DecodeCompareAndSet(value)
	if err != nil {
		return clients.Failed(fmt.Errorf("cas takes [expected, new], not %s", history.Quote(value)))
	}
	var expect []byte
	if !history.IsNull(cas.Expected) {
		if expect, err = argument(cas.Expected); err != nil {
			return clients.Failed(err)
		}
	}
	n, err := argument(cas.New)
	if err != nil {
		return clients.Failed(err)
	}
	return c.change(ctx, compareAndSet(registerKey(key), expect, n))
}

// change executes one operation on one key.
func (c *client) change(ctx context.Context, op []byte) clients.Completion {
	result, err := c.session.Change(ctx, op)
	switch {
	case err != nil:
		return group.Ended(err)
	case len(result) == 1 && result[0] == kvDone:
		return clients.Done(nil)
	case len(result) == 1 && result[0] == kvMismatch:
		return clients.Completion{Type: history.Fail, Error: mismatch}
	}
	return clients.Unsure(errResult)
}

// A set is one key whose value is its elements in the order in which they came, each followed by a comma. So is a list.

func (c *client) add(ctx context.Context, key string, value json.RawMessage) clients.Completion {
	n, err := argument(value)
	if err != nil {
		return clients.Failed(err)
	}
	return c.change(ctx, operation(kvAppend, setKey(key), append(n, ',')))
}

func (c *client) list(ctx context.Context, key string) clients.Completion {
	value, _, ended := c.get(ctx, setKey(key))
	if ended != nil {
		return *ended
	}
	return clients.Done(history.EncodeElements(elements(value)))
}

func elements(value string) []json.RawMessage {
	all := []json.RawMessage{}
	for _, n := range split(value) {
		all = append(all, clients.StoredInt(n))
	}
	return all
}

func split(value string) []string {
	if value == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(value, ","), ",")
}

// A counter is one key whose value is 8 bytes, or is absent.

func (c *client) increment(ctx context.Context, key string, value json.RawMessage) clients.Completion {
	if n, err := history.DecodeInt(value); err != nil || n != 1 {
		return clients.Failed(fmt.Errorf("paxos' counters count by 1, not by %s", history.Quote(value)))
	}
	result, err := c.session.Change(ctx, operation(kvIncrement, counterKey(key), nil))
	switch {
	case err != nil:
		return group.Ended(err)
	case len(result) == 1+8 && result[0] == kvDone:
		return clients.Done(nil)
	}
	return clients.Unsure(errResult)
}

func (c *client) count(ctx context.Context, key string) clients.Completion {
	value, there, ended := c.get(ctx, counterKey(key))
	switch {
	case ended != nil:
		return *ended
	case !there:
		return clients.Done(history.EncodeInt(0))
	case len(value) != 8:
		return clients.Unsure(errResult)
	}
	return clients.Done(history.EncodeInt(int64(binary.BigEndian.Uint64([]byte(value)))))
}

// transact does a transaction as one operation of the map.
func (c *client) transact(ctx context.Context, value json.RawMessage) clients.Completion {
	micro, err := history.DecodeTransaction(value)
	if err != nil || len(micro) == 0 || len(micro) > mostParts {
		return clients.Failed(fmt.Errorf("txn takes a list of 1 to %d operations, not %s", mostParts, history.Quote(value)))
	}
	writes := false
	var asked [][]byte
	for i, op := range micro {
		key := listKey(op.KeyName())
		switch op.F {
		case history.MicroRead:
			asked = append(asked, operation(kvGet, key, nil))
		case history.MicroAppend:
			n, err := argument(op.Value)
			if err != nil {
				return clients.Failed(err)
			}
			writes = true
			asked = append(asked, operation(kvAppend, key, append(n, ',')))
		default:
			return clients.Failed(fmt.Errorf(`txn takes ["r",key,null] and ["append",key,number], not operation %d of %s`, i+1, history.Quote(value)))
		}
	}
	do, doubt := c.session.Read, clients.Failed
	if writes {
		do, doubt = c.session.Change, group.Ended
	}
	result, err := do(ctx, transaction(asked))
	if err != nil {
		return doubt(err)
	}
	answered, err := parts(result, len(micro))
	if err != nil {
		return clients.Unsure(err)
	}
	for i := range micro {
		if micro[i].F == history.MicroAppend {
			if len(answered[i]) != 1 || answered[i][0] != kvDone {
				return clients.Unsure(errResult)
			}
			continue
		}
		value, _, err := got(answered[i])
		if err != nil {
			return clients.Unsure(err)
		}
		list := []int64{}
		for _, text := range split(value) {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return clients.Unsure(fmt.Errorf("the server answered %.100q where a list was written", value))
			}
			list = append(list, n)
		}
		micro[i].Value = history.EncodeInts(list)
	}
	return clients.Done(history.EncodeTransaction(micro))
}

// argument is an integer that the workload wants written.
func argument(value json.RawMessage) ([]byte, error) {
	n, err := history.DecodeInt(value)
	if err != nil {
		return nil, fmt.Errorf("paxos' clients write integers, not %s", history.Quote(value))
	}
	return strconv.AppendInt(nil, n, 10), nil
}
