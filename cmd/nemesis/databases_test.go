//go:build linux

package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"nemesis/checker"
)

// installedPostgres skips where there is no PostgreSQL that the nodes would find.
func installedPostgres(t *testing.T) {
	t.Helper()
	needsLocalNodes(t)
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(found) == 0 {
		t.Skip("PostgreSQL is not installed; Debian's package postgresql is enough")
	}
}

// installedMariaDB skips where there is no MariaDB that the nodes would find.
func installedMariaDB(t *testing.T) {
	t.Helper()
	needsLocalNodes(t)
	if _, err := os.Stat("/usr/sbin/mariadbd"); err != nil {
		t.Skip("MariaDB is not installed; Debian's package mariadb-server is enough")
	}
}

// A server that is held to the level that it documents is valid, and what it shows beyond that is told.
func TestDatabasesKeepTheirLevelsAndNoMore(t *testing.T) {
	for _, c := range []struct {
		name      string
		installed func(*testing.T)
		args      []string
		shown     string // and
		never     string
	}{
		{"postgres: snapshots without lost updates", installedPostgres, []string{"postgres", "--version", "installed", "--set", "isolation=repeatable-read"}, "G2-item", "lost-update"},
		{"mariadb: lost updates", installedMariaDB, []string{"mariadb", "--set", "isolation=repeatable-read"}, "lost-update", "G1a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.installed(t)
			o := finish(t, invocation(t, append([]string{"run"}, append(c.args, "--nodes", "local:1", "--workload", "append", "--faults", "none",
				"--time-limit", "5s", "--seed", "1", "--concurrency", "5")...)...))
			o.want(t, checker.Valid.ExitCode())
			var seen []string
			for _, r := range o.verdict(t).Results {
				for _, a := range r.Allowed {
					seen = append(seen, a.Class)
				}
			}
			if !slices.Contains(seen, c.shown) || slices.Contains(seen, c.never) {
				t.Errorf("seen and allowed: %v, want %s and never %s", seen, c.shown, c.never)
			}
		})
	}
}

// The primary is killed, another one takes over, and what was acknowledged before is still there: a commit waits until a
// majority has it.
func TestPostgresFailsOverWithoutLoss(t *testing.T) {
	t.Parallel()
	installedPostgres(t)
	o := finish(t, invocation(t, "run", "postgres", "--version", "installed", "--nodes", "local:3", "--set", "replication=sync", "--set", "failover=1s",
		"--workload", "set", "--claim", "linearizable", "--faults", "kill", "--fault-target", "leader", "--fault-interval", "8s", "--time-limit", "14s", "--seed", "1"))
	o.want(t, checker.Valid.ExitCode())
	wantFaults(t, o.verdict(t), "kill")
}
