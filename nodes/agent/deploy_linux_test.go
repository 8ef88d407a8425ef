package agent_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

func TestTheBinaryIsUploadedOnlyWhenTheNodesCopyDiffers(t *testing.T) {
	dir := agenttest.Dir(t)
	again := func(want int, why string) string {
		t.Helper()
		conn := agenttest.NewConn()
		c := open(t, conn, agent.Options{Dir: dir})
		if err := c.Close(context.Background(), false); err != nil {
			t.Fatal(err)
		}
		if got := conn.Uploads(); len(got) != want {
			t.Fatalf("%s: uploaded %q, want %d", why, got, want)
		}
		found, _ := filepath.Glob(filepath.Join(dir, "agent/bin/nemesis-*"))
		if len(found) != 1 {
			t.Fatalf("%s: %q", why, found)
		}
		return found[0]
	}
	binary := again(1, "a fresh node")
	again(0, "the same binary")

	f, err := os.OpenFile(binary, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("still runs, and is not what was sent"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	again(1, "a changed binary")
	if err := os.Truncate(binary, 1000); err != nil {
		t.Fatal(err)
	}
	again(1, "a truncated binary")
	again(0, "the repaired binary")
}

// strange is this machine with other answers.
type strange struct {
	*agenttest.Conn
	survey string   // what the machine says it is
	start  []string // what starts in the agent's place
}

func (s strange) Run(ctx context.Context, in io.Reader, argv ...string) ([]byte, error) {
	if s.survey == "" {
		return s.Conn.Run(ctx, in, argv...)
	}
	return []byte(s.survey), nil
}

func (s strange) Start(ctx context.Context, stderr io.Writer, argv ...string) (nodes.Stream, error) {
	if s.start != nil {
		argv = s.start
	}
	return s.Conn.Start(ctx, stderr, argv...)
}

func TestAnAgentThatCannotStartSaysWhyInOneLine(t *testing.T) {
	for _, c := range []struct {
		name string
		conn strange
		opt  agent.Options
		want string
	}{
		{"another processor", strange{survey: "uid 0\nos Linux\narch aarch64\nhome /x\n"}, agent.Options{},
			"start the agent on n1: it is linux/arm64 and this nemesis is for linux/amd64: make the other one with `CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build -o "},
		{"another processor, whose binary is not what it is called", strange{survey: "uid 0\nos Linux\narch aarch64\nhome /x\n"}, agent.Options{Binary: beside(t, "nemesis", "nemesis-linux-arm64")},
			"start the agent on n1: it is linux/arm64 and this nemesis is not a Linux executable: "},
		{"another system", strange{survey: "uid 0\nos FreeBSD\narch amd64\nhome /x\n"}, agent.Options{},
			"start the agent on n1: it runs FreeBSD: nodes must run Linux"},
		{"an unheard-of processor", strange{survey: "uid 0\nos Linux\narch \x1b[31mvax\n"}, agent.Options{},
			`start the agent on n1: its processor "[31mvax" is none that nemesis runs on`},
		{"nowhere to run", strange{survey: "uid 7\nos Linux\narch x86_64\ntried /var/tmp/nemesis-7\n"}, agent.Options{},
			"start the agent on n1: no directory can hold and run a program (tried /var/tmp/nemesis-7): make one that belongs to uid 7 and is not mounted noexec"},
		{"no answer at all", strange{survey: "Last login: never\n"}, agent.Options{},
			`start the agent on n1: ask what the machine is: it answered "Last login: never"`},
		{"no such binary", strange{}, agent.Options{Binary: "/no/such/nemesis"},
			"start the agent on n1: read the agent's binary: open /no/such/nemesis: no such file or directory"},
		{"a binary that is none", strange{}, agent.Options{Binary: "/etc/passwd"},
			"start the agent on n1: it is linux/amd64 and this nemesis is not a Linux executable: "},
		{"a relative directory", strange{}, agent.Options{Dir: "here"},
			`start the agent on n1: directory "here" is not an absolute path`},
		{"sudo wants a password", strange{start: []string{"sh", "-c", "echo 'sudo: a password is required' >&2; exit 1"}}, agent.Options{},
			"start the agent on n1: sudo: a password is required"},
		{"a talkative login", strange{start: []string{"sh", "-c", "echo Welcome; cat >/dev/null"}}, agent.Options{},
			`the other side wrote "Welcome"`},
		{"a silent death", strange{start: []string{"sh", "-c", "exit 3"}}, agent.Options{},
			`exit status 3`},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.conn.Conn = agenttest.NewConn()
			if c.opt.Dir == "" {
				c.opt.Dir = t.TempDir()
			}
			_, err := agent.Connect(context.Background(), c.conn, c.opt)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

// beside makes a directory with files that hold their own names, and returns the
// path of the first.
func beside(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, names[0])
}

// The binary beside ours is taken: here ours is none, and the other is this very test.
func TestANodeWithAnotherProcessorGetsItsOwnBinary(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ours := beside(t, "nemesis")
	if err := os.Symlink(self, filepath.Join(filepath.Dir(ours), "nemesis-linux-"+runtime.GOARCH)); err != nil {
		t.Fatal(err)
	}
	conn := agenttest.NewConn()
	c := open(t, conn, agent.Options{Binary: ours, Dir: agenttest.Dir(t)})
	if err := c.Close(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	if got := conn.Uploads(); len(got) != 1 {
		t.Errorf("uploaded %q", got)
	}
}

// deafConn runs a program that never answers in the agent's place, and calls greeted once
// it was sent something.
type deafConn struct {
	strange
	greeted func()
}

func (d deafConn) Start(ctx context.Context, stderr io.Writer, argv ...string) (nodes.Stream, error) {
	stream, err := d.strange.Start(ctx, stderr, argv...)
	return &deafStream{stream, d.greeted}, err
}

type deafStream struct {
	nodes.Stream
	greeted func()
}

func (s *deafStream) Write(p []byte) (int, error) {
	defer s.greeted()
	return s.Stream.Write(p)
}

// The deadline passes when the greeting was sent: a busy machine would use up any time
// given before that.
func TestConnectingEndsByItsDeadline(t *testing.T) {
	ctx, expire := context.WithCancel(context.Background())
	defer expire()
	conn := deafConn{strange{Conn: agenttest.NewConn(), start: []string{"sleep", "1000"}}, expire}
	if _, err := agent.Connect(ctx, conn, agent.Options{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), `did not answer "hello" in time`) {
		t.Errorf("got %v", err)
	}
}

// busyConn cannot execute the agent a number of times, as when somebody holds it open for
// writing.
type busyConn struct {
	*agenttest.Conn
	times int
}

func (b *busyConn) Start(ctx context.Context, stderr io.Writer, argv ...string) (nodes.Stream, error) {
	if b.times > 0 {
		b.times--
		argv = []string{"sh", "-c", "echo \"sh: 1: $0: Text file busy\" >&2; exit 126", argv[0]}
	}
	return b.Conn.Start(ctx, stderr, argv...)
}

func TestBusyProgramIsTriedAgainAndNotCalledDamaged(t *testing.T) {
	t.Parallel()
	c, err := agent.Connect(context.Background(), &busyConn{agenttest.NewConn(), 3}, agent.Options{Dir: agenttest.Dir(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(context.Background(), false); err != nil {
		t.Error(err)
	}
	_, err = agent.Connect(context.Background(), &busyConn{agenttest.NewConn(), 1000}, agent.Options{Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "Text file busy: the node cannot execute its copy of nemesis") || strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
}
