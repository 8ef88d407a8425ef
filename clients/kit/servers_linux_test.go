package kit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// TestMain lets the test binary be its own agent, and the servers that it runs.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "agent":
			os.Exit(agent.Main(os.Args[2:], nil, os.Stdin, os.Stdout, os.Stderr))
		case "serve":
			os.Exit(serve(os.Args[2]))
		case "fail":
			fmt.Println("\x1b[31mthe disk is\tupside down")
			os.Exit(7)
		}
	}
	os.Exit(m.Run())
}

// serve notes when it starts and is told to end, in a file that all servers share.
func serve(name string) int {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	note := func(what string) {
		f, err := os.OpenFile("order", os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err == nil {
			fmt.Fprintln(f, what, name)
			f.Close()
		}
	}
	note("start")
	<-end
	note("stop")
	return 0
}

// probed is a deployment whose servers serve once they noted that they started.
type probed struct {
	fixed
	dir string
}

func (p probed) Probe(_ context.Context, c clients.Component) error {
	text, _ := os.ReadFile(filepath.Join(p.dir, "shared", "order"))
	if !strings.Contains(string(text), "start "+c.Name()) {
		return errors.New("has not started")
	}
	return nil
}

// runs makes the servers of a deployment on this machine.
func runs(t *testing.T, all ...clients.Component) (*Servers, *agent.Client) {
	t.Helper()
	m := agenttest.ConnectAs(t, agenttest.Dir(t), nodes.Node{Name: "n1", Address: agenttest.NewConn().Node().Address})
	s, err := New(probed{all, m.Dir()}, []*agent.Client{m}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s, m
}

func server(role, mode string, after ...string) clients.Component {
	self, _ := os.Executable()
	return clients.Component{
		Node: "n1", Role: role, After: after,
		Spec:  agent.ProcessSpec{Argv: []string{"bin/server", mode, role}, Dir: "shared"},
		Files: []clients.File{{Path: "bin/server", From: self, Mode: 0o755}, {Path: "shared/" + role + ".conf", Content: []byte("of " + role), Mode: 0o644}},
		Data:  []string{"data/" + role},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestServersOfANodeLiveTogether(t *testing.T) {
	s, m := runs(t, server("sentinel", "serve", "db"), server("db", "serve"))
	ctx := t.Context()
	must(t, m.WriteFile(ctx, "data/db/old", nil, 0o600))
	must(t, s.Install(ctx, "n1"))
	if err := m.Download(ctx, "data/db/old", new(bytes.Buffer)); err == nil {
		t.Error("the data of an earlier run are still there")
	}
	var conf bytes.Buffer
	if err := m.Download(ctx, "shared/db.conf", &conf); err != nil || conf.String() != "of db" {
		t.Errorf("its configuration is %q, %v", conf.String(), err)
	}
	must(t, s.Start(ctx))
	must(t, s.Healthy(ctx, "n1"))
	if err := s.Wipe(ctx, "n1"); err == nil || err.Error() != "wipe db on n1: the server still runs; stop it first" {
		t.Errorf("wiping under a server: %v", err)
	}
	must(t, s.Stop(ctx, time.Minute))
	var order bytes.Buffer
	must(t, m.Download(ctx, "shared/order", &order))
	if got, want := order.String(), "start db\nstart sentinel\nstop sentinel\nstop db\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	// Again, after the node was without power.
	must(t, s.StartNode(ctx, "n1"))
	must(t, s.Ready(ctx))
	must(t, s.Install(ctx, "n1")) // which stops what still runs
	for _, c := range s.Components() {
		if state, err := m.ProcessState(ctx, c.Name()); err != nil || lives(state) {
			t.Errorf("%s is %+v, %v", c, state, err)
		}
	}
}

func TestAServerThatEndsIsToldWithItsLastWords(t *testing.T) {
	s, _ := runs(t, server("db", "serve"), server("sentinel", "fail", "db"))
	must(t, s.Install(t.Context(), "n1"))
	err := s.Start(t.Context())
	want := "reach sentinel on n1: the server exited with status 7; its log says: \uFFFD[31mthe disk is upside down"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	var down *DownError
	if !errors.As(err, &down) || down.Component.Role != "sentinel" || down.State.Code != 7 {
		t.Errorf("the error does not say what is down: %+v", down)
	}
	if err := s.Healthy(t.Context(), "n9"); err == nil || !strings.Contains(err.Error(), `"n9": there is no such node`) {
		t.Errorf("of a node that is none: %v", err)
	}
}

func TestAnExecutableForOtherNodesIsRefused(t *testing.T) {
	s, m := runs(t, server("db", "serve"))
	for from := range s.arch {
		s.arch[from] = "pdp11"
	}
	err := s.Install(t.Context(), "n1")
	want := "install db on n1: the executable is for linux/pdp11 and the node is linux/" + m.Facts().Arch + "; give one for the node with --binary"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
