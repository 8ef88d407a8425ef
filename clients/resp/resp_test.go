package resp

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/history"
)

var redisConfig = Config{
	Certain: []string{"^READONLY", "^LOADING"},
	Workloads: map[string]map[string]Operation{
		"register": {
			"read":  {Send: []string{"GET", "{{ .key }}"}},
			"write": {Send: []string{"SET", "{{ .key }}", "{{ .value }}"}, OK: []string{"OK"}},
			"cas": {Send: []string{"EVAL", "if redis.call('GET',KEYS[1])==ARGV[1] then redis.call('SET',KEYS[1],ARGV[2]) return 1 end return 0",
				"1", "{{ .key }}", "{{ .from }}", "{{ .to }}"}, OK: []string{"1"}, Fail: []string{"0"}},
		},
		"set":     {"add": {Send: []string{"SADD", "s", "{{ .value }}"}}, "list": {Send: []string{"SMEMBERS", "s"}}},
		"counter": {"add": {Send: []string{"INCRBY", "{{ .key }}", "{{ .value }}"}}, "read": {Send: []string{"GET", "{{ .key }}"}}},
		"log": {"send": {Send: []string{"XADD", "{{ .key }}", "*", "v", "{{ .value }}"}, Value: "int"},
			"poll": {Send: []string{"XRANGE", "{{ .key }}", "{{ if .after }}({{ .after }}{{ else }}-{{ end }}", "+"}, Value: "entries"}},
		"append": {"txn": {Begin: []string{"MULTI"}, Append: []string{"RPUSH", "{{ .key }}", "{{ .value }}"},
			Read: []string{"LRANGE", "{{ .key }}", "0", "-1"}, Commit: []string{"EXEC"}}},
	},
}

// open makes a client of a server.
func open(t *testing.T, workload, address string) *Client {
	t.Helper()
	table, err := Read(redisConfig)
	if err != nil {
		t.Fatal(err)
	}
	c := table.Open(workload, "n1", func(context.Context) (string, error) { return address, nil }, new(clients.Dialer))
	t.Cleanup(func() { c.Close() })
	return c
}

// do performs one operation within a second.
func do(t *testing.T, c *Client, f, key, value string) clients.Completion {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	op := history.Event{F: f, Key: key}
	if value != "" {
		op.Value = []byte(value)
	}
	return c.Invoke(ctx, op)
}

func wants(t *testing.T, done clients.Completion, want history.Type, value string) {
	t.Helper()
	if done.Type != want || string(done.Value) != value {
		t.Errorf("ended in %s with %s (%s), want %s with %s", done.Type, done.Value, done.Error, want, value)
	}
}

// server starts a real Redis on a port of its own.
func server(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("needs redis-server on PATH")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	dir := t.TempDir()
	cmd := exec.Command(path, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--logfile", filepath.Join(dir, "log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		said, err := Ask(ctx, address, []string{"PING"})
		cancel()
		if err == nil && said == "PONG" {
			return address
		}
		if time.Now().After(deadline) {
			t.Fatalf("redis-server does not answer: %v", err)
		}
	}
}

