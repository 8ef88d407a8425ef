package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"nemesis/history"
	"nemesis/run"
)

// hostilePlan is a plan that no command may take: what to write instead of what in the
// JSON of a right plan, and the field that the refusal must name.
type hostilePlan struct {
	name, old, new, field string
	// replay: only a replay refuses it; it can be judged.
	replay bool
}

// rightPlan is the text of a plan with a step of each of several kinds, which hostilePlans
// damage.
const rightPlan = `{"schema": 2, "seed": 7,
"system": {"name": "etcd", "version": "v3.6.5", "options": {"reads": "linearizable"}},
"cluster": {"spec": "local:3", "nodes": ["n1", "n2", "n3"]},
"workload": {"name": "register", "concurrency": 6, "rate": 50, "keys": 4, "opsPerKey": 100},
"timing": {"election": "1s"},
"claim": {"model": "linearizable", "origin": "documented", "rules": ["fencing"], "bounds": {"clockRate": 0.01, "clockOffset": "-1ns", "recovery": "15s"}},
"timeLimit": "1m0s", "opTimeout": "5s", "slowNodes": 2,
"faults": ["partition", "kill", "clock-drift", "packet"], "faultInterval": "5s", "requireFaults": true,
"schedule": [
{"id": 1, "kind": "partition", "shape": "flapping", "target": "one", "nodes": ["n1"], "links": [{"from": "n1", "to": "n2"}], "at": "2s", "hold": "3s", "params": {"period": "700ms"}},
{"id": 2, "kind": "kill", "target": "leader", "at": "6s", "hold": "2s"},
{"id": 3, "kind": "clock-drift", "target": "one", "nodes": ["n2"], "at": "10s", "hold": "2s", "params": {"of": "monotonic", "rate": 0.5}},
{"id": 4, "kind": "packet", "shape": "one", "target": "one", "nodes": ["n3"], "links": [{"from": "n3", "to": "n1"}], "at": "14s", "hold": "2s", "params": {"loss": 0.1}}],
"checkerTime": "1m0s", "checkerMemory": 1073741824}
`

