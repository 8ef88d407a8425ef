package shardkv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"nemesis/clients"
	"nemesis/clients/group"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// port is where nodes and clients connect.
const port = 7500

// Places on a node, relative to the agent's directory.
const (
	home       = "shardkv"
	executable = home + "/" + program
	dataDir    = home + "/data"
	logFile    = home + "/shardkv.log"
	traceFile  = home + "/shardkv.trace"
)

// program is the name of the servers' executable where the user gives one.
const program = "nemesis"

// role is what the servers are called.
const role = "shardkv"

// deployment is one cluster.
type deployment struct {
	components []clients.Component
	names      []string // node i+1 of the cluster is on names[i]
	addresses  []netip.AddrPort
	placement  int // how many of them are the placement group
	// patience is how long to wait for an answer, attempt how long a client waits for one node's.
	patience, attempt time.Duration
	views             clients.Views
	counts            bool // what the workload adds to and reads are counters
	nonces            *group.Nonces
}

var (
	_ clients.Deployment = (*deployment)(nil)
	_ clients.Prober     = (*deployment)(nil)
	_ clients.Leading    = (*deployment)(nil)
)

func newDeployment(binary string, o options, plan history.Plan, machines []*agent.Client) (*deployment, error) {
	if len(machines) == 0 {
		return nil, errors.New("deploy shardkv: there are no nodes")
	}
	if len(machines) > group.MostServers {
		return nil, fmt.Errorf("deploy shardkv: there are %d nodes, and a cluster has at most %d", len(machines), group.MostServers)
	}
	d := &deployment{
		placement: o.placement, patience: plan.Patience(time.Second), attempt: o.viewTimeout / 2,
		counts: plan.Workload.Name == "counter", nonces: group.NewNonces(uint64(plan.Seed)),
	}
	if d.placement == 0 {
		d.placement = len(machines)
	}
	switch {
	case d.placement > len(machines):
		return nil, fmt.Errorf("set shardkv option placement: %d is more than the %d nodes; give fewer, or 0 for all", d.placement, len(machines))
	case o.replicas > len(machines):
		return nil, fmt.Errorf("set shardkv option replicas: %d is more than the %d nodes; give fewer", o.replicas, len(machines))
	}
	for _, m := range machines {
		node := m.Node()
		at := netip.AddrPortFrom(node.Address, port)
		if slices.Contains(d.addresses, at) {
			return nil, fmt.Errorf("deploy shardkv: two nodes share the address %v; each server needs port %d of its own", node.Address, port)
		}
		d.names, d.addresses = append(d.names, node.Name), append(d.addresses, at)
	}
	for i, m := range machines {
		c := clients.Component{
			Node: d.names[i], Role: role, Data: []string{dataDir}, ClientPort: port, PeerPort: port,
			Spec: agent.ProcessSpec{Name: role, Dir: home, Log: logFile},
		}
		if o.trace {
			c.Trace = traceFile
		}
		server := agent.OwnExecutable
		if binary != "" {
			server = executable
			c.Files = []clients.File{{Path: executable, From: binary, Mode: 0o755}}
		}
		c.Spec.Argv = d.arguments(server, m.Dir(), i+1, uint64(plan.Seed), o)
		d.components = append(d.components, c)
	}
	return d, nil
}

// arguments start node id of the cluster, the first time or again.
func (d *deployment) arguments(server, root string, id int, seed uint64, o options) []string {
	var members []string
	for _, a := range d.addresses {
		members = append(members, a.String())
	}
	argv := []string{
		server, "server", "shardkv", "--id", strconv.Itoa(id), "--members", strings.Join(members, ","),
		"--data", path.Join(root, dataDir), "--placement", strconv.Itoa(d.placement), "--replicas", strconv.Itoa(o.replicas),
		"--shards", strconv.Itoa(o.shards), "--lease", o.lease.String(), "--clock-error", o.clockError.String(), "--fsync", o.fsync,
		"--heartbeat", o.heartbeat.String(), "--view-timeout", o.viewTimeout.String(),
		"--copy-bytes", strconv.Itoa(o.copyBytes), "--save-every", strconv.Itoa(o.saveEvery), "--seed", strconv.FormatUint(seed, 10),
	}
	if o.trace {
		argv = append(argv, "--trace", path.Join(root, traceFile))
	}
	if o.defect != "" {
		argv = append(argv, "--defect", o.defect)
	}
	return argv
}

// Components are one server on each node.
func (d *deployment) Components() []clients.Component { return d.components }

// Open makes a client of one node, which knows the others.
func (d *deployment) Open(_ context.Context, node string, dialer *clients.Dialer) (clients.Client, error) {
	own := slices.Index(d.names, node)
	if own < 0 {
		return nil, fmt.Errorf("find the shardkv server on %q: there is no such node in the cluster", node)
	}
	conns := func(n int) []*group.Conn {
		var all []*group.Conn
		for _, a := range d.addresses[:n] {
			all = append(all, &group.Conn{Address: a, Dialer: dialer})
		}
		return all
	}
	return &client{
		data:      &session{nodes: conns(len(d.names)), own: own, patience: d.attempt, id: d.nonces.Next()},
		placement: group.NewSession(conns(d.placement), own%d.placement, d.attempt, d.nonces.Next()),
		names:     d.names,
		counts:    d.counts,
	}, nil
}

// Probe asks whether a node can serve: it has a lease and knows who leads the placement group.
func (d *deployment) Probe(ctx context.Context, c clients.Component) error {
	s, err := group.Inquire(ctx, d.addresses[slices.Index(d.names, c.Node)])
	switch {
	case err != nil:
		return fmt.Errorf("does not say where it stands (%w)", err)
	case s.Leader == 0:
		return errors.New("has no lease, or knows no leader of the placement group")
	}
	return nil
}

// Leads asks all nodes of the placement group at once and gives them a second where nodes are not slow.
func (d *deployment) Leads(ctx context.Context) ([]history.Lead, error) {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	return d.views.Leads(ctx, d.placement, func(ctx context.Context, i int) *clients.View {
		s, err := group.Inquire(ctx, d.addresses[i])
		if err != nil {
			return nil
		}
		return s.View(d.names[i], uint64(i+1))
	}), nil
}
