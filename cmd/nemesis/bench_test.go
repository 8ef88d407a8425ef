//go:build linux

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"nemesis/clients/benchmark"
)

// TestServersAreMeasuredSideBySide asks for no speed: the exit status is 1 where a busy machine misses the target.
func TestServersAreMeasuredSideBySide(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := finish(t, invocation(t, "bench", "servers", "--only", "puts-unsynced-1", "--time", "200ms", "--rounds", "1", "--dir", dir, "--json"))
	if o.code != 0 && o.code != 1 {
		t.Fatalf("exit status %d:\n%s", o.code, o.text)
	}
	lines := strings.Split(strings.TrimSpace(o.text), "\n")
	var row benchmark.Row
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &row); err != nil {
		t.Fatalf("%v:\n%s", err, o.text)
	}
	if row.Ours.PerSecond <= 0 || row.Theirs.PerSecond <= 0 || row.Ratio <= 0 || row.Ours.P99MS < row.Ours.P50MS || !strings.HasPrefix(row.Rival, "etcd v3.") {
		t.Errorf("got %+v", row)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestMeasuringServersRefusesWhatItDoesNotHave(t *testing.T) {
	for args, want := range map[string]string{
		"--only puts-1":    `measure "puts-1": there is no such row; use puts-synced-1, `,
		"--rounds 0":       "measure servers: 0 rounds of 5s; both must be positive",
		"--version v2.3.8": "v2.3.8",
	} {
		o := finish(t, invocation(t, append([]string{"bench", "servers"}, strings.Fields(args)...)...))
		if o.code != usageCode || !strings.Contains(o.text, want) {
			t.Errorf("%s: exit status %d, %q", args, o.code, o.text)
		}
	}
}

func TestDefectsAreTriedAndTold(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	o := finish(t, invocation(t, "bench", "defects", "--only", "R16,R28", "--ways", "simulated,minimal", "--budget", "12s", "--seeds", "1"))
	o.want(t, 0)
	for _, want := range []string{
		"R16     simulated      1 /  1 /  1 ",
		"R28     simulated  not tried: it is not in the pure core", "R28     minimal    not tried: hostile input does not begin with this protocol's greeting",
	} {
		if !strings.Contains(o.text, want) {
			t.Errorf("it does not say %q:\n%s", want, o.text)
		}
	}
	// Whether one short run of a busy machine shows it is for TestPaxosWithADefectIsFoundOut to say.
	if !regexp.MustCompile(`(?m)^R16     minimal        [01] /  [01] /  1`).MatchString(o.text) {
		t.Errorf("the run did not come to a verdict:\n%s", o.text)
	}
	o = finish(t, invocation(t, "bench", "defects", "--only", "R99"))
	if o.code != usageCode || !strings.Contains(o.text, `try defect "R99": there is none`) {
		t.Errorf("exit status %d, %q", o.code, o.text)
	}
}

// TestTheShardedStoreIsMeasuredBesideRedis does so on one node, and on three with a Redis Cluster.
func TestTheShardedStoreIsMeasuredBesideRedis(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("there is no redis-server: install Redis 7 or later")
	}
	dir := t.TempDir()
	o := finish(t, invocation(t, "bench", "servers", "--only", "puts-everysec-1-shard-1,reads-memory-16-shards-1", "--time", "200ms", "--rounds", "1", "--dir", dir, "--json"))
	if strings.Contains(o.text, "install Redis 7 or later") {
		t.Skip(o.text)
	}
	o.want(t, 0) // with one client there is no target
	rows := 0
	for _, line := range strings.Split(strings.TrimSpace(o.text), "\n") {
		var row benchmark.Row
		if json.Unmarshal([]byte(line), &row) != nil {
			continue
		}
		rows++
		if row.Ours.PerSecond <= 0 || row.Theirs.PerSecond <= 0 || !strings.HasPrefix(row.Rival, "redis ") {
			t.Errorf("got %+v", row)
		}
	}
	if rows != 2 {
		t.Errorf("%d rows, want 2:\n%s", rows, o.text)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
