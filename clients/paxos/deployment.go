package paxos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"nemesis/clients"
	"nemesis/clients/group"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// deployment is one group.
type deployment struct {
	servers    group.Servers
	components []clients.Component
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

func newDeployment(install clients.Install, o options, plan history.Plan, machines []*agent.Client) (*deployment, error) {
	if len(machines) > group.MostServers {
		return nil, fmt.Errorf("deploy paxos: there are %d nodes, and a group has at most %d", len(machines), group.MostServers)
	}
	servers, err := own().Place(machines)
	if err != nil {
		return nil, err
	}
	// A leader that is cut off steps down after two view timeouts, and another is there after little more than one. Clients
	// that waited for the old one for longer would all miss the time at which there are two.
	d := &deployment{servers: servers, patience: plan.Patience(time.Second), attempt: o.viewTimeout / 2, counts: plan.Workload.Name == "counter", nonces: group.NewNonces(uint64(plan.Seed))}
	arguments := []string{
		"--fsync=" + strconv.FormatBool(o.fsync), "--reads", o.reads,
		"--lease", o.lease.String(), "--clock-error", o.clockError.String(),
		"--heartbeat", o.heartbeat.String(), "--view-timeout", o.viewTimeout.String(),
		"--batch-count", strconv.Itoa(o.batchCount), "--batch-delay", o.batchDelay.String(),
		"--snapshot-every", strconv.Itoa(o.snapshotEvery), "--seed", strconv.FormatUint(uint64(plan.Seed), 10),
	}
	if o.defect != "" {
		arguments = append(arguments, "--defect", o.defect)
	}
	for i, m := range machines {
		d.components = append(d.components, d.servers.Component(i, m, install, o.trace, arguments...))
	}
	return d, nil
}

// Components are one server on each node.
func (d *deployment) Components() []clients.Component { return d.components }

// Open makes a client of one node, which knows the others.
func (d *deployment) Open(_ context.Context, node string, dialer *clients.Dialer) (clients.Client, error) {
	own, err := d.servers.Index(node)
	if err != nil {
		return nil, err
	}
	return &client{session: group.NewSession(group.Conns(d.servers.Addresses, dialer), own, d.attempt, d.nonces.Next()), counts: d.counts}, nil
}

// Probe asks whether a node knows a leader: until then it can only send clients away.
func (d *deployment) Probe(ctx context.Context, c clients.Component) error {
	s, err := group.Inquire(ctx, d.servers.Addresses[slices.Index(d.servers.Names, c.Node)])
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
	return d.views.Leads(ctx, len(d.servers.Names), func(ctx context.Context, i int) *clients.View {
		s, err := group.Inquire(ctx, d.servers.Addresses[i])
		if err != nil {
			return nil
		}
		return s.View(d.servers.Names[i], i, len(d.servers.Names))
	}), nil
}
