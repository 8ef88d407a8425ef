//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/run"
)

// killAgent kills the agent on a node, as the kernel does when memory runs out. Its
// watchdog and the servers are other processes.
func (m machines) killAgent(t *testing.T, node string) {
	t.Helper()
	if out, err := m.sh(t, node, `pkill -9 -f '^/var/[^ ]*/nemesis-[0-9a-f]+ agent '`); err != nil {
		t.Errorf("kill the agent on %s: %v %s", node, err, out)
	}
}

// cutOff is a fault that cuts the first node off for some time.
func cutOff(plan *history.Plan, at, hold time.Duration) {
	step := history.Step{ID: 1, Kind: "partition", Shape: "one", Target: "one", At: history.Duration(at), Hold: history.Duration(hold)}
	alone := plan.Cluster.Nodes[0]
	step.Nodes = []string{alone}
	for _, other := range plan.Cluster.Nodes[1:] {
		step.Links = append(step.Links, history.Link{From: alone, To: other}, history.Link{From: other, To: alone})
	}
	plan.Faults, plan.Schedule = []string{"partition"}, []history.Step{step}
}

// replay carries a plan out and does something when an event comes by, once.
func (m machines) replay(t *testing.T, plan history.Plan, when func(run.Progress) bool, do func()) outcome {
	t.Helper()
	dir, err := history.NewDir(t.TempDir(), plan, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cmd := invocation(t, append([]string{"replay", string(dir), "--json"}, m.flags...)...)
	stderr := &lockedBuffer{}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	var o outcome
	done := false
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var p run.Progress
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatalf("the event stream has a line %q: %v", lines.Text(), err)
		}
		if p.Directory != "" {
			o.dir = history.Dir(p.Directory)
		}
		if !done && when(p) {
			done = true
			do()
		}
	}
	cmd.Wait()
	o.text, o.code = stderr.String(), cmd.ProcessState.ExitCode()
	if !done {
		t.Fatalf("the run ended before its time:\n%s", o.text)
	}
	return o
}

func TestLostAgents(t *testing.T) {
	if !inWorld(t) {
		return
	}
	etcd := server(t)
	m := startMachines(t, 3)
	const first, second = "10.77.0.1", "10.77.0.2"
	const lost = "the agent on " + first + " is lost: "
	wantNoServer := func(t *testing.T) {
		t.Helper()
		for node := range m.conns {
			if out, _ := m.sh(t, node, "pgrep -x etcd"); out != "" {
				t.Errorf("a server still runs on %s: %s", node, out)
			}
			if out, _ := m.sh(t, node, "cat /var/lib/nemesis/agent/ledger*"); strings.Contains(out, "net.drop") {
				t.Errorf("the ledger of %s still holds: %s", node, out)
			}
		}
	}

	t.Run("an agent killed with its fault in force", func(t *testing.T) {
		plan := m.plan(t, etcd, func(plan *history.Plan) {
			cutOff(plan, 500*time.Millisecond, time.Second)
			plan.TimeLimit = history.Duration(3 * time.Second)
		})
		o := m.replay(t, plan, inForce, func() { m.killAgent(t, "n1") })
		o.want(t, checker.Harness.ExitCode())
		o.wantFiles(t)
		v := o.verdict(t)
		if !strings.HasPrefix(v.Sentence, "The harness failed: "+lost) {
			t.Errorf("says: %s", v.Sentence)
		}
		if n := strings.Count(strings.Join(v.Reasons, "\n"), lost); n != 1 {
			t.Errorf("the loss is told %d times: %q", n, v.Reasons)
		}
		wantNoServer(t)
		heal := finish(t, invocation(t, append([]string{"nodes", "heal"}, m.flags...)...))
		heal.want(t, 0)
		if strings.Count(heal.text, "nothing to undo") != 3 {
			t.Errorf("the run left something:\n%s", heal.text)
		}
	})
	t.Run("a violation beside a lost agent", func(t *testing.T) {
		plan := m.plan(t, etcd, func(plan *history.Plan) {
			plan.System.Options["reads"] = "serializable"
			plan.Claim.Model, plan.Claim.Origin = history.Linearizable, history.AskedFor
			plan.OpTimeout = history.Duration(300 * time.Millisecond)
			plan.TimeLimit = history.Duration(5 * time.Second)
			cutOff(plan, 500*time.Millisecond, 3*time.Second) // n1 goes on reading what it had
		})
		healed := func(p run.Progress) bool { return p.Fault != nil && p.Fault.Stage == history.Healed }
		o := m.replay(t, plan, healed, func() { m.killAgent(t, "n2") })
		o.want(t, checker.Violation.ExitCode())
		o.wantFiles(t)
		v := o.verdict(t)
		if !slices.ContainsFunc(v.Reasons, func(r string) bool { return strings.Contains(r, "the agent on "+second+" is lost") }) {
			t.Errorf("the loss is not among the reasons: %q", v.Reasons)
		}
		check := finish(t, invocation(t, "check", "--quiet", string(o.dir)))
		check.want(t, checker.Violation.ExitCode())
		wantNoServer(t)
	})
	t.Run("servers that were to be kept", func(t *testing.T) {
		o := m.run(t, "--binary", etcd, "--keep")
		o.want(t, checker.Valid.ExitCode())
		kept, _ := m.sh(t, "n1", "pgrep -x etcd")
		if kept == "" {
			t.Error("no server runs after a run with --keep")
		}
		again := m.run(t, "--binary", etcd)
		again.want(t, checker.Valid.ExitCode())
		wantNoServer(t)
	})
}
