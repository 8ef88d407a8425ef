package agent_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
	"nemesis/nodes/cgroup"
)

// held runs a test once for each way in which an agent finds a server's processes.
func held(t *testing.T, opt agent.Options, test func(t *testing.T, c *agent.Client)) {
	t.Helper()
	for _, by := range []string{agent.HeldByCgroup, agent.HeldByTag} {
		t.Run("held by "+by, func(t *testing.T) {
			opt.Dir, opt.NoCgroup = agenttest.Dir(t), by == agent.HeldByTag
			c := open(t, agenttest.NewConn(), opt)
			t.Cleanup(func() {
				if err := c.Close(context.Background(), false); err != nil {
					t.Error(err)
				}
			})
			switch f := c.Facts(); {
			case f.HeldBy != by && by == agent.HeldByCgroup:
				t.Skipf("no control groups here: %s", f.NoCgroup)
			case f.HeldBy != by || (f.NoCgroup == "") != (by == agent.HeldByCgroup):
				t.Fatalf("servers are held by %q, %q", f.HeldBy, f.NoCgroup)
			}
			test(t, c)
		})
	}
}

// descendants are a process and all that came from it, as /proc knows their parents.
func descendants(t *testing.T, main int) map[int]string {
	t.Helper()
	states, parents := map[int]string{}, map[int]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 2 {
			pid, _ := strconv.Atoi(e.Name())
			states[pid] = fields[0]
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	out := map[int]string{}
	for pid := range states {
		for up := pid; up > 1; up = parents[up] {
			if up == main {
				out[pid] = states[pid]
			}
		}
	}
	return out
}

func TestPauseStopsPostgreSQLWithItsSessions(t *testing.T) {
	t.Parallel()
	held(t, agent.Options{}, func(t *testing.T, c *agent.Client) {
		_, query, session := postgres(t, c)
		if got := strings.TrimSpace(session(t, "select 40 + 2")); got != "42" {
			t.Fatalf("the session answers %q", got)
		}
		st, err := c.ProcessState(context.Background(), "postgres")
		if err != nil {
			t.Fatal(err)
		}
		before := descendants(t, st.PID)
		if len(before) < 5 || st.Processes != len(before) {
			t.Errorf("postmaster, helpers and a session: counted %d, and /proc has %v", st.Processes, before)
		}
		pause := &effects.Pause{ID: "f1", Process: "postgres"}
		if err := c.Apply(context.Background(), pause); err != nil {
			t.Fatal(err)
		}
		during := descendants(t, st.PID)
		for pid, state := range during {
			if state != "T" {
				t.Errorf("during the pause, process %d is in state %s: %v", pid, state, during)
			}
		}
		evidence, err := c.Probe(context.Background(), pause)
		if err != nil || !evidence.Confirmed || evidence.HeldBy != st.HeldBy || !strings.HasSuffix(evidence.Summary, "stopped (state T); held by "+st.HeldBy) {
			t.Errorf("%+v, %v", evidence, err)
		}
		if len(evidence.Processes) != len(during) {
			t.Errorf("evidence of %d processes, and there are %v", len(evidence.Processes), during)
		}
		for _, p := range evidence.Processes {
			if p.Before == "" || p.Before == "T" || p.Now != "T" || p.Name != "postgres" {
				t.Errorf("%+v", p)
			}
		}
		if err := c.Undo(context.Background(), pause); err != nil {
			t.Fatal(err)
		}
		after := descendants(t, st.PID)
		for pid, state := range after {
			if state == "T" {
				t.Errorf("after the pause, process %d is in state %s: %v", pid, state, after)
			}
		}
		if got := strings.TrimSpace(session(t, "select 40 + 3")); got != "43" {
			t.Errorf("after the pause the session answers %q", got)
		}
		query(t, "select 1")

		down := &effects.Kill{ID: "f2", Process: "postgres"}
		alive := descendants(t, st.PID)
		if err := c.Apply(context.Background(), down); err != nil {
			t.Fatal(err)
		}
		for pid := range alive {
			if err := unix.Kill(pid, 0); err == nil && !isZombie(pid) {
				t.Errorf("process %d outlived the kill", pid)
			}
		}
		evidence, err = c.Probe(context.Background(), down)
		// One that PostgreSQL had done with may have ended just before the kill.
		struck := len(evidence.Processes)
		want := fmt.Sprintf("postgres, pid %d with %d processes that it had forked, is gone after SIGKILL; held by %s", st.PID, struck-1, st.HeldBy)
		if err != nil || !evidence.Confirmed || evidence.Summary != want || struck < 6 || struck > len(alive) {
			t.Errorf("got %+v, %v, want %s", evidence, err, want)
		}
	})
}

func isZombie(pid int) bool {
	stat, _ := os.ReadFile("/proc/" + itoa(pid) + "/stat")
	return strings.Contains(string(stat), ") Z ")
}

// daemon starts a server whose child has left its session, its process group and its
// parent, and returns the child.
func daemon(t *testing.T, c *agent.Client) (child int) {
	t.Helper()
	script := `(setsid sh -c 'echo child $$; exec sleep 1000' &) ; exec sleep 1000`
	if _, err := c.StartProcess(context.Background(), agent.ProcessSpec{Name: "server", Argv: []string{"sh", "-c", script}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child says who it is", func() bool {
		text, _ := os.ReadFile(filepath.Join(c.Dir(), "server.log"))
		_, err := fmt.Sscanf(string(text), "child %d\n", &child)
		return err == nil
	})
	return child
}

func gone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("process %d is gone", pid), func() bool { return unix.Kill(pid, 0) != nil || isZombie(pid) })
}