// hostilePlans are plans that ended in a hang, in a panic or in valid.
func hostilePlans() []hostilePlan {
	return []hostilePlan{
		{name: "two thousand million clients", old: `"concurrency": 6`, new: `"concurrency": 2000000000`, field: "workload.concurrency"},
		{name: "no client", old: `"concurrency": 6`, new: `"concurrency": 0`, field: "workload.concurrency"},
		{name: "fewer clients than none", old: `"concurrency": 6`, new: `"concurrency": -6`, field: "workload.concurrency"},
		{name: "clients beyond any integer", old: `"concurrency": 6`, new: `"concurrency": 1e30`, field: "concurrency"},
		{name: "a negative rate", old: `"rate": 50`, new: `"rate": -50`, field: "workload.rate"},
		{name: "a rate beyond any clock", old: `"rate": 50`, new: `"rate": 1e300`, field: "workload.rate"},
		{name: "a rate that is no number", old: `"rate": 50`, new: `"rate": NaN`, field: "plan.json"},
		{name: "negative keys", old: `"keys": 4`, new: `"keys": -4`, field: "workload.keys"},
		{name: "keys without end", old: `"keys": 4`, new: `"keys": 4000000000`, field: "workload.keys"},
		{name: "negative operations per key", old: `"opsPerKey": 100`, new: `"opsPerKey": -1`, field: "workload.opsPerKey"},
		{name: "leases that never last", old: `"name": "register"`, new: `"name": "lease"`, field: "workload.ttl"},
		{name: "a ttl where there are no leases", old: `"keys": 4`, new: `"keys": 4, "ttl": "4s"`, field: "workload.ttl"},
		{name: "a negative ttl", old: `"name": "register"`, new: `"name": "lease", "ttl": "-4s"`, field: "workload.ttl"},
		{name: "a ttl of half a second", old: `"name": "register"`, new: `"name": "lease", "ttl": "500ms"`, field: "workload.ttl"},
		{name: "shards that nobody can own", old: `"name": "register"`, new: `"name": "shard-ownership"`, field: "workload.owners"},
		{name: "owners where there are no shards", old: `"keys": 4`, new: `"keys": 4, "owners": ["n1"]`, field: "workload.owners"},
		{name: "no workload", old: `"name": "register", `, new: ``, field: "workload.name"},
		{name: "no system", old: `"name": "etcd", `, new: ``, field: "system.name"},
		{name: "no node", old: `["n1", "n2", "n3"]`, new: `[]`, field: "cluster.nodes"},
		{name: "a node twice", old: `["n1", "n2", "n3"]`, new: `["n1", "n2", "n3", "n1"]`, field: "cluster.nodes"},
		{name: "a node without a name", old: `["n1", "n2", "n3"]`, new: `["n1", "n2", "n3", ""]`, field: "cluster.nodes"},
		{name: "no time", old: `"timeLimit": "1m0s"`, new: `"timeLimit": "0s"`, field: "timeLimit"},
		{name: "a negative time", old: `"timeLimit": "1m0s"`, new: `"timeLimit": "-1m"`, field: "timeLimit"},
		{name: "a century", old: `"timeLimit": "1m0s"`, new: `"timeLimit": "876000h"`, field: "timeLimit"},
		{name: "a time without a unit", old: `"timeLimit": "1m0s"`, new: `"timeLimit": 60`, field: "timeLimit"},
		{name: "no patience", old: `"opTimeout": "5s"`, new: `"opTimeout": "0s"`, field: "opTimeout"},
		{name: "a negative timeout", old: `"opTimeout": "5s"`, new: `"opTimeout": "-5s"`, field: "opTimeout"},
		{name: "negative slowness", old: `"slowNodes": 2`, new: `"slowNodes": -2`, field: "slowNodes"},
		{name: "slowness without end", old: `"slowNodes": 2`, new: `"slowNodes": 1e12`, field: "slowNodes"},
		{name: "a negative election timeout", old: `"election": "1s"`, new: `"election": "-1s"`, field: "timing.election"},
		{name: "a clock rate above one", old: `"clockRate": 0.01`, new: `"clockRate": 1.5`, field: "claim.bounds"},
		{name: "a negative clock rate", old: `"clockRate": 0.01`, new: `"clockRate": -0.5`, field: "claim.bounds"},
		{name: "a negative clock offset", old: `"clockOffset": "-1ns"`, new: `"clockOffset": "-5s"`, field: "claim.bounds"},
		{name: "a negative bound", old: `"recovery": "15s"`, new: `"recovery": "-15s"`, field: "claim.bounds"},
		{name: "an unknown model", old: `"model": "linearizable"`, new: `"model": "linearisable"`, field: "claim"},
		{name: "an unknown rule", old: `["fencing"]`, new: `["fancy"]`, field: "claim"},
		{name: "a claim from nowhere", old: `"origin": "documented"`, new: `"origin": "dreamt"`, field: "claim"},
		{name: "an unknown fault to draw from", old: `"faults": ["partition"`, new: `"faults": ["particle"`, field: "faults"},
		{name: "a fault to draw from twice", old: `"faults": ["partition"`, new: `"faults": ["kill"`, field: "faults"},
		{name: "no time between faults", old: `"faultInterval": "5s"`, new: `"faultInterval": "1ns"`, field: "faultInterval"},
		{name: "a negative time between faults", old: `"faultInterval": "5s"`, new: `"faultInterval": "-5s"`, field: "faultInterval"},
		{name: "an unknown kind", old: `"kind": "kill"`, new: `"kind": "slay"`, field: "schedule[1].kind"},
		{name: "an unknown shape", old: `"shape": "flapping"`, new: `"shape": "round"`, field: "schedule[0].shape"},
		{name: "a shape of a fault without", old: `"kind": "kill",`, new: `"kind": "kill", "shape": "one",`, field: "schedule[1].shape"},
		{name: "an unknown target", old: `"target": "leader"`, new: `"target": "king"`, field: "schedule[1].target"},
		{name: "a target of another shape", old: `"shape": "flapping", "target": "one"`, new: `"shape": "flapping", "target": "half"`, field: "schedule[0].target"},
		{name: "a node that is not there", old: `"nodes": ["n2"]`, new: `"nodes": ["n9"]`, field: "schedule[2].nodes"},
		{name: "a target node twice", old: `"nodes": ["n2"]`, new: `"nodes": ["n2", "n2"]`, field: "schedule[2].nodes"},
		{name: "nobody to hit", old: `"nodes": ["n2"], `, new: ``, field: "schedule[2].nodes"},
		{name: "a link to nowhere", old: `{"from": "n1", "to": "n2"}`, new: `{"from": "n1", "to": "n9"}`, field: "schedule[0].links"},
		{name: "a link to itself", old: `{"from": "n1", "to": "n2"}`, new: `{"from": "n1", "to": "n1"}`, field: "schedule[0].links"},
		{name: "nothing to cut", old: `"links": [{"from": "n1", "to": "n2"}], `, new: ``, field: "schedule[0].links"},
		{name: "links of a kill", old: `"target": "leader",`, new: `"target": "leader", "links": [{"from": "n1", "to": "n2"}],`, field: "schedule[1].links"},
		{name: "a negative moment", old: `"at": "2s"`, new: `"at": "-2s"`, field: "schedule[0].at"},
		{name: "a moment without end", old: `"at": "14s"`, new: `"at": "2000000h"`, field: "schedule[3].at"},
		{name: "two at once", old: `"at": "6s"`, new: `"at": "4s"`, field: "schedule[1].at"},
		{name: "out of order", old: `"at": "6s"`, new: `"at": "1s"`, field: "schedule[1].at"},
		{name: "a hold of nothing", old: `"hold": "3s"`, new: `"hold": "0s"`, field: "schedule[0].hold"},
		{name: "a negative hold", old: `"hold": "3s"`, new: `"hold": "-3s"`, field: "schedule[0].hold"},
		{name: "a number twice", old: `"id": 2`, new: `"id": 1`, field: "schedule[1].id"},
		{name: "the number 0", old: `"id": 1`, new: `"id": 0`, field: "schedule[0].id"},
		{name: "flaps without a period", old: `, "params": {"period": "700ms"}`, new: ``, field: "schedule[0].params"},
		{name: "a negative period", old: `"period": "700ms"`, new: `"period": "-700ms"`, field: "schedule[0].params"},
		{name: "a clock that runs backwards", old: `"rate": 0.5`, new: `"rate": -0.5`, field: "schedule[2].params"},
		{name: "a clock that nobody has", old: `"of": "monotonic"`, new: `"of": "sundial"`, field: "schedule[2].params"},
		{name: "a change of another fault", old: `"rate": 0.5`, new: `"rate": 1, "jump": "2s"`, field: "schedule[2].params"},
		{name: "more loss than packets", old: `"loss": 0.1`, new: `"loss": 1.1`, field: "schedule[3].params"},
		{name: "an unknown parameter", old: `"loss": 0.1`, new: `"lost": 0.1`, field: "schedule[3].params"},
		{name: "parameters of a fault without", old: `"target": "leader",`, new: `"target": "leader", "params": {"loss": 1},`, field: "schedule[1].params"},
		{name: "no time to check in", old: `"checkerTime": "1m0s"`, new: `"checkerTime": "-1s"`, field: "checkerTime"},
		{name: "no memory to check with", old: `"checkerMemory": 1073741824`, new: `"checkerMemory": 0`, field: "checkerMemory"},
		{name: "negative memory", old: `"checkerMemory": 1073741824`, new: `"checkerMemory": -1`, field: "checkerMemory"},
		{name: "a misspelt field", old: `"timeLimit"`, new: `"timelimit"`, field: "timelimit"},
		{name: "a misspelt field deep down", old: `"hold": "3s"`, new: `"hald": "3s"`, field: "schedule[0].hald"},
		{name: "a field of the old form", old: `"params": {"loss": 0.1}`, new: `"packets": {"loss": 0.1}`, field: "schedule[3].packets"},
		{name: "a field twice", old: `"seed": 7`, new: `"seed": 7, "seed": 8`, field: "seed"},
		{name: "another schema", old: `"schema": 2`, new: `"schema": 99`, field: "schema"},
		{name: "two plans", old: "\"checkerMemory\": 1073741824}", new: "\"checkerMemory\": 1073741824}{}", field: "plan.json"},
		{name: "half a plan", old: `"checkerTime": "1m0s", "checkerMemory": 1073741824}`, new: ``, field: "plan.json"},
		{name: "a list", old: rightPlan, new: `[1]`, field: "plan.json"},
		{name: "null", old: rightPlan, new: `null`, field: "schema"},
		{name: "nothing", old: rightPlan, new: ``, field: "plan.json"},
		{name: "an unknown system", old: `"name": "etcd"`, new: `"name": "etc"`, field: "etc", replay: true},
		{name: "an unknown workload", old: `"name": "register"`, new: `"name": "registre"`, field: "workload.name", replay: true},
		{name: "an unknown option", old: `"reads": "linearizable"`, new: `"raeds": "linearizable"`, field: "system.options", replay: true},
		{name: "an unknown value of an option", old: `"reads": "linearizable"`, new: `"reads": "dirty"`, field: "system.options", replay: true},
		{name: "an unknown version", old: `"v3.6.5"`, new: `"latest"`, field: "system.version", replay: true},
	}
}

