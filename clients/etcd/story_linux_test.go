package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"nemesis/clients"
	"nemesis/history"
)

// invoke performs one operation with plenty of time.
func invoke(t *testing.T, c *client, f, key, value string) clients.Completion {
	t.Helper()
	return within(t, c, time.Minute, f, key, value)
}

func within(t *testing.T, c *client, limit time.Duration, f, key, value string) clients.Completion {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return c.Invoke(ctx, history.Event{Type: history.Invoke, F: f, Key: key, Value: json.RawMessage(value)})
}

// ended checks how an operation ended: its type, and its value or its error.
func ended(t *testing.T, got clients.Completion, want history.Type, text string) {
	t.Helper()
	if got.Type != want {
		t.Errorf("ended in %s (value %s, error %q), want %s", got.Type, got.Value, got.Error, want)
		return
	}
	if want == history.OK {
		if string(got.Value) != text {
			t.Errorf("value is %s, want %s", got.Value, text)
		}
	} else if !strings.Contains(got.Error, text) {
		t.Errorf("error is %q, want one with %q", got.Error, text)
	}
}

func TestOneMember(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1, defaults(t))[0]

	t.Run("register", func(t *testing.T) {
		c := s.client(defaults(t))
		absent := invoke(t, c, "read", "k", "null")
		ended(t, absent, history.OK, "null")
		if absent.Version != 0 {
			t.Errorf("an absent register has version %d", absent.Version)
		}
		wrote := invoke(t, c, "write", "k", "3")
		ended(t, wrote, history.OK, "")
		read := invoke(t, c, "read", "k", "null")
		ended(t, read, history.OK, "3")
		if wrote.Version == 0 || read.Version != wrote.Version {
			t.Errorf("the write has version %d and the read that saw it %d", wrote.Version, read.Version)
		}
		ended(t, invoke(t, c, "read", "other", "null"), history.OK, "null")
	})

	t.Run("compare and set", func(t *testing.T) {
		c := s.client(defaults(t))
		ended(t, invoke(t, c, "cas", "c", "[1,2]"), history.Fail, mismatch)
		ended(t, invoke(t, c, "cas", "c", "[null,1]"), history.OK, "")
		ended(t, invoke(t, c, "cas", "c", "[null,9]"), history.Fail, mismatch)
		ended(t, invoke(t, c, "cas", "c", "[2,3]"), history.Fail, mismatch)
		set := invoke(t, c, "cas", "c", "[1,-2]")
		ended(t, set, history.OK, "")
		read := invoke(t, c, "read", "c", "null")
		ended(t, read, history.OK, "-2")
		if read.Version != set.Version {
			t.Errorf("the cas has version %d and the read that saw it %d", set.Version, read.Version)
		}
	})

	t.Run("append", func(t *testing.T) {
		c := s.client(defaults(t))
		ended(t, invoke(t, c, "txn", "", `[["r","x",null],["append","x",1],["r","x",null],["append","y",5],["append","x",2]]`),
			history.OK, `[["r","x",[]],["append","x",1],["r","x",[1]],["append","y",5],["append","x",2]]`)
		ended(t, invoke(t, c, "txn", "", `[["append","y",6],["r","x",null]]`),
			history.OK, `[["append","y",6],["r","x",[1,2]]]`)
		ended(t, invoke(t, c, "txn", "", `[["r","x",null],["r","y",null],["r","z",null],["r","x",null]]`),
			history.OK, `[["r","x",[1,2]],["r","y",[5,6]],["r","z",[]],["r","x",[1,2]]]`)
	})

	t.Run("appends of many clients are neither lost nor doubled", func(t *testing.T) {
		const each, threads = 20, 4
		var wg sync.WaitGroup
		var mu sync.Mutex
		appended := map[int64]bool{}
		for thread := range threads {
			wg.Go(func() {
				c := s.client(defaults(t))
				for i := range each {
					n := int64(thread*each + i)
					done := invoke(t, c, "txn", "", fmt.Sprintf(`[["append","race",%d]]`, n))
					switch {
					case done.Type == history.OK:
						mu.Lock()
						appended[n] = true
						mu.Unlock()
					case done.Type != history.Fail || done.Error != lostRace:
						t.Errorf("append %d ended in %s: %s", n, done.Type, done.Error)
					}
				}
			})
		}
		wg.Wait()
		done := invoke(t, s.client(defaults(t)), "txn", "", `[["r","race",null]]`)
		var txn [][3]json.RawMessage
		must(t, json.Unmarshal(done.Value, &txn))
		var list []int64
		must(t, json.Unmarshal(txn[0][2], &list))
		if len(list) != len(appended) {
			t.Errorf("%d appends succeeded and the list has %d elements: %v", len(appended), len(list), list)
		}
		for _, n := range list {
			if !appended[n] {
				t.Errorf("the list has %d, whose append failed or is there twice", n)
			}
			delete(appended, n)
		}
	})

	t.Run("registers in transactions", func(t *testing.T) {
		c := s.client(defaults(t))
		c.lists = false
		ended(t, invoke(t, c, "txn", "", `[["r","x",null],["w","x",1],["r","x",null],["r","y",null],["w","y",5],["w","x",2]]`),
			history.OK, `[["r","x",null],["w","x",1],["r","x",1],["r","y",null],["w","y",5],["w","x",2]]`)
		ended(t, invoke(t, c, "txn", "", `[["r","x",null],["r","y",null],["r","z",null]]`), history.OK, `[["r","x",2],["r","y",5],["r","z",null]]`)
		ended(t, invoke(t, c, "txn", "", `[["append","x",1]]`), history.Fail, "")
	})

	t.Run("rows", func(t *testing.T) {
		c := s.client(defaults(t))
		c.lists, c.rows = false, true
		all := func(found string) string { return `["rp",{"group":"g","mod":1,"rest":0},` + found + `]` }
		odd := func(found string) string { return `["rp",{"group":"g","mod":2,"rest":1},` + found + `]` }
		ended(t, invoke(t, c, "txn", "", `[`+all("null")+`,["r","g.1",null]]`), history.OK, `[`+all("[]")+`,["r","g.1",null]]`)
		ended(t, invoke(t, c, "txn", "", `[["insert","g.0",0],["insert","g.1",1],`+all("null")+`,["insert","h.1",5]]`),
			history.OK, `[["insert","g.0",0],["insert","g.1",1],`+all(`[["g.0",0],["g.1",1]]`)+`,["insert","h.1",5]]`)
		ended(t, invoke(t, c, "txn", "", `[["insert","g.1",1]]`), history.Fail, "the row g.1 is there")
		ended(t, invoke(t, c, "txn", "", `[["insert","g.2",2],["delete","g.3",null]]`), history.Fail, "the row g.3 is not there")
		ended(t, invoke(t, c, "txn", "", `[`+odd("null")+`,["delete","g.1",null],`+odd("null")+`,["r","g.0",null],["r","h.1",null]]`),
			history.OK, `[`+odd(`[["g.1",1]]`)+`,["delete","g.1",null],`+odd("[]")+`,["r","g.0",0],["r","h.1",5]]`)
		ended(t, invoke(t, c, "txn", "", `[`+all("null")+`]`), history.OK, `[`+all(`[["g.0",0]]`)+`]`)
		for _, bad := range []string{`[]`, `[["append","x",1]]`, `[["insert","g.4","x"]]`, `[["insert","4",4]]`, `[["rp",{"group":"g","mod":0},null]]`} {
			ended(t, invoke(t, c, "txn", "", bad), history.Fail, "")
		}
	})

	// Of two transactions that each miss what the other one inserts only one can be.
	t.Run("a row that comes or goes meanwhile is a lost race", func(t *testing.T) {
		c := s.client(defaults(t))
		c.lists, c.rows = false, true
		ended(t, invoke(t, c, "txn", "", `[["insert","r.0",0]]`), history.OK, `[["insert","r.0",0]]`)
		for i, meanwhile := range []string{`[["insert","r.1",1]]`, `[["delete","r.0",null]]`} {
			table, ended2 := c.groups(t.Context(), []string{"r"}, nil)
			if ended2 != nil {
				t.Fatal(ended2.Error)
			}
			ended(t, invoke(t, c, "txn", "", meanwhile), history.OK, meanwhile)
			put := []clientv3.Op{clientv3.OpPut(rowKey(fmt.Sprint("r.", 5+i)), "5")}
			resp, err := c.conn.Do(t.Context(), clientv3.OpTxn(table.unchanged(), put, nil))
			must(t, err)
			if resp.Txn().Succeeded {
				t.Errorf("after %s the write went through", meanwhile)
			}
		}
	})

	t.Run("queue", func(t *testing.T) {
		c := s.client(defaults(t))
		ended(t, invoke(t, c, "dequeue", "", "null"), history.OK, "null")
		for _, n := range []string{"12", "5", "7"} {
			ended(t, invoke(t, c, "enqueue", "", n), history.OK, "")
		}
		for _, n := range []string{"12", "5", "7", "null"} {
			ended(t, invoke(t, c, "dequeue", "", "null"), history.OK, n)
		}
	})

	t.Run("unique ids", func(t *testing.T) {
		c := s.client(defaults(t))
		one, two := invoke(t, c, "generate", "", "null"), invoke(t, c, "generate", "", "null")
		if one.Type != history.OK || two.Type != history.OK || string(one.Value) == string(two.Value) || string(one.Value) == "0" {
			t.Errorf("got %s and %s", one.Value, two.Value)
		}
	})

	t.Run("bank", func(t *testing.T) {
		c := s.client(defaults(t))
		ended(t, invoke(t, c, "balances", "", "null"), history.OK, `{}`)
		ended(t, invoke(t, c, "transfer", "", `{"from":"a0","to":"a1","amount":3}`), history.Fail, "there is no such account")
		ended(t, invoke(t, c, "open", "", `{"a0":10,"a1":0}`), history.OK, "")
		ended(t, invoke(t, c, "open", "", `{"a0":10,"a1":0}`), history.OK, "")
		ended(t, invoke(t, c, "transfer", "", `{"from":"a0","to":"a1","amount":3}`), history.OK, "")
		ended(t, invoke(t, c, "open", "", `{"a0":10,"a1":0}`), history.OK, "")
		ended(t, invoke(t, c, "transfer", "", `{"from":"a1","to":"a0","amount":4}`), history.Fail, overdrawn)
		ended(t, invoke(t, c, "balances", "", "null"), history.OK, `{"a0":7,"a1":3}`)
		for _, bad := range []string{`null`, `{"from":"a0","to":"a0","amount":1}`, `{"from":"a0","to":"a1","amount":-1}`, `{"from":"a0"}`} {
			ended(t, invoke(t, c, "transfer", "", bad), history.Fail, "transfer takes two accounts")
		}
	})

	t.Run("set", func(t *testing.T) {
		c := s.client(defaults(t))
		ended(t, invoke(t, c, "list", "", "null"), history.OK, "[]")
		for _, n := range []string{"5", "12", "-1"} {
			ended(t, invoke(t, c, "add", "", n), history.OK, "")
		}
		done := invoke(t, c, "list", "", "null")
		var got []int
		must(t, json.Unmarshal(done.Value, &got))
		if len(got) != 3 || done.Version == 0 {
			t.Errorf("listed %v at %d", got, done.Version)
		}
	})

	t.Run("bad requests never leave", func(t *testing.T) {
		c := s.client(defaults(t))
		for _, op := range [][3]string{
			{"dance", "k", "1"}, {"write", "k", `"one"`}, {"write", "k", "null"}, {"write", "k", "1.5"},
			{"cas", "k", "[1]"}, {"cas", "k", "[1,null]"}, {"cas", "k", `["a",2]`},
			{"txn", "", "[]"}, {"txn", "", `[["w","x",1]]`}, {"txn", "", `[["append","x",null]]`}, {"txn", "", `[["r"]]`},
			{"add", "", "{}"},
		} {
			if done := invoke(t, c, op[0], op[1], op[2]); done.Type != history.Fail || done.Error == "" {
				t.Errorf("%s %s ended in %s: %s", op[0], op[2], done.Type, done.Error)
			}
		}
	})

	// A request larger than etcd takes is refused before raft sees it. Its size comes
	// from many appends in one transaction.
	t.Run("too large a request certainly fails", func(t *testing.T) {
		c := s.client(defaults(t))
		var ops []string
		for i := range 90_000 {
			ops = append(ops, fmt.Sprintf(`["append","big",%d]`, int64(1e17)+int64(i)))
		}
		ended(t, invoke(t, c, "txn", "", "["+strings.Join(ops, ",")+"]"), history.Fail, "request is too large")
		ended(t, invoke(t, c, "txn", "", `[["r","big",null]]`), history.OK, `[["r","big",[]]]`)
	})
}

