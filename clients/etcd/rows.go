package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"nemesis/clients"
	"nemesis/history"
)

// A row is one key below the prefix of its group that holds a decimal integer. A transaction reads
// all groups that it touches, whole and at one revision, and writes on condition that no key of them
// was created since and that each that was there is as it was. So it sees no phantoms.

func groupPrefix(group string) string { return "nemesis/row/" + group + "/" }

func rowKey(key string) string { return groupPrefix(history.RowGroup(key)) + key }

// rows are some groups at one revision.
type rows struct {
	revision int64
	groups   []string
	values   map[string]int64
	modified map[string]int64
}

func (c *client) transactRows(ctx context.Context, value json.RawMessage) clients.Completion {
	ops, groups, err := rowOps(value)
	if err != nil {
		return failed(err.Error())
	}
	writes := slices.ContainsFunc(ops, func(op history.MicroOp) bool {
		return op.F == history.MicroInsert || op.F == history.MicroDelete
	})
	var how []clientv3.OpOption
	if !writes {
		how = c.reading
	}
	table, ended := c.groups(ctx, groups, how)
	if ended != nil {
		return *ended
	}
	after, result, err := table.perform(ops)
	if err != nil {
		return clients.Completion{Type: history.Fail, Error: err.Error(), Version: table.revision}
	}
	done := clients.Completion{Type: history.OK, Value: result, Version: table.revision}
	if !writes {
		return done
	}
	var changes []clientv3.Op
	for key, n := range after {
		if _, was := table.values[key]; !was {
			changes = append(changes, clientv3.OpPut(rowKey(key), text(n)))
		}
	}
	for key := range table.values {
		if _, is := after[key]; !is {
			changes = append(changes, clientv3.OpDelete(rowKey(key)))
		}
	}
	resp, ended := c.mutate(ctx, clientv3.OpTxn(table.unchanged(), changes, nil))
	if ended != nil {
		return *ended
	}
	done.Version = resp.Txn().Header.GetRevision()
	if !resp.Txn().Succeeded {
		return clients.Completion{Type: history.Fail, Error: lostRace, Version: done.Version}
	}
	return done
}

// rowOps reads a transaction over rows, and says which groups it touches.
func rowOps(value json.RawMessage) (ops []history.MicroOp, groups []string, err error) {
	ops, err = history.DecodeTransaction(value)
	if err != nil || len(ops) == 0 {
		return nil, nil, fmt.Errorf("txn takes a list of operations, not %s", history.Quote(value))
	}
	for i, op := range ops {
		group := history.RowGroup(op.KeyName())
		switch op.F {
		case history.MicroInsert:
			_, err = argument(op.Value)
		case history.MicroRead, history.MicroDelete:
		case history.MicroPredicate:
			var p history.Predicate
			p, err = history.DecodePredicate(op.Key)
			group = p.Group
		default:
			err = fmt.Errorf("txn takes insert, delete, r and rp, not operation %d of %s", i+1, history.Quote(value))
		}
		if err == nil && group == "" {
			err = fmt.Errorf("operation %d of %s is about no group", i+1, history.Quote(value))
		}
		if err != nil {
			return nil, nil, err
		}
		if !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	return ops, groups, nil
}

// groups reads whole groups at one revision. Nothing was written yet, so an error is a fail; an
// answer that makes no sense is info.
func (c *client) groups(ctx context.Context, groups []string, how []clientv3.OpOption) (rows, *clients.Completion) {
	end := func(done clients.Completion) (rows, *clients.Completion) { return rows{}, &done }
	var gets []clientv3.Op
	for _, group := range groups {
		gets = append(gets, clientv3.OpGet(groupPrefix(group), append(slices.Clip(how), clientv3.WithPrefix())...))
	}
	resp, err := c.conn.Do(ctx, clientv3.OpTxn(nil, gets, nil))
	if err != nil {
		return end(failed(brief(err)))
	}
	answers := resp.Txn().Responses
	if len(answers) != len(groups) {
		return end(unsure(fmt.Sprintf("the server answered %d of %d reads", len(answers), len(groups))))
	}
	table := rows{revision: resp.Txn().Header.GetRevision(), groups: groups, values: map[string]int64{}, modified: map[string]int64{}}
	for i, group := range groups {
		for _, kv := range answers[i].GetResponseRange().GetKvs() {
			key, ours := strings.CutPrefix(string(kv.Key), groupPrefix(group))
			n, err := history.DecodeInt(kv.Value)
			if !ours || history.RowGroup(key) != group || err != nil {
				return end(unsure(fmt.Sprintf("the server answered %.100q with %.100q, which is no row of %s", kv.Key, kv.Value, group)))
			}
			table.values[key], table.modified[key] = n, kv.ModRevision
		}
	}
	return table, nil
}

// unchanged are the conditions that no row came, went or changed.
func (r *rows) unchanged() []clientv3.Cmp {
	var all []clientv3.Cmp
	for _, group := range r.groups {
		prefix := groupPrefix(group)
		all = append(all, clientv3.Compare(clientv3.CreateRevision(prefix), "<", r.revision+1).WithRange(clientv3.GetPrefixRangeEnd(prefix)))
	}
	for key, revision := range r.modified {
		all = append(all, clientv3.Compare(clientv3.ModRevision(rowKey(key)), "=", revision))
	}
	return all
}

// perform carries out a transaction, and returns the rows afterwards with its result. An error says
// which row stands against it.
func (r *rows) perform(ops []history.MicroOp) (after map[string]int64, result json.RawMessage, err error) {
	after = maps.Clone(r.values)
	results := slices.Clone(ops)
	for i, op := range ops {
		key := op.KeyName()
		n, there := after[key]
		switch op.F {
		case history.MicroInsert:
			if there {
				return nil, nil, fmt.Errorf("the row %s is there", key)
			}
			after[key], _ = history.DecodeInt(op.Value) // it was read before
		case history.MicroDelete:
			if !there {
				return nil, nil, fmt.Errorf("the row %s is not there", key)
			}
			delete(after, key)
		case history.MicroRead:
			if there {
				results[i].Value = history.EncodeInt(n)
			}
		case history.MicroPredicate:
			p, err := history.DecodePredicate(op.Key)
			if err != nil {
				return nil, nil, err
			}
			var found []history.Row
			for _, key := range slices.Sorted(maps.Keys(after)) {
				if history.RowGroup(key) == p.Group && p.Matches(after[key]) {
					found = append(found, history.Row{Key: key, Value: history.EncodeInt(after[key])})
				}
			}
			results[i].Value = history.EncodeRows(found)
		}
	}
	return after, history.EncodeTransaction(results), nil
}
