package benchmark

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisServer is the rival of the sharded store: one Redis, or a Redis Cluster of masters without replicas.
type redisServer struct {
	nodes int
	// everysec: an append-only file is synced once a second. Otherwise nothing is written to the disk.
	everysec bool
}

var redisVersion = regexp.MustCompile(`v=((\d+)\.[0-9.]+)`)

// prepare finds the one that is installed. Releases before 7 cannot be told the port of a cluster's own connections.
func (redisServer) prepare(ctx context.Context, _ Config) (string, string, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return "", "", fmt.Errorf("find redis-server in PATH: %w; install Redis 7 or later", errMissing)
	}
	said, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", "", fmt.Errorf("ask %s for its version: %w", path, err)
	}
	version := redisVersion.FindStringSubmatch(string(said))
	if version == nil {
		return "", "", fmt.Errorf("ask %s for its version: it says %.60q", path, said)
	}
	if major, _ := strconv.Atoi(version[2]); major < 7 {
		return "", "", fmt.Errorf("use %s: it is Redis %s (%w); install Redis 7 or later", path, version[1], errMissing)
	}
	return path, "redis " + version[1], nil
}

func (s redisServer) size() int    { return s.nodes }
func (redisServer) ports() int     { return 2 }
func (s redisServer) single() bool { return s.nodes == 1 }

func (s redisServer) command(addresses [][]netip.AddrPort, i int, dir string) []string {
	own := addresses[i]
	argv := []string{"--bind", own[0].Addr().String(), "--port", strconv.Itoa(int(own[0].Port())), "--dir", dir, "--save", ""}
	if s.everysec {
		argv = append(argv, "--appendonly", "yes", "--appendfsync", "everysec")
	}
	if !s.single() {
		argv = append(argv, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(int(own[1].Port())))
	}
	return argv
}

// slots is how many hash slots a Redis Cluster has.
const slots = 16384

// leader is of no meaning here. A cluster is put together when it is asked for the first time.
func (s redisServer) leader(ctx context.Context, addresses [][]netip.AddrPort) (int, error) {
	var waits error
	for i, a := range addresses {
		c := dialRedis(a[0])
		defer c.Close()
		if err := c.Ping(ctx).Err(); err != nil {
			return 0, err
		}
		if s.single() {
			return 0, nil
		}
		info, err := c.ClusterInfo(ctx).Result()
		if err != nil {
			return 0, err
		}
		if strings.Contains(info, "cluster_slots_assigned:0\r") {
			if err := c.ClusterAddSlotsRange(ctx, i*slots/s.nodes, (i+1)*slots/s.nodes-1).Err(); err != nil {
				return 0, err
			}
			if err := c.Do(ctx, "cluster", "set-config-epoch", i+1).Err(); err != nil {
				return 0, err
			}
		}
		if strings.Contains(info, "cluster_known_nodes:1\r") {
			for j, other := range addresses {
				if i == j {
					continue
				}
				if err := c.Do(ctx, "cluster", "meet", other[0].Addr().String(), other[0].Port(), other[1].Port()).Err(); err != nil {
					return 0, err
				}
			}
		}
		if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", s.nodes)) {
			waits = errors.New("its nodes do not know each other's slots yet")
		}
	}
	return 0, waits
}

// quiet: the client asks for no news of servers' maintenance, which these servers do not have.
var quiet = maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

func dialRedis(address netip.AddrPort) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: address.String(), PoolSize: 1, MaxRetries: -1, ReadTimeout: patience, WriteTimeout: patience, DisableIdentity: true,
		MaintNotificationsConfig: &quiet,
	})
}

func (s redisServer) connect(_ context.Context, addresses [][]netip.AddrPort, _ int, _ uint64) (client, error) {
	if s.single() {
		return redisClient{dialRedis(addresses[0][0])}, nil
	}
	var all []string
	for _, a := range first(addresses) {
		all = append(all, a.String())
	}
	return redisClient{redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: all, PoolSize: 1, ReadTimeout: patience, WriteTimeout: patience, DisableIdentity: true, MaintNotificationsConfig: &quiet,
	})}, nil
}

type redisClient struct{ redis.UniversalClient }

func (c redisClient) put(ctx context.Context, key string, value []byte) error {
	return c.Set(ctx, key, value, 0).Err()
}

func (c redisClient) get(ctx context.Context, key string) error { return c.Get(ctx, key).Err() }
