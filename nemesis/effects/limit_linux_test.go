package effects_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
	"nemesis/nodes/faultfs"
)

// limitedNode is a node whose agent can be killed, with a server.
type limitedNode struct {
	node
	conn *agenttest.Conn
	dir  string
}

func newLimitedNode(t *testing.T, kind, script string) limitedNode {
	t.Helper()
	dir, conn := agenttest.Dir(t), agenttest.NewConn()
	c, err := agent.Connect(context.Background(), conn, agent.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background(), false) }) // it may have been killed
	if why, cannot := c.Facts().Cannot[kind]; cannot {
		t.Skip(why)
	}
	n := limitedNode{node{t, c}, conn, dir}
	n.start("sh", "-c", script)
	return n
}

func (n limitedNode) until(e agent.Effect, confirmed bool) history.Evidence {
	n.t.Helper()
	var got history.Evidence
	defer func() {
		if n.t.Failed() {
			n.t.Logf("%+v", got)
		}
	}()
	until(n.t, fmt.Sprintf("as the evidence should be: confirmed is %v", confirmed), func() bool {
		var err error
		if got, err = n.Probe(context.Background(), e); err != nil {
			n.t.Fatal(err)
		}
		return got.Confirmed == confirmed
	})
	return got
}

// killAgent kills the agent and waits until its watchdog has undone what it did.
func (n limitedNode) killAgent(undone func() bool) {
	n.t.Helper()
	pids := n.conn.PIDs()
	if err := unix.Kill(pids[len(pids)-1], unix.SIGKILL); err != nil {
		n.t.Fatal(err)
	}
	until(n.t, "undone after the agent was killed", undone)
}

func TestShareOfACoreIsKeptAndMeasured(t *testing.T) {
	n := newLimitedNode(t, effects.CPULimitKind, "while :; do :; done")
	pid := n.state().PID
	e := &effects.CPULimit{ID: "f1", Process: "server", Cores: 0.1}
	n.until(e, true)
	n.apply(e)
	n.apply(e)
	got := n.until(e, true)
	for _, m := range got.Measures {
		if m.Name == "share of a core" && (m.Requested == nil || m.Requested.Value != 0.1 || !m.Within()) {
			t.Errorf("%+v", m)
		}
	}
	if stopped := measured(t, got, "periods stopped"); stopped < 1 {
		t.Error(got.Summary)
	}
	n.undo(e)
	n.undo(e)
	n.until(e, true)
	if st := n.is(agent.Running); st.PID != pid {
		t.Errorf("another process: %d, before %d", st.PID, pid)
	}
}

// limiting are the limits that processes of agents have now.
func limiting(t *testing.T) (found []string) {
	t.Helper()
	for _, name := range []string{"cpu.max", "cpu.cfs_quota_us", "memory.max", "memory.limit_in_bytes", "pids.max"} {
		for _, at := range []string{"/sys/fs/cgroup/*/*/", os.Getenv("NEMESIS_WORLD_DIR") + "/limits/*/*/*/"} {
			files, err := filepath.Glob(at + name)
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				value := strings.TrimSpace(string(text))
				if err == nil && value != "-1" && !strings.HasPrefix(value, "max") && value != "9223372036854771712" {
					found = append(found, file+" "+value)
				}
			}
		}
	}
	return found
}

func TestKernelKillsServerThatGetsNoMemory(t *testing.T) {
	n := newLimitedNode(t, effects.MemoryLimitKind, "exec sleep 1000")
	before := n.state()
	e := &effects.MemoryLimit{ID: "f1", Process: "server", Room: 16 << 20, Kill: true}
	n.apply(e)
	got := n.until(e, true)
	if killed := measured(t, got, "killed by the kernel"); killed < 1 || !strings.Contains(got.Summary, "the kernel killed it for want of memory") {
		t.Error(got.Summary)
	}
	n.is(agent.Exited)
	n.undo(e)
	n.until(e, true)
	if st := n.is(agent.Running); st.PID == before.PID {
		t.Errorf("it is still process %d", st.PID)
	}
}

func TestMemoryLimitIsMetAndLifted(t *testing.T) {
	n := newLimitedNode(t, effects.MemoryLimitKind, `while :; do head -c 20000000 /dev/zero >file; rm file; done`)
	e := &effects.MemoryLimit{ID: "f1", Process: "server", Room: 8 << 20}
	n.apply(e)
	got := n.until(e, true)
	if measured(t, got, "limit met") < 1 {
		t.Error(got.Summary)
	}
	n.undo(e)
	n.until(e, true)
	n.is(agent.Running)
}

