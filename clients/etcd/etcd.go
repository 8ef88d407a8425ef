// Package etcd tests etcd: it builds or takes a server, runs a real cluster of
// it, talks to that through the official client, and knows what etcd claims.
//
// The way through the package follows a run. System answers what the command
// line asks (versions, --set options, the claim) and prepares one executable.
// Deploy describes a Deployment of it: one member per node (its component), static
// initial cluster, clients on port 2379 and peers on 2380 of the node's own
// address, everything else below the agent's directory. Open gives each logical
// process a Client with a connection of its own to a single member, so that a
// history says which node answered.
//
// The part that makes or breaks a verdict is certainty.go: which errors prove
// that a write never happened. A put that timed out may land seconds later, when
// a paused member resumes; whoever files it under "failed" will report stale
// reads that are none. Only three kinds of proof are accepted there, and the
// rest is info.
//
//	install, err := etcd.System{}.Prepare(ctx, plan.System, os.Stderr)
//	cluster, err := etcd.System{}.Deploy(install, plan, machines)
//	servers, err := kit.New(cluster, machines, kit.Options{})
//	… servers.Install on every node …
//	err = servers.Start(ctx)
//	client, err := cluster.Open(ctx, "n1", new(clients.Dialer))
//	done := client.Invoke(ctx, history.Event{F: "cas", Key: "k1", Value: json.RawMessage("[1,2]")})
package etcd

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// defaultVersion is the newest 3.6 release when this was written. Releases before
// v3.6.9 may answer linearizable reads with old values after a pause (etcd issue
// 20418), which would make the main job find a known and mended defect.
const defaultVersion = "v3.6.16"

// System is etcd. The zero value is ready to use.
type System struct {
	// CacheDir holds built servers; "" is the user's cache directory.
	CacheDir string
}

var (
	_ clients.System  = System{}
	_ clients.Checked = System{}
)

func (System) Name() string { return "etcd" }

func (System) Doc() string {
	return "the key-value store of go.etcd.io, v3.4 to the newest, built from its Go module"
}

func (System) DefaultVersion() string { return defaultVersion }

// CheckVersion accepts v3.4 and newer v3 releases, and v3.4's pseudo-versions.
func (System) CheckVersion(version string) error {
	_, err := moduleOf(version)
	return err
}

func (System) Options() []clients.Option { return clients.OptionsOf(settings()) }

func (System) Workloads() []string {
	return []string{"register", "append", "rw-register", "bank", "long-fork", "predicate", "set", "queue", "unique-ids", "lease", "lock", "fenced-write", "election"}
}

// Check says which option has a wrong value.
func (System) Check(plan history.Plan) error {
	_, err := parseOptions(plan.System.Options)
	return err
}

// Prepare builds plan.Version, or takes plan.Binary, and checks that it runs.
func (s System) Prepare(ctx context.Context, plan history.System, w io.Writer) (clients.Install, error) {
	if _, err := parseOptions(plan.Options); err != nil {
		return clients.Install{}, err
	}
	var path, version string
	var err error
	if plan.Binary != "" {
		// A bare name would be looked for on PATH.
		if path, err = filepath.Abs(plan.Binary); err == nil {
			version, err = inspect(ctx, path)
		}
	} else {
		path, version, err = s.build(ctx, plan.Version, w)
	}
	if err != nil {
		return clients.Install{}, err
	}
	return clients.Install{Version: version, Files: map[string]string{"etcd": path}}, nil
}

// Deploy describes a cluster with one member on each machine.
func (System) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	o, err := parseOptions(plan.System.Options)
	if err != nil {
		return nil, err
	}
	binary := install.Files["etcd"]
	if binary == "" {
		return nil, fmt.Errorf("deploy etcd: there is no executable; Prepare comes first")
	}
	return newDeployment(binary, o, plan, machines)
}