// A paused server keeps its connections: its kernel takes the request, and nobody
// knows what the server will do with it.
func TestPausedServer(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1, defaults(t))[0]
	tests := []struct {
		name      string
		connected bool
		f, value  string
		want      history.Type
	}{
		{"write", true, "write", "2", history.Info},
		{"compare and set", true, "cas", "[1,2]", history.Info},
		{"add", true, "add", "1", history.Info},
		{"read", true, "read", "null", history.Fail},
		{"list", true, "list", "null", history.Fail},
		{"append that did not get past its read", true, "txn", `[["append","x",2]]`, history.Fail},
		{"write of a client that cannot even begin to talk", false, "write", "3", history.Fail},
	}
	cs := make([]*client, len(tests))
	for i, test := range tests {
		if test.connected {
			cs[i] = s.client(defaults(t))
			ended(t, invoke(t, cs[i], "write", "k", "1"), history.OK, "")
		}
	}
	s.pause()
	for i, test := range tests {
		if !test.connected {
			cs[i] = s.client(defaults(t))
		}
	}
	got := make([]clients.Completion, len(tests))
	var wg sync.WaitGroup
	for i, test := range tests {
		wg.Go(func() { got[i] = within(t, cs[i], 2*time.Second, test.f, "k", test.value) })
	}
	wg.Wait()
	s.resume()
	done := invoke(t, cs[0], "read", "k", "null")
	if done.Type != history.OK || string(done.Value) == "3" {
		t.Errorf("after the pause a read ended in %s with %s (%s)", done.Type, done.Value, done.Error)
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) { ended(t, got[i], test.want, "") })
	}
}