func TestThreadsBeyondTheLimitAreRefused(t *testing.T) {
	n := newLimitedNode(t, effects.ThreadLimitKind, `trap '' CHLD; while :; do /bin/true & wait; done 2>/dev/null`)
	e := &effects.ThreadLimit{ID: "f1", Process: "server"}
	n.apply(e)
	got := n.until(e, true)
	if measured(t, got, "threads") < measured(t, got, "thread limit") && measured(t, got, "forks refused") == 0 {
		t.Error(got.Summary)
	}
	n.undo(e)
	n.until(e, true)
	until(t, "running again", func() bool { return n.state().State == agent.Running })
}

func TestOpenFilesBeyondTheLimitAreRefusedUntilGivenBack(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	n := newLimitedNode(t, effects.FileLimitKind, `while sleep 0.01; do if (exec 8</dev/null) 2>/dev/null; then echo opened; else echo refused; fi >>`+out+`; done`)
	last := func() string {
		text, _ := os.ReadFile(out)
		lines := strings.Fields(string(text))
		if len(lines) == 0 {
			return ""
		}
		return lines[len(lines)-1]
	}
	until(t, "at work", func() bool { return last() == "opened" })
	var was, now unix.Rlimit
	pid := n.state().PID
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	e := &effects.FileLimit{ID: "f1", Process: "server"}
	n.until(e, true)
	n.apply(e)
	n.apply(e)
	got := n.until(e, true)
	if open, limit := measured(t, got, "open files"), measured(t, got, "file limit"); limit > open+1 {
		t.Error(got.Summary)
	}
	n.killAgent(func() bool {
		return unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &now) == nil && now == was
	})
	until(t, "opening files again", func() bool { return last() == "opened" })
}

func TestLimitsAreLiftedAfterTheAgentWasKilled(t *testing.T) {
	n := newLimitedNode(t, effects.CPULimitKind, "while :; do sleep 0.01; done")
	if why, cannot := n.Facts().Cannot[effects.MemoryLimitKind]; cannot {
		t.Skip(why)
	}
	pid := n.state().PID
	n.apply(&effects.CPULimit{ID: "f1", Process: "server", Cores: 0.05})
	n.apply(&effects.MemoryLimit{ID: "f2", Process: "server", Room: 64 << 20})
	n.apply(&effects.ThreadLimit{ID: "f3", Process: "server", Room: 8})
	if now := limiting(t); len(now) != 3 {
		t.Errorf("limits in force: %q", now)
	}
	n.killAgent(func() bool { return len(limiting(t)) == 0 })
	if err := unix.Kill(pid, 0); err != nil {
		t.Errorf("the server: %v", err)
	}
}

func TestImpossibleLimitsAreRefused(t *testing.T) {
	n := newLimitedNode(t, effects.MemoryLimitKind, "exec sleep 1000")
	for want, e := range map[string]agent.Effect{
		"cpu.limit f1: 0.001 cores are not 0.01 or more":                                  &effects.CPULimit{ID: "f1", Process: "server", Cores: 0.001},
		"memory.limit f1: 5 bytes are less than 1048576":                                  &effects.MemoryLimit{ID: "f1", Process: "server", Room: 5},
		"memory.limit f1: 2097152 bytes are less than the 16777216 that it takes to kill": &effects.MemoryLimit{ID: "f1", Process: "server", Room: 2 << 20, Kill: true},
		"thread.limit f1: -1 threads more are not 0 or more":                              &effects.ThreadLimit{ID: "f1", Process: "server", Room: -1},
		"file.limit f1: -1 files more are not 0 or more":                                  &effects.FileLimit{ID: "f1", Process: "server", Room: -1},
		"process another was never started":                                               &effects.CPULimit{ID: "f2", Process: "another", Cores: 1},
	} {
		if err := n.Apply(context.Background(), e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestFullDiskHasNoSpaceUntilItIsMadeRoom(t *testing.T) {
	n := newOnDisk(t, `while sleep 0.01; do printf 0123456789 >>data/log || { printf x >>data/../failed; rm -f data/old; }; done`)
	if err := os.WriteFile(filepath.Join(n.data, "old"), make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &effects.DiskRule{ID: "f1", Process: "server", Rule: faultfs.Rule{Do: faultfs.Full, Room: 95}}
	n.apply(e)
	got := n.shows(e, true)
	// 90 bytes fit before there is no space; then the old file goes, and more do.
	if measured(t, got, "calls struck") < 1 || measured(t, got, "bytes grown") > 95 || !strings.Contains(got.Summary, "there is room for 95 bytes more, and then no space") {
		t.Error(got.Summary)
	}
	until(t, "written on after a file was removed", func() bool { return len(n.content("log")) > 100 && n.content("old") == "nothing" })
	n.undo(e)
	n.shows(e, true)
}
