//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"nemesis/checker"
)

// The trophies are defects of real servers that nemesis is known to find, each beside
// the runs in which there is nothing to find. They take most of an hour:
//
//	NEMESIS_TROPHIES=10 go test ./cmd/nemesis -run Trophy -v -timeout 0
//
// The variable is the number of runs of each kind. Three run side by side for each
// processor: one takes about a tenth of one.

// trophies is how many runs of each kind are asked for; it skips when none are.
func trophies(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("NEMESIS_TROPHIES"))
	if err != nil || n < 1 {
		t.Skip("takes most of an hour; set NEMESIS_TROPHIES to the number of runs of each kind")
	}
	needsLocalNodes(t)
	server(t)
	return n
}

// hunt makes n runs and tells how many ended in each outcome, with the classes of
// findings of each run.
func hunt(t *testing.T, n int, args ...string) (ended map[checker.Outcome]int, classes [][]string) {
	t.Helper()
	ended = map[checker.Outcome]int{}
	classes = make([][]string, n)
	outcomes := make([]outcome, n)
	sideBySide := make(chan struct{}, 3*runtime.NumCPU())
	var all sync.WaitGroup
	for i := range n {
		cmd := invocation(t, append(slices.Clone(args), "--seed", strconv.Itoa(i+1))...)
		all.Go(func() {
			sideBySide <- struct{}{}
			defer func() { <-sideBySide }()
			outcomes[i] = finish(t, cmd)
		})
	}
	all.Wait()
	for i, o := range outcomes {
		v := o.verdict(t)
		ended[v.Outcome]++
		for _, r := range v.Results {
			for _, f := range r.Anomalies {
				classes[i] = append(classes[i], fmt.Sprintf("%s: %s", r.Checker, f.Class))
			}
		}
		t.Logf("seed %d: %s %s: %s", i+1, v.Outcome, classes[i], v.Sentence)
	}
	t.Logf("nemesis %s: %v", strings.Join(args, " "), ended)
	return ended, classes
}

// count is how many runs have a finding.
func count(classes [][]string, finding string) int {
	n := 0
	for _, of := range classes {
		if slices.Contains(of, finding) {
			n++
		}
	}
	return n
}

// In etcd 3.6.5 a leader that was paused for longer than the TTL ends leases that were
// kept alive through the others meanwhile (etcd issues 12528 and 15247 are of the family).
func TestTrophyLeaseLostUnderPause(t *testing.T) {
	n := trophies(t)
	lease := []string{"run", "etcd", "--version", "v3.6.5", "--nodes", "local:3", "--workload", "lease", "--ttl", "4s", "--time-limit", "180s"}
	paused := func(hold string) []string {
		return append(slices.Clone(lease), "--faults", "pause", "--fault-target", "leader", "--fault-hold", hold, "--fault-interval", "9s")
	}
	t.Run("pauses of one and a half TTL", func(t *testing.T) {
		ended, classes := hunt(t, n, paused("1.5lease")...)
		if found := count(classes, "lease: early-expiry"); ended[checker.Violation]*10 < n*8 || found*10 < n*8 {
			t.Errorf("%d of %d runs are violations, %d show a lease lost early; want at least eight in ten", ended[checker.Violation], n, found)
		}
	})
	t.Run("pauses of half the TTL", func(t *testing.T) {
		if ended, _ := hunt(t, n, paused("0.5lease")...); ended[checker.Valid] != n {
			t.Errorf("%v, want %d valid", ended, n)
		}
	})
	t.Run("no faults", func(t *testing.T) {
		if ended, _ := hunt(t, n, append(slices.Clone(lease), "--faults", "none")...); ended[checker.Valid] != n {
			t.Errorf("%v, want %d valid", ended, n)
		}
	})
}

// A lock is no protection for what it guards: its holder may be paused, or its server's
// clock run fast, and another goes on. Writes that compare the lock's revision are. The
// pauses outlast the lease, but not the patience of the clients.
func TestTrophyUnfencedLockLosesAnUpdate(t *testing.T) {
	n := trophies(t)
	lock := func(fencing string) []string {
		return []string{"run", "etcd", "--version", "v3.6.5", "--nodes", "local:3", "--workload", "lock", "--ttl", "4s", "--time-limit", "180s",
			"--faults", "pause,clock-drift", "--fault-target", "holder", "--fault-hold", "1.15lease", "--fault-interval", "9s",
			"--clock-change", "monotonic:x2", "--set", "fencing=" + fencing}
	}
	t.Run("without fencing", func(t *testing.T) {
		_, classes := hunt(t, n, lock("off")...)
		if lost, two := count(classes, "set: lost-element"), count(classes, "lease: two-holders"); lost == 0 || two == 0 {
			t.Errorf("%d runs lost an update and %d show two holders, of %d", lost, two, n)
		}
	})
	t.Run("with fencing", func(t *testing.T) {
		_, classes := hunt(t, n, lock("on")...)
		if lost := count(classes, "set: lost-element"); lost > 0 {
			t.Errorf("%d of %d runs lost an update", lost, n)
		}
	})
}

// A claim says how wrong clocks may be: drift within that breaks nothing, drift beyond it
// cannot break the claim.
func TestTrophyDriftIsMeasuredAgainstTheClaim(t *testing.T) {
	n := trophies(t)
	drift := func(change string) []string {
		return []string{"run", "etcd", "--nodes", "local:3", "--workload", "lease", "--ttl", "4s", "--time-limit", "60s", "--bound", "clock-rate=20%",
			"--faults", "clock-drift", "--fault-target", "leader,all", "--fault-hold", "2lease", "--fault-interval", "12s", "--clock-change", change}
	}
	t.Run("within the bound", func(t *testing.T) {
		if ended, _ := hunt(t, n, drift("monotonic:x0.9,monotonic:x1.15")...); ended[checker.Valid] != n {
			t.Errorf("%v, want %d valid", ended, n)
		}
	})
	t.Run("beyond the bound", func(t *testing.T) {
		ended, _ := hunt(t, n, drift("monotonic:x2,monotonic:x3")...)
		if ended[checker.Exceeded] == 0 || ended[checker.Exceeded]+ended[checker.Valid] != n {
			t.Errorf("%v, want some exceeded and none a violation", ended)
		}
	})
}
