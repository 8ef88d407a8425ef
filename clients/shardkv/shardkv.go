// Package shardkv tests the sharded key-value map that nemesis brings along (docs/servers.md): shards held under leases that a
// placement group grants, served by nemesis' own program, so that nothing is downloaded or built.
//
// A client of a node asks that node first and follows its redirects (session.go); an operation that may have been executed is
// sent again under the same number, which the servers promise to execute once, whoever holds the shard by then. Keys of
// the workloads lie anywhere among the numbers of 64 bits that shards are ranges of (key.go), so that a move of any range
// moves some of them.
package shardkv

import (
	"context"
	"io"

	"nemesis/clients"
	"nemesis/clients/group"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// own says how it is served.
func own() group.Own { return group.Own{Name: "shardkv", Port: 7500} }

// System is the map. The zero value is ready to use.
type System struct{}

var (
	_ clients.System  = System{}
	_ clients.Checked = System{}
	_ clients.Led     = System{}
	_ clients.Sharded = System{}
)

// Name is shardkv.
func (System) Name() string { return own().Name }

// Doc is one line for nemesis list systems.
func (System) Doc() string {
	return "a key-value map in shards under leases, moved under load, served by nemesis itself; its known defects are options"
}

// DefaultVersion is the nemesis that runs.
func (System) DefaultVersion() string { return group.Version }

// CheckVersion accepts no other.
func (System) CheckVersion(v string) error { return own().CheckVersion(v) }

// Options are what --set accepts.
func (System) Options() []clients.Option { return clients.OptionsOf(settings()) }

// Workloads are those that its clients can serve.
func (System) Workloads() []string {
	return []string{"register", "set", "counter", "shard-ownership"}
}

// HasLeaders: one node leads the placement group, whatever the options.
func (System) HasLeaders(map[string]string) bool { return true }

// MovesShards: workloads on data may have shards moved meanwhile.
func (System) MovesShards(given map[string]string) bool {
	o, err := parseOptions(given)
	return err == nil && o.moves
}

// Check says which option has a wrong value, or asks for more nodes than there are.
func (System) Check(plan history.Plan) error {
	o, err := parseOptions(plan.System.Options)
	if err != nil {
		return err
	}
	return o.fit(len(plan.Cluster.Nodes))
}

// Prepare has nothing to get: the agent on each node is the server's program, unless the user gives another.
func (System) Prepare(_ context.Context, plan history.System, _ io.Writer) (clients.Install, error) {
	if _, err := parseOptions(plan.Options); err != nil {
		return clients.Install{}, err
	}
	return own().Install(plan)
}

// Deploy describes a store with one node on each machine.
func (System) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	o, err := parseOptions(plan.System.Options)
	if err != nil {
		return nil, err
	}
	return newDeployment(install, o, plan, machines)
}
