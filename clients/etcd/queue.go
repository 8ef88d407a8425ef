package etcd

import (
	"context"
	"encoding/json"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"nemesis/clients"
	"nemesis/history"
)

// The queue is the keys below one prefix, one per element; the first is the one that was created first.
// A dequeue reads it and deletes it on condition that it is there still. An identifier is the revision of
// a put, which no other write has.

const (
	queuePrefix = "nemesis/queue/"
	idKey       = "nemesis/id"
)

func (c *client) enqueue(ctx context.Context, value json.RawMessage) clients.Completion {
	n, err := argument(value)
	if err != nil {
		return failed(err.Error())
	}
	resp, ended := c.mutate(ctx, clientv3.OpPut(queuePrefix+text(n), text(n)))
	if ended != nil {
		return *ended
	}
	return clients.Completion{Type: history.OK, Version: resp.Put().Header.GetRevision()}
}

func (c *client) dequeue(ctx context.Context) clients.Completion {
	first, err := c.conn.Get(ctx, queuePrefix, clientv3.WithFirstCreate()...)
	if err != nil {
		return failed(brief(err)) // nothing was taken yet
	}
	if len(first.Kvs) == 0 {
		return clients.Completion{Type: history.OK, Value: history.EncodeNull(), Version: first.Header.GetRevision()}
	}
	kv := first.Kvs[0]
	if len(first.Kvs) > 1 || string(kv.Key) != queuePrefix+string(kv.Value) {
		return unsure(fmt.Sprintf("the server answered %.100q with %.100q, which is no element", kv.Key, kv.Value))
	}
	resp, ended := c.mutate(ctx, clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(string(kv.Key)), "=", kv.ModRevision)},
		[]clientv3.Op{clientv3.OpDelete(string(kv.Key))}, nil))
	if ended != nil {
		return *ended
	}
	version := resp.Txn().Header.GetRevision()
	if !resp.Txn().Succeeded {
		return clients.Completion{Type: history.Fail, Error: lostRace, Version: version}
	}
	return clients.Completion{Type: history.OK, Value: clients.StoredInt(string(kv.Value)), Version: version}
}

func (c *client) generate(ctx context.Context) clients.Completion {
	resp, ended := c.mutate(ctx, clientv3.OpPut(idKey, ""))
	if ended != nil {
		return *ended
	}
	revision := resp.Put().Header.GetRevision()
	return clients.Completion{Type: history.OK, Value: history.EncodeInt(revision), Version: revision}
}
