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

// A list is one key that holds a JSON array of integers. etcd cannot append, so a
// transaction with appends takes two requests: a read of every key it touches, at
// one revision, and a write on condition that none of them changed since. If the
// condition holds, reads and writes are of one moment; if not, nothing happened.
// A transaction that only reads is one request.

func listKey(key string) string { return "nemesis/list/" + key }

// microOp is a part of a transaction as it is carried out.
type microOp struct {
	f, key string
	n      int64
}

// lostRace is the error of a transaction whose keys were changed under it.
const lostRace = "lost race: a key changed between read and write"

func (c *client) transact(ctx context.Context, value json.RawMessage) clients.Completion {
	ops, err := microOps(value)
	if err != nil {
		return failed(err.Error())
	}
	var keys []string // each once, in order of first use
	writes := false
	for _, op := range ops {
		if !slices.Contains(keys, op.key) {
			keys = append(keys, op.key)
		}
		writes = writes || op.f == history.MicroAppend
	}
	var how []clientv3.OpOption
	if !writes {
		how = c.reading
	}
	before, ended := c.snapshot(ctx, keys, how)
	if ended != nil {
		return *ended
	}
	after, result := perform(ops, before.lists)
	done := clients.Completion{Type: history.OK, Value: result, Version: before.revision}
	if !writes {
		return done
	}

	var unchanged []clientv3.Cmp
	var puts []clientv3.Op
	for _, key := range keys {
		unchanged = append(unchanged, clientv3.Compare(clientv3.ModRevision(listKey(key)), "=", before.modified[key]))
		if len(after[key]) > len(before.lists[key]) {
			puts = append(puts, clientv3.OpPut(listKey(key), string(history.EncodeInts(after[key]))))
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

// lists are some lists at one revision.
type lists struct {
	revision int64
	lists    map[string][]int64
	modified map[string]int64 // the revision of each list's last write; 0 for absent
}

// snapshot reads lists at one revision. Until now the transaction wrote nothing,
// so an error is a fail; but an answer that makes no sense is info, for the
// history should not call it harmless.
func (c *client) snapshot(ctx context.Context, keys []string, how []clientv3.OpOption) (lists, *clients.Completion) {
	var gets []clientv3.Op
	for _, key := range keys {
		gets = append(gets, clientv3.OpGet(listKey(key), how...))
	}
	end := func(done clients.Completion) (lists, *clients.Completion) { return lists{}, &done }
	resp, err := c.conn.Do(ctx, clientv3.OpTxn(nil, gets, nil))
	if err != nil {
		return end(failed(brief(err)))
	}
	answers := resp.Txn().Responses
	if len(answers) != len(keys) {
		return end(unsure(fmt.Sprintf("the server answered %d of %d reads", len(answers), len(keys))))
	}
	s := lists{
		revision: resp.Txn().Header.GetRevision(),
		lists:    map[string][]int64{},
		modified: map[string]int64{},
	}
	for i, key := range keys {
		kv, err := single(answers[i].GetResponseRange().GetKvs(), listKey(key))
		if err != nil {
			return end(unsure(err.Error()))
		}
		if kv == nil {
			continue
		}
		list, err := history.DecodeInts(kv.Value)
		// Only our own spelling counts: null is no list that anybody wrote.
		if err != nil || string(history.EncodeInts(list)) != string(kv.Value) {
			return end(unsure(fmt.Sprintf("the server answered %.100q where a list was written", kv.Value)))
		}
		s.lists[key], s.modified[key] = list, kv.ModRevision
	}
	return s, nil
}

// perform carries out a transaction on lists, and returns them afterwards with the
// transaction's result: its reads see its own appends before them.
func perform(ops []microOp, before map[string][]int64) (after map[string][]int64, result json.RawMessage) {
	after = map[string][]int64{}
	for key, list := range before {
		after[key] = slices.Clip(list)
	}
	results := make([]history.MicroOp, len(ops))
	for i, op := range ops {
		results[i] = history.MicroOp{F: op.f, Key: history.EncodeText(op.key)}
		if op.f == history.MicroAppend {
			after[op.key] = append(after[op.key], op.n)
			results[i].Value = history.EncodeInt(op.n)
		} else {
			results[i].Value = history.EncodeInts(after[op.key])
		}
	}
	return after, history.EncodeTransaction(results)
}

func microOps(value json.RawMessage) ([]microOp, error) {
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
		case history.MicroAppend:
			if op.n, err = argument(r.Value); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf(`txn takes ["r",key,null] and ["append",key,number], not operation %d of %s`, i+1, history.Quote(value))
		}
	}
	return ops, nil
}
