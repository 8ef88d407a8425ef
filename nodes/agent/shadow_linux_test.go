package agent_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "unsafe" // for linkname

	"golang.org/x/sys/unix"

	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// tellTime is a server that writes down what time it is, again and again. It is this
// test binary, static and written in Go, so it reads the clocks as etcd does. It rests in
// the kernel: a sleep of the runtime's would end by the clock that is changed.
func tellTime() {
	out := json.NewEncoder(os.Stdout)
	for {
		if out.Encode(tellNow()) != nil {
			return
		}
		_ = unix.Nanosleep(&unix.Timespec{Nsec: 5e6}, nil)
	}
}

// told is what a server read, and the machine's own clocks around it.
type told struct {
	PID                         int
	Wall, Mono                  int64
	TrueWall, Before, TrueAfter int64 // wall; monotonic before and after
}

func tellNow() told {
	clock := func(id int32) int64 { // by system call, so it is true
		var ts unix.Timespec
		_ = unix.ClockGettime(id, &ts)
		return ts.Nano()
	}
	t := told{PID: os.Getpid(), Before: clock(unix.CLOCK_MONOTONIC), TrueWall: clock(unix.CLOCK_REALTIME)}
	t.Wall, t.Mono = time.Now().UnixNano(), nanotime()
	t.TrueAfter = clock(unix.CLOCK_MONOTONIC)
	return t
}

//go:linkname nanotime runtime.nanotime
func nanotime() int64

// unsure is how far the reading of the shadow clocks may lie from that of the true ones.
func (t told) unsure() time.Duration { return time.Duration(t.TrueAfter - t.Before) }

func (t told) wall() time.Duration { return time.Duration(t.Wall - t.TrueWall) }
func (t told) mono() time.Duration { return time.Duration(t.Mono - t.Before) }

// shadowed connects to an agent whose servers run under the shadow clock.
func shadowed(t testing.TB, dir string) (*agent.Client, *agenttest.Conn) {
	t.Helper()
	conn := agenttest.NewConn()
	c, err := agent.Connect(context.Background(), conn, agent.Options{Dir: dir, Shadow: true})
	if err != nil {
		t.Fatal(err)
	}
	if why, ok := c.Facts().Cannot["clock.shadow"]; ok {
		t.Skipf("no shadow clock here: %s", why)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := c.Close(ctx, false); err != nil {
			t.Errorf("close the agent: %v", err)
		}
	})
	return c, conn
}