// The request reached the server's machine, and then the server was killed.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1, defaults(t))[0]
	w := watchWire(t, s.node.Address)
	c := openClient(t, w.addr, defaults(t))
	ended(t, invoke(t, c, "write", "k", "1"), history.OK, "")

	s.pause()
	const marked = "720572157205"
	passed := w.passed(marked)
	got := make(chan clients.Completion, 1)
	go func() { got <- invoke(t, c, "write", "k", marked) }()
	<-passed
	s.kill()
	ended(t, <-got, history.Info, "unavailable")

	// The connection is refused from here on, and nothing leaves.
	direct := s.client(defaults(t))
	ended(t, invoke(t, direct, "write", "k", "3"), history.Fail, "connection refused")
	ended(t, invoke(t, direct, "cas", "k", "[1,4]"), history.Fail, "connection refused")
	ended(t, invoke(t, direct, "read", "k", "null"), history.Fail, "connection refused")

	// Restarted on its data directory, it is the same member; the same client finds it.
	s.start()
	s.ready()
	done := invoke(t, direct, "read", "k", "null")
	for done.Type == history.Fail { // until the connection is tried again
		done = invoke(t, direct, "read", "k", "null")
	}
	if v := string(done.Value); v != "1" && v != marked {
		t.Errorf("after the restart the register holds %s; 1 was acknowledged and %s was sent", v, marked)
	}
}

