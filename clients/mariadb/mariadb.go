// Package mariadb tests MariaDB: one server, or a Galera cluster of which every node takes
// writes, spoken to through the official driver for MySQL's protocol.
//
// The way through the package follows a run. System answers what the command line asks; the
// server is the one that is installed on the nodes, as Debian's package mariadb-server. Deploy
// describes the cluster: each server is `nemesis server mariadb` (package servers/mariadb), which makes the
// data directory and runs mariadbd. Open gives each logical process a client of package clients/sql with
// a connection of its own to the server of its node. The statements are dialect.go's, the connection is
// clients/sql's.
//
//	cluster, err := mariadb.System{}.Deploy(clients.Install{}, plan, machines)
//	client, err := cluster.Open(ctx, "n1", new(clients.Dialer))
//	done := client.Invoke(ctx, history.Event{F: "txn", Value: json.RawMessage(`[["append","k1",1]]`)})
package mariadb

import (
	"context"
	"errors"
	"fmt"
	"io"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// installed is the only version: what is on the nodes.
const installed = "installed"

// System is MariaDB. The zero value is ready to use.
type System struct{}

var _ clients.System = System{}

func (System) Name() string { return "mariadb" }

func (System) Doc() string {
	return "MariaDB as installed on the nodes: one server, or a Galera cluster on several nodes"
}

func (System) DefaultVersion() string { return installed }

// CheckVersion accepts what is installed on the nodes.
func (System) CheckVersion(version string) error {
	if version != installed {
		return fmt.Errorf("find mariadb %q: nemesis takes the server that is installed on the nodes; leave --version out, or give %s", version, installed)
	}
	return nil
}

func (System) Options() []clients.Option { return clients.OptionsOf(settings()) }

func (System) Workloads() []string {
	return []string{"append", "register", "set", "rw-register", "bank", "long-fork", "predicate", "log", "monotonic"}
}

// Prepare has nothing to get.
func (s System) Prepare(_ context.Context, plan history.System, _ io.Writer) (clients.Install, error) {
	if _, err := parseOptions(plan.Options); err != nil {
		return clients.Install{}, err
	}
	if plan.Binary != "" {
		return clients.Install{}, errors.New("get mariadb: a server is many files, so it cannot be given with --binary; install it on the nodes")
	}
	return clients.Install{Version: installed}, nil
}

// Deploy describes the servers.
func (System) Deploy(_ clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	o, err := parseOptions(plan.System.Options)
	if err != nil {
		return nil, err
	}
	return newDeployment(o, plan, machines)
}
