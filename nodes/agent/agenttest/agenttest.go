// Package agenttest runs agents on the machine of a test. Its Conn is a nodes.Conn
// whose node is this machine: programs are children of the test, files are copied.
//
// A test binary is its own agent when its TestMain hands over:
//
//	func TestMain(m *testing.M) { agenttest.Main(m, effects.Kinds()) }
//
//	func TestSomething(t *testing.T) {
//		c := agenttest.Connect(t, agenttest.Dir(t))
//		…
//	}
package agenttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/nodes/forks"
	"nemesis/nodes/local/localtest"
)

// Main runs the tests, in a private world where that is possible, or the agent when
// the test binary is started as one.
func Main(m *testing.M, kinds agent.Kinds) {
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		os.Exit(agent.Main(os.Args[2:], kinds, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(localtest.Main(m))
}

// Dir is a directory for an agent, emptied of its processes when the test ends.
func Dir(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "nemesis")
	// Registered after TempDir's own removal, so it comes before: processes that a
	// failing test left would otherwise outlive it.
	t.Cleanup(func() {
		c, err := agent.Connect(context.Background(), NewConn(), agent.Options{Dir: dir})
		if err != nil {
			t.Errorf("clean up after the test: %v", err)
			return
		}
		if err := c.Close(context.Background(), false); err != nil {
			t.Errorf("clean up after the test: %v", err)
		}
	})
	return dir
}

// Connect starts an agent and closes it, with its processes, when the test ends.
func Connect(t testing.TB, dir string) *agent.Client {
	t.Helper()
	return ConnectAs(t, dir, NewConn().Node())
}

// ConnectAs is Connect for an agent whose node goes by another name or address.
func ConnectAs(t testing.TB, dir string, node nodes.Node) *agent.Client {
	t.Helper()
	conn := NewConn()
	conn.As = &node
	c, err := agent.Connect(context.Background(), conn, agent.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Close(ctx, false); err != nil {
			t.Errorf("close the agent: %v", err)
		}
	})
	return c
}

// Conn is a connection to this machine.
type Conn struct {
	// Attr is how programs are started; nil is as ever.
	Attr *syscall.SysProcAttr
	// As is the node that it says to lead to; nil is n1, at 127.0.0.1.
	As *nodes.Node

	lost chan struct{}

	mu      sync.Mutex
	uploads []string
	pids    []int
}

// NewConn makes one.
func NewConn() *Conn { return &Conn{lost: make(chan struct{})} }

// Uploads are the paths that were uploaded to.
func (c *Conn) Uploads() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.uploads...)
}

// PIDs are the programs that Start started.
func (c *Conn) PIDs() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]int(nil), c.pids...)
}

// Node is As, or else called n1, at 127.0.0.1.
func (c *Conn) Node() nodes.Node {
	if c.As != nil {
		return *c.As
	}
	return nodes.Node{Name: "n1", Address: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
}

// Run executes argv as a child.
func (c *Conn) Run(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error) {
	forks.Settle(argv[0]) // it may be a program that the test has just written
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = stdin, &stderr
	out, err := cmd.Output()
	return out, exitError(argv, err, stderr.String())
}

func exitError(argv []string, err error, stderr string) error {
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return &nodes.ExitError{Node: "n1", Argv: argv, Code: exit.ExitCode(), Stderr: stderr}
	case errors.Is(err, os.ErrNotExist):
		return &nodes.ExitError{Node: "n1", Argv: argv, Code: 127, Stderr: err.Error()}
	case err != nil:
		return &nodes.ExitError{Node: "n1", Argv: argv, Code: 126, Stderr: err.Error()}
	}
	return err
}

// Start executes argv as a child. A program that cannot be run is found out by Wait,
// as over SSH.
func (c *Conn) Start(ctx context.Context, stderr io.Writer, argv ...string) (nodes.Stream, error) {
	forks.Settle(argv[0]) // it may be a program that the test has just written
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stderr, cmd.SysProcAttr = stderr, c.Attr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Not StdoutPipe: Wait would close it on what nobody has read yet.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	s := &stream{Reader: r, in: in, cmd: cmd, argv: argv}
	s.failed = cmd.Start()
	w.Close()
	if s.failed == nil {
		c.mu.Lock()
		c.pids = append(c.pids, cmd.Process.Pid)
		c.mu.Unlock()
	}
	return s, nil
}

type stream struct {
	io.Reader
	in     io.WriteCloser
	cmd    *exec.Cmd
	argv   []string
	failed error // the program could not be run
}

func (s *stream) Write(p []byte) (int, error) { return s.in.Write(p) }
func (s *stream) CloseWrite() error           { return s.in.Close() }

func (s *stream) Wait() error {
	if s.failed != nil {
		return exitError(s.argv, s.failed, "")
	}
	return exitError(s.argv, s.cmd.Wait(), "")
}

func (s *stream) Close() error {
	if s.failed == nil {
		_ = s.cmd.Process.Kill()
	}
	return nil
}

// Upload writes a file beside path and renames it.
func (c *Conn) Upload(ctx context.Context, content io.Reader, path string, mode uint32) error {
	c.mu.Lock()
	c.uploads = append(c.uploads, path)
	c.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".upload-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Chmod(os.FileMode(mode))
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("upload: %w", err)
	}
	return nil
}

// Download copies a file.
func (c *Conn) Download(ctx context.Context, path string, w io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// Sudo is not needed on one's own machine.
func (c *Conn) Sudo() bool { return false }

// Lost is closed by Close.
func (c *Conn) Lost() <-chan struct{} { return c.lost }

// Close ends nothing: the programs are the test's.
func (c *Conn) Close() error { close(c.lost); return nil }