func TestChildInASessionOfItsOwnIsPartOfTheServer(t *testing.T) {
	t.Parallel()
	held(t, agent.Options{}, func(t *testing.T, c *agent.Client) {
		child := daemon(t, c)
		pause := &effects.Pause{ID: "f1", Process: "server"}
		if err := c.Apply(context.Background(), pause); err != nil {
			t.Fatal(err)
		}
		stat, _ := os.ReadFile("/proc/" + itoa(child) + "/stat")
		if !strings.Contains(string(stat), ") T ") {
			t.Errorf("the child is not stopped: %s", stat)
		}
		// Somebody continues the child alone.
		if err := unix.Kill(child, unix.SIGCONT); err != nil {
			t.Fatal(err)
		}
		evidence, err := c.Probe(context.Background(), pause)
		if err != nil || evidence.Confirmed || !strings.HasPrefix(evidence.Summary, "1 of 2 threads of 2 processes of server") {
			t.Errorf("%+v, %v", evidence, err)
		}
		if err := c.Undo(context.Background(), pause); err != nil {
			t.Fatal(err)
		}
		down := &effects.Stop{ID: "f2", Process: "server", Grace: time.Minute}
		if err := c.Apply(context.Background(), down); err != nil {
			t.Fatal(err)
		}
		gone(t, child)
		evidence, err = c.Probe(context.Background(), down)
		if err != nil || !evidence.Confirmed || !strings.Contains(evidence.Summary, "is gone after SIGTERM, and SIGKILL of 1 processes that it left running") {
			t.Errorf("%+v, %v", evidence, err)
		}
		if err := c.Undo(context.Background(), down); err != nil {
			t.Fatal(err)
		}
		child = daemonChild(t, c, child)
		if _, err := c.StopProcess(context.Background(), "server", time.Second); err != nil {
			t.Fatal(err)
		}
		gone(t, child)
	})
}

// daemonChild waits until the server's log names another child than before.
func daemonChild(t *testing.T, c *agent.Client, before int) (child int) {
	t.Helper()
	eventually(t, "another child says who it is", func() bool {
		text, _ := os.ReadFile(filepath.Join(c.Dir(), "server.log"))
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		_, err := fmt.Sscanf(lines[len(lines)-1], "child %d", &child)
		return err == nil && child != before
	})
	return child
}

