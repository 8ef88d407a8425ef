package run_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemesis/checker"
	"nemesis/checker/restart"
	"nemesis/clients"
	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
	"nemesis/nodes/local/localtest"
	"nemesis/reports"
	"nemesis/run"
)

// TestMain lets the test binary be the agent on its nodes, and the servers there.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "toy-complaining" {
		fmt.Println(serveComplaining(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	if len(os.Args) == 4 && os.Args[1] == "toy-server" {
		fmt.Println(toyServer(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	if len(os.Args) == 4 && os.Args[1] == "toy-once" {
		os.Exit(serveOnce(os.Args[2], os.Args[3]))
	}
	if len(os.Args) == 4 && os.Args[1] == "toy-deaf" {
		os.Exit(serveDeaf(os.Args[2], os.Args[3]))
	}
	if len(os.Args) == 4 && os.Args[1] == "toy-mute" {
		fmt.Println(serveMute(os.Args[2]))
		os.Exit(1)
	}
	agenttest.Main(m, effects.Kinds())
}

// serveOnce is the toy's server, but one that was started before ends at once.
func serveOnce(listen, first string) int {
	f, err := os.OpenFile("started", os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		fmt.Println("panic: \x1b[31mcannot read what I wrote")
		return 7
	}
	f.Close()
	fmt.Println(toyServer(listen, first))
	return 1
}

// once is a toy whose second node does not come up twice.
type once struct{ toy }

func (o once) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	d, err := o.toy.Deploy(install, plan, machines)
	second := &d.(toyCluster)[1]
	second.Spec.Argv[1], second.Data = "toy-once", []string{"toy/started"}
	return d, err
}

// serveDeaf is the toy's server, but one that was started before runs and serves nobody.
func serveDeaf(listen, first string) int {
	f, err := os.OpenFile("started", os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		fmt.Println("waiting for a quorum")
		select {}
	}
	f.Close()
	fmt.Println(toyServer(listen, first))
	return 1
}

// deaf is a toy whose second node does not serve again, although it promises to within a second.
type deaf struct{ toy }

func (d deaf) Claim(options map[string]string) history.Claim {
	c := d.toy.Claim(options)
	c.Bounds.Recovery = history.Duration(time.Second)
	return c
}

func (o deaf) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	d, err := o.toy.Deploy(install, plan, machines)
	second := &d.(toyCluster)[1]
	second.Spec.Argv[1], second.Data = "toy-deaf", []string{"toy/started"}
	return d, err
}

// paired is a toy with a second server on n2, which nobody asks for anything.
type paired struct{ toy }

func (paired) Roles(nodes []string, _ map[string]string) []history.Role {
	return []history.Role{{Name: "register", Nodes: nodes}, {Name: "sidecar", Nodes: []string{"n2"}}}
}

func (p paired) Deploy(install clients.Install, plan history.Plan, machines []*agent.Client) (clients.Deployment, error) {
	d, err := p.toy.Deploy(install, plan, machines)
	sidecar := d.(toyCluster)[1]
	address := net.JoinHostPort(machines[1].Node().Address.String(), "7001")
	sidecar.Role, sidecar.After, sidecar.ClientPort, sidecar.PeerPort = "sidecar", []string{"register"}, 7001, 0
	sidecar.Spec.Argv = []string{"toy/server", "toy-server", address, address}
	return append(d.(toyCluster), sidecar), err
}

// runs carries out a run of a system with some faults on three local nodes.
func runs(ctx context.Context, t *testing.T, system clients.System, observe func(run.Progress), steps ...history.Step) (history.Dir, checker.Verdict) {
	t.Helper()
	cluster := localtest.Cluster(t, 3)
	plan, err := run.Resolve(run.Options{
		System: system.Name(), Systems: []clients.System{system}, Spec: "local:3", Nodes: []string{"n1", "n2", "n3"},
		Settings: run.Settings{"seed": "7", "time-limit": "5s", "faults": "none", "rate": "60"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range steps {
		steps[i].ID, steps[i].Hold = i+1, history.Duration(time.Second)
		steps[i].At = history.Duration(time.Duration(2*i+1) * time.Second)
		plan.Faults = append(plan.Faults, steps[i].Kind)
	}
	plan.Schedule = steps
	install, err := system.Prepare(ctx, plan.System, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	cfg := run.Config{Cluster: cluster, System: system, Install: install, Out: t.TempDir(), Observe: observe}
	if _, is := system.(deaf); is {
		cfg.SettleWithin = 3 * time.Second
	}
	dir, verdict, err := run.Execute(ctx, plan, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %s %s", verdict.Outcome, verdict.Sentence, strings.Join(verdict.Reasons, "; "))
	return dir, verdict
}

// What a system has to be is little: the toy is judged as any other, and its recorded run
// by a program that does not have it.
func TestARunIsJudgedAndReportedByAProgramWithoutItsSystem(t *testing.T) {
	if lines := linesOfTheToy(t); lines > 60 {
		t.Errorf("the toy takes %d lines besides its client, and 60 should do", lines)
	}
	dir, verdict := runs(t.Context(), t, toy{}, nil, history.Step{Kind: "pause", Target: "leader"}, history.Step{Kind: "kill", Target: "one", Nodes: []string{"n3"}})
	if verdict.Outcome != checker.Valid {
		t.Fatalf("the toy's run is %s: %s", verdict.Outcome, verdict.Sentence)
	}
	nemesis := filepath.Join(t.TempDir(), "nemesis")
	if out, err := exec.Command("go", "build", "-o", nemesis, "nemesis/cmd/nemesis").CombinedOutput(); err != nil {
		t.Skipf("needs the go command: %v\n%s", err, out)
	}
	stranger := func(args ...string) (string, int) {
		var out bytes.Buffer
		cmd := exec.Command(nemesis, append(args, string(dir))...)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return out.String(), cmd.ProcessState.ExitCode()
	}
	if out, code := stranger("check"); code != verdict.Outcome.ExitCode() {
		t.Errorf("check ends with %d, want %d: %s", code, verdict.Outcome.ExitCode(), out)
	}
	var again checker.Verdict
	if err := dir.ReadJSON(history.VerdictFile, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(timeless(t, verdict), timeless(t, again)); diff != "" {
		t.Errorf("the verdicts differ (-run +check):\n%s", diff)
	}
	page := func() string {
		text, err := os.ReadFile(dir.Path(history.ReportFile))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	theirs := page()
	if err := reports.Write(string(dir)); err != nil {
		t.Fatal(err)
	}
	if ours := page(); ours != theirs {
		t.Error("the pages of one verdict differ")
	}
	if out, code := stranger("replay"); code != 64 || !strings.Contains(out, "toy") {
		t.Errorf("replay ends with %d: %s", code, out)
	}
}

// linesOfTheToy counts the lines of code of the system and its server.
func linesOfTheToy(t *testing.T) int {
	text, err := os.ReadFile("toy_linux_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "\n)\n")
	body, client, found := strings.Cut(body, "// toyClient talks")
	if !found || !strings.Contains(client, "func (c *toyClient) Invoke") {
		t.Fatal("where the client begins cannot be told")
	}
	lines := 0
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines++
		}
	}
	return lines
}

// timeless is a verdict without what is measured anew when it is made again.
func timeless(t *testing.T, v checker.Verdict) checker.Verdict {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var copied checker.Verdict
	if err := json.Unmarshal(text, &copied); err != nil {
		t.Fatal(err)
	}
	copied.Version = ""
	for i := range copied.Results {
		copied.Results[i].Took = 0
	}
	return copied
}

// A server that does not come up again is no trouble of nemesis.
func TestAServerThatDoesNotRestartIsAViolation(t *testing.T) {
	dir, verdict := runs(t.Context(), t, once{}, nil, history.Step{Kind: "kill", Target: "one", Nodes: []string{"n2"}})
	if verdict.Outcome != checker.Violation {
		t.Fatalf("got %s: %s", verdict.Outcome, verdict.Sentence)
	}
	log, err := dir.Load()
	if err != nil {
		t.Fatal(err)
	}
	var told []history.Event
	for _, ev := range log.Events {
		switch ev.Type {
		case history.RestartFailed:
			told = append(told, ev)
		case history.Trouble:
			t.Errorf("nemesis has a trouble: %s", ev.Message)
		}
	}
	want := history.Restart{Server: "register", Role: "register", Attempts: 3, Code: 7, LastWords: "panic: \uFFFD[31mcannot read what I wrote"}
	if len(told) != 1 || told[0].Node != "n2" || *told[0].Restart != want {
		t.Errorf("the history tells %+v", told)
	}
	found := false
	for _, r := range verdict.Results {
		for _, f := range r.Anomalies {
			found = found || f.Class == "does-not-restart" && strings.Contains(f.Sentence, "register on n2")
		}
	}
	if !found {
		t.Errorf("nobody is accused: %+v", verdict.Results)
	}
	if err := reports.Write(string(dir)); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(dir.Path(history.ReportFile))
	if err != nil || !strings.Contains(string(page), "cannot read what I wrote") || bytes.Contains(page, []byte("\x1b")) {
		t.Errorf("the page does not quote its last words in safe form: %v", err)
	}
}

// A fault on one kind of server leaves the others on its node alone.
func TestAFaultStrikesTheServersOfOneRole(t *testing.T) {
	dir, verdict := runs(t.Context(), t, paired{}, nil, history.Step{Kind: "kill", Target: "sidecar", Process: "sidecar", Nodes: []string{"n2"}})
	if verdict.Outcome != checker.Valid {
		t.Errorf("got %s: %s", verdict.Outcome, verdict.Sentence)
	}
	log, err := dir.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range log.Events {
		switch {
		case ev.Type == history.ServerExit && ev.Exit.Server != "sidecar":
			t.Errorf("%s on %s ended", ev.Exit.Server, ev.Node)
		case ev.Type == history.FaultChange && ev.Fault.Stage == history.Heal:
			summary := ev.Fault.Effects[0].Evidence.Summary
			if ev.Fault.Process != "sidecar" || ev.Fault.Description != "kill the sidecar on n2" || !ev.Fault.Confirmed || !strings.Contains(summary, "sidecar") {
				t.Errorf("the fault is told as %+v: %s", ev.Fault, summary)
			}
		}
	}
}

func TestRolesOfASystemAreResolved(t *testing.T) {
	resolve := func(settings run.Settings) (history.Plan, error) {
		return run.Resolve(run.Options{
			System: "toy", Systems: []clients.System{paired{}}, Spec: "local:3", Nodes: []string{"n1", "n2", "n3"},
			Settings: run.Settings{"seed": "7", "faults": "kill"}.With(settings),
		})
	}
	plan, err := resolve(run.Settings{"fault-process": "sidecar"})
	if err != nil || len(plan.Cluster.Roles) != 2 {
		t.Fatalf("got %+v, %v", plan.Cluster, err)
	}
	if err := run.CheckPlan(plan); err != nil {
		t.Errorf("its own plan is refused: %v", err)
	}
	for _, step := range plan.Schedule {
		if step.Process != "sidecar" || len(step.Nodes) > 0 && step.Nodes[0] != "n2" {
			t.Errorf("got %+v", step)
		}
	}
	for text, settings := range map[string]run.Settings{
		`read --fault-process: the system has no servers of role "king"; it has register, sidecar`: {"fault-process": "king"},
		`, register, sidecar`: {"fault-target": "king"},
	} {
		var usage *run.UsageError
		if _, err := resolve(settings); !errors.As(err, &usage) || !strings.HasSuffix(err.Error(), text) {
			t.Errorf("got %v, want %s", err, text)
		}
	}
	moved, err := run.OnNodes(plan, "a,b,c", []string{"a", "b", "c"})
	if err != nil || moved.Cluster.Roles[1].Nodes[0] != "b" || plan.Cluster.Roles[1].Nodes[0] != "n2" {
		t.Errorf("on other nodes: %+v, %v", moved.Cluster, err)
	}
	plan.Schedule[0].Process = "king"
	if err := run.CheckPlan(plan); err == nil || !strings.HasPrefix(err.Error(), "schedule[0].process: ") {
		t.Errorf("a plan of a role that is none: %v", err)
	}
}

// A server that runs and never serves again is no trouble of nemesis either.
func TestAServerThatDoesNotServeAgainIsAViolation(t *testing.T) {
	dir, verdict := runs(t.Context(), t, deaf{}, nil, history.Step{Kind: "kill", Target: "one", Nodes: []string{"n2"}})
	if verdict.Outcome != checker.Violation {
		t.Fatalf("got %s: %s", verdict.Outcome, verdict.Sentence)
	}
	var classes []string
	for _, r := range verdict.Results {
		for _, a := range r.Anomalies {
			classes = append(classes, a.Class)
		}
	}
	if !slices.Contains(classes, restart.NotServing) {
		t.Errorf("got %q: %s", classes, verdict.Sentence)
	}
	log, err := dir.Load()
	if err != nil {
		t.Fatal(err)
	}
	i := indexOf(log.Events, history.RestartFailed)
	if i < 0 || log.Events[i].Restart.Waited < history.Duration(time.Second) || !strings.Contains(log.Events[i].Restart.Unready, "accepts no connections") ||
		log.Events[i].Restart.LastWords != "waiting for a quorum" {
		t.Errorf("the history tells %d: %+v", i, log.Events[max(i, 0)].Restart)
	}
	if k := indexOf(log.Events, history.Trouble); k >= 0 {
		t.Errorf("nemesis has a trouble: %s", log.Events[k].Message)
	}
}

// A run that is interrupted accuses nobody.
func TestAnInterruptedRunAccusesNoServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	observe := func(p run.Progress) {
		if p.Fault != nil && p.Fault.Stage == history.Healed {
			cancel()
		}
	}
	dir, verdict := runs(ctx, t, once{}, observe, history.Step{Kind: "kill", Target: "one", Nodes: []string{"n2"}})
	for _, r := range verdict.Results {
		if r.Checker == "restart" && r.Outcome != checker.Valid {
			t.Errorf("got %s: %s", r.Outcome, r.Summary)
		}
	}
	if log, err := dir.Load(); err != nil {
		t.Error(err)
	} else if i := indexOf(log.Events, history.RestartFailed); i >= 0 {
		t.Errorf("a server was started again after the interruption: %+v", log.Events[i])
	}
}

func indexOf(events []history.Event, kind history.Type) int {
	for i, ev := range events {
		if ev.Type == kind {
			return i
		}
	}
	return -1
}
