package lock

import (
	"context"
	"fmt"
	"slices"

	"nemesis/clients"
	"nemesis/clients/group"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// deployment is one ring.
type deployment struct {
	servers    group.Servers // in the order of the ring
	components []clients.Component
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
	servers, err := own().Place(machines)
	if err != nil {
		return nil, err
	}
	d := &deployment{servers: servers}
	for i, m := range machines {
		d.components = append(d.components,
			servers.Component(i, m, install, o.trace, "--hold", o.hold.String(), "--retry", o.retry.String()))
	}
	return d, nil
}

// Components are one server on each node.
func (d *deployment) Components() []clients.Component { return d.components }

// Open makes a client of one node.
func (d *deployment) Open(_ context.Context, node string, dialer *clients.Dialer) (clients.Client, error) {
	i, err := d.servers.Index(node)
	if err != nil {
		return nil, err
	}
	return &client{node: node, conn: &group.Conn{Address: d.servers.Addresses[i], Dialer: dialer}}, nil
}

// Probe asks whether the node answers.
func (d *deployment) Probe(ctx context.Context, c clients.Component) error {
	conn := &group.Conn{Address: d.servers.Addresses[slices.Index(d.servers.Names, c.Node)], Dialer: new(clients.Dialer)}
	defer conn.Close()
	if _, err := ask(ctx, conn); err != nil {
		return fmt.Errorf("does not say whether it holds (%w)", err)
	}
	return nil
}
