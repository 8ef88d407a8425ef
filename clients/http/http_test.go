package http

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/history"
)

var config = Config{
	Certain: []int{429},
	Workloads: map[string]map[string]Operation{
		"register": {
			"read":  {Get: "/kv/{{ .key }}", Absent: []int{404}, Value: "$.value"},
			"write": {Put: "/kv/{{ .key }}", Body: `{"value": {{ .value }}}`, Headers: map[string]string{"X-Process": "{{ .process }}"}},
			"cas":   {Post: "/kv/{{ .key }}/cas?old={{ .from }}&new={{ .to }}", Fail: []int{409}},
		},
		"set":     {"add": {Post: "/set", Body: "{{ .value }}"}, "list": {Get: "/set", Absent: []int{404}}},
		"counter": {"add": {Get: "/add"}, "read": {Get: "/count", Absent: []int{404}}},
	},
}

func open(t *testing.T, workload, address string) *Client {
	t.Helper()
	table, err := Read(config)
	if err != nil {
		t.Fatal(err)
	}
	c := table.Open(workload, "n1", func(context.Context) (string, error) { return address, nil }, new(clients.Dialer))
	t.Cleanup(func() { c.Close() })
	return c
}

func do(t *testing.T, c *Client, f, value string) clients.Completion {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	op := history.Event{F: f, Key: "k", Process: 4}
	if value != "" {
		op.Value = []byte(value)
	}
	return c.Invoke(ctx, op)
}

func TestAnswersBecomeOutcomes(t *testing.T) {
	for name, test := range map[string]struct {
		work, f, value string
		status         int
		body           string
		want           history.Type
		read           string
	}{
		"a value":                   {"register", "read", "", 200, `{"value": 7}`, history.OK, "7"},
		"a value as a text":         {"register", "read", "", 200, `{"value": "7"}`, history.OK, "7"},
		"a value of null":           {"register", "read", "", 200, `{"value": null}`, history.OK, "null"},
		"no value":                  {"register", "read", "", 200, `{}`, history.OK, "null"},
		"nothing there":             {"register", "read", "", 404, `gone`, history.OK, "null"},
		"no JSON":                   {"register", "read", "", 200, `<html>`, history.Fail, ""},
		"a read refused":            {"register", "read", "", 503, ``, history.Fail, ""},
		"a write":                   {"register", "write", "1", 201, ``, history.OK, ""},
		"a write without content":   {"register", "write", "1", 204, ``, history.OK, ""},
		"a write with an error":     {"register", "write", "1", 500, `oh`, history.Info, ""},
		"a write to nowhere":        {"register", "write", "1", 404, ``, history.Info, ""},
		"a redirection":             {"register", "write", "1", 307, ``, history.Info, ""},
		"too many requests":         {"register", "write", "1", 429, ``, history.Fail, ""},
		"a mismatch":                {"register", "cas", "[1,2]", 409, ``, history.Fail, ""},
		"a list":                    {"set", "list", "", 200, `[1, "2"]`, history.OK, "[1,2]"},
		"a list in lines":           {"set", "list", "", 200, "1\n2\n", history.OK, "[1,2]"},
		"an empty list":             {"set", "list", "", 200, "", history.OK, "[]"},
		"a list that is not there":  {"set", "list", "", 404, "", history.OK, "[]"},
		"a counter at 0":            {"counter", "read", "", 404, "", history.OK, "0"},
		"a count":                   {"counter", "read", "", 200, "12\n", history.OK, "12"},
		"a count that is none":      {"counter", "read", "", 200, "twelve", history.OK, `"twelve"`},
		"a write by GET in trouble": {"counter", "add", "1", 502, "", history.Info, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.status)
				io.WriteString(w, test.body)
			}))
			defer s.Close()
			done := do(t, open(t, test.work, s.Listener.Addr().String()), test.f, test.value)
			if done.Type != test.want || string(done.Value) != test.read {
				t.Errorf("ended in %s with %s (%s), want %s with %s", done.Type, done.Value, done.Error, test.want, test.read)
			}
		})
	}
}

func TestARequestSaysWhatTheOperationHolds(t *testing.T) {
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.String() + " " + string(body) + " " + r.Header.Get("X-Process")
	}))
	defer s.Close()
	c := open(t, "register", s.Listener.Addr().String())
	do(t, c, "write", "5")
	if want := `PUT /kv/k {"value": 5} 4`; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
	do(t, c, "cas", "[5,6]")
	if want := "POST /kv/k/cas?old=5&new=6  "; got != want {
		t.Errorf("sent %s, want %s", got, want)
	}
}

// A request is sent once, whatever becomes of its connection.
func TestNothingIsSentTwice(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var requests atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buffer := make([]byte, 4096)
				for i := range 2 { // the second request of a connection gets no answer
					if _, err := conn.Read(buffer); err != nil {
						return
					}
					requests.Add(1)
					if i == 0 {
						io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
				}
			}()
		}
	}()
	c := open(t, "counter", l.Addr().String())
	if done := do(t, c, "add", "1"); done.Type != history.OK {
		t.Fatalf("ended in %s (%s)", done.Type, done.Error)
	}
	if done := do(t, c, "add", "1"); done.Type != history.Info {
		t.Errorf("ended in %s (%s), want info", done.Type, done.Error)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests arrived, want 2", n)
	}
}

// A connection that the server closed while nobody used it costs no operation.
func TestAConnectionClosedMeanwhileIsOpenedAgain(t *testing.T) {
	closed := make(chan struct{}, 8)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- struct{}{}
		}
	}
	s.Config.IdleTimeout = 10 * time.Millisecond
	s.Start()
	defer s.Close()
	c := open(t, "register", s.Listener.Addr().String())
	for range 3 {
		if done := do(t, c, "write", "1"); done.Type != history.OK {
			t.Fatalf("ended in %s (%s)", done.Type, done.Error)
		}
		<-closed
	}
}

func TestWhatWasNeverSentDidNotHappen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if done := do(t, open(t, "register", l.Addr().String()), "write", "1"); done.Type != history.Fail {
		t.Errorf("ended in %s (%s), want fail", done.Type, done.Error)
	}
}

func TestSilenceIsUnknown(t *testing.T) {
	block := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-block }))
	defer s.Close()
	defer close(block)
	c := open(t, "register", s.Listener.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if done := c.Invoke(ctx, history.Event{F: "write", Key: "k", Value: []byte("1")}); done.Type != history.Info || !strings.Contains(done.Error, "deadline") {
		t.Errorf("ended in %s (%s), want info", done.Type, done.Error)
	}
}

func TestAConfigurationThatCannotBeIsRefused(t *testing.T) {
	for want, o := range map[string]Operation{
		"it has both get and put":           {Get: "/", Put: "/"},
		"it has no request":                 {},
		"does not begin with /":             {Get: "kv"},
		"1000 is no status":                 {Get: "/", OK: []int{1000}},
		"is no path into JSON":              {Get: "/", Value: "value"},
		"is no kind of value":               {Get: "/", Kind: "number"},
		"map has no entry for key \"keys\"": {Get: "/{{ .keys }}"},
	} {
		_, err := Read(Config{Workloads: map[string]map[string]Operation{"register": {"read": o}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("told %v, want %s", err, want)
		}
	}
}
