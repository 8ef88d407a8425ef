package benchmark

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"nemesis/clients/etcd"
	"nemesis/history"
)

// etcdServer is the rival of the replicated map.
type etcdServer struct{ synced bool }

func (etcdServer) prepare(ctx context.Context, cfg Config) (string, string, error) {
	version := cfg.Version
	if version == "" {
		version = etcd.System{}.DefaultVersion()
	}
	install, err := etcd.System{}.Prepare(ctx, history.System{Version: version}, cfg.Progress)
	return install.Files["etcd"], "etcd " + install.Version, err
}

// groupSize is how many nodes a replicated group has.
const groupSize = 3

func (etcdServer) size() int  { return groupSize }
func (etcdServer) ports() int { return 2 }

func (s etcdServer) command(addresses [][]netip.AddrPort, i int, dir string) []string {
	var members []string
	for j, a := range addresses {
		members = append(members, fmt.Sprintf("n%d=http://%v", j+1, a[1]))
	}
	client, peer := fmt.Sprintf("http://%v", addresses[i][0]), fmt.Sprintf("http://%v", addresses[i][1])
	argv := []string{"--name", fmt.Sprintf("n%d", i+1), "--data-dir", dir, "--log-level", "warn",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", strings.Join(members, ",")}
	if !s.synced {
		argv = append(argv, "--unsafe-no-fsync")
	}
	return argv
}

func dialEtcd(ctx context.Context, address netip.AddrPort) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{address.String()}, Logger: zap.NewNop(), Context: ctx})
}

func (etcdServer) leader(ctx context.Context, addresses [][]netip.AddrPort) (int, error) {
	for i, a := range addresses {
		c, err := dialEtcd(ctx, a[0])
		if err != nil {
			return 0, err
		}
		defer c.Close()
		status, err := c.Status(ctx, a[0].String())
		if err != nil {
			return 0, err
		}
		if status.Leader != 0 && status.Leader == status.Header.MemberId {
			return i, nil
		}
	}
	return 0, errors.New("no member leads")
}

func (etcdServer) connect(ctx context.Context, addresses [][]netip.AddrPort, leader int, _ uint64) (client, error) {
	c, err := dialEtcd(ctx, addresses[leader][0])
	return etcdClient{c}, err
}

type etcdClient struct{ *clientv3.Client }

func (c etcdClient) put(ctx context.Context, key string, value []byte) error {
	_, err := c.Put(ctx, key, string(value))
	return err
}

// get is linearizable, as etcd's reads are by default.
func (c etcdClient) get(ctx context.Context, key string) error {
	r, err := c.Get(ctx, key)
	if err == nil && len(r.Kvs) != 1 {
		err = fmt.Errorf("%d values of %s", len(r.Kvs), key)
	}
	return err
}
