package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"nemesis/history"
)

// guarded is what holders of a lock work on: for each resource a set, in a key of its
// own, that is read and written back whole, and a register that remembers the newest
// token that has written to it.
type guarded struct {
	conn *clientv3.Client
	// fenced: a critical section writes on condition that the lock is still its own.
	fenced bool
	// pause is how long a critical section takes between its read and its write.
	pause time.Duration
}

func sectionKey(resource string) string { return "nemesis/section/" + resource }
func guardedKey(resource string) string { return "nemesis/guarded/" + resource }

// section reads the set, does its work for a while, and writes the set with one more
// element. It does not look at its lock again in between: between a look and
// the write there would still be time for the lock to be lost.
func (g guarded) section(ctx context.Context, resource string, own clientv3.Cmp, token, element int64) error {
	elements, err := g.elements(ctx, resource)
	if err != nil {
		return nothing(err)
	}
	var set []int64
	for _, e := range elements {
		n, err := argument(e)
		if err != nil {
			return fmt.Errorf("the server answered %.40q in a set of integers", e)
		}
		set = append(set, n)
	}
	if !sleep(ctx, g.pause) {
		return nothing(ctx.Err())
	}
	put := clientv3.OpPut(sectionKey(resource), string(history.EncodeInts(append(set, element))))
	within, d := observed(ctx)
	if !g.fenced {
		_, err := g.conn.Do(within, put)
		if err != nil {
			return changed(err, d.sent.Load())
		}
		return nil
	}
	resp, err := g.conn.Txn(within).If(own).Then(put).Commit()
	switch {
	case err != nil:
		return changed(err, d.sent.Load())
	case !resp.Succeeded:
		return rejected(0, fmt.Sprintf("the lock of token %d has passed on", token))
	}
	return nil
}

// sleep reports whether the time passed before the context ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// List is the set as the server has it.
func (g guarded) List(ctx context.Context, resource string) ([]json.RawMessage, error) {
	return g.elements(ctx, resource)
}

func (g guarded) elements(ctx context.Context, resource string) ([]json.RawMessage, error) {
	kv, err := g.get(ctx, sectionKey(resource))
	if err != nil || kv == nil {
		return nil, err
	}
	var elements []json.RawMessage
	err = history.EachElement(kv.Value, func(one []byte) error {
		elements = append(elements, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the server answered %.100q where a list was written", kv.Value)
	}
	return elements, nil
}

func (g guarded) get(ctx context.Context, key string) (*mvccpb.KeyValue, error) {
	resp, err := g.conn.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return single(resp.Kvs, key)
}

// races is how often a guarded write begins again when another came in between.
const races = 5

// Write lets the register compare tokens: it takes a write unless it has one with a
// newer token. The lock is not asked, so that this holds whatever became of it.
func (g guarded) Write(ctx context.Context, resource string, write history.GuardedWrite) error {
	key := guardedKey(resource)
	for range races {
		kv, err := g.get(ctx, key)
		if err != nil {
			return nothing(err)
		}
		var modified int64
		if kv != nil {
			has, err := guardedWrite(kv)
			if err != nil {
				return nothing(err)
			}
			if has.Token > write.Token {
				return rejected(has.Token, fmt.Sprintf("the resource has a write of token %d", has.Token))
			}
			modified = kv.ModRevision
		}
		within, d := observed(ctx)
		resp, err := g.conn.Txn(within).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", modified)).
			Then(clientv3.OpPut(key, string(write.Encode()))).
			Commit()
		if err != nil {
			return changed(err, d.sent.Load())
		}
		if resp.Succeeded {
			return nil
		}
	}
	return nothing(fmt.Errorf("lost race: the resource changed %d times between read and write", races))
}

// Read is the last write that the register took.
func (g guarded) Read(ctx context.Context, resource string) (*history.GuardedWrite, error) {
	kv, err := g.get(ctx, guardedKey(resource))
	if err != nil || kv == nil {
		return nil, err
	}
	return guardedWrite(kv)
}

func guardedWrite(kv *mvccpb.KeyValue) (*history.GuardedWrite, error) {
	has, err := history.DecodeGuardedWrite(kv.Value)
	if err != nil || history.IsNull(kv.Value) {
		return nil, fmt.Errorf("the server answered %.100q where a guarded write was written", kv.Value)
	}
	return &has, nil
}

// first is the oldest key below a prefix; nil when there is none.
func first(ctx context.Context, conn *clientv3.Client, prefix string) (*mvccpb.KeyValue, error) {
	resp, err := conn.Get(ctx, prefix, clientv3.WithFirstCreate()...)
	if err != nil {
		return nil, err
	}
	return firstOf(resp.Kvs, prefix)
}

func firstOf(kvs []*mvccpb.KeyValue, prefix string) (*mvccpb.KeyValue, error) {
	if len(kvs) == 0 {
		return nil, nil
	}
	below := func(kv *mvccpb.KeyValue) bool {
		return kv != nil && len(kv.Key) > len(prefix) && string(kv.Key[:len(prefix)]) == prefix
	}
	if len(kvs) > 1 || !slices.ContainsFunc(kvs, below) {
		return nil, fmt.Errorf("the server answered a read of the first key below %q with something else", prefix)
	}
	return kvs[0], nil
}
