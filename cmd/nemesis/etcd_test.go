//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

func TestEtcdKeepsItsPromiseAndTheSeedGivesTheSamePlan(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	flags := []string{"run", "etcd", "--nodes", "local:3", "--time-limit", "30s", "--rate", "200", "--seed", "7", "--binary", server(t)}
	o := finish(t, invocation(t, flags...))
	o.want(t, checker.Valid.ExitCode())
	o.wantFiles(t)
	wantFaults(t, o.verdict(t), "partition", "kill", "pause")

	again := startCommand(t, append(flags, "--json")...)
	again.until(t, phase("workload"))
	again.signal(t, syscall.SIGTERM)
	var plans [2]string
	for i, dir := range []history.Dir{o.dir, again.end(t).dir} {
		text, err := os.ReadFile(dir.Path(history.PlanFile))
		if err != nil {
			t.Fatal(err)
		}
		plans[i] = string(text)
	}
	if plans[0] != plans[1] {
		t.Errorf("seed 7 resolved to two plans:\n%s\n%s", plans[0], plans[1])
	}
}

// Members go and come back, the leader among them, and every one is a member in the end.
func TestEtcdKeepsItsPromiseWhileMembersChange(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	o := finish(t, invocation(t, "run", "etcd", "--nodes", "local:3", "--faults", "member", "--fault-interval", "6s", "--time-limit", "20s", "--rate", "200",
		"--seed", "3", "--binary", server(t)))
	o.want(t, checker.Valid.ExitCode())
	v := o.verdict(t)
	wantFaults(t, v, "member")
	for _, f := range v.Faults {
		if f.Confirmed && !f.Recovered {
			t.Errorf("step %d: no evidence that %v are members again: %s", f.Step.ID, f.Nodes, f.Error)
		}
	}
}

func TestOrdinaryUserCanRunIt(t *testing.T) {
	t.Parallel()
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
	cmd := invocation(t, "run", "etcd", "--nodes", "local:3", "--time-limit", "30s", "--rate", "200", "--seed", "7", "--binary", binary)
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
	t.Parallel()
	needsLocalNodes(t)
	server(t)
	o := finish(t, invocation(t, "run", "etcd", "--nodes", "local:3", "--rate", "200", "--set", "reads=serializable", "--claim", "linearizable", "--faults", "partition", "--time-limit", "20s"))
	o.want(t, checker.Violation.ExitCode())
	o.wantFiles(t)
	v := o.verdict(t)
	if c := v.Claim; c.Model != history.Linearizable || c.Origin != history.AskedFor || c.Documented != history.StrictSerializableWrites {
		t.Errorf("held to %+v", c)
	}
	if !strings.Contains(o.text, "linearizable, asked for by you; documented is strict-serializable-writes") {
		t.Error("the text does not say whose claim was broken")
	}
	found := false
	for _, r := range v.Results {
		for _, f := range r.Anomalies {
			found = true
			if len(f.Core) == 0 || len(f.Core) > 10 {
				t.Errorf("the counterexample has %d operations", len(f.Core))
			}
			if f.Sentence == "" || len(f.Proof) == 0 || f.Rule == "" {
				t.Errorf("an anomaly without sentence, proof or rule: %+v", f)
			}
		}
	}
	if !found {
		t.Errorf("a violation without an anomaly: %+v", v)
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
	wantAllowedAsDocumented(t, o)
}

// wantAllowedAsDocumented judges a copy of a run with stale reads by what etcd documents of
// them.
func wantAllowedAsDocumented(t *testing.T, o outcome) {
	t.Helper()
	plan, err := o.dir.Plan()
	if err != nil {
		t.Fatal(err)
	}
	plan.Claim.Model, plan.Claim.Origin, plan.Claim.Documented = plan.Claim.Documented, history.Documented, ""
	dir := history.Dir(t.TempDir())
	recorded, err := os.ReadFile(o.dir.Path(history.HistoryFile))
	if err == nil {
		err = errors.Join(dir.WriteJSON(history.PlanFile, plan), dir.WriteFile(history.HistoryFile, recorded))
	}
	if err != nil {
		t.Fatal(err)
	}
	again := finish(t, invocation(t, "check", string(dir)))
	again.want(t, checker.Valid.ExitCode())
	v, err := checker.ReadVerdict(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range v.Results {
		for _, f := range r.Anomalies {
			t.Errorf("%s is no violation of what is documented: %s", f.Class, f.Sentence)
		}
		if r.Checker == "linearizable" && (len(r.Allowed) == 0 || !slices.Equal(r.Allowed[0].Breaks, []history.Model{history.Linearizable})) {
			t.Errorf("stale reads are not listed as allowed: %+v", r)
		}
	}
	for _, want := range []string{"Seen, and allowed by the claim (strict-serializable-writes, documented):", "seen and allowed: "} {
		if !strings.Contains(again.text, want) {
			t.Errorf("the text lacks %q:\n%s", want, again.text)
		}
	}
	page, err := os.ReadFile(dir.Path(history.ReportFile))
	if err != nil || !strings.Contains(string(page), "<h2>Seen, and allowed by the claim</h2>") {
		t.Errorf("the page lists nothing as allowed: %v", err)
	}
	if xml, err := os.ReadFile(dir.Path(history.JUnitFile)); err != nil || strings.Contains(string(xml), "<failure") {
		t.Errorf("JUnit fails on what is allowed: %v", err)
	}
}

func TestStaleReadsAreAllowedAsDocumented(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	server(t)
	o := finish(t, invocation(t, "run", "etcd", "--nodes", "local:3", "--set", "reads=serializable", "--faults", "partition", "--rate", "200", "--time-limit", "20s"))
	o.want(t, checker.Valid.ExitCode())
	if c := o.verdict(t).Claim; c.Model != history.StrictSerializableWrites || c.Origin != history.Documented || len(c.Sources) == 0 {
		t.Errorf("held to %+v", c)
	}
}

// The nightly hunts for what breaks leases; here is what must not: pauses shorter than
// the lease, and clocks within what etcd claims to bear.
func TestEtcdKeepsItsLeasesUnderShortPausesAndSmallDrift(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	server(t)
	o := finish(t, invocation(t, "run", "etcd", "--nodes", "local:3", "--workload", "lease", "--ttl", "4s", "--time-limit", "30s", "--rate", "200", "--seed", "7",
		"--faults", "pause,clock-drift", "--fault-hold", "0.5lease", "--fault-interval", "6s", "--bound", "clock-rate=20%", "--clock-change", "monotonic:x0.9"))
	o.want(t, checker.Valid.ExitCode())
	o.wantFiles(t)
	wantFaults(t, o.verdict(t), "pause", "clock-drift")
}
