//go:build linux

package main

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/servers/defect"
)

// TestShardkvKeepsItsPromise runs the sharded map of our own program under faults, with moves meanwhile.
func TestShardkvKeepsItsPromise(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	for _, c := range []struct {
		workload, faults string
		set              []string
	}{
		{"register", "partition,kill,pause,clock-step", nil},
		{"counter", "partition,kill", []string{"--set", "replicas=2", "--set", "copy-bytes=64", "--set", "save-every=200", "--set", "trace=on"}},
		{"shard-ownership", "partition,pause", []string{"--set", "lease=1s", "--set", "clock-error=50ms", "--set", "placement=3"}},
	} {
		t.Run(c.workload, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"run", "shardkv", "--nodes", "local:3", "--workload", c.workload, "--faults", c.faults,
				"--fault-interval", "4s", "--time-limit", "16s", "--rate", "300", "--seed", "7"}, c.set...)
			o := finish(t, invocation(t, args...))
			o.want(t, checker.Valid.ExitCode())
			o.wantFiles(t)
			traced := slices.ContainsFunc(o.verdict(t).Results, func(r checker.Result) bool { return r.Checker == "refinement" && r.Outcome == checker.Valid })
			if traced != slices.Contains(c.set, "trace=on") {
				t.Errorf("steps were held to the specification: %v", traced)
			}
		})
	}
}

// TestShardkvWithADefectIsFoundOut has stores look at their leases only when a client is served for the first time, and stops one
// until another has its shards. What it then answers depends on who is faster, so it is tried up to ten times.
func TestShardkvWithADefectIsFoundOut(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	for seed := 1; ; seed++ {
		o := finish(t, invocation(t, "run", "shardkv", "--nodes", "local:3", "--workload", "shard-ownership", "--set", "defect=K02",
			"--set", "lease=500ms", "--set", "clock-error=20ms", "--set", "replicas=2", "--concurrency", "4n", "--rate", "1000",
			"--faults", "pause", "--fault-target", "one", "--fault-hold", "2lease", "--fault-interval", "2s", "--time-limit", "10s", "--seed", strconv.Itoa(seed)))
		if o.code != checker.Violation.ExitCode() && seed < 10 {
			continue
		}
		o.want(t, checker.Violation.ExitCode())
		v := o.verdict(t)
		i := slices.IndexFunc(v.Results, func(r checker.Result) bool { return r.Checker == "ownership" })
		if i < 0 || v.Results[i].Outcome != checker.Violation || len(v.Results[i].Anomalies) == 0 {
			t.Fatalf("not found by the checker of ownership: %+v", v.Results)
		}
		const asked = "The servers have the defect K02, because --set defect=K02 asked for it"
		text := strings.Join(strings.Fields(o.text), " ")
		for _, want := range []string{asked, "Epochs only grow", "A shard is served by one node at a time, the holder of a lease"} {
			if !strings.Contains(text, want) {
				t.Errorf("the report does not say %q:\n%s", want, o.text)
			}
		}
		return
	}
}

// TestDefectsOfShardkvAreThoseThatTheOptionTakes: clients/shardkv shares no code with the servers.
func TestDefectsOfShardkvAreThoseThatTheOptionTakes(t *testing.T) {
	if all := defect.Shardkv(); all[0].ID != "K01" || all[len(all)-1].ID != "K28" || len(all) != 28 {
		t.Errorf("there are %d defects, %s to %s; the option of clients/shardkv takes K01 to K28", len(all), all[0].ID, all[len(all)-1].ID)
	}
}

// TestShardkvUnderAClockBeyondItsBoundIsExceeded lets a store's clock stand still, so that it believes in its lease for ever. What it
// then answers is no violation; whether it is asked depends on who holds what, so it is tried up to eight times.
func TestShardkvUnderAClockBeyondItsBoundIsExceeded(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	for seed := 1; ; seed++ {
		o := finish(t, invocation(t, "run", "shardkv", "--nodes", "local:3", "--workload", "shard-ownership", "--set", "lease=500ms",
			"--set", "clock-error=25ms", "--set", "replicas=2", "--concurrency", "4n", "--rate", "500", "--faults", "clock-freeze",
			"--clock-change", "monotonic:x0", "--fault-target", "one", "--fault-hold", "2s", "--fault-interval", "3s", "--time-limit", "12s", "--seed", strconv.Itoa(seed)))
		if o.code == checker.Valid.ExitCode() && seed < 8 {
			continue
		}
		o.want(t, checker.Exceeded.ExitCode())
		if !slices.ContainsFunc(o.verdict(t).Assumptions, func(a checker.Assumption) bool {
			return a.Name == history.ClockError && a.Exceeded && strings.Contains(a.Why, "monotonic clock")
		}) {
			t.Errorf("the verdict does not say which clock was wrong: %+v", o.verdict(t).Assumptions)
		}
		return
	}
}
