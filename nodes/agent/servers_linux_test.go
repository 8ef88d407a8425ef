package agent_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// Real servers, each of another make: what time is it to them?

// clockServer is a server that can be asked for its clocks.
type clockServer struct {
	spec agent.ProcessSpec
	// wall asks for the wall clock; mono, where it is not nil, for the monotonic one,
	// counted from a zero of the server's own. Both in nanoseconds.
	wall, mono func(t testing.TB) int64
}

// start starts a server and waits until it answers.
func (s *clockServer) start(t testing.TB, c *agent.Client, answers func() error) {
	t.Helper()
	if _, err := c.StartProcess(context.Background(), s.spec); err != nil {
		t.Fatal(err)
	}
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = answers(); err == nil {
			return
		}
		if st, serr := c.ProcessState(context.Background(), s.spec.Name); serr == nil && st.State == agent.Exited {
			break
		}
	}
	text, _ := os.ReadFile(filepath.Join(c.Dir(), s.spec.Name+".log"))
	t.Fatalf("%s does not answer: %v\n%s", s.spec.Name, err, text)
}

// installed skips the test of a server that is not here.
func installed(t testing.TB, program, debian string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real servers; run without -short")
	}
	path, err := find(program)
	if err != nil {
		t.Skipf("%s is not installed: apt-get install %s", program, debian)
	}
	return path
}

// find looks where Debian puts programs, too: PostgreSQL's are not on the path.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program); len(found) > 0 {
			return found[len(found)-1], nil
		}
	}
	return path, err
}

// wallOff is how far a server's wall clock is off, as an interval.
func wallOff(t testing.TB, ask func(testing.TB) int64) (low, high time.Duration) {
	t.Helper()
	before := time.Now().UnixNano()
	said := ask(t)
	after := time.Now().UnixNano()
	return time.Duration(said - after), time.Duration(said - before)
}

// wantWall fails when a server's wall clock is certainly not off by this much. resolution
// is that of the answer.
func wantWall(t testing.TB, what string, ask func(testing.TB) int64, want, resolution time.Duration) {
	t.Helper()
	low, high := wallOff(t, ask)
	if want < low-resolution || want > high+resolution {
		t.Errorf("%s: its wall clock is off by %v to %v, want %v", what, low, high, want)
	}
}

// gained is by how much a server's clock advances while this much true time passes, as
// an interval.
func gained(t testing.TB, ask func(testing.TB) int64, sleep time.Duration) (gain time.Duration, shortest, longest time.Duration) {
	t.Helper()
	a := time.Now()
	first := ask(t)
	b := time.Now()
	time.Sleep(sleep)
	c := time.Now()
	second := ask(t)
	d := time.Now()
	return time.Duration(second - first), c.Sub(b), d.Sub(a)
}

func wantRate(t testing.TB, what string, ask func(testing.TB) int64, rate float64, resolution time.Duration) {
	t.Helper()
	gain, shortest, longest := gained(t, ask, 200*time.Millisecond)
	if low, high := float64(shortest)*rate, float64(longest)*rate; float64(gain+resolution) < low || float64(gain-resolution) > high {
		t.Errorf("%s: within %v to %v its clock advanced by %v, want %v times as much", what, shortest, longest, gain, rate)
	}
}

// goThroughAll changes the clocks in each way and compares with what the server says.
func goThroughAll(t *testing.T, c *agent.Client, name string, s *clockServer, resolution time.Duration) {
	t.Helper()
	wantWall(t, name+", untouched", s.wall, 0, resolution)
	for _, by := range []time.Duration{time.Hour, -24 * time.Hour} {
		b := step(history.WallClock, by)
		apply(t, c, b)
		wantWall(t, fmt.Sprintf("%s, stepped by %v", name, by), s.wall, by, resolution)
		if s.mono != nil {
			wantRate(t, name+", whose wall clock alone was stepped: monotonic clock", s.mono, 1, resolution)
		}
		undo(t, c, b)
	}
	for _, r := range []float64{0.5, 2, 0} {
		b := rate(history.WallClock, r)
		apply(t, c, b)
		wantRate(t, name+": wall clock", s.wall, r, resolution)
		if s.mono != nil {
			wantRate(t, name+", whose wall clock alone drifts: monotonic clock", s.mono, 1, resolution)
		}
		undo(t, c, b)
		b = rate(history.MonotonicClock, r)
		apply(t, c, b)
		wantRate(t, name+", whose monotonic clock alone drifts: wall clock", s.wall, 1, resolution)
		if s.mono != nil {
			wantRate(t, name+": monotonic clock", s.mono, r, resolution)
		}
		undo(t, c, b)
	}
	wantWall(t, name+", let go", s.wall, 0, resolution)
}