// A server that forks while it is being paused or killed gets no child past it.
func TestPauseAndKillMeetProcessesThatAreForkedMeanwhile(t *testing.T) {
	held(t, agent.Options{}, func(t *testing.T, c *agent.Client) {
		script := `while :; do setsid sh -c 'sleep 0.02; exec sleep 0.2' & sleep 0.002; done`
		if _, err := c.StartProcess(context.Background(), agent.ProcessSpec{Name: "server", Argv: []string{"sh", "-c", script}}); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			pause := &effects.Pause{ID: "p" + itoa(i), Process: "server"}
			if err := c.Apply(context.Background(), pause); err != nil {
				t.Fatal(err)
			}
			evidence, err := c.Probe(context.Background(), pause)
			if err != nil || !evidence.Confirmed {
				t.Errorf("%+v, %v", evidence, err)
			}
			if err := c.Undo(context.Background(), pause); err != nil {
				t.Fatal(err)
			}
		}
		down := &effects.Kill{ID: "k", Process: "server"}
		if err := c.Apply(context.Background(), down); err != nil {
			t.Fatal(err)
		}
		evidence, err := c.Probe(context.Background(), down)
		if err != nil || !evidence.Confirmed {
			t.Errorf("%+v, %v", evidence, err)
		}
	})
}

func TestControlGroupsAreRemovedWhenTheyAreEmpty(t *testing.T) {
	dir := agenttest.Dir(t)
	c := open(t, agenttest.NewConn(), agent.Options{Dir: dir})
	if c.Facts().HeldBy != agent.HeldByCgroup {
		t.Skip(c.Facts().NoCgroup)
	}
	startSleep(t, c)
	var group string
	if err := c.Close(context.Background(), true); err != nil { // the server is kept
		t.Fatal(err)
	}
	records(t, dir, func(server map[string]any) { group = server["group"].(string) })
	if g, err := cgroup.Open(group); err != nil {
		t.Errorf("the server runs, and its group is gone: %v", err)
	} else if pids, err := g.PIDs(); err != nil || len(pids) != 1 {
		t.Errorf("in the group of the server that was kept: %v, %v", pids, err)
	}
	c = open(t, agenttest.NewConn(), agent.Options{Dir: dir})
	if got := state(t, c); got.State != agent.Running || got.HeldBy != agent.HeldByCgroup {
		t.Errorf("the next agent found %+v", got)
	}
	if err := c.Close(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(group)); !os.IsNotExist(err) {
		t.Errorf("nothing runs, and %s is still there: %v", filepath.Dir(group), err)
	}
}

// besideServer is an effect that has a child of the agent run in the server's control group.
type besideServer struct {
	Out string `json:"out"`
}

func (*besideServer) Kind() string             { return "test.beside" }
func (*besideServer) Check(*agent.Host) error  { return nil }
func (b *besideServer) Undo(*agent.Host) error { return nil }
func (b *besideServer) Apply(h *agent.Host) error {
	cmd := exec.Command("sleep", "1000")
	if err := h.Processes.StartBeside("server", cmd); err != nil {
		return err
	}
	return os.WriteFile(b.Out, []byte(itoa(cmd.Process.Pid)), 0o600)
}

func (b *besideServer) Probe(h *agent.Host) (history.Evidence, error) { return history.Evidence{}, nil }

func TestChildOfTheAgentBesideTheServerIsNoneOfIts(t *testing.T) {
	held(t, agent.Options{}, func(t *testing.T, c *agent.Client) {
		out := filepath.Join(t.TempDir(), "pid")
		if err := c.Apply(context.Background(), &besideServer{out}); err == nil {
			t.Error("beside a server that was never started")
		}
		startSleep(t, c)
		if err := c.Apply(context.Background(), &besideServer{out}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(string(text))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGKILL) })
		st := state(t, c)
		if st.Processes != 1 {
			t.Errorf("it counts as the server's: %+v", st)
		}
		own, err := os.ReadFile("/proc/" + itoa(pid) + "/cgroup")
		server, err2 := os.ReadFile("/proc/" + itoa(st.PID) + "/cgroup")
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if st.HeldBy == agent.HeldByCgroup && parent(own) != parent(server) {
			t.Errorf("it is in\n%s and the server in\n%s", own, server)
		}
		if _, err := c.StopProcess(context.Background(), "server", 0); err != nil {
			t.Fatal(err)
		}
		if unix.Kill(pid, 0) != nil || isZombie(pid) {
			t.Error("it ended with the server")
		}
	})
}

// parent is a process's groups, without the part of a server's group that it is in.
func parent(groups []byte) string {
	lines := strings.Split(string(groups), "\n")
	slices.Sort(lines)
	text := strings.Join(lines, "\n")
	return strings.NewReplacer("/beside\n", "\n", "/server\n", "\n", "/beside", "", "/server", "").Replace(text)
}
