package effects_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// node is an agent with one server.
type node struct {
	t *testing.T
	*agent.Client
}

func newNode(t *testing.T, argv ...string) node {
	t.Helper()
	n := node{t, agenttest.Connect(t, agenttest.Dir(t))}
	n.start(argv...)
	return n
}

func (n node) start(argv ...string) {
	n.t.Helper()
	if len(argv) == 0 {
		argv = []string{"sleep", "1000"}
	}
	if _, err := n.StartProcess(context.Background(), agent.ProcessSpec{Name: "server", Argv: argv}); err != nil {
		n.t.Fatal(err)
	}
}

func (n node) apply(e agent.Effect) {
	n.t.Helper()
	if err := n.Apply(context.Background(), e); err != nil {
		n.t.Fatal(err)
	}
}

func (n node) undo(e agent.Effect) {
	n.t.Helper()
	if err := n.Undo(context.Background(), e); err != nil {
		n.t.Fatal(err)
	}
}

func (n node) state() agent.ProcessState {
	n.t.Helper()
	st, err := n.ProcessState(context.Background(), "server")
	if err != nil {
		n.t.Fatal(err)
	}
	return st
}

// shows checks an effect's evidence. want may hold one %d, for the server's pid, and leaves
// out how the server is held, which differs between machines.
func (n node) shows(e agent.Effect, confirmed bool, want string, pid int) {
	n.t.Helper()
	got, err := n.Probe(context.Background(), e)
	if err != nil {
		n.t.Fatal(err)
	}
	if strings.Contains(want, "%d") {
		want = fmt.Sprintf(want, pid)
	}
	ofServer := strings.HasPrefix(e.Kind(), "proc.") // others hold no server
	if ofServer && (got.HeldBy != agent.HeldByCgroup || n.Facts().HeldBy != agent.HeldByCgroup) && got.HeldBy != agent.HeldByTag {
		n.t.Errorf("%s: held by %q", e.Kind(), got.HeldBy)
	}
	if got.Confirmed != confirmed || strings.TrimSuffix(got.Summary, "; held by "+got.HeldBy) != want {
		n.t.Errorf("%s: got %v, %q; want %v, %q", e.Kind(), got.Confirmed, got.Summary, confirmed, want)
	}
}

// undoneByOthers checks that the evidence says so.
func (n node) undoneByOthers(e agent.Effect) {
	n.t.Helper()
	if got, err := n.Probe(context.Background(), e); err != nil || !got.Undone || got.Confirmed {
		n.t.Errorf("%s: %+v, %v", e.Kind(), got, err)
	}
}

func (n node) is(state string) agent.ProcessState {
	n.t.Helper()
	st := n.state()
	if st.State != state {
		n.t.Errorf("the server is %+v, want %s", st, state)
	}
	return st
}

var (
	pause1 = &effects.Pause{ID: "f1", Process: "server"}
	pause2 = &effects.Pause{ID: "f2", Process: "server"}
	kill1  = &effects.Kill{ID: "f1", Process: "server"}
	kill2  = &effects.Kill{ID: "f2", Process: "server"}
	stop3  = &effects.Stop{ID: "f3", Process: "server", Grace: time.Minute}
)

func TestAPausedServerStandsStillAndGoesOn(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	pid := n.state().PID
	n.shows(pause1, true, "server, pid %d, runs again", pid)
	n.apply(pause1)
	n.apply(pause1)
	n.is(agent.Paused)
	n.shows(pause1, true, "all 1 threads of server, pid %d, stopped (state T)", pid)
	n.undo(pause1)
	n.undo(pause1)
	n.shows(pause1, true, "server, pid %d, runs again", pid)
	if st := n.is(agent.Running); st.PID != pid {
		t.Errorf("it was pid %d and is %d", pid, st.PID)
	}
}

func TestSomebodyElsesContinueIsNoticed(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	pid := n.state().PID
	n.apply(pause1)
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	n.shows(pause1, false, "0 of 1 threads of server, pid %d, stopped (state T)", pid)
	n.undoneByOthers(pause1)
}

func TestAKilledServerIsDownAndComesBack(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	pid := n.state().PID
	n.apply(kill1)
	n.apply(kill1)
	n.shows(kill1, true, "server, pid %d, is gone after SIGKILL", pid)
	if exit := <-n.Exits(); !exit.Expected || exit.Signal != "SIGKILL" || exit.PID != pid {
		t.Errorf("%+v", exit)
	}
	n.undo(kill1)
	n.undo(kill1)
	now := n.is(agent.Running).PID
	if now == pid {
		t.Error("it never was away")
	}
	n.shows(kill1, true, "server runs, pid %d", now)
}

// A server that somebody started by hand while ours is held down is seen by its processes,
// which inherit the tag, or else by its port.
func TestAServerThatSomebodyElseStartedIsNoticed(t *testing.T) {
	t.Parallel()
	for _, effect := range []agent.Effect{
		&effects.Kill{ID: "f1", Process: "server"},
		&effects.Stop{ID: "f1", Process: "server", Grace: time.Minute},
	} {
		n := newNode(t)
		pid := n.state().PID
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err != nil {
			t.Fatal(err)
		}
		n.apply(effect)
		again := exec.Command("sleep", "1000")
		again.Env = strings.Split(strings.TrimRight(string(environment), "\x00"), "\x00")
		if err := again.Start(); err != nil {
			t.Fatal(err)
		}
		defer again.Wait()
		defer again.Process.Kill()
		n.undoneByOthers(effect)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	for _, effect := range []agent.Effect{
		&effects.Kill{ID: "f1", Process: "server", Ports: []uint16{port}},
		&effects.Stop{ID: "f1", Process: "server", Grace: time.Minute, Ports: []uint16{port}},
	} {
		n := newNode(t)
		pid := n.state().PID
		n.apply(effect)
		n.shows(effect, false, fmt.Sprintf("server is down, but another process listens at its port %d", port), pid)
		n.undoneByOthers(effect)
		listener.Close()
		n.shows(effect, true, "server, pid %d, is gone after "+map[string]string{effects.KillKind: "SIGKILL", effects.StopKind: "SIGTERM"}[effect.Kind()], pid)
		if listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
			t.Fatal(err)
		}
	}
	listener.Close()
}