func TestRedisSeesTheShadowClock(t *testing.T) {
	t.Parallel() // it mostly waits
	c, _ := shadowed(t, agenttest.Dir(t))
	s, says := redis(t, c)
	goThroughAll(t, c, "redis", s, time.Microsecond)

	// Its timers go by the monotonic clock: while that stands still, the periodic work
	// does not come, and with it the cached clock that INFO tells.
	ticks := func() int64 {
		for _, line := range says(t, "INFO server") {
			if clock, ok := strings.CutPrefix(line, "lru_clock:"); ok {
				return number(t, clock)
			}
		}
		t.Fatal("redis does not tell its lru_clock")
		return 0
	}
	b := rate(history.MonotonicClock, 0)
	apply(t, c, b)
	before := ticks()
	time.Sleep(2100 * time.Millisecond)
	if after := ticks(); after != before {
		t.Errorf("its timer fired while its monotonic clock stood still: %d, then %d", before, after)
	}
	undo(t, c, b)
	eventually(t, "its timer fires again", func() bool { return ticks() != before })
}

// redis is glibc C: one process and some threads. says is its answer, in lines.
func redis(t testing.TB, c *agent.Client) (s *clockServer, says func(t testing.TB, command string) []string) {
	path := installed(t, "redis-server", "redis-server")
	socket := filepath.Join(shortDir(t), "socket")
	says = func(t testing.TB, command string) []string {
		t.Helper()
		text, err := converse(socket, command+"\r\nQUIT\r\n")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(text, "\r\n")
	}
	s = &clockServer{
		spec: agent.ProcessSpec{Name: "redis", Argv: []string{path, "--port", "0", "--unixsocket", socket, "--save", ""}},
		wall: func(t testing.TB) int64 {
			answer := says(t, "TIME") // *2 $10 seconds $6 microseconds
			if len(answer) < 5 {
				t.Fatalf("redis says %q", answer)
			}
			return number(t, answer[2])*1e9 + number(t, answer[4])*1e3
		},
	}
	s.start(t, c, func() error {
		_, err := converse(socket, "QUIT\r\n")
		return err
	})
	return s, says
}

