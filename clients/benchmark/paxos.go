package benchmark

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"nemesis/clients/paxos"
)

// paxosServer is ours.
type paxosServer struct {
	synced bool
	reads  string // index or lease
}

func (paxosServer) prepare(_ context.Context, cfg Config) (string, string, error) {
	return cfg.Self, "nemesis server paxos", nil
}

func (paxosServer) size() int  { return groupSize }
func (paxosServer) ports() int { return 1 }

func (s paxosServer) command(addresses [][]netip.AddrPort, i int, dir string) []string {
	// The rival's leader is given up after a second, too.
	return []string{"server", "paxos", "--id", strconv.Itoa(i + 1), "--members", members(addresses), "--data", dir,
		"--fsync=" + strconv.FormatBool(s.synced), "--reads", s.reads, "--lease", "500ms", "--clock-error", "50ms",
		"--heartbeat", "100ms", "--view-timeout", "1s"}
}

func (paxosServer) leader(ctx context.Context, addresses [][]netip.AddrPort) (int, error) {
	return paxos.Leader(ctx, addresses[0][0])
}

func (paxosServer) connect(_ context.Context, addresses [][]netip.AddrPort, leader int, nonce uint64) (client, error) {
	return paxosClient{paxos.Dial(first(addresses), leader, patience, nonce)}, nil
}

// patience is how long a client waits for one node.
const patience = 30 * time.Second

// first are the first addresses of all nodes, members the same as text.
func first(addresses [][]netip.AddrPort) []netip.AddrPort {
	var all []netip.AddrPort
	for _, a := range addresses {
		all = append(all, a[0])
	}
	return all
}

func members(addresses [][]netip.AddrPort) string {
	var all []string
	for _, a := range first(addresses) {
		all = append(all, a.String())
	}
	return strings.Join(all, ",")
}

type paxosClient struct{ *paxos.Map }

func (c paxosClient) put(ctx context.Context, key string, value []byte) error {
	return c.Set(ctx, key, value)
}

func (c paxosClient) get(ctx context.Context, key string) error {
	_, err := c.Get(ctx, key)
	return err
}