func TestAStoppedServerSaysHowItEnded(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	pid := n.state().PID
	n.apply(stop3)
	n.shows(stop3, true, "server, pid %d, is gone after SIGTERM", pid)
	n.undo(stop3)
	n.is(agent.Running)

	deaf := newNode(t, "sh", "-c", `trap "" TERM; kill -STOP $$; exec sleep 1000`)
	for deaf.state().State != agent.Paused { // it says so itself, once it is deaf
		time.Sleep(time.Millisecond)
	}
	pid = deaf.state().PID
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	short := &effects.Stop{ID: "f4", Process: "server", Grace: 50 * time.Millisecond}
	deaf.apply(short)
	deaf.shows(short, true, "server, pid %d, is gone after SIGKILL, since it ignored SIGTERM for 50ms", pid)
}

func TestOverlappingFaultsOnOneServer(t *testing.T) {
	t.Parallel()
	t.Run("two pauses: it goes on after the later", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		pid := n.state().PID
		n.apply(pause1)
		n.apply(pause2)
		n.undo(pause1)
		n.is(agent.Paused)
		n.shows(pause1, true, "let go of server, pid %d, which another fault holds", pid)
		n.undo(pause2)
		n.is(agent.Running)
	})
	t.Run("two kills: it comes back after the later", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		n.apply(kill1)
		n.apply(kill2)
		n.shows(kill2, false, "server had already been ended by another fault; it is kept down", 0)
		n.undo(kill1)
		n.is(agent.Exited)
		n.shows(kill1, true, "let go of server, which another fault keeps down", 0)
		n.undo(kill2)
		n.is(agent.Running)
	})
	t.Run("killed while paused: it comes back paused", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		n.apply(pause1)
		n.apply(kill2)
		n.is(agent.Exited)
		n.shows(pause1, false, "server is not paused but exited", 0)
		n.undo(kill2)
		for n.state().State != agent.Paused { // the signal is on its way
			time.Sleep(time.Millisecond)
		}
		n.undo(pause1)
		n.is(agent.Running)
	})
	t.Run("paused, then killed, and the pause ends first", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		n.apply(pause1)
		n.apply(kill2)
		n.undo(pause1)
		n.shows(pause1, true, "server is not paused any more, but exited", 0)
		n.is(agent.Exited)
		n.undo(kill2)
		n.is(agent.Running)
	})
	t.Run("stopped while it is killed", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		n.apply(kill1)
		n.apply(stop3)
		n.undo(stop3)
		n.is(agent.Exited)
		n.undo(kill1)
		n.is(agent.Running)
	})
	t.Run("paused while it is killed: there is nothing to pause", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		n.apply(kill1)
		err := n.Apply(context.Background(), pause2)
		if err == nil || !strings.Contains(err.Error(), "process server is not running (ended by SIGKILL): there is nothing to pause") {
			t.Errorf("got %v", err)
		}
		if l, err := n.Ledger(context.Background()); err != nil || len(l) != 1 {
			t.Errorf("the refused effect is in the ledger: %q, %v", l, err)
		}
		n.undo(kill1)
		n.is(agent.Running)
	})
	t.Run("started by hand while it is killed: the fault has the last word", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		n.apply(kill1)
		_, err := n.StartProcess(context.Background(), agent.ProcessSpec{Name: "server", Argv: []string{"sleep", "1000"}})
		if err == nil || !strings.Contains(err.Error(), "a fault (proc.kill f1) holds it down") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("stopped for good while it is killed: nobody brings it back", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		n.apply(kill1)
		if _, err := n.StopProcess(context.Background(), "server", time.Minute); err != nil {
			t.Fatal(err)
		}
		n.undo(kill1)
		n.is(agent.Exited)
		n.start()
		n.is(agent.Running)
	})
}

func TestAServerThatCrashedByItselfIsNobodysFaultAndStaysDown(t *testing.T) {
	t.Parallel()
	n := newNode(t, "sh", "-c", "exit 2")
	<-n.Exits()
	for _, e := range []agent.Effect{pause1, kill1, stop3} {
		err := n.Apply(context.Background(), e)
		if err == nil || !strings.Contains(err.Error(), "process server is not running (exited with status 2)") {
			t.Errorf("%s: got %v", e.Kind(), err)
		}
		n.undo(e)
		n.is(agent.Exited)
	}
}

func TestEffectsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for _, c := range []struct {
		effect agent.Effect
		want   string
	}{
		{&effects.Pause{ID: "f1", Process: "etcd"}, "process etcd was never started"},
		{&effects.Kill{ID: "f1", Process: "etcd"}, "process etcd was never started"},
		{&effects.Kill{ID: "a b", Process: "server"}, `proc.kill: ID "a b" is not up to 32`},
		{&effects.Pause{Process: "server"}, `proc.pause: ID "" is not up to 32`},
		{&effects.Stop{ID: "f1", Process: "server"}, "grace 0s is not above 0"},
		{&effects.Stop{ID: "f1", Process: "server", Grace: time.Hour}, "grace 1h0m0s is not above 0 and at most 1m"},
	} {
		if err := n.Apply(context.Background(), c.effect); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want …%s…", c.effect, err, c.want)
		}
	}
	n.is(agent.Running)
}