// teller starts the server that tells the time, through a shell if wrapper says so.
func teller(t testing.TB, c *agent.Client, wrapper ...string) agent.ProcessState {
	t.Helper()
	exe := self(t)
	st, err := c.StartProcess(context.Background(), agent.ProcessSpec{Name: "server", Argv: append(wrapper, exe, "tell-time")})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// self is this test binary, where any user may execute it.
func self(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nemesis-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	exe, server := "/proc/self/exe", filepath.Join(dir, "server")
	if path, err := os.Executable(); err == nil {
		exe = path
	}
	if err = os.Link(exe, server); err != nil { // it lies on another disk
		var content []byte
		if content, err = os.ReadFile(exe); err == nil {
			err = os.WriteFile(server, content, 0o755)
		}
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return server
}

// lately is what the server wrote down last, but not before this moment.
func lately(t testing.TB, c *agent.Client) told {
	t.Helper()
	now := tellNow()
	var last told
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		f, err := os.Open(filepath.Join(c.Dir(), "server.log"))
		if err != nil {
			t.Fatal(err)
		}
		if info, _ := f.Stat(); info.Size() > 4096 {
			_, _ = f.Seek(-4096, 2)
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var next told
			if json.Unmarshal(lines.Bytes(), &next) == nil {
				last = next
			}
		}
		f.Close()
		// The tighter ones say more.
		if last.Before > now.Before && last.unsure() < 5*time.Millisecond {
			return last
		}
		if time.Now().After(end) {
			t.Fatal("the server says nothing any more")
		}
	}
}

// shadowChange is an effect on the shadow clock, told by nothing but its own fields.
type shadowChange struct {
	By     string              `json:"by"`
	Change history.ClockChange `json:"change"`
}

func (b *shadowChange) Kind() string              { return "test.change" }
func (b *shadowChange) Check(*agent.Host) error   { return nil }
func (b *shadowChange) Apply(h *agent.Host) error { return h.Clocks.Change(b.By, b.Change) }
func (b *shadowChange) Undo(h *agent.Host) error  { return h.Clocks.Restore(b.By) }

func (b *shadowChange) Probe(h *agent.Host) (history.Evidence, error) {
	offsets, err := h.Clocks.Read()
	if err != nil {
		return history.Evidence{}, err
	}
	seeing, blind, err := h.Clocks.Under()
	text, _ := json.Marshal(underTest{offsets, seeing, blind})
	return history.Evidence{Confirmed: h.Clocks.Bent(b.By), Summary: string(text)}, err
}

// underTest is what a shadowChange's probe finds.
type underTest struct {
	Offsets       agent.ClockOffsets
	Seeing, Blind []int
}

func look(t testing.TB, c *agent.Client) underTest {
	t.Helper()
	e, err := c.Probe(context.Background(), &shadowChange{})
	if err != nil {
		t.Fatal(err)
	}
	var u underTest
	if err := json.Unmarshal([]byte(e.Summary), &u); err != nil {
		t.Fatal(err)
	}
	return u
}

func apply(t testing.TB, c *agent.Client, b *shadowChange) {
	t.Helper()
	if err := c.Apply(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

func undo(t testing.TB, c *agent.Client, b *shadowChange) {
	t.Helper()
	if err := c.Undo(context.Background(), b); err != nil {
		t.Fatal(err)
	}
}

func step(of string, by time.Duration) *shadowChange {
	return &shadowChange{"step", history.ClockChange{Of: of, Jump: history.Duration(by), Rate: 1}}
}

func rate(of string, rate float64) *shadowChange {
	return &shadowChange{"rate", history.ClockChange{Of: of, Rate: rate}}
}

// near: what a server reads is off by this much, give or take what the reading takes.
func near(t testing.TB, what string, got, want, unsure time.Duration) {
	t.Helper()
	if d := got - want; d < -unsure-time.Millisecond || d > unsure+time.Millisecond {
		t.Errorf("%s is off by %v, want %v, give or take %v", what, got, want, unsure)
	}
}

func TestAServersClocksJumpBothWaysEachAloneAndWithoutBeingStopped(t *testing.T) {
	c, _ := shadowed(t, agenttest.Dir(t))
	teller(t, c)
	first := lately(t, c)
	near(t, "wall clock before", first.wall(), 0, first.unsure())
	near(t, "monotonic clock before", first.mono(), 0, first.unsure())
	mono := time.Duration(0)
	for _, by := range []time.Duration{time.Minute, -2 * time.Minute, 24 * time.Hour} {
		b := step(history.WallClock, by)
		apply(t, c, b)
		got := lately(t, c)
		near(t, "wall clock", got.wall(), by, got.unsure())
		near(t, "monotonic clock, while only the wall clock is changed,", got.mono(), mono, got.unsure())
		undo(t, c, b)

		b = step(history.MonotonicClock, by)
		mono += by
		apply(t, c, b)
		got = lately(t, c)
		near(t, "monotonic clock", got.mono(), mono, got.unsure())
		near(t, "wall clock, while only the monotonic clock is changed,", got.wall(), 0, got.unsure())
		undo(t, c, b)
		got = lately(t, c)
		near(t, "wall clock, let go,", got.wall(), 0, got.unsure())
		near(t, "monotonic clock, let go,", got.mono(), mono, got.unsure())
	}
}

func TestAServersClocksRunFastSlowOrNotAtAllEachAlone(t *testing.T) {
	t.Parallel()
	c, _ := shadowed(t, agenttest.Dir(t))
	teller(t, c)
	for _, of := range []string{history.WallClock, history.MonotonicClock, history.BothClocks} {
		for _, r := range []float64{0.5, 2, 0} {
			b := rate(of, r)
			apply(t, c, b)
			one := lately(t, c)
			time.Sleep(100 * time.Millisecond)
			two := lately(t, c)
			undo(t, c, b)
			passed := time.Duration(two.Before - one.Before)
			unsure := one.unsure() + two.unsure()
			gained := func(has bool) time.Duration {
				if !has {
					return 0
				}
				return time.Duration(float64(passed) * (r - 1))
			}
			near(t, fmt.Sprintf("%s at %v: wall", of, r), two.wall()-one.wall(), gained(of != history.MonotonicClock), unsure)
			near(t, fmt.Sprintf("%s at %v: monotonic", of, r), two.mono()-one.mono(), gained(of != history.WallClock), unsure)
			one = lately(t, c)
			time.Sleep(20 * time.Millisecond)
			two = lately(t, c)
			near(t, fmt.Sprintf("%s after %v: wall", of, r), two.wall(), 0, two.unsure())
			near(t, fmt.Sprintf("%s after %v: monotonic still runs at another rate: it", of, r), two.mono()-one.mono(), 0, one.unsure()+two.unsure())
		}
	}
}

func TestChildrenOfAServerSeeItsShadowClock(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name string
		argv []string
	}{
		{"a shell that executes it", []string{"sh", "-c", `exec "$@"`, "sh"}},
		{"a shell that forks it, after failing to find another program", []string{"sh", "-c", `nosuch 2>/dev/null; "$@"; true`, "sh"}},
		{"in a session of its own, its parent gone", []string{"sh", "-c", `setsid "$@" & exec sleep 1000`, "sh"}},
		{"with another environment", []string{"env", "-i"}},
		{"several wrappers deep", []string{"nice", "env", "-i", "sh", "-c", `"$@"; true`, "sh", "setsid", "-w"}},
		{"with no rights of its own", []string{"setpriv", "--reuid=65534", "--clear-groups", "--no-new-privs", "--inh-caps=-all"}},
		{"in a mount namespace with another root", []string{"unshare", "-m", "--root=/"}},
	} {
		t.Run(way.name, func(t *testing.T) {
			c, _ := shadowed(t, agenttest.Dir(t))
			b := step(history.WallClock, time.Hour)
			apply(t, c, b)
			teller(t, c, way.argv...)
			got := lately(t, c)
			near(t, "wall clock", got.wall(), time.Hour, got.unsure())
			u := look(t, c)
			if len(u.Blind) > 0 || len(u.Seeing) == 0 {
				t.Errorf("it is seen by %v, and not by %v", u.Seeing, u.Blind)
			}
			found := false
			for _, pid := range u.Seeing {
				found = found || pid == got.PID
			}
			if !found {
				t.Errorf("the server, %d, is not among those that see it: %v", got.PID, u.Seeing)
			}
		})
	}
}

func TestAProgramThatCannotBeExecutedSaysSoUnderAShadowClockToo(t *testing.T) {
	c, _ := shadowed(t, agenttest.Dir(t))
	_, err := c.StartProcess(context.Background(), agent.ProcessSpec{Name: "server", Argv: []string{"/nonexistent/server"}})
	if err == nil || !strings.Contains(err.Error(), "run /nonexistent/server: no such file or directory") {
		t.Errorf("got %v", err)
	}
	if st := state(t, c); st.State != agent.Absent {
		t.Errorf("%+v", st)
	}
}

func TestAServerUnderAShadowClockIsPausedKilledAndToldOfLikeAnyOther(t *testing.T) {
	c, _ := shadowed(t, agenttest.Dir(t))
	ctx := context.Background()
	st := teller(t, c)
	status, err := os.ReadFile("/proc/" + itoa(st.PID) + "/status")
	if err != nil || !strings.Contains(string(status), "TracerPid:\t0\n") {
		t.Errorf("somebody traces it: %v\n%s", err, status)
	}
	if st.State != agent.Running {
		t.Errorf("%+v", st)
	}
	if err := unix.Kill(-st.PID, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "paused", func() bool { return state(t, c).State == agent.Paused })
	if err := unix.Kill(-st.PID, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	lately(t, c)
	if err := unix.Kill(st.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	want := history.Exit{Server: "server", PID: st.PID, Code: -1, Signal: "SIGKILL"}
	if got := <-c.Exits(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := c.StartProcess(ctx, agent.ProcessSpec{Name: "server", Argv: []string{"sh", "-c", "exit 7"}}); err != nil {
		t.Fatal(err)
	}
	if got := <-c.Exits(); got.Code != 7 {
		t.Errorf("%+v", got)
	}
}

func TestAnAgentWhoseClockPageIsSpoiledSaysSoAndStartsNothingUnderIt(t *testing.T) {
	dir := agenttest.Dir(t)
	if err := os.MkdirAll(filepath.Join(dir, "agent"), 0o700); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "agent", "clock")
	if err := os.WriteFile(page, []byte("spoiled"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := agent.Connect(context.Background(), agenttest.NewConn(), agent.Options{Dir: dir, Shadow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background(), false)
	const want = "it has 7 bytes, not 65536, and is none of ours; remove it"
	if why := c.Facts().Cannot["clock.shadow"]; !strings.Contains(why, want) {
		t.Errorf("the facts say %q", why)
	}
	_, err = c.StartProcess(context.Background(), agent.ProcessSpec{Name: "server", Argv: []string{"sleep", "1000"}})
	if err == nil || !strings.Contains(err.Error(), "sleep under the shadow clock") || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
	if st := state(t, c); st.State != agent.Absent {
		t.Errorf("%+v", st)
	}
	if _, err := c.Clock(context.Background()); err == nil {
		t.Error("a clock that nobody can see was measured")
	}
}

func TestAClientThatAsksForNoShadowClockIsToldThatNothingWouldSeeIt(t *testing.T) {
	c := agenttest.Connect(t, agenttest.Dir(t))
	if why := c.Facts().Cannot["clock.shadow"]; !strings.Contains(why, "this client did not ask for a shadow clock") {
		t.Errorf("the facts say %q", why)
	}
}
