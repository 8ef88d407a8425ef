package shardkv

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"nemesis/clients"
	"nemesis/clients/group"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// deployment is one cluster.
type deployment struct {
	servers    group.Servers
	components []clients.Component
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

func newDeployment(install clients.Install, o options, plan history.Plan, machines []*agent.Client) (*deployment, error) {
	if len(machines) > group.MostServers {
		return nil, fmt.Errorf("deploy shardkv: there are %d nodes, and a cluster has at most %d", len(machines), group.MostServers)
	}
	servers, err := own().Place(machines)
	if err != nil {
		return nil, err
	}
	d := &deployment{
		servers: servers, placement: o.placement, patience: plan.Patience(time.Second), attempt: o.viewTimeout / 2,
		counts: plan.Workload.Name == "counter", nonces: group.NewNonces(uint64(plan.Seed)),
	}
	if d.placement == 0 {
		d.placement = len(machines)
	}
	if err := o.fit(len(machines)); err != nil {
		return nil, err
	}
	arguments := []string{
		"--placement", strconv.Itoa(d.placement), "--replicas", strconv.Itoa(o.replicas),
		"--shards", strconv.Itoa(o.shards), "--lease", o.lease.String(), "--clock-error", o.clockError.String(), "--fsync", o.fsync,
		"--heartbeat", o.heartbeat.String(), "--view-timeout", o.viewTimeout.String(),
		"--copy-bytes", strconv.Itoa(o.copyBytes), "--save-every", strconv.Itoa(o.saveEvery), "--seed", strconv.FormatUint(uint64(plan.Seed), 10),
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
	return &client{
		data:      &session{nodes: group.Conns(d.servers.Addresses, dialer), own: own, patience: d.attempt, id: d.nonces.Next()},
		placement: group.NewSession(group.Conns(d.servers.Addresses[:d.placement], dialer), own%d.placement, d.attempt, d.nonces.Next()),
		names:     d.servers.Names,
		counts:    d.counts,
	}, nil
}

// Probe asks whether a node can serve: it has a lease and knows who leads the placement group.
func (d *deployment) Probe(ctx context.Context, c clients.Component) error {
	return Ready(ctx, d.servers.Addresses[slices.Index(d.servers.Names, c.Node)])
}

// Ready asks a node whether it can serve. The error says why not.
func Ready(ctx context.Context, address netip.AddrPort) error {
	s, err := group.Inquire(ctx, address)
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
		s, err := group.Inquire(ctx, d.servers.Addresses[i])
		if err != nil {
			return nil
		}
		return s.View(d.servers.Names[i], i, len(d.servers.Names))
	}), nil
}
