package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"nemesis/clients"
	"nemesis/history"
)

// A register is one key that holds one decimal integer, or is absent.

func registerKey(key string) string { return "nemesis/register/" + key }

func (c *client) read(ctx context.Context, key string) clients.Completion {
	key = registerKey(key)
	resp, err := c.conn.Get(ctx, key, c.reading...)
	if err != nil {
		return failed(brief(err))
	}
	kv, err := single(resp.Kvs, key)
	if err != nil {
		return unsure(err.Error())
	}
	if kv == nil {
		return clients.Completion{Type: history.OK, Value: history.EncodeNull()}
	}
	return clients.Completion{Type: history.OK, Value: clients.StoredInt(string(kv.Value)), Version: kv.ModRevision}
}

func (c *client) write(ctx context.Context, key string, value json.RawMessage) clients.Completion {
	n, err := argument(value)
	if err != nil {
		return failed(err.Error())
	}
	resp, ended := c.mutate(ctx, clientv3.OpPut(registerKey(key), text(n)))
	if ended != nil {
		return *ended
	}
	return clients.Completion{Type: history.OK, Version: resp.Put().Header.GetRevision()}
}

// mismatch is the error of a compare-and-set that saw another value than it
// expected. The comparison went through the log like any write, so the failure is
// an observation, not a guess.
const mismatch = "mismatch"

func (c *client) compareAndSet(ctx context.Context, key string, value json.RawMessage) clients.Completion {
	cas, err := history.DecodeCompareAndSet(value)
	if err != nil {
		return failed("cas takes [expected, new], not " + history.Quote(value))
	}
	key = registerKey(key)
	expected := clientv3.Compare(clientv3.ModRevision(key), "=", 0)
	if !history.IsNull(cas.Expected) {
		n, err := argument(cas.Expected)
		if err != nil {
			return failed(err.Error())
		}
		expected = clientv3.Compare(clientv3.Value(key), "=", text(n))
	}
	next, err := argument(cas.New)
	if err != nil {
		return failed(err.Error())
	}
	resp, ended := c.mutate(ctx, clientv3.OpTxn(
		[]clientv3.Cmp{expected},
		[]clientv3.Op{clientv3.OpPut(key, text(next))}, nil))
	if ended != nil {
		return *ended
	}
	done := clients.Completion{Type: history.OK, Version: resp.Txn().Header.GetRevision()}
	if !resp.Txn().Succeeded {
		done.Type, done.Error = history.Fail, mismatch
	}
	return done
}

// argument reads an integer that the workload wants written.
func argument(value json.RawMessage) (int64, error) {
	n, err := history.DecodeInt(value)
	if err != nil {
		return 0, fmt.Errorf("etcd's clients write integers, not %s", history.Quote(value))
	}
	return n, nil
}

func text(n int64) string { return strconv.FormatInt(n, 10) }

// single takes the answer to a read of one key; nil when the key is absent.
func single(kvs []*mvccpb.KeyValue, key string) (*mvccpb.KeyValue, error) {
	switch {
	case len(kvs) == 0:
		return nil, nil
	case len(kvs) > 1 || kvs[0] == nil || string(kvs[0].Key) != key:
		return nil, fmt.Errorf("the server answered a read of %q with something else", key)
	}
	return kvs[0], nil
}
