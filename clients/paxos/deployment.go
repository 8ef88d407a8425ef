package paxos

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
const port = 7400

// Places on a node, relative to the agent's directory.
const (
	home       = "paxos"
	executable = home + "/" + program
	dataDir    = home + "/data"
	logFile    = home + "/paxos.log"
	traceFile  = home + "/paxos.trace"
)

// program is the name of the servers' executable where the user gives one.
const program = "nemesis"

// role is what the servers are called.
const role = "paxos"

// deployment is one group.
type deployment struct {
	components []clients.Component
	names      []string // of nodes; node i+1 of the group is on names[i]
	addresses  []netip.AddrPort
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
		return nil, errors.New("deploy paxos: there are no nodes")
	}
	if len(machines) > group.MostServers {
		return nil, fmt.Errorf("deploy paxos: there are %d nodes, and a group has at most %d", len(machines), group.MostServers)
	}
	// A leader that is cut off steps down after two view timeouts, and another is there after little more than one. Clients
	// that waited for the old one for longer would all miss the time at which there are two.
	d := &deployment{patience: plan.Patience(time.Second), attempt: o.viewTimeout / 2, counts: plan.Workload.Name == "counter", nonces: group.NewNonces(uint64(plan.Seed))}
	for _, m := range machines {
		node := m.Node()
		at := netip.AddrPortFrom(node.Address, port)
		if slices.Contains(d.addresses, at) {
			return nil, fmt.Errorf("deploy paxos: two nodes share the address %v; each server needs port %d of its own", node.Address, port)
		}
		d.names, d.addresses = append(d.names, node.Name), append(d.addresses, at)
	}
	for i, m := range machines {
		c := clients.Component{
			Node: d.names[i], Role: role, Data: []string{dataDir}, ClientPort: port, PeerPort: port,
			Spec: agent.ProcessSpec{Name: role, Dir: home, Log: logFile},
		}
		server := agent.OwnExecutable
		if binary != "" {
			server = executable
			c.Files = []clients.File{{Path: executable, From: binary, Mode: 0o755}}
		}
		if o.trace {
			c.Trace = traceFile
		}
		c.Spec.Argv = d.arguments(server, m.Dir(), i+1, uint64(plan.Seed), o)
		d.components = append(d.components, c)
	}
	return d, nil
}

// arguments start node id of the group, the first time or again.
func (d *deployment) arguments(server, root string, id int, seed uint64, o options) []string {
	var members []string
	for _, a := range d.addresses {
		members = append(members, a.String())
	}
	argv := []string{
		server, "server", "paxos", "--id", strconv.Itoa(id), "--members", strings.Join(members, ","),
		"--data", path.Join(root, dataDir), "--fsync=" + strconv.FormatBool(o.fsync), "--reads", o.reads,
		"--lease", o.lease.String(), "--clock-error", o.clockError.String(),
		"--heartbeat", o.heartbeat.String(), "--view-timeout", o.viewTimeout.String(),
		"--batch-count", strconv.Itoa(o.batchCount), "--batch-delay", o.batchDelay.String(),
		"--snapshot-every", strconv.Itoa(o.snapshotEvery), "--seed", strconv.FormatUint(seed, 10),
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
		return nil, fmt.Errorf("find the paxos server on %q: there is no such node in the cluster", node)
	}
	var nodes []*group.Conn
	for _, a := range d.addresses {
		nodes = append(nodes, &group.Conn{Address: a, Dialer: dialer})
	}
	return &client{session: group.NewSession(nodes, own, d.attempt, d.nonces.Next()), counts: d.counts}, nil
}

// Probe asks whether a node knows a leader: until then it can only send clients away.
func (d *deployment) Probe(ctx context.Context, c clients.Component) error {
	s, err := group.Inquire(ctx, d.addresses[slices.Index(d.names, c.Node)])
	switch {
	case err != nil:
		return fmt.Errorf("does not say where it stands (%w)", err)
	case s.Leader == 0:
		return errors.New("knows no leader")
	}
	return nil
}

// Leads asks all nodes at once and gives them a second where nodes are not slow.
func (d *deployment) Leads(ctx context.Context) ([]history.Lead, error) {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	return d.views.Leads(ctx, len(d.names), func(ctx context.Context, i int) *clients.View {
		s, err := group.Inquire(ctx, d.addresses[i])
		if err != nil {
			return nil
		}
		return s.View(d.names[i], uint64(i+1))
	}), nil
}
