//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/refinement"
	"nemesis/history"
	"nemesis/run"
	"nemesis/servers/spec"
)

// refinementOf is what the checker of traces found.
func refinementOf(t *testing.T, v checker.Verdict) checker.Result {
	t.Helper()
	i := slices.IndexFunc(v.Results, func(r checker.Result) bool { return r.Checker == "refinement" })
	if i < 0 {
		t.Fatalf("nobody judged the traces: %+v", v.Results)
	}
	return v.Results[i]
}

// TestStepsOfPaxosAreAllowed runs servers that trace while they are killed, and then breaks each rule in what they wrote.
func TestStepsOfPaxosAreAllowed(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	o := finish(t, invocation(t, "run", "paxos", "--nodes", "local:3", "--set", "trace=on", "--set", "snapshot-every=30", "--workload", "append",
		"--faults", "kill,pause", "--fault-interval", "3s", "--time-limit", "8s", "--rate", "150", "--seed", "11"))
	o.want(t, checker.Valid.ExitCode())
	found := refinementOf(t, o.verdict(t))
	var d refinement.Details
	if err := json.Unmarshal(found.Details, &d); err != nil || found.Outcome != checker.Valid || d.Steps < 1000 || d.Assumed != 0 {
		t.Errorf("%s: %s (%+v, %v)", found.Outcome, found.Summary, d, err)
	}
	again := finish(t, invocation(t, "check", string(o.dir)))
	again.want(t, checker.Valid.ExitCode())
	if again := refinementOf(t, o.verdict(t)); again.Outcome != checker.Valid {
		t.Errorf("checked again, it is %s: %s", again.Outcome, again.Summary)
	}
	t.Run("export", func(t *testing.T) { exports(t, o.dir, d.Steps) })
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) { m.isCaught(t, o.dir) })
	}
}

func exports(t *testing.T, dir history.Dir, steps int) {
	cmd := invocation(t, "trace", "export", string(dir))
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	n, positions := 0, uint64(0)
	for line := range strings.Lines(out.String()) {
		var e refinement.Exported
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.Kind != "start" {
			n++
		}
		var x spec.Execution
		if e.Kind == "execution" && json.Unmarshal(e.Event, &x) == nil {
			if x.Position > positions+1 {
				t.Fatalf("position %d comes after position %d", x.Position, positions)
			}
			positions = max(positions, x.Position)
		}
	}
	if n != steps || positions == 0 {
		t.Errorf("%d steps to position %d; the checker took %d", n, positions, steps)
	}
}

// traced is a line of a trace.
type traced struct {
	Node  int             `json:"node"`
	Line  int             `json:"line"`
	At    int64           `json:"at"`
	Step  string          `json:"step"`
	Event json.RawMessage `json:"event"`
}

// mutation changes what nodes wrote, and names the rule that this breaks.
type mutation struct {
	name   string
	rule   spec.Rule
	change func(node int, lines []traced) []traced
}

// mutations change the operation at one position, or an answer.
func mutations() []mutation {
	const position = 100
	// executed changes what nodes executed there.
	executed := func(onAll bool, change func(e *spec.Execution)) func(int, []traced) []traced {
		return func(node int, lines []traced) []traced {
			for i := range lines {
				if e, is := execution(lines[i]); is && e.Position == position && (onAll || node == 3) {
					change(&e)
					lines[i].Event, _ = json.Marshal(e)
				}
			}
			return lines
		}
	}
	leftOut := func(_ int, lines []traced) []traced {
		var gone spec.Execution
		without := false // nothing was executed since: a read that is answered now shows what is gone, and breaks a rule of its own
		return slices.DeleteFunc(lines, func(l traced) bool {
			if e, is := execution(l); is {
				without = e.Position == position
				if without {
					gone = e
				}
				return without
			}
			var answer spec.Reply // it would be one of nothing
			return l.Step == "reply" && json.Unmarshal(l.Event, &answer) == nil && (without || answer.Request == gone.Request)
		})
	}
	// twice has the operation before executed again.
	twice := func(_ int, lines []traced) []traced {
		var before spec.Execution
		for i := range lines {
			e, is := execution(lines[i])
			switch {
			case is && e.Position == position-1:
				before = e
			case is && e.Position == position && before.Position > 0:
				before.Position = position
				lines[i].Event, _ = json.Marshal(before)
			}
		}
		return lines
	}
	answered := func(read bool, change func(*spec.Reply)) func(int, []traced) []traced {
		return func(_ int, lines []traced) []traced {
			for i := range lines {
				var e spec.Reply
				if lines[i].Step == "reply" && json.Unmarshal(lines[i].Event, &e) == nil && (e.Request.Client == 0) == read {
					change(&e)
					lines[i].Event, _ = json.Marshal(e)
					break
				}
			}
			return lines
		}
	}
	nobody := spec.Request{Client: 77, Seq: 77}
	return []mutation{
		{"another operation executed by one", spec.Agreement, executed(false, func(e *spec.Execution) { e.Op = []byte{1, 0, 0} })},
		{"another result for one", spec.Agreement, executed(false, func(e *spec.Execution) { e.Result = []byte{9} })},
		{"another result for all", spec.Result, executed(true, func(e *spec.Execution) { e.Result = []byte{9} })},
		{"executed and never asked for", spec.Origin, executed(true, func(e *spec.Execution) { e.Request = nobody })},
		{"executed by nobody", spec.Order, leftOut},
		{"executed twice", spec.ExactlyOnce, twice},
		{"answered with another result", spec.Answers, answered(false, func(e *spec.Reply) { e.Result = []byte{9} })},
		{"a read answered with another result", spec.Reads, answered(true, func(e *spec.Reply) { e.Result = []byte{9} })},
		{"answered and never asked", spec.Origin, answered(false, func(e *spec.Reply) { e.Request = nobody })},
	}
}

