package lock

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"nemesis/clients"
	"nemesis/clients/group"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// port is where nodes and clients connect.
const port = 7402

// Places on a node, relative to the agent's directory.
const (
	home       = "lock"
	executable = home + "/" + program
	dataDir    = home + "/data"
	logFile    = home + "/lock.log"
	traceFile  = home + "/lock.trace"
)

// program is the name of the servers' executable where the user gives one.
const program = "nemesis"

// role is what the servers are called.
const role = "lock"

// deployment is one ring.
type deployment struct {
	components []clients.Component
	names      []string // of nodes, in the order of the ring
	addresses  []netip.AddrPort
}

var (
	_ clients.Deployment = (*deployment)(nil)
	_ clients.Prober     = (*deployment)(nil)
)

// Deploy describes a ring with one node on each machine.
func (System) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	o, err := parseOptions(plan.System.Options)
	if err != nil {
		return nil, err
	}
	if len(machines) == 0 {
		return nil, errors.New("deploy lock: there are no nodes")
	}
	d := &deployment{}
	var members []string
	for _, m := range machines {
		node := m.Node()
		at := netip.AddrPortFrom(node.Address, port)
		if slices.Contains(d.addresses, at) {
			return nil, fmt.Errorf("deploy lock: two nodes share the address %v; each server needs port %d of its own", node.Address, port)
		}
		d.names, d.addresses, members = append(d.names, node.Name), append(d.addresses, at), append(members, at.String())
	}
	for i, m := range machines {
		c := clients.Component{
			Node: d.names[i], Role: role, Data: []string{dataDir}, ClientPort: port, PeerPort: port,
			Spec: agent.ProcessSpec{Name: role, Dir: home, Log: logFile},
		}
		server := agent.OwnExecutable
		if binary := install.Files[program]; binary != "" {
			server = executable
			c.Files = []clients.File{{Path: executable, From: binary, Mode: 0o755}}
		}
		c.Spec.Argv = []string{
			server, "server", "lock", "--id", strconv.Itoa(i + 1), "--members", strings.Join(members, ","),
			"--data", path.Join(m.Dir(), dataDir), "--hold", o.hold.String(), "--retry", o.retry.String(),
		}
		if o.trace {
			c.Trace = traceFile
			c.Spec.Argv = append(c.Spec.Argv, "--trace", path.Join(m.Dir(), traceFile))
		}
		d.components = append(d.components, c)
	}
	return d, nil
}

// Components are one server on each node.
func (d *deployment) Components() []clients.Component { return d.components }

// Open makes a client of one node.
func (d *deployment) Open(_ context.Context, node string, dialer *clients.Dialer) (clients.Client, error) {
	i := slices.Index(d.names, node)
	if i < 0 {
		return nil, fmt.Errorf("find the lock server on %q: there is no such node in the cluster", node)
	}
	return &client{node: node, conn: &group.Conn{Address: d.addresses[i], Dialer: dialer}}, nil
}

// Probe asks whether the node answers.
func (d *deployment) Probe(ctx context.Context, c clients.Component) error {
	conn := &group.Conn{Address: d.addresses[slices.Index(d.names, c.Node)], Dialer: new(clients.Dialer)}
	defer conn.Close()
	if _, err := ask(ctx, conn); err != nil {
		return fmt.Errorf("does not say whether it holds (%w)", err)
	}
	return nil
}
