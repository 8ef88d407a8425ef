package agent_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/clients/etcd"
	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

func TestALeaseOfEtcdLastsByTheMonotonicClockOfItsServer(t *testing.T) {
	t.Parallel()
	const ttl = 6 * time.Second
	for _, way := range []struct {
		name  string
		rate  float64
		right func(time.Duration) bool
	}{
		// About 12 s and about 3 s; the bounds only tell them from one another and from 6 s,
		// since etcd looks for expired leases by a timer, and this machine may be busy.
		{"at half speed", 0.5, func(d time.Duration) bool { return d > 10*time.Second }},
		{"at double speed", 2, func(d time.Duration) bool { return d > 2*time.Second && d < 5*time.Second }},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			c, _ := shadowed(t, agenttest.Dir(t))
			e := startEtcd(t, c)
			apply(t, c, rate(history.MonotonicClock, way.rate))
			for try := 0; ; try++ {
				lasted := e.lease(t, ttl)
				t.Logf("a lease of %v lasted %v", ttl, lasted.Round(10*time.Millisecond))
				if way.right(lasted) {
					return
				}
				if try == 2 {
					t.Fatalf("%s, a lease of %v lasted %v", way.name, ttl, lasted)
				}
			}
		})
	}
}

// etcdServer is one member, static Go, spoken to over HTTP.
type etcdServer struct{ url string }

func startEtcd(t testing.TB, c *agent.Client) *etcdServer {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real servers; run without -short")
	}
	install, err := etcd.System{}.Prepare(context.Background(), history.System{Name: "etcd", Version: etcd.System{}.DefaultVersion()}, io.Discard)
	if err != nil {
		t.Skipf("needs etcd, which cannot be built here: %v", err)
	}
	client, peer := freePort(t), freePort(t)
	e := &etcdServer{url: "http://" + client}
	s := clockServer{spec: agent.ProcessSpec{Name: "etcd", Argv: []string{install.Files["etcd"], "--data-dir", filepath.Join(c.Dir(), "etcd.data"),
		"--listen-client-urls", e.url, "--advertise-client-urls", e.url, "--listen-peer-urls", "http://" + peer, "--initial-advertise-peer-urls", "http://" + peer,
		"--initial-cluster", "default=http://" + peer, "--unsafe-no-fsync", "--log-level", "warn"}}}
	s.start(t, c, func() error {
		return e.ask("kv/put", map[string]any{"key": encode("ready"), "value": encode("x")}, nil)
	})
	return e
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func (e *etcdServer) ask(path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	response, err := http.Post(e.url+"/v3/"+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	if err == nil && out != nil {
		err = json.Unmarshal(text, out)
	}
	return err
}

// lease grants one, and measures how long it takes until its key is gone.
func (e *etcdServer) lease(t testing.TB, ttl time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	var granted struct{ ID string }
	if err := e.ask("lease/grant", map[string]any{"TTL": int(ttl.Seconds())}, &granted); err != nil {
		t.Fatal(err)
	}
	if err := e.ask("kv/put", map[string]any{"key": encode("held"), "value": encode("x"), "lease": granted.ID}, nil); err != nil {
		t.Fatal(err)
	}
	for {
		var got struct{ Count string }
		if err := e.ask("kv/range", map[string]any{"key": encode("held"), "serializable": true}, &got); err != nil {
			t.Fatal(err)
		}
		if got.Count == "" {
			return time.Since(began)
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("the lease does not end")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A soak: servers of every make under clocks that are changed all the time. It lasts as
// long as NEMESIS_SOAK says, and 5 s otherwise:
//
//	NEMESIS_SOAK=10m go test ./nodes/agent -run ChangeAllTheTime -v -timeout 20m
func TestServersSurviveClocksThatChangeAllTheTime(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts real servers; run without -short")
	}
	length := 5 * time.Second
	if text := os.Getenv("NEMESIS_SOAK"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	c, _ := shadowed(t, agenttest.Dir(t))
	wall := map[string]func(testing.TB) int64{}
	for _, server := range []struct {
		name, program string
		start         func() *clockServer
	}{
		{"redis", "redis-server", func() *clockServer { s, _ := redis(t, c); return s }},
		{"postgres", "postgres", func() *clockServer { s, _, _ := postgres(t, c); return s }},
		{"java", "java", func() *clockServer { return java(t, c) }},
	} {
		if _, err := find(server.program); err != nil {
			t.Logf("without %s, which is not installed", server.name)
			continue
		}
		wall[server.name] = server.start().wall
	}
	e := startEtcd(t, c)
	teller(t, c)
	before := map[string]agent.ProcessState{}
	for _, name := range []string{"redis", "postgres", "java", "etcd", "server"} {
		st, err := c.ProcessState(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		before[name] = st
	}

	const seed = 1
	r := rand.New(rand.NewSource(seed))
	clocks := []string{history.WallClock, history.MonotonicClock, history.BothClocks}
	rates := []float64{0.1, 0.5, 0.9, 1, 1, 1.1, 2, 5}
	changes := 0
	for end := time.Now().Add(length); time.Now().Before(end); {
		b := &shadowChange{By: strconv.Itoa(r.Intn(3)), Change: history.ClockChange{Of: clocks[r.Intn(3)], Rate: rates[r.Intn(len(rates))]}}
		// A monotonic clock that goes back is no clock that a server could be asked to bear.
		b.Change.Jump = history.Duration(r.Int63n(int64(5 * time.Second)))
		if b.Change.Of == history.WallClock && r.Intn(2) == 0 {
			b.Change.Jump = -b.Change.Jump
		}
		apply(t, c, b)
		_ = unix.Nanosleep(&unix.Timespec{Nsec: r.Int63n(20e6)}, nil)
		undo(t, c, b)
		changes++
		if changes%100 == 0 {
			for _, ask := range wall {
				ask(t)
			}
			if err := e.ask("kv/put", map[string]any{"key": encode("k"), "value": encode("v")}, nil); err != nil {
				t.Errorf("etcd, after %d changes: %v", changes, err)
			}
		}
	}
	t.Logf("%d changes in %v", changes, length)
	for name, was := range before {
		st, err := c.ProcessState(context.Background(), name)
		if err != nil || st.State != was.State || st.PID != was.PID || st.Started != was.Started {
			t.Errorf("%s was %+v and is %+v, %v", name, was, st, err)
		}
	}
	select {
	case exit := <-c.Exits():
		t.Errorf("a server ended: %+v", exit)
	default:
	}
	for name, ask := range wall {
		wantWall(t, name, ask, 0, time.Millisecond)
	}
	got := lately(t, c)
	near(t, "wall clock at the end", got.wall(), 0, got.unsure())
	if u := look(t, c); len(u.Blind) > 0 || len(u.Seeing) < 3 {
		t.Errorf("%+v", u)
	}
}
