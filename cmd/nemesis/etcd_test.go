//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

func TestEtcdKeepsItsPromiseAndTheSeedGivesTheSamePlan(t *testing.T) {
	needsLocalNodes(t)
	server(t)
	var plans [2]string
	for i := range plans {
		o := finish(t, invocation(t, "run", "etcd", "--nodes", "local:3", "--time-limit", "30s", "--seed", "7"))
		o.want(t, checker.Valid.ExitCode())
		o.wantFiles(t)
		wantFaults(t, o.verdict(t), "partition", "kill", "pause")
		text, err := os.ReadFile(o.dir.Path(history.PlanFile))
		if err != nil {
			t.Fatal(err)
		}
		plans[i] = string(text)
	}
	if plans[0] != plans[1] {
		t.Errorf("seed 7 resolved to two plans:\n%s\n%s", plans[0], plans[1])
	}
}

func TestOrdinaryUserCanRunIt(t *testing.T) {
	needsLocalNodes(t)
	etcd := server(t)
	if os.Getuid() != 0 {
		t.Skip("already runs as an ordinary user; the other tests are this one")
	}
	const nobody = 65534
	home, err := os.MkdirTemp("", "nemesis-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	binary := filepath.Join(home, "etcd")
	content, err := os.ReadFile(etcd)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, content, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := invocation(t, "run", "etcd", "--nodes", "local:3", "--time-limit", "30s", "--seed", "7", "--binary", binary)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + home}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true}
	o := finish(t, cmd)
	if strings.Contains(o.text, "user namespaces") && o.code != 0 {
		t.Skipf("this kernel gives ordinary users no namespaces: %s", o.text)
	}
	o.want(t, checker.Valid.ExitCode())
	o.wantFiles(t)
	wantFaults(t, o.verdict(t), "partition", "kill", "pause")
}

func TestStaleReadIsCaughtAndExplained(t *testing.T) {
	needsLocalNodes(t)
	server(t)
	o := finish(t, invocation(t, "run", "etcd", "--nodes", "local:5", "--set", "reads=serializable", "--faults", "partition", "--time-limit", "30s"))
	o.want(t, checker.Violation.ExitCode())
	o.wantFiles(t)
	v := o.verdict(t)
	found := false
	for _, r := range v.Results {
		for _, f := range r.Findings {
			found = true
			if len(f.Core) == 0 || len(f.Core) > 10 {
				t.Errorf("the counterexample has %d operations", len(f.Core))
			}
			if f.Claim == "" || len(f.Proof) == 0 || f.Rule == "" {
				t.Errorf("a finding without claim, proof or rule: %+v", f)
			}
		}
	}
	if !found {
		t.Errorf("a violation without a finding: %+v", v)
	}
	report, err := os.ReadFile(o.dir.Path(history.ReportFile))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(report), "serializable") {
		t.Error("the report does not say what etcd promises for these reads")
	}
	again := finish(t, invocation(t, "check", string(o.dir)))
	again.want(t, checker.Violation.ExitCode())
}

// The nightly hunts for what breaks leases; here is what must not: pauses shorter than
// the lease, and clocks within what etcd claims to bear.
func TestEtcdKeepsItsLeasesUnderShortPausesAndSmallDrift(t *testing.T) {
	needsLocalNodes(t)
	server(t)
	o := finish(t, invocation(t, "run", "etcd", "--nodes", "local:3", "--workload", "lease", "--ttl", "4s", "--time-limit", "30s", "--seed", "7",
		"--faults", "pause,clock-drift", "--fault-hold", "0.5lease", "--fault-interval", "6s", "--bound", "clock-rate=20%", "--clock-change", "monotonic:x0.9"))
	o.want(t, checker.Valid.ExitCode())
	o.wantFiles(t)
	wantFaults(t, o.verdict(t), "pause", "clock-drift")
}
