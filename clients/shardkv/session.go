package shardkv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"nemesis/clients/group"
)

// Tags of messages.
const (
	tagOp     = 100
	tagResult = 101
)

// Kinds of operations.
const (
	get       = 1
	set       = 2
	cas       = 4
	appendTo  = 5
	increment = 6
)

// Statuses of results.
const (
	done     = 0
	redirect = 1 // not executed: holder is who holds the key, as far as the node knows
	stale    = 2 // not executed: the client has sent a later one
	invalid  = 3 // not executed: it is no operation
)

// operation is what a client asks of a key. A cas expects a value, or with absent none.
type operation struct {
	kind        byte
	key, value  []byte
	expect      []byte
	expectsNone bool
}

// result answers an operation.
type result struct {
	seq    uint64
	status byte
	found  bool // get: there is a value; cas: it took place
	value  []byte
	holder uint64 // the holder's store: its node's number and firstStore
	epoch  uint64
}

// firstStore is the number that a store has more than its node.
const firstStore = 1 << 16

// node is the index of the holder's node, -1 if none is known.
func nodeOf(store uint64, nodes int) int {
	if store <= firstStore || store > firstStore+uint64(nodes) {
		return -1
	}
	return int(store-firstStore) - 1
}

func (o operation) message(client, seq uint64) []byte {
	b := binary.AppendUvarint([]byte{tagOp}, client)
	b = append(binary.AppendUvarint(b, seq), o.kind)
	for _, v := range [][]byte{o.key, o.value, o.expect} {
		b = group.AppendBytes(b, v)
	}
	if o.expectsNone {
		return append(b, 1)
	}
	return append(b, 0)
}

func readResult(message []byte) (result, error) {
	d := group.NewDecoder(message)
	tag := d.Byte()
	r := result{seq: d.Number(), status: d.Byte(), found: d.Byte() != 0, value: d.Bytes(), holder: d.Number(), epoch: d.Number()}
	if tag != tagResult || r.status > invalid || !d.End() {
		return result{}, group.ErrMessage
	}
	return r, nil
}

// session is one client of the store: a number that no other client has, under which its operations are numbered from 1. It
// asks its own node first, follows redirects, and asks the other nodes in turn when one does not answer within its patience.
//
// What was sent once under a number may be sent again under it: it is executed once, whoever holds the shard by then. So
// an operation certainly did not happen only if each of its attempts was refused, or never left.
type session struct {
	nodes    []*group.Conn // of node i+1
	own      int
	patience time.Duration
	id       uint64
	seq      uint64
}

// do executes an operation, once, and asks the session's own node first. Its error is a *group.Unanswered.
func (s *session) do(ctx context.Context, o operation) (result, error) {
	return s.doFrom(ctx, s.own, o)
}

// doFrom is do where another node is asked first.
func (s *session) doFrom(ctx context.Context, first int, o operation) (result, error) {
	s.seq++
	message := o.message(s.id, s.seq)
	end := &group.Unanswered{}
	at := first
	for {
		r, sent, err := s.try(ctx, at, s.patience, message)
		next, wait := at, group.Pause
		switch {
		case err != nil:
			end.Open = end.Open || sent
			end.Why = fmt.Sprintf("node %d: %v", at+1, err)
			next = (at + 1) % len(s.nodes)
		case r.status == done:
			return r, nil
		case r.status == redirect:
			end.Why = fmt.Sprintf("node %d: it does not hold the key", at+1)
			if holder := nodeOf(r.holder, len(s.nodes)); holder < 0 {
				next = (at + 1) % len(s.nodes)
			} else if holder != at {
				next, wait = holder, 0
			}
		default:
			return result{}, &group.Unanswered{Open: end.Open, Why: fmt.Sprintf("node %d refused it with status %d", at+1, r.status)}
		}
		if at != first && next != first && wait == 0 {
			wait = group.Pause // sent on twice: nodes disagree
		}
		at = next
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		if ctx.Err() != nil {
			return result{}, end
		}
	}
}

// ask asks the session's own node alone, for as long as the context allows.
func (s *session) ask(ctx context.Context, o operation) (result, error) {
	s.seq++
	patience := time.Minute
	if deadline, is := ctx.Deadline(); is {
		patience = time.Until(deadline)
	}
	r, _, err := s.try(ctx, s.own, patience, o.message(s.id, s.seq))
	return r, err
}

// try sends an operation to one node once.
func (s *session) try(ctx context.Context, at int, patience time.Duration, message []byte) (r result, sent bool, err error) {
	sent, err = s.nodes[at].ExchangeWithin(ctx, patience, message, func(answer []byte) (bool, error) {
		var err error
		if r, err = readResult(answer); err != nil {
			return false, err
		}
		return r.seq == s.seq, nil // an answer to an earlier attempt may still come
	})
	return r, sent, err
}

func (s *session) close() error {
	var errs []error
	for _, c := range s.nodes {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
