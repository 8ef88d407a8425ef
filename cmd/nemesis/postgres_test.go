//go:build linux

package main

import (
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

// A server whose transactions promise snapshots, and are held to that, is valid, and what it
// shows beyond that is told: write skew, and no lost update.
func TestPostgresKeepsItsLevelAndNoMore(t *testing.T) {
	t.Parallel()
	installedPostgres(t)
	o := finish(t, invocation(t, "run", "postgres", "--version", "installed", "--nodes", "local:1", "--workload", "append", "--faults", "none",
		"--time-limit", "5s", "--seed", "1", "--concurrency", "5", "--set", "isolation=repeatable-read"))
	o.want(t, checker.Valid.ExitCode())
	var seen []string
	for _, r := range o.verdict(t).Results {
		for _, a := range r.Allowed {
			seen = append(seen, a.Class)
		}
	}
	if !slices.Contains(seen, "G2-item") || slices.Contains(seen, "lost-update") {
		t.Errorf("seen and allowed: %v, want write skew and no lost update", seen)
	}
}
