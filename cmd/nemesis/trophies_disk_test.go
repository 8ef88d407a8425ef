//go:build linux

package main

import (
	"slices"
	"testing"

	"nemesis/checker"
)

// etcd up to 3.5.4 alone on its node answers writes before its log has them (issue 14370,
// mended in 3.5.5): a server that is killed, or whose machine loses power, at the moment of
// a write or sync of its log has lost some.
func TestTrophyWriteAnsweredBeforeItIsLogged(t *testing.T) {
	n := trophies(t)
	alone := func(version string, faults ...string) []string {
		return append([]string{"run", "etcd", "--version", version, "--nodes", "local:1", "--time-limit", "20s"}, faults...)
	}
	for name, faults := range map[string][]string{
		"killed at a write":    {"--faults", "kill", "--fault-when", "write:20/path=*.wal"},
		"power lost at a sync": {"--faults", "power-loss", "--power-loss", "all@sync:20"},
	} {
		t.Run(name, func(t *testing.T) {
			ended, _ := hunt(t, n, alone("v3.5.4", faults...)...)
			if ended[checker.Violation]*10 < n*3 {
				t.Errorf("%v, want at least three in ten violations", ended)
			}
			if ended, _ := hunt(t, n, alone("v3.5.5", faults...)...); ended[checker.Valid] != n {
				t.Errorf("of the mended version %v, want %d valid", ended, n)
			}
		})
	}
}

// In etcd up to 3.5.12 a leader that hangs in a sync, and goes on when another leads, ends
// leases that the other has renewed (issue 15247, mended in 3.5.13).
func TestTrophyStuckLeaderEndsLeases(t *testing.T) {
	n := trophies(t)
	stalled := func(version string) []string {
		return []string{"run", "etcd", "--version", version, "--nodes", "local:3", "--workload", "lease", "--time-limit", "60s",
			"--faults", "disk", "--disk", "stall/op=sync", "--fault-target", "leader", "--fault-hold", "1.5lease"}
	}
	ended, classes := hunt(t, n, stalled("v3.5.12")...)
	if found := count(classes, "lease: early-expiry"); found*10 < n*3 {
		t.Errorf("%v, %d of %d runs show a lease lost early; want at least three in ten", ended, found, n)
	}
	if ended, _ := hunt(t, n, stalled("v3.5.13")...); ended[checker.Valid] != n {
		t.Errorf("of the mended version %v, want %d valid", ended, n)
	}
}

// What etcd does not sync is lost where every machine loses power, and nothing is where it
// does.
func TestTrophyUnsyncedWritesAreLost(t *testing.T) {
	n := trophies(t)
	powerless := []string{"run", "etcd", "--nodes", "local:3", "--time-limit", "15s",
		"--faults", "power-loss", "--fault-target", "all", "--power-loss", "recent:1s"}
	if ended, _ := hunt(t, n, append(slices.Clone(powerless), "--set", "unsafe-no-fsync=on")...); ended[checker.Violation] != n {
		t.Errorf("%v, want %d violations", ended, n)
	}
	if ended, _ := hunt(t, n, powerless...); ended[checker.Valid] != n {
		t.Errorf("of what syncs %v, want %d valid", ended, n)
	}
}
