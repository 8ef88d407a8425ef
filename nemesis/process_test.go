package nemesis

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"nemesis/history"
)

// composed is a cluster of five with databases on all nodes, sentinels on three of them
// and a proxy on one.
func composed(faults ...string) Options {
	nodes := []string{"n1", "n2", "n3", "n4", "n5"}
	return Options{
		Faults: faults, Nodes: nodes, TimeLimit: 5 * time.Minute, Settings: map[string]string{},
		Roles: []history.Role{{Name: "db", Nodes: nodes}, {Name: "sentinel", Nodes: nodes[:3]}, {Name: "proxy", Nodes: nodes[4:]}},
	}
}

func TestServersOfARoleAreStruckWhereTheyRun(t *testing.T) {
	opt := composed("kill", "pause", "partition")
	opt.Settings[processSetting] = "sentinel"
	steps, err := Schedule(dice(1), opt)
	if err != nil {
		t.Fatal(err)
	}
	struck := map[string]bool{}
	for _, step := range steps {
		switch {
		case step.Kind == "partition" && step.Process != "":
			t.Errorf("a partition of %s", step.Process)
		case step.Kind != "partition" && step.Process != "sentinel":
			t.Errorf("%s %s strikes %q", step.Kind, step.Target, step.Process)
		case step.Kind != "partition":
			for _, node := range step.Nodes {
				struck[node] = true
				if !slices.Contains([]string{"n1", "n2", "n3"}, node) {
					t.Errorf("%s %s of %v, where no sentinel is", step.Kind, step.Target, step.Nodes)
				}
			}
		}
	}
	if len(struck) != 3 {
		t.Errorf("only %v were struck", struck)
	}
}

func TestARoleIsATarget(t *testing.T) {
	opt := composed("kill", "partition")
	targets, err := ParseTargets("proxy,sentinel", opt.Roles...)
	if err != nil {
		t.Fatal(err)
	}
	opt.Targets = targets
	steps, err := Schedule(dice(1), opt)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, step := range steps {
		seen[step.Kind+" "+step.Target] = true
		if len(step.Nodes) != 1 && step.Kind == "kill" || len(step.Nodes) == 0 {
			t.Errorf("%s %s strikes %v", step.Kind, step.Target, step.Nodes)
			continue
		}
		if step.Target == "proxy" && step.Shape != "minority" && !slices.Contains(step.Nodes, "n5") {
			t.Errorf("%s %s %s strikes %v", step.Kind, step.Shape, step.Target, step.Nodes)
		}
		if step.Kind == "kill" && step.Process != step.Target {
			t.Errorf("a kill of the %s strikes the %s", step.Target, step.Process)
		}
	}
	for _, want := range []string{"kill proxy", "kill sentinel", "partition proxy", "partition sentinel"} {
		if !seen[want] {
			t.Errorf("no %s among %v", want, seen)
		}
	}
}

func TestRolesThatDoNotExistAreRefused(t *testing.T) {
	for _, test := range []struct {
		process string
		faults  []string
		want    string
	}{
		{"king", []string{"kill"}, `read --fault-process: the system has no servers of role "king"; it has db, sentinel, proxy`},
		{"proxy", []string{"partition"}, "schedule faults: --fault-process chooses which servers are struck, and no fault of this run acts on servers; add kill, stop or pause to --faults"},
		{"proxy", nil, "schedule faults: --fault-process says how faults strike, and there are none; add some to --faults"},
	} {
		opt := composed(test.faults...)
		opt.Settings[processSetting] = test.process
		if _, err := Schedule(dice(1), opt); err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
	_, err := ParseTargets("king", composed().Roles...)
	if err == nil || !strings.HasSuffix(err.Error(), ", db, sentinel, proxy") {
		t.Errorf("got %v", err)
	}
}

func TestAStepNamesTheServersThatItStrikes(t *testing.T) {
	live := three()
	live.Servers = func(node, role string) []string {
		if role == "proxy" && node != "n3" {
			return nil
		}
		return []string{role + "-" + node}
	}
	for _, test := range []struct {
		step history.Step
		want string // its sentence, or the error
	}{
		{history.Step{Target: "one", Nodes: []string{"n3"}}, "kill the proxy on n3"},
		{history.Step{Target: "half", Nodes: []string{"n1", "n3"}}, "resolve step 4: a kill cannot be done: n1 has no proxy"},
		{history.Step{Target: "leader"}, "resolve step 4: a kill cannot be done: n2 has no proxy"},
		{history.Step{Target: "holder"}, "kill the proxy on n3"},
	} {
		test.step.ID, test.step.Kind, test.step.Process = 4, "kill", "proxy"
		step, bound, err := Resolve(test.step, live)
		got := Sentence(step)
		if err != nil {
			got = err.Error()
		} else if effect := bound.Actions[0].(*serverAction).name; effect != "proxy-n3" {
			t.Errorf("it strikes %s", effect)
		}
		if got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
	all := history.Step{Kind: "pause", Target: "all", Process: "db", Nodes: []string{"n1", "n2"}}
	if got := Sentence(all); got != "pause every db" {
		t.Errorf("got %s", got)
	}
	if got := Sentence(history.Step{Kind: "pause", Target: "leader", Process: "db"}); got != "pause the db on the leader" {
		t.Errorf("got %s", got)
	}
}

func TestAFaultStrikesEveryServerOfItsKindOnANode(t *testing.T) {
	live := three()
	live.Servers = func(node, role string) []string { return []string{"shard-1", "shard-2"} }
	for kind, want := range map[string]string{
		"kill":  "proc.kill f7 shard-1, proc.kill f7-2 shard-2",
		"pause": "proc.pause f7 shard-1, proc.pause f7-2 shard-2",
		// A share of the node's cores, which it has once.
		"cpu-burn": "cpu.burn f7 shard-1",
	} {
		step := history.Step{ID: 7, Kind: kind, Process: "shard", Target: "one", Nodes: []string{"n1"}}
		if kind == "cpu-burn" {
			step.Params = []byte(`{"share":0.5}`)
		}
		_, bound, err := Resolve(step, live)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		var got []string
		for _, a := range bound.Actions {
			var spec struct{ ID, Process string }
			if err := json.Unmarshal(a.Effect().Spec, &spec); err != nil {
				t.Fatal(err)
			}
			got = append(got, a.Effect().Kind+" "+spec.ID+" "+spec.Process)
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
