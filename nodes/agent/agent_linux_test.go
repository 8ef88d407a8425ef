package agent_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

func TestMain(m *testing.M) {
	kinds := effects.Kinds()
	kinds["test.fatal"] = func() agent.Effect { return &fatal{} }
	kinds["test.change"] = func() agent.Effect { return &shadowChange{} }
	kinds["test.beside"] = func() agent.Effect { return &besideServer{} }
	kinds["test.strobe"] = func() agent.Effect { return &strobe{} }
	kinds["test.work"] = func() agent.Effect { return &laborer{} }
	// What runs as a server in these tests may be this program, too.
	switch strings.Join(os.Args[1:], " ") {
	case "tell-time":
		tellTime()
	case "meter":
		meter()
	default:
		agenttest.Main(m, kinds)
	}
}

// fatal is a file while it is in force, and can be the death of its agent.
type fatal struct {
	Path string `json:"path"`
	// At is the moment of death: "before apply", "after apply", "before undo" or
	// "after undo". It comes once, and takes the file Path.alive with it.
	At string `json:"at"`
}

func (f *fatal) Kind() string            { return "test.fatal" }
func (f *fatal) String() string          { return f.At }
func (f *fatal) Check(*agent.Host) error { return nil }

func (f *fatal) Apply(*agent.Host) error {
	f.die("before apply")
	defer f.die("after apply")
	return os.WriteFile(f.Path, nil, 0o600)
}

func (f *fatal) Undo(*agent.Host) error {
	f.die("before undo")
	defer f.die("after undo")
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (f *fatal) Probe(h *agent.Host) (history.Evidence, error) {
	return history.Evidence{Confirmed: there(f.Path) == h.InForce(f)}, nil
}

func (f *fatal) die(at string) {
	if at == f.At && os.Remove(f.Path+".alive") == nil {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// eventually waits for what must come, however slow the machine; a minute means never.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

// watchdog finds the agent's only child that is not a server.
func watchdog(t *testing.T, agentPID int) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		command, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if len(fields) > 1 && fields[1] == strconv.Itoa(agentPID) && strings.Contains(string(command), "--watch") {
			return pid
		}
	}
	t.Fatal("the agent has no watchdog")
	return 0
}

func ledgerIsEmpty(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "agent", "ledger.json"))
	return err == nil && strings.TrimSpace(string(text)) == "[]"
}

