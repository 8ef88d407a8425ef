package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"nemesis/clients"
	"nemesis/history"
)

// A set is the keys below one prefix, one per element, so that adding is a single
// put without a race, and listing a single range at one revision.

func setPrefix(key string) string { return "nemesis/set/" + key + "/" }

func (c *client) add(ctx context.Context, key string, value json.RawMessage) clients.Completion {
	n, err := argument(value)
	if err != nil {
		return failed(err.Error())
	}
	resp, ended := c.mutate(ctx, clientv3.OpPut(setPrefix(key)+text(n), ""))
	if ended != nil {
		return *ended
	}
	return clients.Completion{Type: history.OK, Version: resp.Put().Header.GetRevision()}
}

func (c *client) list(ctx context.Context, key string) clients.Completion {
	prefix := setPrefix(key)
	how := append([]clientv3.OpOption{clientv3.WithPrefix(), clientv3.WithKeysOnly()}, c.reading...)
	resp, err := c.conn.Get(ctx, prefix, how...)
	if err != nil {
		return failed(brief(err))
	}
	elements := make([]json.RawMessage, 0, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		element, ours := strings.CutPrefix(string(kv.Key), prefix)
		if !ours {
			return unsure(fmt.Sprintf("the server listed %.100q, which is not below %s", kv.Key, prefix))
		}
		elements = append(elements, clients.StoredInt(element))
	}
	return clients.Completion{Type: history.OK, Value: history.EncodeElements(elements), Version: resp.Header.GetRevision()}
}
