package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemesis/clients"
	"nemesis/clients/kit"
	"nemesis/history"
	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

// TestMain lets the test binary be its own agent.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "agent" {
		os.Exit(agent.Main(os.Args[2:], nil, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// deployed is a cluster with who runs its servers.
type deployed struct {
	*kit.Servers
	cluster *deployment
}

// deploy describes a cluster on agents of this machine, each with a loopback
// address for a node.
func deploy(t *testing.T, n int) (deployed, []*agent.Client) {
	t.Helper()
	binary, err := realServer()
	if err != nil {
		t.Skipf("there is no etcd to test against: %v", err)
	}
	var machines []*agent.Client
	for i := range n {
		node := nodes.Node{Name: fmt.Sprintf("n%d", i+1), Address: loopback()}
		machines = append(machines, agenttest.ConnectAs(t, agenttest.Dir(t), node))
	}
	install, err := System{}.Prepare(t.Context(), history.System{Binary: binary}, new(bytes.Buffer))
	must(t, err)
	plan := history.Plan{Seed: 7, System: history.System{Name: "etcd"}}
	d, err := System{}.Deploy(install, plan, machines)
	must(t, err)
	cluster := d.(*deployment)
	t.Cleanup(func() { must(t, cluster.Close()) })
	servers, err := kit.New(d, machines, kit.Options{})
	must(t, err)
	return deployed{servers, cluster}, machines
}

// patient is a deadline that only a broken test reaches.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// kill is kill -9 of the server on a machine; it returns when the agent knows.
func kill(t *testing.T, m *agent.Client) {
	t.Helper()
	ctx := patient(t)
	state, err := m.ProcessState(ctx, role)
	must(t, err)
	if !lives(state) {
		t.Fatalf("there is no server to kill: %+v", state)
	}
	must(t, syscall.Kill(state.PID, syscall.SIGKILL))
	for lives(state) {
		state, err = m.ProcessState(ctx, role)
		must(t, err)
	}
}

func lives(s agent.ProcessState) bool { return s.State == agent.Running || s.State == agent.Paused }

func oneLine(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; want one with %q", parts)
		return
	}
	t.Log(err)
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

func TestLifeOfACluster(t *testing.T) {
	t.Parallel()
	d, machines := deploy(t, 3)
	ctx := patient(t)
	for _, m := range machines {
		must(t, d.Install(ctx, m.Node().Name))
		must(t, d.Wipe(ctx, m.Node().Name))
	}
	oneLine(t, d.Healthy(ctx, "n1"), "reach etcd on n1: the server was never started")
	for _, m := range machines {
		must(t, d.StartNode(ctx, m.Node().Name))
	}
	must(t, d.Ready(ctx))

	leads, err := d.cluster.Leads(ctx)
	must(t, err)
	if len(leads) != 1 || d.cluster.members[leads[0].Node] == nil || leads[0].Term == 0 {
		t.Errorf("the leaders of a cluster that serves are %+v", leads)
	}
	c, err := d.cluster.Open(ctx, "n1", new(clients.Dialer))
	must(t, err)
	defer c.Close()
	perform := func(f, value string) clients.Completion {
		return c.Invoke(ctx, history.Event{F: f, Key: "k", Value: json.RawMessage(value)})
	}
	ended(t, perform("write", "1"), history.OK, "")
	oneLine(t, d.Wipe(ctx, "n1"), "wipe etcd on n1: the server still runs")

	// A killed member comes back with its data.
	kill(t, machines[0])
	oneLine(t, d.Healthy(ctx, "n1"), "reach etcd on n1: the server was ended by ", "; its log says: ")
	oneLine(t, d.Ready(ctx), "reach etcd on n1: ")
	must(t, d.StartNode(ctx, "n1"))
	must(t, d.Ready(ctx))
	read := perform("read", "null")
	for read.Type == history.Fail { // until the connection is tried again
		read = perform("read", "null")
	}
	ended(t, read, history.OK, "1")

	// One that lost its data does not vote again under its old name: its peers know it.
	kill(t, machines[0])
	must(t, d.Wipe(ctx, "n1"))
	must(t, d.StartNode(ctx, "n1"))
	oneLine(t, d.Healthy(ctx, "n1"), "reach etcd on n1: the server exited with status 1", "has already been bootstrapped")

	// The log can be had by the name that is given for it.
	var log bytes.Buffer
	must(t, machines[1].Download(ctx, d.LogFiles("n2")["etcd.log"], &log))
	if !strings.Contains(log.String(), "configuring peer listeners") {
		t.Errorf("the log of n2 is not that of a member that served: %.200s", log.String())
	}

	// Installing again, for the next run, stops what still runs.
	must(t, d.Install(ctx, "n2"))
	must(t, d.Wipe(ctx, "n2"))
}

func TestServerThatExitsAtStart(t *testing.T) {
	t.Parallel()
	d, machines := deploy(t, 1)
	ctx := patient(t)
	taken, err := net.Listen("tcp", netip.AddrPortFrom(machines[0].Node().Address, peerPort).String())
	must(t, err)
	defer taken.Close()
	must(t, d.Install(ctx, "n1"))
	must(t, d.StartNode(ctx, "n1"))
	oneLine(t, d.Ready(ctx), "reach etcd on n1: the server exited with status 1; its log says: ", "address already in use")
}

func TestServerThatRunsAndDoesNotAnswer(t *testing.T) {
	t.Parallel()
	d, _ := deploy(t, 2)
	ctx := patient(t)
	must(t, d.Install(ctx, "n1"))
	must(t, d.StartNode(ctx, "n1")) // alone of two, it cannot serve
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	oneLine(t, d.Healthy(short, "n1"), "reach etcd on n1: the server runs and does not answer reads (", "; its log says: ")
	leads, err := d.cluster.Leads(ctx)
	must(t, err)
	if len(leads) > 0 {
		t.Errorf("%+v lead a cluster without a majority", leads)
	}
}