func writePlan(t *testing.T, text string) history.Dir {
	t.Helper()
	dir := history.Dir(t.TempDir())
	if err := os.WriteFile(dir.Path(history.PlanFile), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestHostilePlansAreRefusedInOneLineThatNamesTheField(t *testing.T) {
	right := writePlan(t, rightPlan)
	if _, err := run.PlanToReplay(right, false); err != nil {
		t.Fatalf("the plan that they are made of is refused as well: %v", err)
	}
	if n := len(hostilePlans()); n < 60 {
		t.Errorf("%d plans", n)
	}
	for _, h := range hostilePlans() {
		t.Run(h.name, func(t *testing.T) {
			text := strings.Replace(rightPlan, h.old, h.new, 1)
			if text == rightPlan {
				t.Fatalf("the right plan has no %s", h.old)
			}
			dir := writePlan(t, text)
			commands := [][]string{{"replay", string(dir)}, {"check", string(dir)}, {"report", string(dir)}}
			if h.replay {
				if _, err := run.ReadPlan(dir); err != nil {
					t.Errorf("it cannot be judged either: %v", err)
				}
				commands = commands[:1]
			}
			for _, command := range commands {
				began := time.Now()
				said, code := try(t, command...)
				line := strings.TrimSuffix(said, "\n")
				if code != usageCode || !strings.Contains(line, h.field) || strings.Contains(line, "\n") || !strings.HasPrefix(line, "nemesis: ") {
					t.Errorf("%s: exit status %d, want %d and one line that names %s:\n%s", command[0], code, usageCode, h.field, said)
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("%s took %s", command[0], took)
				}
			}
		})
	}
}

// A plan that nemesis resolves passes its own checks, whatever was asked for.
func TestResolvedPlansPassTheChecksOfPlansFromFiles(t *testing.T) {
	t.Parallel()
	for _, said := range []run.Settings{
		{}, {"faults": "all"}, {"faults": "all,packet,power-off,power-cycle", "time-limit": "10m"},
		{"faults": "none"}, {"workload": "lease", "faults": "clock,kill"}, {"workload": "election"}, {"faults": "clock", "clocks": "machine", "time-limit": "5m"},
	} {
		nodes := []string{"a", "b", "c", "d", "e"}
		plan, err := run.Resolve(run.Options{System: "etcd", Spec: "a,b,c,d,e", Nodes: nodes, Settings: said})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.MarshalIndent(plan, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := run.PlanToReplay(writePlan(t, string(text)), false); err != nil {
			t.Errorf("%v: %v", said, err)
		}
	}
}