func TestOperationsOnARealRedis(t *testing.T) {
	address := server(t)
	t.Run("register", func(t *testing.T) {
		c := open(t, "register", address)
		wants(t, do(t, c, "read", "k", ""), history.OK, "null")
		wants(t, do(t, c, "write", "k", "1"), history.OK, "")
		wants(t, do(t, c, "cas", "k", "[2,3]"), history.Fail, "")
		wants(t, do(t, c, "cas", "k", "[1,2]"), history.OK, "")
		wants(t, do(t, c, "read", "k", ""), history.OK, "2")
	})
	t.Run("set", func(t *testing.T) {
		c := open(t, "set", address)
		wants(t, do(t, c, "list", "", ""), history.OK, "[]")
		wants(t, do(t, c, "add", "", "7"), history.OK, "")
		wants(t, do(t, c, "list", "", ""), history.OK, "[7]")
	})
	t.Run("counter", func(t *testing.T) {
		c := open(t, "counter", address)
		wants(t, do(t, c, "read", "c", ""), history.OK, "0")
		wants(t, do(t, c, "add", "c", "1"), history.OK, "")
		wants(t, do(t, c, "read", "c", ""), history.OK, "1")
	})
	t.Run("log", func(t *testing.T) {
		c := open(t, "log", address)
		wants(t, do(t, c, "poll", "stream", "null"), history.OK, "[]")
		first, second := do(t, c, "send", "stream", "7"), do(t, c, "send", "stream", "8")
		a, err := history.DecodeOffset(first.Value)
		b, err2 := history.DecodeOffset(second.Value)
		if err != nil || err2 != nil || a.Compare(b) >= 0 {
			t.Fatalf("offsets are %s and %s (%v, %v)", first.Value, second.Value, err, err2)
		}
		wants(t, do(t, c, "poll", "stream", "null"), history.OK, fmt.Sprintf("[[%s,7],[%s,8]]", first.Value, second.Value))
		wants(t, do(t, c, "poll", "stream", string(first.Value)), history.OK, fmt.Sprintf("[[%s,8]]", second.Value))
		wants(t, do(t, c, "poll", "stream", string(second.Value)), history.OK, "[]")
	})
	t.Run("append", func(t *testing.T) {
		c := open(t, "append", address)
		wants(t, do(t, c, "txn", "", `[["r","l",null],["append","l",1],["append","l",2],["r","l",null]]`), history.OK, `[["r","l",[]],["append","l",1],["append","l",2],["r","l",[1,2]]]`)
		// A command that fails within a transaction leaves the others done: nobody knows.
		wants(t, do(t, open(t, "register", address), "write", "word", "1"), history.OK, "")
		wants(t, do(t, c, "txn", "", `[["append","l",3],["append","word",4]]`), history.Info, "")
		wants(t, do(t, c, "txn", "", `[["r","l",null]]`), history.OK, `[["r","l",[1,2,3]]]`)
	})
}

