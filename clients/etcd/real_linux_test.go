package etcd

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes"
)

// realServer is the executable that all tests share: the pinned version, or the one
// that NEMESIS_ETCD_VERSION names.
var realServer = sync.OnceValues(func() (string, error) {
	var progress bytes.Buffer
	install, err := System{}.Prepare(context.Background(), history.System{Version: os.Getenv("NEMESIS_ETCD_VERSION")}, &progress)
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, progress.String())
	}
	return install.Files["etcd"], nil
})

// server is a real etcd member on a loopback address of its own, started with the
// command line of a deployment.
type server struct {
	t    *testing.T
	node nodes.Node
	of   cluster
	root string
	cmd  *exec.Cmd
}

// startServers starts a cluster and waits until every member serves.
func startServers(t *testing.T, n int, o options) []*server {
	t.Helper()
	binary, err := realServer()
	if err != nil {
		t.Skipf("there is no etcd to test against: %v", err)
	}
	c := cluster{token: t.Name(), options: o}
	for i := range n {
		c.members = append(c.members, nodes.Node{Name: fmt.Sprintf("n%d", i+1), Address: loopback()})
	}
	var servers []*server
	for _, node := range c.members {
		s := &server{t: t, node: node, of: c, root: t.TempDir()}
		must(t, os.MkdirAll(filepath.Join(s.root, home), 0o755))
		must(t, os.Symlink(binary, filepath.Join(s.root, executable)))
		t.Cleanup(s.kill)
		s.start()
		servers = append(servers, s)
	}
	for _, s := range servers {
		s.ready()
	}
	return servers
}

// loopback picks an address of 127.0.0.0/8, so that members of different tests can
// all listen on etcd's own ports.
func loopback() netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + rand.IntN(254)), byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
}

func (s *server) start() {
	s.t.Helper()
	spec := s.of.process(s.node, s.root)
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	must(s.t, err)
	defer log.Close()
	s.cmd = exec.Command(spec.Argv[0], spec.Argv[1:]...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr, s.cmd.Env = spec.Dir, log, log, []string{}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(s.t, s.cmd.Start())
}

// ready waits until the server answers a linearizable read.
func (s *server) ready() {
	s.t.Helper()
	admin, err := connect(s.node.Address, new(clients.Dialer))
	must(s.t, err)
	defer admin.Close()
	d := &deployment{members: map[string]*member{"": {admin: admin}}}
	for deadline := time.Now().Add(time.Minute); ; {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		err := d.Probe(ctx, clients.Component{})
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not serve: %v; its log says: %s", s.node.Name, err, s.lastWords())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *server) lastWords() string {
	log, _ := os.ReadFile(filepath.Join(s.root, logFile))
	return lastWords(log)
}

// kill is kill -9, and waits for the end.
func (s *server) kill() {
	if s.cmd != nil && s.cmd.ProcessState == nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
}

// pause stops the whole process, and returns when the kernel says that it did.
func (s *server) pause() {
	s.t.Helper()
	must(s.t, s.cmd.Process.Signal(syscall.SIGSTOP))
	var status syscall.WaitStatus
	_, err := syscall.Wait4(s.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
	must(s.t, err)
	if !status.Stopped() {
		s.t.Fatalf("%s did not stop: %v", s.node.Name, status)
	}
}

func (s *server) resume() {
	s.t.Helper()
	must(s.t, s.cmd.Process.Signal(syscall.SIGCONT))
}

// client opens a client of this server, closed with the test.
func (s *server) client(o options) *client {
	s.t.Helper()
	return openClient(s.t, s.node.Address, o)
}

func openClient(t *testing.T, addr netip.Addr, o options) *client {
	t.Helper()
	c, err := newClient(addr, o, new(clients.Dialer), "append")
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// defaults are the options of a run without --set.
func defaults(t *testing.T) options {
	t.Helper()
	o, err := parseOptions(nil)
	must(t, err)
	return o
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
