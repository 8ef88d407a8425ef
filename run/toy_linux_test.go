package run_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// toy is a register server: the first node has the registers in its memory, and the
// others pass on what they are asked. It is what a system has to be, and no more.
type toy struct{}

func (toy) Name() string                            { return "toy" }
func (toy) Doc() string                             { return "registers in the memory of one node" }
func (toy) DefaultVersion() string                  { return "v1" }
func (toy) CheckVersion(string) error               { return nil }
func (toy) Options() []clients.Option               { return nil }
func (toy) Workloads() []string                     { return []string{"register"} }
func (toy) HasLeaders(map[string]string) bool       { return true }
func (toy) Timing(map[string]string) history.Timing { return history.Timing{} }

func (toy) Claim(map[string]string) history.Claim {
	return history.Claim{Model: history.Linearizable, Origin: history.Documented}
}

func (toy) Prepare(context.Context, history.System, io.Writer) (clients.Install, error) {
	self, err := os.Executable()
	return clients.Install{Version: "v1", Files: map[string]string{"toy": self}}, err
}

func (toy) Deploy(install clients.Install, _ history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	d := toyCluster{}
	for _, m := range machines {
		address := func(m *agent.Client) string { return net.JoinHostPort(m.Node().Address.String(), "7000") }
		d = append(d, clients.Component{
			Node: m.Node().Name, Role: "register", ClientPort: 7000, PeerPort: 7000,
			Spec:  agent.ProcessSpec{Argv: []string{"toy/server", "toy-server", address(m), address(machines[0])}, Dir: "toy"},
			Files: []clients.File{{Path: "toy/server", From: install.Files["toy"], Mode: 0o755}},
		})
	}
	return d, nil
}

type toyCluster []clients.Component

func (d toyCluster) Leads(context.Context) ([]history.Lead, error) {
	return []history.Lead{{Node: d[0].Node}}, nil
}

func (d toyCluster) Components() []clients.Component { return d }

func (d toyCluster) Open(_ context.Context, node string, dialer *clients.Dialer) (clients.Client, error) {
	i := slices.IndexFunc(d, func(c clients.Component) bool { return c.Node == node })
	return &toyClient{"http://" + d[i].Spec.Argv[2], &http.Transport{DialContext: dialer.DialContext}}, nil
}

// toyServer is the program: register is read without new, written with it, and with old
// written if it holds that.
func toyServer(listen, first string) error { return toyServe(listen, first, func(*http.Request) {}) }

// toyServe is toyServer that tells of each request before it is answered.
func toyServe(listen, first string, tell func(*http.Request)) error {
	var mu sync.Mutex
	registers := map[string]string{}
	return http.ListenAndServe(listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tell(r)
		if listen != first {
			httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: first}).ServeHTTP(w, r)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		q, name := r.URL.Query(), r.URL.Path
		switch {
		case q.Has("old") && q.Get("old") != registers[name]:
			w.WriteHeader(http.StatusConflict)
		case q.Has("new"):
			registers[name] = q.Get("new")
		default:
			io.WriteString(w, registers[name])
		}
	}))
}

// toyClient talks to the server of one node.
type toyClient struct {
	url  string
	http *http.Transport
}

func (c *toyClient) Close() error { c.http.CloseIdleConnections(); return nil }

func (c *toyClient) Invoke(ctx context.Context, op history.Event) clients.Completion {
	q, doubt := url.Values{}, history.Info
	switch op.F {
	case history.FRead:
		doubt = history.Fail
	case history.FWrite:
		q.Set("new", string(op.Value))
	case history.FCAS:
		cas, err := history.DecodeCompareAndSet(op.Value)
		if err != nil {
			return clients.Completion{Type: history.Fail, Error: err.Error()}
		}
		q.Set("old", string(cas.Expected))
		q.Set("new", string(cas.New))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/"+url.PathEscape(op.Key)+"?"+q.Encode(), nil)
	if err != nil {
		return clients.Completion{Type: history.Fail, Error: err.Error()}
	}
	answer, err := c.http.RoundTrip(r)
	if err != nil {
		return clients.Completion{Type: doubt, Error: err.Error()}
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	switch {
	case err == nil && answer.StatusCode == http.StatusConflict:
		return clients.Completion{Type: history.Fail, Error: "mismatch"}
	case err != nil || answer.StatusCode != http.StatusOK:
		return clients.Completion{Type: doubt, Error: "status " + strconv.Itoa(answer.StatusCode)}
	case op.F == history.FRead && len(body) == 0:
		return clients.Completion{Type: history.OK, Value: history.EncodeNull()}
	case op.F == history.FRead:
		return clients.Completion{Type: history.OK, Value: json.RawMessage(body)}
	}
	return clients.Completion{Type: history.OK}
}
