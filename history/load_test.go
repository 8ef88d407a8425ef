package history

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestOperationsArePaired(t *testing.T) {
	log, err := Pair([]Event{
		{Index: 0, Time: 10, Type: Invoke, Process: 0, F: "write"},
		{Index: 1, Time: 12, Type: Invoke, Process: 1, F: "read"},
		{Index: 2, Time: 13, Type: LeaderChange, Node: "n2"},
		{Index: 3, Time: 20, Type: Info, Process: 0, F: "write", Error: "timed out"},
		{Index: 4, Time: 25, Type: OK, Process: 1, F: "read", Version: 9},
		{Index: 5, Time: 30, Type: Invoke, Process: 10, F: "cas"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(log.Operations) != 3 || len(log.Events) != 1 || log.End != 30 {
		t.Fatalf("%+v", log)
	}
	w, r, c := log.Operations[0], log.Operations[1], log.Operations[2]
	if w.Type != Info || w.Return != Never || w.End != 20 || w.Error != "timed out" {
		t.Errorf("a timed-out write may land any time later, but it reads %+v", w)
	}
	if r.Type != OK || r.Return != 25 || r.Version != 9 || r.Completion != 4 {
		t.Errorf("%+v", r)
	}
	if c.Type != Info || c.Return != Never || c.Completion != -1 || c.End != 30 {
		t.Errorf("an operation open at the end reads %+v", c)
	}
}

func TestImpossibleHistoriesAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		events []Event
		says   string
	}{
		"two open operations of one process": {[]Event{{Type: Invoke, Process: 4}, {Index: 1, Type: Invoke, Process: 4}}, "process 4 invokes at event 1 while its operation of event 0 is open"},
		"completion without invocation":      {[]Event{{Type: OK, Process: 4}}, "event 0 completes an operation of process 4 that has none open"},
		"time goes back":                     {[]Event{{Time: 5, Type: Invoke}, {Index: 1, Time: 4, Type: OK}}, "event 1 of process 0 is at 4 ns"},
		"a retired process comes back":       {[]Event{{Type: Invoke}, {Index: 1, Type: Info}, {Index: 2, Type: Invoke}}, "although event 1 retired it"},
		"another function completes":         {[]Event{{Type: Invoke, F: "read"}, {Index: 1, Type: OK, F: "write"}}, "event 0 invoked read"},
	} {
		if _, err := Pair(tc.events); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunDirectory(t *testing.T) {
	out := t.TempDir()
	plan := Plan{Schema: PlanSchema, Seed: 7, System: System{Name: "etcd"}, Workload: Workload{Name: "register"},
		Faults: []string{"partition", "kill"}, TimeLimit: Duration(30 * time.Second),
		Schedule: []Step{{ID: 1, Kind: "kill", Target: "one", Nodes: []string{"n1"}, At: Duration(time.Second)}}}
	at := time.Date(2026, 11, 22, 1, 2, 3, 4e6, time.UTC)
	a, err := NewDir(out, plan, at)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewDir(out, plan, at)
	if err != nil || a == b {
		t.Fatalf("two runs in one millisecond: %s and %s, %v", a, b, err)
	}
	if !strings.HasSuffix(string(a), "etcd-register-partition+kill/20261122T010203.004Z") {
		t.Error(a)
	}
	d, err := OpenDir(a.Path(PlanFile))
	if err != nil || d != a {
		t.Fatal(d, err)
	}
	got, err := d.Plan()
	if err != nil || got.Seed != 7 || got.TimeLimit != plan.TimeLimit || got.Schedule[0].At != plan.Schedule[0].At {
		t.Fatal(got, err)
	}
	node, err := d.Node("../../etc")
	if err != nil || node != d.Path(NodesDir, ".._.._etc") {
		t.Errorf("a node named ../../etc gets %s, %v", node, err)
	}
	os.WriteFile(d.Path(PlanFile), []byte(`{"schema":99}`), 0o644)
	if _, err := d.Plan(); err == nil || !strings.Contains(err.Error(), "schema is 99") {
		t.Error(err)
	}
	if _, err := OpenDir(out); err == nil || !strings.Contains(err.Error(), "has no plan.json") {
		t.Error(err)
	}
}
