//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/servers/defect"
)

// TestPaxosKeepsItsPromise runs the replicated map of our own program, which is on the nodes as the agent already.
func TestPaxosKeepsItsPromise(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	for _, c := range []struct {
		workload string
		faults   []string
		set      []string
	}{
		{"register", []string{"partition", "kill", "pause"}, nil},
		{"append", []string{"partition", "kill", "pause", "member"}, []string{"--set", "reads=log", "--set", "snapshot-every=50"}},
		{"counter", []string{"kill", "pause"}, []string{"--set", "reads=lease", "--set", "batch-count=1", "--set", "batch-delay=1ms"}},
	} {
		t.Run(c.workload, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"run", "paxos", "--nodes", "local:3", "--workload", c.workload, "--faults", strings.Join(c.faults, ","),
				"--time-limit", "30s", "--rate", "300", "--seed", "7"}, c.set...)
			o := finish(t, invocation(t, args...))
			o.want(t, checker.Valid.ExitCode())
			o.wantFiles(t)
			wantFaults(t, o.verdict(t), c.faults...)
		})
	}
}

// TestPaxosLosesNothingWhenAllServersAreKilled kills every server at once, again and again, and reads everything back.
func TestPaxosLosesNothingWhenAllServersAreKilled(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	o := finish(t, invocation(t, "run", "paxos", "--nodes", "local:3", "--workload", "set", "--faults", "kill", "--fault-target", "all",
		"--fault-interval", "5s", "--time-limit", "30s", "--require-faults"))
	o.want(t, checker.Valid.ExitCode())
	wantFaults(t, o.verdict(t), "kill")
}

// TestPaxosWithADefectIsFoundOut has the leader read without asking anybody, and cuts it off together with its clients. With
// this seed most of the cuts are of the shape that shows it, and each holds for many view timeouts.
func TestPaxosWithADefectIsFoundOut(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	o := finish(t, invocation(t, "run", "paxos", "--nodes", "local:3", "--set", "defect=R16", "--faults", "partition", "--fault-target", "leader",
		"--fault-hold", "4s", "--fault-interval", "6s", "--seed", "5", "--concurrency", "4n", "--rate", "1500", "--time-limit", "20s"))
	o.want(t, checker.Violation.ExitCode())
	v := o.verdict(t)
	i := slices.IndexFunc(v.Results, func(r checker.Result) bool { return r.Checker == "linearizable" })
	if i < 0 || v.Results[i].Outcome != checker.Violation || len(v.Results[i].Anomalies) == 0 {
		t.Errorf("not found by the checker of linearizability: %+v", v.Results)
	}
	const asked = "The servers have the defect R16, because --set defect=R16 asked for it"
	if !slices.ContainsFunc(v.Notes, func(n string) bool { return strings.HasPrefix(n, asked) }) || !strings.Contains(strings.Join(strings.Fields(o.text), " "), asked) {
		t.Errorf("nobody is told what was asked for: %q", v.Notes)
	}
}

func TestServersRefuseWhatTheyCannotBe(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"server", "server: say which; there are paxos, shardkv, lock, postgres and mariadb"},
		{"server paxos --id 3 --members 127.0.0.1:1,127.0.0.1:2 --data x", "server paxos: --id is 3 and there are 2 --members"},
		{"server paxos --id 1 --members 127.0.0.1:1 --data x --reads stale", `--reads is "stale"; it takes log, index or lease`},
		{"server paxos --id 1 --members 127.0.0.1:1 --data x --defect R99", `there is no defect "R99"; docs/servers.md lists them`},
		{"server shardkv --id 0 --members 127.0.0.1:1 --data x", "server shardkv: --id is 0 and there are 1 --members"},
		{"server shardkv --id 1 --members 127.0.0.1:1 --data x --replicas 4", "--replicas is 4; it takes 1 to 3"},
		{"server shardkv --id 1 --members 127.0.0.1:1 --data x --shards 0", "--shards is 0; it takes 1 to 1024"},
		{"server shardkv --id 1 --members 127.0.0.1:1 --data x --fsync never", `--fsync is "never"; it takes always, everysec, off or none`},
		{"server shardkv --id 1 --members 127.0.0.1:1 --data x --lease 1s --clock-error 1s", "a --clock-error of 1s leaves nothing of a --lease of 1s"},
		{"server shardkv --id 1 --members 127.0.0.1:1 --data x --defect R16", `server shardkv: there is no defect "R16"`},
	} {
		o := finish(t, invocation(t, strings.Fields(c.args)...))
		if o.code != usageCode || !strings.Contains(o.text, c.want) || strings.Count(o.text, "\n") != 1 {
			t.Errorf("%s: exit status %d, %q", c.args, o.code, o.text)
		}
	}
}

// TestDefectsThatTheOptionTakesAreThoseThatThereAre: clients/paxos shares no code with the servers.
func TestDefectsThatTheOptionTakesAreThoseThatThereAre(t *testing.T) {
	if all := defect.Paxos(); all[0].ID != "R01" || all[len(all)-1].ID != "R40" || len(all) != 40 {
		t.Errorf("there are %d defects, %s to %s; the option of clients/paxos takes R01 to R40", len(all), all[0].ID, all[len(all)-1].ID)
	}
}