// scripted is a server that answers each command by what answer says; "" is silence, and
// "close" closes the connection.
func scripted(t *testing.T, answer func(command string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					if !strings.HasPrefix(line, "*") {
						continue
					}
					r.ReadString('\n')
					command, _ := r.ReadString('\n')
					switch said := answer(strings.TrimSpace(command)); said {
					case "":
					case "close":
						return
					default:
						conn.Write([]byte(said))
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// Only what says so certainly did not happen.
func TestWhatIsNotCertainIsUnknown(t *testing.T) {
	for name, test := range map[string]struct {
		f, value string
		answers  map[string]string
		want     history.Type
	}{
		"refused with certainty":        {"write", "1", map[string]string{"SET": "-READONLY You can't write against a read only replica.\r\n"}, history.Fail},
		"entries that are none":         {"poll", "null", map[string]string{"XRANGE": "*1\r\n$3\r\n1-1\r\n"}, history.Fail},
		"entries with strange offsets":  {"poll", "null", map[string]string{"XRANGE": "*1\r\n*2\r\n$1\r\nx\r\n*2\r\n$1\r\nv\r\n$1\r\n7\r\n"}, history.Fail},
		"an entry of a stream":          {"poll", "null", map[string]string{"XRANGE": "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nv\r\n$1\r\n7\r\n"}, history.OK},
		"another error":                 {"write", "1", map[string]string{"SET": "-ERR something\r\n"}, history.Info},
		"a read with another error":     {"read", "", map[string]string{"GET": "-ERR something\r\n"}, history.Fail},
		"an answer that nobody knows":   {"write", "1", map[string]string{"SET": "+QUEUED\r\n"}, history.Info},
		"nil where nobody expects it":   {"write", "1", map[string]string{"SET": "$-1\r\n"}, history.Info},
		"a connection that was cut":     {"write", "1", map[string]string{"SET": "close"}, history.Info},
		"silence":                       {"write", "1", nil, history.Info},
		"a read without an answer":      {"read", "", nil, history.Fail},
		"no RESP at all":                {"write", "1", map[string]string{"SET": "HTTP/1.1 400 Bad Request\r\n\r\n"}, history.Info},
		"a transaction given up":        {"txn", `[["append","k",1]]`, map[string]string{"MULTI": "+OK\r\n", "RPUSH": "+QUEUED\r\n", "EXEC": "*-1\r\n"}, history.Fail},
		"a transaction refused":         {"txn", `[["append","k",1]]`, map[string]string{"MULTI": "+OK\r\n", "RPUSH": "-READONLY no\r\n", "EXEC": "-EXECABORT Transaction discarded because of previous errors.\r\n"}, history.Fail},
		"a transaction never begun":     {"txn", `[["append","k",1]]`, map[string]string{"MULTI": "-LOADING wait\r\n", "RPUSH": ":1\r\n", "EXEC": "-ERR EXEC without MULTI\r\n"}, history.Info},
		"a commit that was cut":         {"txn", `[["append","k",1]]`, map[string]string{"MULTI": "+OK\r\n", "RPUSH": "+QUEUED\r\n", "EXEC": "close"}, history.Info},
		"a commit that is too short":    {"txn", `[["append","k",1]]`, map[string]string{"MULTI": "+OK\r\n", "RPUSH": "+QUEUED\r\n", "EXEC": "*0\r\n"}, history.Info},
		"a transaction that only reads": {"txn", `[["r","k",null]]`, map[string]string{"MULTI": "+OK\r\n", "LRANGE": "+QUEUED\r\n", "EXEC": "close"}, history.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			work := "register"
			switch test.f {
			case "txn":
				work = "append"
			case "poll":
				work = "log"
			}
			c := open(t, work, scripted(t, func(command string) string {
				if command == "HELLO" || command == "CLIENT" {
					return "-ERR unknown command\r\n"
				}
				return test.answers[command]
			}))
			if done := do(t, c, test.f, "k", test.value); done.Type != test.want {
				t.Errorf("ended in %s (%s), want %s", done.Type, done.Error, test.want)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		wants(t, do(t, open(t, "register", l.Addr().String()), "write", "k", "1"), history.Fail, "")
	})
}

// An answer that comes after its operation was given up is no other operation's.
func TestALateAnswerIsNobodyElses(t *testing.T) {
	late := make(chan struct{})
	address := scripted(t, func(command string) string {
		switch command {
		case "SET":
			<-late
			return "+OK\r\n"
		case "GET":
			return "$1\r\n7\r\n"
		}
		return "-ERR unknown command\r\n"
	})
	c := open(t, "register", address)
	wants(t, do(t, c, "write", "k", "1"), history.Info, "")
	close(late)
	wants(t, do(t, c, "read", "k", ""), history.OK, "7")
}

// Who refuses is asked again where the target leads now.
func TestAClientGoesWhereTheTargetLeads(t *testing.T) {
	replica := scripted(t, func(command string) string {
		if command == "SET" {
			return "-READONLY no\r\n"
		}
		return "-ERR unknown command\r\n"
	})
	primary := scripted(t, func(command string) string {
		if command == "SET" {
			return "+OK\r\n"
		}
		return "-ERR unknown command\r\n"
	})
	table, err := Read(redisConfig)
	if err != nil {
		t.Fatal(err)
	}
	targets := []string{replica, replica, primary}
	c := table.Open("register", "n1", func(context.Context) (string, error) {
		next := targets[0]
		targets = targets[1:]
		return next, nil
	}, new(clients.Dialer))
	defer c.Close()
	wants(t, do(t, c, "write", "k", "1"), history.Fail, "")
	wants(t, do(t, c, "write", "k", "2"), history.Fail, "")
	wants(t, do(t, c, "write", "k", "3"), history.OK, "")
	wants(t, do(t, c, "write", "k", "4"), history.OK, "")
	if len(targets) != 0 {
		t.Errorf("%d targets were not asked for", len(targets))
	}
}

func TestAConfigurationThatCannotBeIsRefused(t *testing.T) {
	for want, c := range map[string]Config{
		"register.read: send: it is missing":   {Workloads: map[string]map[string]Operation{"register": {"read": {}}}},
		"certain: \"(\" is no regular":         {Certain: []string{"("}},
		"append.txn: a transaction needs":      {Workloads: map[string]map[string]Operation{"append": {"txn": {Send: []string{"X"}}}}},
		"set.list: value: \"number\" is no ki": {Workloads: map[string]map[string]Operation{"set": {"list": {Send: []string{"X"}, Value: "number"}}}},
		"set.list: nil: \"zero\" is none of":   {Workloads: map[string]map[string]Operation{"set": {"list": {Send: []string{"X"}, Nil: "zero"}}}},
		"set.add: send: ":                      {Workloads: map[string]map[string]Operation{"set": {"add": {Send: []string{"{{ .nothing }}"}}}}},
	} {
		if _, err := Read(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("told %v, want %s", err, want)
		}
	}
}