// The story behind every careful line of certainty.go. A put times out while the
// followers are paused; a read sees the old value; then the followers resume, and
// the put lands. Filed as a failure, the put would make a later read of its value
// look like one of a value that nobody wrote, and the reads after it stale.
func TestTimedOutPutLandsLater(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 3, defaults(t))
	// A leader that cannot reach its followers keeps the entry in its log, but may lose
	// it to an election when the machine is so slow that the followers elect another
	// leader first. Then the story is told again.
	for attempt := range 20 {
		key := fmt.Sprintf("k%d", attempt)
		leader := leaderOf(t, servers)
		c := leader.client(defaults(t))
		ended(t, invoke(t, c, "write", key, "1"), history.OK, "")
		for _, s := range servers {
			if s != leader {
				s.pause()
			}
		}
		put := within(t, c, 200*time.Millisecond, "write", key, "2")
		for _, s := range servers {
			if s != leader {
				s.resume()
			}
		}
		// A write through the log comes after whatever the leader had in it.
		for invoke(t, c, "write", "barrier", "1").Type != history.OK {
			c = leader.client(defaults(t))
		}
		read := invoke(t, c, "read", key, "null")
		if read.Type != history.OK || string(read.Value) != "2" || put.Type == history.OK {
			continue
		}
		// It happened after all, although its client was told nothing. Whose patience ended first, and in whose words, is
		// for the machine's speed to say.
		ended(t, put, history.Info, "")
		return
	}
	t.Error("no timed-out put landed later in 20 attempts")
}