// shortDir is a directory whose name leaves room for that of a socket: the kernel takes
// 107 letters.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nemesis-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// converse says something to a server, and returns all that it answers.
func converse(socket, text string) (string, error) {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if text != "" { // some answer without being asked, and close
		if _, err := io.WriteString(conn, text); err != nil {
			return "", err
		}
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func TestPostgreSQLSeesTheShadowClockInEverySession(t *testing.T) {
	t.Parallel() // it mostly waits
	c, _ := shadowed(t, agenttest.Dir(t))
	s, query, session := postgres(t, c)
	goThroughAll(t, c, "a session begun after the change", s, time.Microsecond)
	old := &clockServer{wall: func(t testing.TB) int64 { return number(t, session(t, microseconds)) * 1e3 }}
	goThroughAll(t, c, "a session begun before the change", old, time.Microsecond)
	if u := look(t, c); len(u.Blind) > 0 || len(u.Seeing) < 5 {
		t.Errorf("postmaster, its helpers and a session: %+v", u)
	}

	// What it measures itself, it measures by the monotonic clock.
	took := func() float64 {
		out := query(t, "explain (analyze, timing off) select pg_sleep(0.4)")
		_, after, _ := strings.Cut(out, "Execution Time: ")
		ms, err := strconv.ParseFloat(strings.Fields(after + " x")[0], 64)
		if err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		return ms
	}
	b := rate(history.MonotonicClock, 0)
	apply(t, c, b)
	if ms := took(); ms != 0 {
		t.Errorf("its monotonic clock stands still, and 400 ms of sleep took it %v ms", ms)
	}
	undo(t, c, b)
	if ms := took(); ms < 390 {
		t.Errorf("400 ms of sleep took it %v ms", ms)
	}
}

// postgres forks a process for each session, and will not run as root: so it is started
// by a wrapper that gives its rights up.
// query asks it in a session of its own, session in one that began at the start.
func postgres(t testing.TB, c *agent.Client) (s *clockServer, query, session func(t testing.TB, sql string) string) {
	server := installed(t, "postgres", "postgresql")
	initdb := installed(t, "initdb", "postgresql")
	installed(t, "psql", "postgresql-client")
	dir := shortDir(t)
	var wrapper []string
	if os.Geteuid() == 0 {
		const nobody = 65534
		wrapper = []string{installed(t, "setpriv", "util-linux"), "--reuid=65534", "--regid=65534", "--clear-groups"}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Skipf("PostgreSQL does not run as root, and there is no other user here: %v", err)
		}
	}
	argv := append(wrapper[:len(wrapper):len(wrapper)], initdb, "-D", dir, "-U", "test", "-A", "trust", "--no-sync")
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("initdb: %v: %s", err, out)
	}
	argv = append(wrapper[:len(wrapper):len(wrapper)], server, "-D", dir, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off")
	psql := func(arguments ...string) *exec.Cmd {
		return exec.Command("psql", append([]string{"-X", "-q", "-t", "-A", "-h", dir, "-U", "test", "-d", "postgres"}, arguments...)...)
	}
	query = func(t testing.TB, sql string) string {
		t.Helper()
		out, err := psql("-c", sql).CombinedOutput()
		if err != nil {
			t.Fatalf("psql: %v: %s", err, out)
		}
		return string(out)
	}
	s = &clockServer{
		spec: agent.ProcessSpec{Name: "postgres", Argv: argv},
		wall: func(t testing.TB) int64 {
			return number(t, query(t, microseconds)) * 1e3
		},
	}
	s.start(t, c, func() error {
		return psql("-c", "select 1").Run()
	})
	long := psql() // it reads its input
	in, err := long.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := long.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := long.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = long.Wait() })
	lines := bufio.NewReader(out)
	session = func(t testing.TB, sql string) string {
		t.Helper()
		fmt.Fprintln(in, sql+";")
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	session(t, "select 1") // it begins now
	return s, query, session
}

const microseconds = "select (extract(epoch from clock_timestamp())*1000000)::bigint"

func number(t testing.TB, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAJavaProgramSeesTheShadowClock(t *testing.T) {
	t.Parallel() // it mostly waits
	c, _ := shadowed(t, agenttest.Dir(t))
	goThroughAll(t, c, "java", java(t, c), time.Millisecond)
}

// java is a program that answers each connection with its two clocks.
func java(t testing.TB, c *agent.Client) *clockServer {
	path := installed(t, "java", "default-jdk-headless")
	source, err := filepath.Abs("testdata/Clocks.java")
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(shortDir(t), "socket")
	ask := func(t testing.TB, which int) int64 {
		t.Helper()
		answer, err := converse(socket, "")
		fields := strings.Fields(answer)
		if err != nil || len(fields) != 2 {
			t.Fatalf("java says %q, %v", answer, err)
		}
		return number(t, fields[which])
	}
	s := &clockServer{
		spec: agent.ProcessSpec{Name: "java", Argv: []string{path, source, socket}},
		wall: func(t testing.TB) int64 { return ask(t, 0) * 1e6 },
		mono: func(t testing.TB) int64 { return ask(t, 1) },
	}
	s.start(t, c, func() error {
		_, err := converse(socket, "")
		return err
	})
	return s
}
