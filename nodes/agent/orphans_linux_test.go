package agent_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// agentOf is the process of a client's agent.
func agentOf(t *testing.T, c *agent.Client) int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, _ := os.ReadFile(name)
		command := strings.ReplaceAll(string(text), "\x00", " ")
		if strings.Contains(command, " agent --dir "+c.Dir()+" ") && !strings.Contains(command, "--watch") {
			pid, _ := strconv.Atoi(strings.Split(name, "/")[2])
			return pid
		}
	}
	t.Fatal("there is no agent")
	return 0
}

// A client that is gone for good leaves no server behind, with whatever that has forked.
func TestServersEndWhenNoClientComesBack(t *testing.T) {
	t.Parallel()
	for _, gone := range []string{"the client", "the agent"} {
		held(t, agent.Options{DeadAfter: time.Second, OrphanAfter: 500 * time.Millisecond}, func(t *testing.T, c *agent.Client) {
			child := daemon(t, c)
			st := state(t, c)
			sig := unix.SIGHUP // what a closed connection may send
			if gone == "the agent" {
				sig = unix.SIGKILL
			}
			if err := unix.Kill(agentOf(t, c), sig); err != nil {
				t.Fatal(err)
			}
			for _, pid := range []int{st.PID, child} {
				eventually(t, "the server has ended with "+gone, func() bool { return unix.Kill(pid, 0) != nil || isZombie(pid) })
			}
			eventually(t, "the log says so", func() bool {
				log, _ := os.ReadFile(filepath.Join(c.Dir(), "agent", "agent.log"))
				return strings.Contains(string(log), "since no client has come for 500ms")
			})
		})
	}
}

func TestServersAreFoundAsTheyWereByAClientThatComesBack(t *testing.T) {
	t.Parallel()
	dir := agenttest.Dir(t)
	opt := agent.Options{Dir: dir, DeadAfter: time.Second, OrphanAfter: 10 * time.Second} // in which a busy machine starts an agent
	first := agenttest.NewConn()
	c := open(t, first, opt)
	before := startSleep(t, c)
	kill(t, first, c)
	again := open(t, agenttest.NewConn(), opt)
	time.Sleep(11 * time.Second) // longer than the first one's watchdog waits
	if got := state(t, again); got != before {
		t.Errorf("it was %+v and is %+v", before, got)
	}
	if err := again.Close(context.Background(), false); err != nil {
		t.Error(err)
	}
}

func TestOnlyServersThatAreToBeKeptRunOn(t *testing.T) {
	dir := agenttest.Dir(t)
	opt := agent.Options{Dir: dir, Keep: true, DeadAfter: time.Second, OrphanAfter: 100 * time.Millisecond}
	conn := agenttest.NewConn()
	c := open(t, conn, opt)
	kept := startSleep(t, c)
	if !kept.Kept {
		t.Errorf("%+v", kept)
	}
	kill(t, conn, c)

	// Another client's server does not live on by the first one's wish, and ends the
	// moment its own client closes the agent and nobody comes back.
	opt.Keep = false
	c = open(t, agenttest.NewConn(), opt)
	other, err := c.StartProcess(context.Background(), agent.ProcessSpec{Name: "other", Argv: []string{"sleep", "1000"}})
	if err != nil || other.Kept {
		t.Fatalf("%+v, %v", other, err)
	}
	if err := c.Close(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	gone(t, other.PID)
	if err := unix.Kill(kept.PID, 0); err != nil {
		t.Errorf("the one to be kept is gone: %v", err)
	}

	c = open(t, agenttest.NewConn(), opt)
	if f := c.Facts().Processes; len(f) != 1 || f[0] != kept {
		t.Errorf("left running: %+v, want %+v", f, kept)
	}
	if ended, err := c.EndAll(context.Background(), false); err != nil || len(ended) != 0 {
		t.Errorf("ended %q, %v", ended, err)
	}
	if ended, err := c.EndAll(context.Background(), true); err != nil || len(ended) != 1 || ended[0] != kept.String() {
		t.Errorf("ended %q, %v", ended, err)
	}
	gone(t, kept.PID)
	if err := c.Close(context.Background(), true); err != nil {
		t.Error(err)
	}
}

// What a server left behind when it crashed by itself is ended with the rest.
func TestChildOfACrashedServerIsEnded(t *testing.T) {
	t.Parallel()
	held(t, agent.Options{}, func(t *testing.T, c *agent.Client) {
		child := daemon(t, c)
		if err := unix.Kill(state(t, c).PID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-c.Exits()
		if st := state(t, c); st.State != agent.Exited || st.Processes != 1 {
			t.Errorf("%+v", st)
		}
		for _, e := range []agent.Effect{&effects.Kill{ID: "f1", Process: "server"}} {
			if err := c.Apply(context.Background(), e); err == nil {
				t.Error("a server that is down was killed")
			}
		}
		if ended, err := c.EndAll(context.Background(), false); err != nil || len(ended) != 1 {
			t.Errorf("ended %q, %v", ended, err)
		}
		gone(t, child)
	})
}