// leaderOf asks the servers as a deployment does.
func leaderOf(t *testing.T, servers []*server) *server {
	t.Helper()
	d := &deployment{members: map[string]*member{}, patience: time.Second}
	defer d.Close()
	for _, s := range servers {
		admin, err := connect(s.node.Address, new(clients.Dialer))
		must(t, err)
		d.members[s.node.Name] = &member{node: s.node, admin: admin}
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		name, err := clients.AbilitiesOf(d).Leader(t.Context())
		must(t, err)
		for _, s := range servers {
			if s.node.Name == name {
				return s
			}
		}
	}
	t.Fatal("nobody leads")
	return nil
}

// A paused leader goes on to believe in itself; the others' later term counts.
func TestLeaderChangesWhenTheLeaderIsPaused(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 3, defaults(t))
	old := leaderOf(t, servers)
	old.pause()
	for leaderOf(t, servers) == old {
		time.Sleep(50 * time.Millisecond)
	}
	old.resume()
	old.ready()
	if now := leaderOf(t, servers); now == old {
		t.Log("the resumed member was elected again")
	}
}

// Serializable reads come from the member itself, even when it is alone.
func TestSerializableReads(t *testing.T) {
	t.Parallel()
	o, err := parseOptions(map[string]string{"reads": "serializable"})
	must(t, err)
	servers := startServers(t, 3, o)
	alone := servers[0]
	own, linear := alone.client(o), alone.client(defaults(t))
	ended(t, invoke(t, own, "write", "k", "1"), history.OK, "")
	ended(t, invoke(t, own, "txn", "", `[["append","x",1]]`), history.OK, `[["append","x",1]]`)
	ended(t, invoke(t, own, "add", "", "7"), history.OK, "")
	// The writes may be acknowledged by a leader before this member applied them; a
	// linearizable read waits for that.
	ended(t, invoke(t, linear, "read", "k", "null"), history.OK, "1")

	servers[1].pause()
	servers[2].pause()
	ended(t, invoke(t, own, "read", "k", "null"), history.OK, "1")
	ended(t, invoke(t, own, "txn", "", `[["r","x",null]]`), history.OK, `[["r","x",[1]]]`)
	ended(t, invoke(t, own, "list", "", "null"), history.OK, "[7]")
	const patience = 300 * time.Millisecond
	ended(t, within(t, linear, patience, "read", "k", "null"), history.Fail, "")
	ended(t, within(t, own, patience, "txn", "", `[["r","x",null],["append","x",2]]`), history.Fail, "")
}

// wire stands between a client and a server and watches what the client sends.
type wire struct {
	addr netip.Addr
	mu   sync.Mutex
	mark string
	seen chan struct{}
}

func watchWire(t *testing.T, server netip.Addr) *wire {
	t.Helper()
	w := &wire{addr: loopback()}
	l, err := net.Listen("tcp", netip.AddrPortFrom(w.addr, clientPort).String())
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", netip.AddrPortFrom(server, clientPort).String())
			if err != nil {
				from.Close()
				continue
			}
			go w.copy(to, from, true)
			go w.copy(from, to, false)
		}
	}()
	return w
}

// passed returns a channel that is closed once text was forwarded to the server.
func (w *wire) passed(text string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mark, w.seen = text, make(chan struct{})
	return w.seen
}

func (w *wire) copy(to, from net.Conn, watch bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if _, writeErr := to.Write(buf[:n]); err != nil || writeErr != nil {
			return
		}
		w.mu.Lock()
		if watch && w.mark != "" && bytes.Contains(buf[:n], []byte(w.mark)) {
			w.mark = ""
			close(w.seen)
		}
		w.mu.Unlock()
	}
}
