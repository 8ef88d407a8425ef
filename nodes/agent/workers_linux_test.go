package agent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// laborer is an effect whose worker writes down its process ID and waits.
type laborer struct {
	Path string `json:"path"`
}

func (l *laborer) Kind() string              { return "test.work" }
func (l *laborer) Check(*agent.Host) error   { return nil }
func (l *laborer) Apply(h *agent.Host) error { return h.Workers.Start(l, "db") }
func (l *laborer) Undo(h *agent.Host) error  { return h.Workers.Stop(l) }

func (l *laborer) Probe(h *agent.Host) (history.Evidence, error) {
	pid := h.Workers.PID(l)
	return history.Evidence{Confirmed: (pid != 0) == h.InForce(l), Summary: strconv.Itoa(pid)}, nil
}

func (l *laborer) Work(ctx context.Context) error {
	if err := os.WriteFile(l.Path+".new", []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return err
	}
	if err := os.Rename(l.Path+".new", l.Path); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (l *laborer) pid(t *testing.T) int {
	t.Helper()
	pid := 0
	eventually(t, "the worker tells its process ID", func() bool {
		text, err := os.ReadFile(l.Path)
		if err == nil {
			pid, err = strconv.Atoi(string(text))
		}
		return err == nil
	})
	return pid
}

func gonePID(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestWorkerRunsBesideTheServerUntilItsEffectIsUndone(t *testing.T) {
	ctx := context.Background()
	c := agenttest.Connect(t, agenttest.Dir(t))
	if _, err := c.StartProcess(ctx, agent.ProcessSpec{Name: "db", Argv: []string{"sleep", "1000"}}); err != nil {
		t.Fatal(err)
	}
	l := &laborer{Path: filepath.Join(t.TempDir(), "worker")}
	for range 2 { // the second finds it running
		if err := c.Apply(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	pid := l.pid(t)
	if e, err := c.Probe(ctx, l); err != nil || !e.Confirmed || e.Summary != strconv.Itoa(pid) {
		t.Errorf("the probe says %+v, %v, and the worker is %d", e, err, pid)
	}
	if c.Facts().HeldBy == agent.HeldByCgroup {
		if groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)); err != nil || !strings.Contains(string(groups), "/db/beside\n") {
			t.Errorf("it is in no control group of the server: %v, %s", err, groups)
		}
	}
	if err := c.Undo(ctx, l); err != nil {
		t.Fatal(err)
	}
	if !gonePID(pid) {
		t.Errorf("process %d still runs", pid)
	}
}

func TestWorkerEndsWithItsAgent(t *testing.T) {
	ctx := context.Background()
	dir := agenttest.Dir(t)
	conn := agenttest.NewConn()
	c, err := agent.Connect(ctx, conn, agent.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.StartProcess(ctx, agent.ProcessSpec{Name: "db", Argv: []string{"sleep", "1000"}}); err != nil {
		t.Fatal(err)
	}
	l := &laborer{Path: filepath.Join(t.TempDir(), "worker")}
	if err := c.Apply(ctx, l); err != nil {
		t.Fatal(err)
	}
	pid := l.pid(t)
	if err := unix.Kill(conn.PIDs()[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the worker is gone after its agent was killed", func() bool { return gonePID(pid) })
}

func TestWorkerThatEndedIsSeenAndStartedAgain(t *testing.T) {
	ctx := context.Background()
	c := agenttest.Connect(t, agenttest.Dir(t))
	if _, err := c.StartProcess(ctx, agent.ProcessSpec{Name: "db", Argv: []string{"sleep", "1000"}}); err != nil {
		t.Fatal(err)
	}
	l := &laborer{Path: filepath.Join(t.TempDir(), "worker")}
	if err := c.Apply(ctx, l); err != nil {
		t.Fatal(err)
	}
	first := l.pid(t)
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the probe sees that it ended", func() bool {
		e, err := c.Probe(ctx, l)
		return err == nil && !e.Confirmed && e.Summary == "0"
	})
	if err := c.Apply(ctx, l); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another one works", func() bool { return l.pid(t) != first })
}
