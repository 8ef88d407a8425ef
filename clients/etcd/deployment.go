package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"nemesis/checker/serverlog"
	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes"
	"nemesis/nodes/agent"
)

// deployment is one cluster of etcd members.
type deployment struct {
	work       history.Workload
	cluster    cluster
	components []clients.Component
	// patience is how long to wait for an answer.
	patience time.Duration
	members  map[string]*member
	views    clients.Views
}

// member is one node with our own connection to its server, apart from those of the
// workload's clients.
type member struct {
	node  nodes.Node
	admin *clientv3.Client
}

var (
	_ clients.Deployment = (*deployment)(nil)
	_ clients.Prober     = (*deployment)(nil)
	_ clients.LogReader  = (*deployment)(nil)
	_ clients.Leading    = (*deployment)(nil)
)

func newDeployment(binary string, o options, plan history.Plan, machines []*agent.Client) (*deployment, error) {
	if _, err := archOf(binary); err != nil {
		return nil, fmt.Errorf("deploy etcd: %w", err)
	}
	d := &deployment{
		work:     plan.Workload,
		patience: plan.Patience(time.Second),
		cluster:  cluster{token: fmt.Sprintf("nemesis-%d", plan.Seed), options: o},
		members:  map[string]*member{},
	}
	for _, m := range machines {
		d.cluster.members = append(d.cluster.members, m.Node())
	}
	if err := d.cluster.check(); err != nil {
		return nil, err
	}
	for _, m := range machines {
		node := m.Node()
		admin, err := connect(node.Address, new(clients.Dialer))
		if err != nil {
			d.Close()
			return nil, fmt.Errorf("deploy etcd: make a client for %s: %w", node.Name, err)
		}
		d.members[node.Name] = &member{node: node, admin: admin}
		d.components = append(d.components, clients.Component{
			Node: node.Name, Role: role, Spec: d.cluster.process(node, m.Dir()),
			Files: []clients.File{{Path: executable, From: binary, Mode: 0o755}},
			Data:  []string{dataDir}, ClientPort: clientPort, PeerPort: peerPort,
		})
	}
	return d, nil
}

// Components are one member on each node.
func (d *deployment) Components() []clients.Component { return d.components }

// Probe makes one linearizable read.
func (d *deployment) Probe(ctx context.Context, c clients.Component) error {
	_, err := d.members[c.Node].admin.Get(ctx, "nemesis/health", clientv3.WithCountOnly())
	if err != nil {
		return fmt.Errorf("does not answer reads (%s)", brief(err))
	}
	return nil
}

// LogPatterns are what etcd's own check for corruption says of the members' data (--experimental-initial-corrupt-check,
// --experimental-corrupt-check-time), from 3.4 on.
func (d *deployment) LogPatterns() []history.LogPattern {
	return []history.LogPattern{{Class: serverlog.Corruption,
		Expr: `\{"level":"(?:warn|error)","ts":"[^"]*","caller":"[^"]*corrupt\.go:\d+","msg":"(?:found different hash values from remote (?:peer|member)|found hash mismatch|same compact revision then hashes must match|Detected compaction hash mismatch)`}}
}

// LastWords reads the log as etcd writes it.
func (d *deployment) LastWords(log []byte) string { return lastWords(log) }

func (d *deployment) Open(_ context.Context, node string, dialer *clients.Dialer) (clients.Client, error) {
	m := d.members[node]
	if m == nil {
		return nil, fmt.Errorf("find etcd member %q: there is no such node in the cluster", node)
	}
	c, err := newClientFor(d.work, m.node.Address, d.cluster.options, dialer)
	if err != nil {
		return nil, fmt.Errorf("open a client of etcd on %s: %w", node, err)
	}
	return c, nil
}

// Close ends our own connections.
func (d *deployment) Close() error {
	var errs []error
	for _, m := range d.members {
		errs = append(errs, m.admin.Close())
	}
	return errors.Join(errs...)
}
