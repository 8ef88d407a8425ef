package benchmark

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"strconv"

	"nemesis/clients/shardkv"
)

// shardkvServer is ours: a sharded store whose shards have one replica each, as the rival's have.
type shardkvServer struct {
	nodes, shards int
	fsync         string
}

func (shardkvServer) prepare(_ context.Context, cfg Config) (string, string, error) {
	return cfg.Self, "nemesis server shardkv", nil
}

func (s shardkvServer) size() int { return s.nodes }
func (shardkvServer) ports() int  { return 1 }

func (s shardkvServer) command(addresses [][]netip.AddrPort, i int, dir string) []string {
	return []string{"server", "shardkv", "--id", strconv.Itoa(i + 1), "--members", members(addresses), "--data", dir,
		"--fsync", s.fsync, "--replicas", "1", "--shards", strconv.Itoa(s.shards), "--heartbeat", "100ms", "--view-timeout", "1s"}
}

// leader is of no meaning here: every client asks the node that has the key. All nodes must have a lease.
func (s shardkvServer) leader(ctx context.Context, addresses [][]netip.AddrPort) (int, error) {
	for _, a := range first(addresses) {
		if err := shardkv.Ready(ctx, a); err != nil {
			return 0, fmt.Errorf("%v %w", a, err)
		}
	}
	c := shardkv.Dial(first(addresses), answerIn, 1)
	defer c.Close()
	holders := map[int]bool{}
	for i := range keys {
		at, err := c.Holder(ctx, spreadKey(key(i)))
		if err != nil {
			return 0, err
		}
		holders[at] = true
	}
	if holders[-1] || len(holders) != s.nodes {
		return 0, errors.New("not every node holds shards")
	}
	return 0, nil
}

func (shardkvServer) connect(_ context.Context, addresses [][]netip.AddrPort, _ int, nonce uint64) (client, error) {
	return shardkvClient{shardkv.Dial(first(addresses), patience, nonce)}, nil
}

type shardkvClient struct{ *shardkv.Map }

func (c shardkvClient) put(ctx context.Context, key string, value []byte) error {
	return c.Set(ctx, spreadKey(key), value)
}

func (c shardkvClient) get(ctx context.Context, key string) error {
	_, err := c.Get(ctx, spreadKey(key))
	return err
}

// spreadKey has a hash of the key before it, for shards are ranges of numbers of 8 bytes. The rival hashes keys, too.
func spreadKey(key string) []byte {
	h := fnv.New64a()
	h.Write([]byte(key))
	// The upper bits of FNV of short keys are alike: Fibonacci hashing spreads them (Knuth, volume 3, 6.4).
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 24), h.Sum64()*0x9e3779b97f4a7c15), key...)
}
