package benchmark

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	ours "nemesis/clients/group"
)

// server is how one kind of server is started and asked.
type server interface {
	// prepare finds the executable, or makes it, and tells the server's name and version.
	prepare(ctx context.Context, cfg Config) (executable, name string, err error)
	// size is how many nodes a group has, ports how many ports a node needs.
	size() int
	ports() int
	// command starts node i (from 0) of a group. The addresses are those of all nodes, ports() of each.
	command(addresses [][]netip.AddrPort, i int, dir string) []string
	// leader is the index of the node to ask, once the whole group answers. It is called until it succeeds.
	leader(ctx context.Context, addresses [][]netip.AddrPort) (int, error)
	// connect makes a client of a node. Nonce is unlike that of every other client of the group.
	connect(ctx context.Context, addresses [][]netip.AddrPort, leader int, nonce uint64) (client, error)
}

// client is one connection. It is used by one goroutine at a time.
type client interface {
	put(ctx context.Context, key string, value []byte) error
	// get reads a key that was put before.
	get(ctx context.Context, key string) error
	Close() error
}

// group is a server's nodes, as processes on this machine.
type group struct {
	server
	name      string
	dir       string
	addresses [][]netip.AddrPort
	processes []*process
	at        int // the leader's index
	nonces    *ours.Nonces
}

// process is one node.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended, once done is closed
}

const (
	// readyIn is how long a group may take to answer, answerIn how long one answer may.
	readyIn  = time.Minute
	answerIn = time.Second
	// starts is how often a group is started whose ports somebody else took in the moment before.
	starts = 5
)

// errPortTaken is that another process had a node's port.
var errPortTaken = errors.New("another process took a port of it")

// start runs a group and waits until it answers.
func start(ctx context.Context, cfg Config, s server) (*group, error) {
	executable, name, err := s.prepare(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for tries := 1; ; tries++ {
		g, err := startOn(ctx, cfg, s, executable, name)
		if err == nil || !errors.Is(err, errPortTaken) || tries == starts {
			return g, err
		}
	}
}

// startOn runs a group on ports that are free now.
func startOn(ctx context.Context, cfg Config, s server, executable, name string) (_ *group, err error) {
	g := &group{server: s, name: name, nonces: ours.NewNonces(cfg.Seed)}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start %s: %w", name, err), g.stop())
		}
	}()
	if g.dir, err = os.MkdirTemp(cfg.Dir, "nemesis-bench-"); err != nil {
		return nil, err
	}
	if g.addresses, err = freeAddresses(s.size(), s.ports()); err != nil {
		return nil, err
	}
	for i := range s.size() {
		if err := g.run(executable, i); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, readyIn)
	defer cancel()
	for {
		at, err := func() (int, error) {
			ctx, cancel := context.WithTimeout(ctx, answerIn)
			defer cancel()
			return s.leader(ctx, g.addresses)
		}()
		if err == nil {
			g.at = at
			return g, nil
		}
		for i, p := range g.processes {
			select {
			case <-p.done:
				said := lastLine(g.log(i))
				if strings.Contains(said, syscall.EADDRINUSE.Error()) {
					return nil, errPortTaken
				}
				return nil, fmt.Errorf("node %d ended (%v): %s", i+1, p.err, said)
			default:
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("it does not answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (g *group) log(i int) string { return filepath.Join(g.dir, fmt.Sprintf("n%d.log", i+1)) }

// run starts node i.
func (g *group) run(executable string, i int) error {
	out, err := os.Create(g.log(i))
	if err != nil {
		return err
	}
	defer out.Close()
	dir := filepath.Join(g.dir, fmt.Sprintf("n%d", i+1))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	p := &process{
		cmd:  exec.Command(executable, g.command(g.addresses, i, dir)...),
		done: make(chan struct{}),
	}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = notSurviving()
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	g.processes = append(g.processes, p)
	return nil
}

// stop ends the nodes and removes their data.
func (g *group) stop() error {
	for _, p := range g.processes {
		p.cmd.Process.Kill() // it may have ended
		<-p.done
	}
	if g.dir == "" {
		return nil
	}
	return os.RemoveAll(g.dir)
}

// freeAddresses are loopback ports, each of which was free a moment ago.
func freeAddresses(nodes, each int) ([][]netip.AddrPort, error) {
	var all [][]netip.AddrPort
	for range nodes {
		var own []netip.AddrPort
		for range each {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			defer l.Close() // all at the end, so that no port comes twice
			own = append(own, netip.MustParseAddrPort(l.Addr().String()))
		}
		all = append(all, own)
	}
	return all, nil
}
