package local

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	gossh "golang.org/x/crypto/ssh"

	"nemesis/nodes"
	"nemesis/nodes/ssh"
)

// Cluster is some local nodes. It is a nodes.Cluster, and safe for concurrent use.
type Cluster struct {
	dir     string
	nodes   []nodes.Node
	members []*member
	hostKey gossh.PublicKey
	signer  gossh.Signer
	closed  func() error
}

// New starts the nodes and returns when each has its address and accepts
// connections. It must be called inside a world, which holds one cluster at a time.
// The context bounds the start alone.
func New(ctx context.Context, opt Options) (*Cluster, error) {
	if !Inside() {
		return nil, errors.New("start local nodes: this process is not in a private world; it has to be started by local.Run")
	}
	if opt.N < 1 || opt.N > MaxNodes {
		return nil, fmt.Errorf("start local nodes: a cluster has 1 to %d of them, not %d", MaxNodes, opt.N)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start local nodes: %w", err)
	}
	c, template, err := newCluster(opt)
	if err != nil {
		return nil, err
	}
	started := make(chan error, opt.N)
	for _, m := range c.members {
		go func() { started <- m.start(ctx, template) }()
	}
	for range c.members {
		if e := <-started; e != nil && err == nil {
			err = e
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// newCluster makes all that can be made without starting anything. The settings
// hold what is the same for all nodes.
func newCluster(opt Options) (*Cluster, settings, error) {
	none := func(err error) (*Cluster, settings, error) {
		return nil, settings{}, fmt.Errorf("start local nodes: %w", err)
	}
	var err error
	cache := opt.CacheDir
	if cache == "" {
		if cache, err = cacheDir("node-cache"); err != nil {
			return none(err)
		}
	}
	if cache, err = filepath.Abs(cache); err != nil {
		return none(err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return none(err)
	}
	hostPEM, hostKey, err := newKey()
	if err != nil {
		return none(err)
	}
	_, signer, err := newKey()
	if err != nil {
		return none(err)
	}
	dir, err := os.MkdirTemp(os.Getenv(dirVariable), "cluster-")
	if err != nil {
		return none(err)
	}
	c := &Cluster{dir: dir, hostKey: hostKey.PublicKey(), signer: signer}
	c.closed = sync.OnceValue(c.close)
	for i := 1; i <= opt.N; i++ {
		n := nodes.Node{Name: fmt.Sprintf("n%d", i), Address: address4(i)}
		if hasIPv6() {
			n.Others = []netip.Addr{address6(i)}
		}
		c.nodes = append(c.nodes, n)
		c.members = append(c.members, &member{number: i, name: n.Name, dir: filepath.Join(dir, n.Name)})
	}
	return c, settings{
		Hosts: hostsFile(c.nodes), Cache: cache, Patchwork: opt.patchwork,
		HostKey: hostPEM, Authorized: signer.PublicKey().Marshal(),
	}, nil
}

func newKey() ([]byte, gossh.Signer, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, nil, fmt.Errorf("make an SSH key: %w", err)
	}
	block, err := gossh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, nil, fmt.Errorf("make an SSH key: %w", err)
	}
	signer, err := gossh.NewSignerFromKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("make an SSH key: %w", err)
	}
	return pem.EncodeToMemory(block), signer, nil
}

func hostsFile(all []nodes.Node) string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	for _, n := range all {
		for _, a := range n.Addresses() {
			fmt.Fprintf(&b, "%s %s\n", a, n.Name)
		}
	}
	return b.String()
}

// Nodes are n1, n2, … in order.
func (c *Cluster) Nodes() []nodes.Node { return slices.Clone(c.nodes) }

// Notes say, a line each, where the nodes are less than a machine would be.
func (c *Cluster) Notes() []string { return slices.Clone(c.members[0].notes) }

// Enter is a shell command that opens a shell on a node, from outside of the world,
// for the user whose world it is. It finds the node's PID 1 by the directory in its
// arguments, which no other process has.
func (c *Cluster) Enter(name string) string {
	into := "--mount --uts --ipc --net --pid"
	if !ownsMachine() {
		into = "--user --preserve-credentials " + into
	}
	return fmt.Sprintf("nsenter %s --target $(pgrep -f '%s node %s %s$') bash", into, Command, name, filepath.Join(c.dir, name))
}

// Connect opens an SSH connection to a node, with the key made for this cluster.
// No file of the user's has a say in it.
func (c *Cluster) Connect(ctx context.Context, name string) (nodes.Conn, error) {
	i := slices.IndexFunc(c.nodes, func(n nodes.Node) bool { return n.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("connect to %s: this cluster has n1 to n%d", name, len(c.nodes))
	}
	return ssh.Dial(ctx, ssh.Host{Node: c.nodes[i], User: "root", Port: 22}, ssh.Options{
		Config: "none", Signers: []gossh.Signer{c.signer}, HostKey: c.hostKey,
	})
}

// Close kills the nodes and everything on them, and removes what they wrote.
func (c *Cluster) Close() error { return c.closed() }

func (c *Cluster) close() error {
	errs := make(chan error, len(c.members))
	for _, m := range c.members {
		go func() { errs <- m.stop() }()
	}
	var all error
	for range c.members {
		all = errors.Join(all, <-errs)
	}
	return errors.Join(all, removeTree(c.dir))
}
