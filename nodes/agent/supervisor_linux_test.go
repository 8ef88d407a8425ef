package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

func startSleep(t *testing.T, c *agent.Client) agent.ProcessState {
	t.Helper()
	st, err := c.StartProcess(context.Background(), agent.ProcessSpec{Name: "server", Argv: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func state(t *testing.T, c *agent.Client) agent.ProcessState {
	t.Helper()
	st, err := c.ProcessState(context.Background(), "server")
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// records edits what the agents know of their processes, while none is at work.
func records(t *testing.T, dir string, edit func(server map[string]any)) {
	t.Helper()
	path := filepath.Join(dir, "agent", "processes.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]any{}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	edit(all["server"])
	if text, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// kill ends the agent the hard way, and waits until its watchdog has undone the ledger,
// and does no more than wait for the next client.
func kill(t *testing.T, conn *agenttest.Conn, c *agent.Client) {
	t.Helper()
	dog := watchdog(t, conn.PIDs()[0])
	if err := unix.Kill(conn.PIDs()[0], unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-c.Lost()
	eventually(t, "the watchdog is done", func() bool {
		stat, err := os.ReadFile("/proc/" + itoa(dog) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return true
		}
		lock, err := os.Open(filepath.Join(c.Dir(), "agent", "lock"))
		if err != nil {
			return false
		}
		defer lock.Close()
		if unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil {
			return false
		}
		holder, _ := os.ReadFile(lock.Name())
		return strings.HasPrefix(string(holder), "the watchdog of an agent that is gone")
	})
}

func TestAServerOutlivesItsAgentAndTheNextOneKnowsIt(t *testing.T) {
	dir := agenttest.Dir(t)
	conn := agenttest.NewConn()
	c := open(t, conn, agent.Options{Dir: dir})
	before := startSleep(t, c)
	kill(t, conn, c)

	next := agenttest.Connect(t, dir)
	if got := state(t, next); got != before {
		t.Fatalf("it was %+v and is %+v", before, got)
	}
	if got := startSleep(t, next); got != before {
		t.Errorf("starting it again made %+v of %+v", got, before)
	}
	if got := next.Facts().Processes; len(got) != 1 || got[0] != before {
		t.Errorf("the next agent's facts: %+v", got)
	}
	stopped, err := next.StopProcess(context.Background(), "server", 10*time.Second)
	if err != nil || stopped.State != agent.Exited {
		t.Errorf("%+v, %v", stopped, err)
	}
	want := history.Exit{Server: "server", PID: before.PID, Code: -1, Signal: "unknown", Expected: true}
	if got := <-next.Exits(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAServerThatAFaultBroughtDownComesBackWhenTheAgentIsKilled(t *testing.T) {
	t.Parallel()
	for _, effect := range []agent.Effect{
		&effects.Kill{ID: "f1", Process: "server"},
		&effects.Stop{ID: "f1", Process: "server", Grace: time.Minute},
		&effects.Pause{ID: "f1", Process: "server"},
	} {
		for _, watched := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, watchdog %v", effect.Kind(), watched), func(t *testing.T) {
				dir := agenttest.Dir(t)
				conn := agenttest.NewConn()
				c := open(t, conn, agent.Options{Dir: dir})
				before := startSleep(t, c)
				if err := c.Apply(context.Background(), effect); err != nil {
					t.Fatal(err)
				}
				dog := watchdog(t, conn.PIDs()[0])
				if watched {
					kill(t, conn, c)
					if !ledgerIsEmpty(dir) {
						t.Error("the watchdog left the ledger as it was")
					}
				} else {
					for _, pid := range []int{dog, conn.PIDs()[0]} {
						if err := unix.Kill(pid, unix.SIGKILL); err != nil {
							t.Fatal(err)
						}
					}
					<-c.Lost()
				}
				next := agenttest.Connect(t, dir)
				if want := map[bool]int{true: 0, false: 1}[watched]; len(next.Facts().Leftovers) != want {
					t.Errorf("leftovers: %q", next.Facts().Leftovers)
				}
				got := state(t, next)
				if same := got.PID == before.PID; got.State != agent.Running || same != (effect.Kind() == effects.PauseKind) {
					t.Errorf("it was %+v and is %+v", before, got)
				}
				evidence, err := next.Probe(context.Background(), effect)
				if err != nil || !evidence.Confirmed {
					t.Errorf("%+v, %v", evidence, err)
				}
			})
		}
	}
}

func TestAServerWhoseAgentDiedBeforeWritingItDownIsFound(t *testing.T) {
	dir := agenttest.Dir(t)
	conn := agenttest.NewConn()
	c := open(t, conn, agent.Options{Dir: dir})
	before := startSleep(t, c)
	kill(t, conn, c)
	records(t, dir, func(server map[string]any) { server["pid"], server["started"] = 0, 0 })
	if got := state(t, agenttest.Connect(t, dir)); got != before {
		t.Errorf("it was %+v and is %+v", before, got)
	}
}

func TestProcessWithRecycledPIDIsNeverSignalled(t *testing.T) {
	dir := agenttest.Dir(t)
	conn := agenttest.NewConn()
	c := open(t, conn, agent.Options{Dir: dir})
	stranger := startSleep(t, c)
	kill(t, conn, c)
	records(t, dir, func(server map[string]any) { server["started"] = stranger.Started - 1 })

	next := agenttest.Connect(t, dir)
	if got := state(t, next); got.State != agent.Exited {
		t.Errorf("%+v", got)
	}
	if _, err := next.StopProcess(context.Background(), "server", 0); err != nil {
		t.Error(err)
	}
	if err := unix.Kill(stranger.PID, 0); err != nil {
		t.Fatalf("the stranger is gone: %v", err)
	}
	if err := unix.Kill(stranger.PID, unix.SIGKILL); err != nil { // ours to end: this test started it
		t.Error(err)
	}
}

func TestAfterARebootNothingIsStartedByItself(t *testing.T) {
	dir := agenttest.Dir(t)
	conn := agenttest.NewConn()
	c := open(t, conn, agent.Options{Dir: dir})
	before := startSleep(t, c)
	if _, err := c.StopProcess(context.Background(), "server", time.Minute); err != nil {
		t.Fatal(err)
	}
	kill(t, conn, c)
	records(t, dir, func(server map[string]any) {
		server["boot"], server["wanted"], server["down"] = "another", true, []string{"proc.kill f1"}
	})
	ledger := `[{"kind": "proc.kill", "spec": {"id": "f1", "process": "server"}}]`
	if err := os.WriteFile(filepath.Join(dir, "agent", "ledger.json"), []byte(ledger), 0o600); err != nil {
		t.Fatal(err)
	}
	next := agenttest.Connect(t, dir)
	if l := next.Facts().Leftovers; len(l) != 1 {
		t.Errorf("leftovers: %q", l)
	}
	if got := state(t, next); got.State != agent.Absent {
		t.Errorf("%+v was %+v", got, before)
	}
}

func TestAServerIsAskedToEndByItsOwnSignal(t *testing.T) {
	c := agenttest.Connect(t, agenttest.Dir(t))
	ctx := context.Background()
	_, err := c.StartProcess(ctx, agent.ProcessSpec{Name: "server", StopSignal: "QUIT",
		Argv: []string{"sh", "-c", `trap "exit 3" QUIT; trap "exit 4" TERM; echo ready; while :; do sleep 0.01; done`}, Log: "server.log"})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the traps are set", func() bool {
		text, _ := os.ReadFile(filepath.Join(c.Dir(), "server.log"))
		return strings.Contains(string(text), "ready")
	})
	if got, err := c.StopProcess(ctx, "server", time.Minute); err != nil || got.Code != 3 {
		t.Errorf("it ended as %+v, %v, want status 3", got, err)
	}
}

func TestHowAServerEndsIsTold(t *testing.T) {
	c := agenttest.Connect(t, agenttest.Dir(t))
	ctx := context.Background()
	for _, way := range []struct {
		name   string
		script string
		end    func(pid int)
		want   history.Exit
	}{
		{"by itself", "exit 7", nil, history.Exit{Code: 7}},
		{"by somebody's signal", "exec sleep 1000", func(pid int) { unix.Kill(pid, unix.SIGKILL) }, history.Exit{Code: -1, Signal: "SIGKILL"}},
		{"stopped in order", "exec sleep 1000", func(int) { c.StopProcess(ctx, "server", time.Minute) }, history.Exit{Code: -1, Signal: "SIGTERM", Expected: true}},
		{"stopped with an exit status of its own", `trap "exit 3" TERM; echo ready; while :; do sleep 0.01; done`, func(int) { c.StopProcess(ctx, "server", time.Minute) }, history.Exit{Code: 3, Expected: true}},
		{"stopped at once", "exec sleep 1000", func(int) { c.StopProcess(ctx, "server", 0) }, history.Exit{Code: -1, Signal: "SIGKILL", Expected: true}},
		{"deaf to being stopped", `trap "" TERM; echo ready; while :; do sleep 0.01; done`, func(int) { c.StopProcess(ctx, "server", 100*time.Millisecond) }, history.Exit{Code: -1, Signal: "SIGKILL", Expected: true}},
	} {
		t.Run(way.name, func(t *testing.T) {
			log := strings.ReplaceAll(way.name, " ", "-") + ".log"
			st, err := c.StartProcess(ctx, agent.ProcessSpec{Name: "server", Argv: []string{"sh", "-c", way.script}, Log: log})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(way.script, "trap") {
				eventually(t, "the trap is set", func() bool {
					text, _ := os.ReadFile(filepath.Join(c.Dir(), log))
					return strings.Contains(string(text), "ready")
				})
			}
			if way.end != nil {
				way.end(st.PID)
			}
			way.want.Server, way.want.PID = "server", st.PID
			if got := <-c.Exits(); got != way.want {
				t.Errorf("got %+v, want %+v", got, way.want)
			}
			if got := state(t, c); got.State != agent.Exited || got.Code != way.want.Code || got.Signal != way.want.Signal {
				t.Errorf("state %+v", got)
			}
		})
	}
}

func TestWhatAServerForkedEndsWithIt(t *testing.T) {
	c := agenttest.Connect(t, agenttest.Dir(t))
	st, err := c.StartProcess(context.Background(), agent.ProcessSpec{
		// The child is deaf to SIGTERM, and would keep the ports and the data.
		Name: "server", Argv: []string{"sh", "-c", `(trap "" TERM; echo ready; exec sleep 1000) & wait`},
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child is deaf", func() bool {
		text, _ := os.ReadFile(filepath.Join(c.Dir(), "server.log"))
		return strings.Contains(string(text), "ready")
	})
	if _, err := c.StopProcess(context.Background(), "server", time.Minute); err != nil {
		t.Fatal(err)
	}
	// A killed child whose parent is gone is reaped by whoever is init here.
	eventually(t, "the group is gone", func() bool { return !groupLives(st.PID) })
}

func groupLives(pgrp int) bool {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 2 && fields[2] == itoa(pgrp) && fields[0] != "Z" {
			return true
		}
	}
	return false
}

func TestAServerSeesOnlyTheEnvironmentItWasGiven(t *testing.T) {
	t.Setenv("SECRET_OF_THE_LOGIN", "x")
	c := agenttest.Connect(t, agenttest.Dir(t))
	spec := agent.ProcessSpec{Name: "server", Argv: []string{"env"}, Env: map[string]string{"ETCD_NAME": "n1 \"$x\"\nline"}, Dir: "data/dir", Log: "logs/env"}
	for range 2 { // the log is appended to
		if _, err := c.StartProcess(context.Background(), spec); err != nil {
			t.Fatal(err)
		}
		<-c.Exits()
	}
	text, err := os.ReadFile(filepath.Join(c.Dir(), "logs/env"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(c.Dir(), "data/dir")
	once := "ETCD_NAME=n1 \"$x\"\nline\nHOME=" + dir + "\nLANG=C.UTF-8\n" +
		"NEMESIS_PROCESS=" + c.Dir() + "/server\n" +
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
	got := strings.ReplaceAll(string(text), "PWD="+dir+"\n", "")
	if sorted(got) != sorted(once+once) {
		t.Errorf("it saw\n%s", got)
	}
}
