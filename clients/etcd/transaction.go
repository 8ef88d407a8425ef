package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"nemesis/clients"
	"nemesis/history"
)

// A transaction works on lists or on registers: one key each, which holds a JSON array of
// integers or one decimal integer. A transaction that writes takes two requests: a read of
// every key it touches, at one revision, and a write on condition that none of them changed
// since. If the condition holds, reads and writes are of one moment; if not, nothing happened.
// A transaction that only reads is one request.

func listKey(key string) string { return "nemesis/list/" + key }

// cellKey is where a transaction finds a key.
func (c *client) cellKey(key string) string {
	if c.lists {
		return listKey(key)
	}
	return registerKey(key)
}

// cell writes what a key holds: a list, or a register's one value.
func (c *client) cell(all []int64) string {
	if c.lists {
		return string(history.EncodeInts(all))
	}
	return text(all[0])
}

// readCell reads what cell has written; only our own spelling counts: null is no list that anybody wrote.
func (c *client) readCell(stored []byte) ([]int64, error) {
	what := "a list"
	all, err := history.DecodeInts(stored)
	if !c.lists {
		what = "an integer"
		var n int64
		n, err = history.DecodeInt(stored)
		all = []int64{n}
	}
	if err != nil || c.cell(all) != string(stored) {
		return nil, fmt.Errorf("the server answered %.100q where %s was written", stored, what)
	}
	return all, nil
}

// microOp is a part of a transaction as it is carried out.
type microOp struct {
	f, key string
	n      int64
}

// lostRace is the error of a transaction whose keys were changed under it.
const lostRace = "lost race: a key changed between read and write"

func (c *client) transact(ctx context.Context, value json.RawMessage) clients.Completion {
	ops, err := microOps(value, c.lists)
	if err != nil {
		return failed(err.Error())
	}
	var keys []string // each once, in order of first use
	writes := false
	for _, op := range ops {
		if !slices.Contains(keys, op.key) {
			keys = append(keys, op.key)
		}
		writes = writes || op.f != history.MicroRead
	}
	var how []clientv3.OpOption
	if !writes {
		how = c.reading
	}
	before, ended := c.snapshot(ctx, keys, how)
	if ended != nil {
		return *ended
	}
	after, written, result := perform(ops, before.cells, c.lists)
	done := clients.Completion{Type: history.OK, Value: result, Version: before.revision}
	if !writes {
		return done
	}

	var unchanged []clientv3.Cmp
	var puts []clientv3.Op
	for _, key := range keys {
		unchanged = append(unchanged, clientv3.Compare(clientv3.ModRevision(c.cellKey(key)), "=", before.modified[key]))
		if written[key] {
			puts = append(puts, clientv3.OpPut(c.cellKey(key), c.cell(after[key])))
		}
	}
	resp, ended := c.mutate(ctx, clientv3.OpTxn(unchanged, puts, nil))
	if ended != nil {
		return *ended
	}
	done.Version = resp.Txn().Header.GetRevision()
	if !resp.Txn().Succeeded {
		return clients.Completion{Type: history.Fail, Error: lostRace, Version: done.Version}
	}
	return done
}

// cells are some lists or registers at one revision.
type cells struct {
	revision int64
	cells    map[string][]int64
	modified map[string]int64 // the revision of each one's last write; 0 for absent
}

// snapshot reads lists or registers at one revision. Until now the transaction wrote nothing,
// so an error is a fail; but an answer that makes no sense is info, for the
// history should not call it harmless.
func (c *client) snapshot(ctx context.Context, keys []string, how []clientv3.OpOption) (cells, *clients.Completion) {
	var gets []clientv3.Op
	for _, key := range keys {
		gets = append(gets, clientv3.OpGet(c.cellKey(key), how...))
	}
	end := func(done clients.Completion) (cells, *clients.Completion) { return cells{}, &done }
	resp, err := c.conn.Do(ctx, clientv3.OpTxn(nil, gets, nil))
	if err != nil {
		return end(failed(brief(err)))
	}
	answers := resp.Txn().Responses
	if len(answers) != len(keys) {
		return end(unsure(fmt.Sprintf("the server answered %d of %d reads", len(answers), len(keys))))
	}
	s := cells{
		revision: resp.Txn().Header.GetRevision(),
		cells:    map[string][]int64{},
		modified: map[string]int64{},
	}
	for i, key := range keys {
		kv, err := single(answers[i].GetResponseRange().GetKvs(), c.cellKey(key))
		if err != nil {
			return end(unsure(err.Error()))
		}
		if kv == nil {
			continue
		}
		all, err := c.readCell(kv.Value)
		if err != nil {
			return end(unsure(err.Error()))
		}
		s.cells[key], s.modified[key] = all, kv.ModRevision
	}
	return s, nil
}

// perform carries out a transaction on lists or on registers, and returns them afterwards, which
// of them it wrote, and the transaction's result: its reads see its own writes before them.
func perform(ops []microOp, before map[string][]int64, lists bool) (after map[string][]int64, written map[string]bool, result json.RawMessage) {
	after, written = map[string][]int64{}, map[string]bool{}
	for key, list := range before {
		after[key] = slices.Clip(list)
	}
	results := make([]history.MicroOp, len(ops))
	for i, op := range ops {
		results[i] = history.MicroOp{F: op.f, Key: history.EncodeText(op.key)}
		switch had := after[op.key]; {
		case op.f == history.MicroAppend:
			after[op.key], written[op.key] = append(had, op.n), true
			results[i].Value = history.EncodeInt(op.n)
		case op.f == history.MicroWrite:
			after[op.key], written[op.key] = []int64{op.n}, true
			results[i].Value = history.EncodeInt(op.n)
		case lists:
			results[i].Value = history.EncodeInts(had)
		case len(had) == 0:
			results[i].Value = history.EncodeNull()
		default:
			results[i].Value = history.EncodeInt(had[0])
		}
	}
	return after, written, history.EncodeTransaction(results)
}

// microOps reads a transaction over lists, or over registers.
func microOps(value json.RawMessage, lists bool) ([]microOp, error) {
	write := history.MicroWrite
	if lists {
		write = history.MicroAppend
	}
	raw, err := history.DecodeTransaction(value)
	if err != nil || len(raw) == 0 {
		return nil, fmt.Errorf("txn takes a list of operations, not %s", history.Quote(value))
	}
	ops := make([]microOp, len(raw))
	for i, r := range raw {
		op := &ops[i]
		op.f, op.key = r.F, r.KeyName()
		switch r.F {
		case history.MicroRead:
		case write:
			if op.n, err = argument(r.Value); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf(`txn takes ["r",key,null] and ["%s",key,number], not operation %d of %s`, write, i+1, history.Quote(value))
		}
	}
	return ops, nil
}
