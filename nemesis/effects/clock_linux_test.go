package effects_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// clocked is an agent with one server under a shadow clock.
func clocked(t *testing.T, dir string) (node, *agenttest.Conn) {
	t.Helper()
	conn := agenttest.NewConn()
	c, err := agent.Connect(context.Background(), conn, agent.Options{Dir: dir, Shadow: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background(), false) }) // it may be dead already
	if why, cannot := c.Facts().Cannot[effects.ShadowKind]; cannot {
		t.Skip(why)
	}
	return node{t, c}, conn
}

// proves checks what the evidence of a clock says. A look that a busy machine delayed is
// too imprecise to confirm anything, so a confirmation is waited for.
func (n node) proves(e agent.Effect, confirmed bool) {
	n.t.Helper()
	for looks := 0; ; looks++ {
		got, err := n.Probe(context.Background(), e)
		if err != nil {
			n.t.Fatal(err)
		}
		n.t.Log(got.Summary)
		if got.Confirmed == confirmed {
			return
		}
		if !confirmed || looks == 20 {
			n.t.Errorf("%s: confirmed %v, %q", e.Kind(), got.Confirmed, got.Summary)
			return
		}
	}
}

func TestShadowClockIsRightAgainAfterAgentKilled(t *testing.T) {
	for name, e := range map[string]*effects.Shadow{
		"a drift":  {ID: "f1", Change: history.ClockChange{Of: history.BothClocks, Rate: 3}},
		"a strobe": {ID: "f1", Change: history.ClockChange{Of: history.WallClock, Jump: history.Duration(-time.Hour), Rate: 1}, Period: 30 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			dir := agenttest.Dir(t)
			n, conn := clocked(t, dir)
			n.start()
			n.apply(e)
			n.proves(e, true)
			pid := n.is(agent.Running).PID
			if err := unix.Kill(conn.PIDs()[0], unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			<-n.Lost()
			n, _ = clocked(t, dir)
			n.proves(e, true) // that nothing of it is left
			if now := n.is(agent.Running).PID; now != pid {
				t.Errorf("the server was %d and is %d", pid, now)
			}
			if notes, _ := filepath.Glob(filepath.Join(dir, "notes", "*")); len(notes) > 0 {
				t.Errorf("left behind: %q", notes)
			}
		})
	}
}

func TestShadowClockSurvivesServerRestartAndPause(t *testing.T) {
	n, _ := clocked(t, agenttest.Dir(t))
	n.start()
	e := &effects.Shadow{ID: "f2", Change: history.ClockChange{Of: history.MonotonicClock, Rate: 0.5}}
	n.apply(e)
	n.apply(kill1)
	n.proves(e, false) // nobody is there to see it
	n.undo(kill1)
	n.apply(pause1)
	n.proves(e, true)
	n.undo(pause1)
	n.undo(e)
	n.proves(e, true)
}

func TestALocalNodeDoesNotTouchTheMachinesClock(t *testing.T) {
	n, _ := clocked(t, agenttest.Dir(t))
	if pids, err := os.Readlink("/proc/self/ns/pid"); err != nil || pids == "pid:[4026531836]" {
		t.Skipf("this test runs in no namespace of its own, where the machine's clock may be ours to change: %v", err)
	}
	e := &effects.Machine{ID: "f1", Change: history.ClockChange{Of: history.WallClock, Jump: 1, Rate: 1}}
	want := "apply clock.machine on n1: the machine's clock cannot be changed: this node is a container or a local one, and its clock is that of the machine around it"
	if err := n.Apply(context.Background(), e); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