func open(t *testing.T, conn *agenttest.Conn, opt agent.Options) *agent.Client {
	t.Helper()
	c, err := agent.Connect(context.Background(), conn, opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnAgentKilledAtAnyMomentIsCleanedUpAfter(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"before apply", "after apply", "before undo", "after undo"} {
		for _, by := range []string{"its watchdog", "the next agent"} {
			t.Run(at+", by "+by, func(t *testing.T) {
				dir := agenttest.Dir(t)
				effect := &fatal{Path: filepath.Join(t.TempDir(), "broken"), At: at}
				conn := agenttest.NewConn()
				c := open(t, conn, agent.Options{Dir: dir})
				if by == "the next agent" {
					if err := unix.Kill(watchdog(t, conn.PIDs()[0]), unix.SIGKILL); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.WriteFile(effect.Path+".alive", nil, 0o600); err != nil {
					t.Fatal(err)
				}

				ctx := context.Background()
				err := c.Apply(ctx, effect)
				if err == nil {
					err = c.Undo(ctx, effect)
				}
				if err == nil || !strings.Contains(err.Error(), "the agent on n1 is lost") {
					t.Fatalf("the agent did not die: %v", err)
				}
				<-c.Lost()

				if by == "its watchdog" {
					eventually(t, "undone", func() bool { return !there(effect.Path) && ledgerIsEmpty(dir) })
					return
				}
				if acted := at == "after apply" || at == "before undo"; there(effect.Path) != acted {
					t.Errorf("in force: %v, want %v", there(effect.Path), acted)
				}
				next := open(t, agenttest.NewConn(), agent.Options{Dir: dir})
				if l := next.Facts().Leftovers; len(l) != 1 || !strings.HasPrefix(l[0], "test.fatal "+at) {
					t.Errorf("leftovers: %q", l)
				}
				if there(effect.Path) || !ledgerIsEmpty(dir) {
					t.Error("the next agent did not undo it")
				}
				if err := next.Close(ctx, true); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestAnAgentThatIsToldToEndUndoesFirst(t *testing.T) {
	t.Parallel()
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGINT} {
		t.Run(unix.SignalName(sig), func(t *testing.T) {
			t.Parallel()
			dir := agenttest.Dir(t)
			conn := agenttest.NewConn()
			c := open(t, conn, agent.Options{Dir: dir})
			effect := &fatal{Path: filepath.Join(t.TempDir(), "broken")}
			if err := c.Apply(context.Background(), effect); err != nil {
				t.Fatal(err)
			}
			if err := unix.Kill(conn.PIDs()[0], sig); err != nil {
				t.Fatal(err)
			}
			<-c.Lost()
			if there(effect.Path) || !ledgerIsEmpty(dir) {
				t.Error("it is still in force")
			}
		})
	}
}

func TestAClientNoticesAnAgentThatHangs(t *testing.T) {
	dir := agenttest.Dir(t)
	conn := agenttest.NewConn()
	c := open(t, conn, agent.Options{Dir: dir, Heartbeat: 50 * time.Millisecond, DeadAfter: 300 * time.Millisecond})
	effect := &fatal{Path: filepath.Join(t.TempDir(), "broken")}
	if err := c.Apply(context.Background(), effect); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(conn.PIDs()[0], unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-c.Lost()
	if err := c.Apply(context.Background(), effect); err == nil || !strings.Contains(err.Error(), "has been silent for") {
		t.Errorf("got %v", err)
	}
	if err := unix.Kill(conn.PIDs()[0], unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "undone once it runs again", func() bool { return !there(effect.Path) && ledgerIsEmpty(dir) })
}

func TestARequestEndsByItsDeadlineEvenWhenTheAgentHangs(t *testing.T) {
	conn := agenttest.NewConn()
	c := open(t, conn, agent.Options{Dir: agenttest.Dir(t), Heartbeat: time.Hour})
	if err := unix.Kill(conn.PIDs()[0], unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// A busy machine takes its time: until then the agent may still answer.
	eventually(t, "every thread of the agent stopped", func() bool { return stopped(conn.PIDs()[0]) })
	defer unix.Kill(conn.PIDs()[0], unix.SIGCONT)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Ledger(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "read the ledger on n1: ") {
		t.Errorf("got %v", err)
	}
}

// stopped: every thread of a process is stopped by a signal.
func stopped(pid int) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(tasks) == 0 {
		return false
	}
	for _, path := range tasks {
		stat, err := os.ReadFile(path)
		_, after, found := strings.Cut(string(stat), ") ") // the program's name has no such thing in it
		if err != nil || !found || after[0] != 'T' {
			return false
		}
	}
	return true
}

func TestTheNodesClocksAreMeasured(t *testing.T) {
	c := agenttest.Connect(t, agenttest.Dir(t))
	for range 3 {
		s, err := c.Clock(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		// The node is this machine. Its wall clock may be stepped by whoever keeps it; the
		// two monotonic ones are one.
		if s.MonoLow > 0 && s.MonoHigh < 0 || s.MonoHigh-s.MonoLow != s.RTT || s.RTT <= 0 {
			t.Errorf("%+v", s)
		}
	}
}

func TestFactsTellWhatTheNodeIs(t *testing.T) {
	dir := agenttest.Dir(t)
	f := agenttest.Connect(t, dir).Facts()
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	host, _ := os.Hostname()
	if f.Dir != dir || f.OS != "linux" || f.BootID != strings.TrimSpace(string(boot)) || f.Hostname != host || f.Root != (os.Geteuid() == 0) {
		t.Errorf("%+v", f)
	}
	if f.DiskFree <= 0 || f.DiskTotal < f.DiskFree || f.Kernel == "" || f.Arch == "" || !strings.Contains(f.Version, "binary ") {
		t.Errorf("%+v", f)
	}
}

func TestTheAgentsLogTellsWhatEachAgentDid(t *testing.T) {
	t.Parallel()
	dir := agenttest.Dir(t)
	ctx := context.Background()
	conn := agenttest.NewConn()
	c := open(t, conn, agent.Options{Dir: dir})
	effect := &fatal{Path: filepath.Join(t.TempDir(), "broken"), At: "after apply"}
	if err := os.WriteFile(effect.Path+".alive", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(ctx, effect); err == nil {
		t.Fatal("the agent lives")
	}
	eventually(t, "undone", func() bool { return ledgerIsEmpty(dir) })
	var text strings.Builder
	if err := agenttest.Connect(t, dir).AgentLog(ctx, &text); err != nil {
		t.Fatal(err)
	}
	rest := text.String()
	for _, want := range []string{"begin, for ", "apply test.fatal {", "begin, for the watchdog of an agent that is gone", "undo test.fatal {", "end\n", "begin, for "} {
		_, after, ok := strings.Cut(rest, want)
		if !ok {
			t.Fatalf("no %q, in its turn, in\n%s", want, text.String())
		}
		rest = after
	}
}

func TestManyRequestsRunSideBySide(t *testing.T) {
	t.Parallel()
	c := agenttest.Connect(t, agenttest.Dir(t))
	errs := make(chan error)
	const n = 300
	for i := range n {
		go func() {
			name := fmt.Sprintf("dir/%d/file", i)
			content := []byte(strings.Repeat(name, i))
			if err := c.WriteFile(context.Background(), name, content, 0o600); err != nil {
				errs <- err
				return
			}
			var got strings.Builder
			if err := c.Download(context.Background(), name, &got); err != nil {
				errs <- err
				return
			}
			if got.String() != string(content) {
				errs <- fmt.Errorf("%s came back as something else", name)
				return
			}
			errs <- nil
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}