func execution(l traced) (e spec.Execution, is bool) {
	return e, l.Step == "execution" && json.Unmarshal(l.Event, &e) == nil
}

func (m mutation) isCaught(t *testing.T, dir history.Dir) {
	copied := history.Dir(t.TempDir())
	nodes := []string{"n1", "n2", "n3"}
	for i, node := range nodes {
		path, err := copied.Node(node)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir.NodePath(node), "paxos"+history.TraceSuffix))
		if err != nil {
			t.Fatal(err)
		}
		var lines []traced
		for line := range strings.Lines(string(text)) {
			var l traced
			if json.Unmarshal([]byte(line), &l) == nil { // a killed process leaves one that is torn
				lines = append(lines, l)
			}
		}
		var out bytes.Buffer
		n := 0
		for _, l := range m.change(i+1, lines) {
			if l.Step == "start" {
				n = 0
			}
			l.Line = n
			n++
			b, _ := json.Marshal(l)
			out.Write(append(b, '\n'))
		}
		if err := os.WriteFile(filepath.Join(path, "paxos"+history.TraceSuffix), out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := refinement.Checker(copied, nodes, paxosSpecification, specification).Check(t.Context(), nil, checker.Budget{})
	if r.Outcome != checker.Violation || !strings.Contains(r.Anomalies[0].Sentence, "("+string(m.rule)+")") {
		said := r.Summary
		for _, a := range r.Anomalies {
			said = a.Sentence
		}
		t.Errorf("got %s: %s; want a break of %q", r.Outcome, said, m.rule)
	}
}

// TestRefinementFindsADefectWithoutAnyFault has nodes execute batches in different orders, of which clients of one leader see nothing.
func TestRefinementFindsADefectWithoutAnyFault(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	o := finish(t, invocation(t, "run", "paxos", "--nodes", "local:3", "--set", "trace=on", "--set", "defect=R22", "--set", "batch-delay=5ms",
		"--faults", "none", "--time-limit", "3s"))
	o.want(t, checker.Violation.ExitCode())
	found := refinementOf(t, o.verdict(t))
	// Where the first node to execute a batch is one that changes its order, a request stands before what its client
	// asked before it, and its own origin comes later.
	rule := regexp.MustCompile(`took a step that its specification does not allow \((agreement|origin)\)`)
	if found.Outcome != checker.Violation || len(found.Anomalies) != 1 || !rule.MatchString(found.Anomalies[0].Sentence) {
		t.Errorf("%s: %+v", found.Outcome, found.Anomalies)
	}
	if !rule.MatchString(strings.Join(strings.Fields(o.text), " ")) {
		t.Errorf("nobody is told:\n%s", o.text)
	}
}

func TestExportRefusesARunWithoutTraces(t *testing.T) {
	dir := history.Dir(t.TempDir())
	plan, err := run.Resolve(run.Options{System: "paxos", Spec: "local:1", Nodes: []string{"n1"}, Settings: run.Settings{"faults": "none"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.WriteJSON(history.PlanFile, plan); err != nil {
		t.Fatal(err)
	}
	o := finish(t, invocation(t, "trace", "export", string(dir)))
	if o.code != usageCode || !strings.Contains(o.text, "its servers wrote none; run with --set trace=on") {
		t.Errorf("exit status %d, %q", o.code, o.text)
	}
}
