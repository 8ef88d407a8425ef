//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"nemesis/campaign"
	"nemesis/checker"
)

func TestMistakesAboutCampaignsGetOneLine(t *testing.T) {
	typo := filepath.Join(t.TempDir(), "typo.yaml")
	put(t, typo, "campaign: typo\nbudget: {wal: 1h}\n")
	ended := t.TempDir()
	put(t, filepath.Join(ended, campaign.ManifestFile), `{"schema": 1, "night": "monday"}`)
	put(t, filepath.Join(ended, campaign.NightFile), "{}")
	if out, code := try(t, "campaign", "run", "../../nightly.yaml", "--out", ended, "--dry-run"); code != 0 || strings.Contains(out, "night monday") {
		t.Errorf("a plan for another night: exit status %d\n%s", code, out)
	}
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"night of yesterday": {[]string{"campaign", "run", "../../nightly.yaml", "--out", ended}, "the night monday in " + ended + " has ended; name another --out"},
		"negative time":      {[]string{"campaign", "run", "../../nightly.yaml", "--wall=-5m"}, "-5m0s is no time that a night may last"},
		"no word":            {[]string{"campaign"}, "say run or merge"},
		"no file":            {[]string{"campaign", "run", "/no/such.yaml"}, "/no/such.yaml"},
		"unknown key":        {[]string{"campaign", "run", typo}, `typo.yaml:2: there is no key "wal" here`},
		"bad shard":          {[]string{"campaign", "run", "../../nightly.yaml", "--shard", "5/4"}, "5/4 is not a part"},
		"bad subject":        {[]string{"campaign", "run", "../../nightly.yaml", "--subject", "redis@7"}, `no subject of the system "redis"`},
		"old subject":        {[]string{"campaign", "run", "../../nightly.yaml", "--subject", "etcd@v2.0.0", "--dry-run"}, "v3.4 and newer"},
		"bad nodes":          {[]string{"campaign", "run", "../../nightly.yaml", "--nodes", "local:0", "--dry-run"}, "local:N takes a number of nodes"},
		"nothing to merge":   {[]string{"campaign", "merge", t.TempDir()}, "merge shards"},
		"nothing to compare": {[]string{"compare", t.TempDir(), t.TempDir()}, "neither a campaign's directory nor a run's"},
	} {
		t.Run(name, func(t *testing.T) {
			out, code := try(t, tc.args...)
			if code != usageCode || !strings.Contains(out, tc.says) || strings.Count(strings.TrimSpace(out), "\n") != 0 {
				t.Errorf("exit status %d, says %q, want %d and one line with %q", code, out, usageCode, tc.says)
			}
		})
	}
}

func TestCampaignsOfThisRepositoryCanBeRun(t *testing.T) {
	for file, cell := range map[string]string{
		"../../nightly.yaml":       "etcd@v3.6.16,fencing=on/lease/clock-step+clock-drift+clock-freeze+clock-strobe",
		"../../nightly-smoke.yaml": "etcd,fencing=on/lock/clock-step+clock-drift",
	} {
		out, code := try(t, "campaign", "run", file, "--dry-run", "--night", "a")
		again, _ := try(t, "campaign", "run", file, "--dry-run", "--night", "a")
		if code != 0 || !strings.Contains(out, cell) || strings.Contains(out, "not every cell gets its turn") || out != again {
			t.Errorf("%s: exit status %d\n%s", file, code, out)
		}
	}
}

// Nodes that cannot be reached are nobody's finding, and no reason to be green.
func TestNightWithoutNodesIsHarness(t *testing.T) {
	t.Parallel()
	server(t)
	cmd := invocation(t, "campaign", "run", "small.yaml", "--nodes", "root@127.0.0.1:9,root@127.0.0.2:9,root@127.0.0.3:9", "--insecure-host-keys", "--ssh-config", "none", "--ssh-key", "key")
	put(t, filepath.Join(cmd.Dir, "key"), "this opens nothing\n")
	put(t, filepath.Join(cmd.Dir, "small.yaml"), `
campaign: small
budget: {wall: 10m, run: 1m, per-cell: 1}
subjects: [{system: etcd}]
matrix: {workloads: [set, register], faults: [none]}
run: {time-limit: 2s}
canaries: [{name: clean, system: etcd, workload: register, expect: valid}]
`)
	o := finish(t, cmd)
	if o.code != checker.Harness.ExitCode() || !strings.Contains(o.text, "the tester is at fault: canary clean") {
		t.Errorf("exit status %d\n%s", o.code, o.text)
	}
	_, results, err := campaign.ReadResults(filepath.Join(cmd.Dir, "out"))
	if err != nil || len(results) != 3 {
		t.Fatalf("%d results: %v\n%s", len(results), err, o.text)
	}
	for _, r := range results {
		if r.Verdict != checker.Harness {
			t.Errorf("%s is %s: %s", r.Cell, r.Verdict, r.Sentence)
		}
	}
	junit, err := os.ReadFile(filepath.Join(cmd.Dir, "out", campaign.JUnitFile))
	if err != nil || strings.Contains(string(junit), "<failure") || strings.Count(string(junit), "<error") != 4 {
		t.Errorf("%v\n%s", err, junit)
	}
}

func TestRunsAreToldHowNodesAreReached(t *testing.T) {
	var cluster clusterFlags
	flags := pflag.NewFlagSet("reach", pflag.ContinueOnError)
	cluster.register(flags)
	if err := flags.Parse([]string{"--nodes", "a,b", "--ssh-key", "k1,k2", "--sudo", "--ssh-port", "2222"}); err != nil {
		t.Fatal(err)
	}
	args := given(flags)
	if diff := cmp.Diff([]string{"--ssh-key=k1", "--ssh-key=k2", "--ssh-port=2222", "--sudo=true"}, args); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	root, _ := newRoot()
	for _, words := range [][]string{{"replay", "RUN"}, {"nodes", "heal"}} {
		command, _, err := root.Find(words)
		if err != nil {
			t.Fatal(err)
		}
		if err := command.ParseFlags(append(args, "--agent-binary=x")); err != nil {
			t.Errorf("%v does not know them: %v", words, err)
		}
	}
}
