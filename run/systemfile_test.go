package run_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nemesis/history"
	"nemesis/run"
	"nemesis/systems"
)

const fileOfAStore = `system: store
nodes: 3
capabilities: [kill, pause]
processes: {server: {ports: [7000], command: serve}}
client: {http: {workloads: {register: {read: {get: /}, write: {put: /}}}}}
claims: [{model: linearizable}]
`

// A plan of a system that is a file holds the file, leaves out the operations that its clients
// do not speak, and draws from the faults that make sense for it.
func TestPlanOfASystemThatIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.yaml")
	if err := os.WriteFile(path, []byte(fileOfAStore), 0o644); err != nil {
		t.Fatal(err)
	}
	named, err := run.ReadSystem(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := run.DefaultNodes(named); n != 3 {
		t.Errorf("it takes %d nodes", n)
	}
	resolve := func(settings run.Settings) (history.Plan, error) {
		return run.Resolve(run.Options{System: named.Name, Definition: named.Definition, Spec: "local:3", Nodes: []string{"n1", "n2", "n3"}, Settings: settings})
	}
	plan, err := resolve(run.Settings{"seed": "1"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(plan.Faults, " "); got != "kill pause" {
		t.Errorf("it draws from %s", got)
	}
	if got := strings.Join(plan.Workload.Without, " "); got != history.FCAS {
		t.Errorf("it leaves out %q", got)
	}
	if plan.System.Definition == nil || plan.System.Definition.Text != fileOfAStore || plan.Claim.Model != history.Linearizable {
		t.Errorf("the plan is %+v", plan)
	}
	if err := run.CheckPlan(plan); err != nil {
		t.Error(err)
	}
	var bad *run.UsageError
	if _, err := resolve(run.Settings{"faults": "partition"}); !errors.As(err, &bad) || !strings.Contains(err.Error(), "partition is not among the capabilities of store: kill, pause") {
		t.Errorf("a fault that makes no sense is told as %v", err)
	}
	plan.System.Definition.Text = "system: other" + strings.TrimPrefix(fileOfAStore, "system: store")
	if _, err := run.SystemOf(plan.System); err == nil || !strings.Contains(err.Error(), `the plan names "store", and the file in it says "other"`) {
		t.Errorf("another file in the plan is told as %v", err)
	}
}

// A run of a workload of the file's own is planned, checked and replayed without the file of its
// model, and a plan whose model is damaged is a usage error.
func TestPlanHoldsTheModelOfAWorkloadOfTheFilesOwn(t *testing.T) {
	dir := t.TempDir()
	text := strings.Replace(fileOfAStore, "register: {read: {get: /}, write: {put: /}}", "cell: {get: {get: /}, put: {put: /}}", 1) +
		"workloads: {cell: {model: cell.star, operations: {get: {}, put: {value: unique}}, final: [get]}}\n"
	for name, text := range map[string]string{"store.yaml": text, "cell.star": "init = 0\ndef step(state, input, output):\n    return True, state\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	named, err := run.ReadSystem(filepath.Join(dir, "store.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	plan, err := run.Resolve(run.Options{System: named.Name, Definition: named.Definition, Spec: "local:1", Nodes: []string{"n1"}, Settings: run.Settings{"seed": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if plan.Workload.Name != "cell" || plan.Workload.Own == nil || plan.Workload.Keys == 0 || plan.Claim.Model != history.Linearizable {
		t.Errorf("the plan is %+v", plan)
	}
	if err := run.CheckPlan(plan); err != nil {
		t.Error(err)
	}
	if _, err := run.SystemOf(plan.System); err != nil {
		t.Error(err)
	}
	plan.Workload.Own.Text = "init = 0"
	if err := run.CheckPlan(plan); err == nil || !strings.Contains(err.Error(), "workload.own: the workload cell: read the model cell.star: it has no function step") {
		t.Errorf("a damaged model is told as %v", err)
	}
}

// The systems that are known by their names and have no Go code are files without mistakes, and a plan holds the file.
func TestNamedSystemsAreFiles(t *testing.T) {
	names := map[string]bool{}
	for _, s := range run.Named() {
		if names[s.Name()] {
			t.Errorf("there are two of %s", s.Name())
		}
		names[s.Name()] = true
	}
	for _, name := range systems.Names() {
		if !names[name] {
			t.Errorf("%s is not one of them; nemesis system check says what is wrong with it", name)
		}
		plan, err := run.Resolve(run.Options{System: name, Spec: "local:3", Nodes: []string{"n1", "n2", "n3"}})
		if err != nil || plan.System.Definition == nil || plan.Claim.Model == "" {
			t.Errorf("%s: %v, the plan has %+v and claims %q", name, err, plan.System.Definition, plan.Claim.Model)
		}
	}
}
