package agent_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
	"nemesis/nodes/local/localtest"
)

// However the agent or its client ends, the server's own readings say that its clocks
// are right again: the wall clock to the moment, the monotonic clock in its rate.
func TestServersClocksAreRightAgainHoweverTheAgentEnds(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name string
		end  func(t *testing.T, dir string, conn *agenttest.Conn, c *agent.Client)
	}{
		{"killed, with a watchdog", func(t *testing.T, dir string, conn *agenttest.Conn, c *agent.Client) {
			kill(t, conn, c)
		}},
		{"killed, and its watchdog too", func(t *testing.T, dir string, conn *agenttest.Conn, c *agent.Client) {
			for _, pid := range []int{watchdog(t, conn.PIDs()[0]), conn.PIDs()[0]} {
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			<-c.Lost()
			agenttest.Connect(t, dir)
		}},
		{"killed, its watchdog too, and the ledger lost", func(t *testing.T, dir string, conn *agenttest.Conn, c *agent.Client) {
			for _, pid := range []int{watchdog(t, conn.PIDs()[0]), conn.PIDs()[0]} {
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			<-c.Lost()
			if err := os.Remove(filepath.Join(dir, "agent", "ledger.json")); err != nil {
				t.Fatal(err)
			}
			agenttest.Connect(t, dir)
		}},
		{"told to end by Ctrl-C", func(t *testing.T, dir string, conn *agenttest.Conn, c *agent.Client) {
			if err := unix.Kill(conn.PIDs()[0], unix.SIGINT); err != nil {
				t.Fatal(err)
			}
			<-c.Lost()
		}},
		{"its client closes", func(t *testing.T, dir string, conn *agenttest.Conn, c *agent.Client) {
			if err := c.Close(context.Background(), true); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			dir := agenttest.Dir(t)
			c, conn := shadowed(t, dir)
			server := teller(t, c)
			apply(t, c, &shadowChange{"both", history.ClockChange{Of: history.BothClocks, Jump: history.Duration(time.Hour), Rate: 3}})
			changed := lately(t, c)
			if changed.wall() < time.Hour || changed.mono() < time.Hour {
				t.Fatalf("it is not changed: %+v", changed)
			}
			way.end(t, dir, conn, c)

			one := lately(t, c)
			time.Sleep(50 * time.Millisecond)
			two := lately(t, c)
			if one.PID != server.PID {
				t.Errorf("the server was %d and is %d", server.PID, one.PID)
			}
			near(t, "wall clock", two.wall(), 0, two.unsure())
			near(t, "monotonic clock still drifts: it", two.mono()-one.mono(), 0, one.unsure()+two.unsure())
			if one.mono() < changed.mono() {
				t.Errorf("the monotonic clock went back from %v to %v", changed.mono(), one.mono())
			}
		})
	}
}

func TestAServerStartedAfterAllOfThatSeesTheTruthAlone(t *testing.T) {
	dir := agenttest.Dir(t)
	c, conn := shadowed(t, dir)
	apply(t, c, step(history.BothClocks, time.Hour))
	kill(t, conn, c)
	c, _ = shadowed(t, dir)
	teller(t, c)
	got := lately(t, c)
	near(t, "wall clock", got.wall(), 0, got.unsure())
	near(t, "monotonic clock, which nobody reads any more,", got.mono(), 0, got.unsure())
}

func TestAServerUnderAClockIsKnownToTheNextAgentAndStillFollowed(t *testing.T) {
	dir := agenttest.Dir(t)
	c, conn := shadowed(t, dir)
	// It waits for the word to execute something else.
	word := filepath.Join(c.Dir(), "word")
	_, err := c.StartProcess(context.Background(), agent.ProcessSpec{Name: "server", Argv: []string{
		"sh", "-c", `while ! test -e "$1"; do sleep 0.02; done; exec "$2" tell-time`, "sh", word, self(t)}})
	if err != nil {
		t.Fatal(err)
	}
	kill(t, conn, c)
	c, _ = shadowed(t, dir)
	apply(t, c, step(history.WallClock, time.Hour))
	if err := os.WriteFile(word, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := lately(t, c)
	near(t, "wall clock of what it executed without the agent that started it", got.wall(), time.Hour, got.unsure())
	if u := look(t, c); len(u.Blind) > 0 || len(u.Seeing) != 1 {
		t.Errorf("%+v", u)
	}
}

func TestAServerThatNobodyPutUnderTheClockIsToldOfAsBlind(t *testing.T) {
	dir := agenttest.Dir(t)
	c, _ := shadowed(t, dir)
	st := teller(t, c)
	stranger := exec.Command("sleep", "1000")
	stranger.Env = []string{"NEMESIS_PROCESS=" + c.Dir() + "/server"} // as if it were one of the server's
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait()
	}()
	want := underTest{Seeing: []int{st.PID}, Blind: []int{stranger.Process.Pid}}
	got := look(t, c)
	got.Offsets = agent.ClockOffsets{}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestTheClientMeasuresWhatAServerOfTheNodeSees(t *testing.T) {
	c, _ := shadowed(t, agenttest.Dir(t))
	ctx := context.Background()
	first, err := c.Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Shadow || first.MonoLow > 0 || first.MonoHigh < 0 || first.MonoHigh-first.MonoLow != first.RTT {
		t.Errorf("%+v", first)
	}
	apply(t, c, step(history.MonotonicClock, time.Minute))
	apply(t, c, &shadowChange{"wall", history.ClockChange{Of: history.WallClock, Jump: history.Duration(-time.Hour), Rate: 1}})
	s, err := c.Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	within := func(what string, low, high int64, want time.Duration) {
		t.Helper()
		// The zero of the monotonic offsets is the middle of the first sample.
		slack := first.RTT + int64(time.Millisecond)
		if low-slack > int64(want) || high+slack < int64(want) {
			t.Errorf("%s is off by %v to %v, not %v", what, time.Duration(low), time.Duration(high), want)
		}
	}
	within("wall clock", s.WallLow, s.WallHigh, -time.Hour)
	within("monotonic clock", s.MonoLow, s.MonoHigh, time.Minute)
	offsets := look(t, c).Offsets
	within("wall clock read on the node", offsets.WallLow, offsets.WallHigh, -time.Hour)
	within("monotonic clock read on the node", offsets.MonoLow, offsets.MonoHigh, time.Minute)
}

func TestNodesOfALocalClusterHaveClocksOfTheirOwn(t *testing.T) {
	cluster := localtest.Cluster(t, 2)
	ctx := context.Background()
	var clients []*agent.Client
	for _, n := range cluster.Nodes() {
		c, err := agent.Connect(ctx, localtest.Connect(t, cluster, n.Name), agent.Options{Shadow: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(context.Background(), false); err != nil {
				t.Error(err)
			}
		})
		if why, ok := c.Facts().Cannot["clock.shadow"]; ok {
			t.Skipf("no shadow clock here: %s", why)
		}
		clients = append(clients, c)
	}
	apply(t, clients[0], step(history.BothClocks, time.Hour))
	for i, want := range []time.Duration{time.Hour, 0} {
		if _, err := clients[i].StartProcess(ctx, agent.ProcessSpec{Name: "server", Argv: []string{"sh", "-c", "sleep 1000 & wait"}}); err != nil {
			t.Fatal(err)
		}
		u := look(t, clients[i])
		if d := time.Duration(u.Offsets.WallLow) - want; d > time.Millisecond || time.Duration(u.Offsets.WallHigh)-want < -time.Millisecond {
			t.Errorf("n%d: %+v, want %v", i+1, u.Offsets, want)
		}
		if len(u.Blind) > 0 || len(u.Seeing) == 0 {
			t.Errorf("n%d: %+v", i+1, u)
		}
	}
}

func TestAServerThatAFaultBroughtDownComesBackUnderItsClock(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"the agent", "its watchdog", "the next agent"} {
		t.Run("by "+by, func(t *testing.T) {
			dir := agenttest.Dir(t)
			c, conn := shadowed(t, dir)
			before := teller(t, c)
			down := &effects.Kill{ID: "f1", Process: "server"}
			if err := c.Apply(context.Background(), down); err != nil {
				t.Fatal(err)
			}
			switch by {
			case "the agent":
				if err := c.Undo(context.Background(), down); err != nil {
					t.Fatal(err)
				}
			case "its watchdog":
				kill(t, conn, c)
				c, _ = shadowed(t, dir)
			default:
				for _, pid := range []int{watchdog(t, conn.PIDs()[0]), conn.PIDs()[0]} {
					if err := unix.Kill(pid, unix.SIGKILL); err != nil {
						t.Fatal(err)
					}
				}
				<-c.Lost()
				c, _ = shadowed(t, dir)
			}
			apply(t, c, step(history.WallClock, time.Hour))
			got := lately(t, c)
			if got.PID == before.PID {
				t.Error("it was not killed")
			}
			near(t, "wall clock", got.wall(), time.Hour, got.unsure())
			if u := look(t, c); len(u.Blind) > 0 || len(u.Seeing) != 1 {
				t.Errorf("%+v", u)
			}
		})
	}
}

// Whenever the agent dies while it starts a server: either there is none, or it runs
// under the clock.
func TestAgentKilledDuringLaunchLeavesNoServerWithWrongClock(t *testing.T) {
	t.Parallel()
	exe := self(t)
	for i := range 6 {
		dir := agenttest.Dir(t)
		c, conn := shadowed(t, dir)
		started := make(chan error, 1)
		go func() {
			_, err := c.StartProcess(context.Background(), agent.ProcessSpec{Name: "server", Argv: []string{exe, "tell-time"}})
			started <- err
		}()
		time.Sleep(time.Duration(i) * 4 * time.Millisecond)
		if err := unix.Kill(conn.PIDs()[0], unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		<-started
		<-c.Lost()
		next, _ := shadowed(t, dir)
		apply(t, next, step(history.WallClock, time.Hour))
		// One that is still about to begin is not yet under it.
		eventually(t, "no server with another clock", func() bool { return len(look(t, next).Blind) == 0 })
		if st := state(t, next); st.State == agent.Running {
			got := lately(t, next)
			near(t, "wall clock", got.wall(), time.Hour, got.unsure())
		}
	}
}

func TestAClockThatStrobesGoesThereAndBackAndEndsWhereItBegan(t *testing.T) {
	c, _ := shadowed(t, agenttest.Dir(t))
	teller(t, c)
	s := &strobe{shadowChange{"strobe", history.ClockChange{Of: history.BothClocks, Jump: history.Duration(time.Hour), Rate: 1}}, 10 * time.Millisecond}
	if err := c.Apply(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	var there, back int
	eventually(t, "seen there and back, again and again", func() bool {
		switch got := lately(t, c); {
		case got.wall() > 30*time.Minute && got.mono() > 30*time.Minute:
			there++
		case got.wall() < 30*time.Minute && got.mono() < 30*time.Minute:
			back++
		}
		return there > 3 && back > 3
	})
	if err := c.Undo(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	one := lately(t, c)
	time.Sleep(50 * time.Millisecond)
	two := lately(t, c)
	near(t, "wall clock", two.wall(), 0, two.unsure())
	near(t, "monotonic clock still jumps: it", two.mono()-one.mono(), 0, one.unsure()+two.unsure())
}

// strobe is a change that comes and goes.
type strobe struct {
	shadowChange
	Period time.Duration `json:"period"`
}

func (s *strobe) Kind() string              { return "test.strobe" }
func (s *strobe) Apply(h *agent.Host) error { return h.Clocks.Strobe(s.By, s.Change, s.Period) }
