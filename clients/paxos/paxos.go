// Package paxos tests the replicated key-value map that nemesis brings along (docs/servers.md): Multi-Paxos on every node,
// served by nemesis' own program, so that nothing is downloaded or built.
//
// A client of a node asks that node first and goes where it is sent (package group); a request that may have been executed is
// sent again under the same number, which the servers promise to execute once.
package paxos

import (
	"context"
	"io"

	"nemesis/clients"
	"nemesis/clients/group"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// own says how it is served.
func own() group.Own { return group.Own{Name: "paxos", Port: 7400} }

// System is the map. The zero value is ready to use.
type System struct{}

var (
	_ clients.System  = System{}
	_ clients.Checked = System{}
	_ clients.Led     = System{}
)

// Name is paxos.
func (System) Name() string { return own().Name }

// Doc is one line for nemesis list systems.
func (System) Doc() string {
	return "a key-value map replicated by Multi-Paxos, served by nemesis itself; its known defects are options"
}

// DefaultVersion is the nemesis that runs.
func (System) DefaultVersion() string { return group.Version }

// CheckVersion accepts no other.
func (System) CheckVersion(v string) error { return own().CheckVersion(v) }

// Options are what --set accepts.
func (System) Options() []clients.Option { return clients.OptionsOf(settings()) }

// Workloads are those that its clients can serve.
func (System) Workloads() []string { return []string{"register", "append", "set", "counter"} }

// HasLeaders: one node leads, whatever the options.
func (System) HasLeaders(map[string]string) bool { return true }

// Check says which option has a wrong value.
func (System) Check(plan history.Plan) error {
	_, err := parseOptions(plan.System.Options)
	return err
}

// Prepare has nothing to get: the agent on each node is the server's program, unless the user gives another.
func (System) Prepare(_ context.Context, plan history.System, _ io.Writer) (clients.Install, error) {
	if _, err := parseOptions(plan.Options); err != nil {
		return clients.Install{}, err
	}
	return own().Install(plan)
}

// Deploy describes a group with one node on each machine.
func (System) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	o, err := parseOptions(plan.System.Options)
	if err != nil {
		return nil, err
	}
	return newDeployment(install, o, plan, machines)
}
