package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/history"
	"nemesis/nodes/agent"
)

const answersPath = "testdata/answers.txt"

// shape lists the fields of a JSON value with their types, by path. Forms that have a
// version of their own, such as a verdict, are only named.
func shape(v any) []string {
	own := map[string]bool{".verdict": true, ".night": true, ".manifest": true, ".claims[].claim": true, ".nodes[].facts": true, ".nodes[].clock": true}
	seen := map[string]bool{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		note := func(kind string) { seen[strings.TrimPrefix(path, ".")+" "+kind] = true }
		switch v := v.(type) {
		case map[string]any:
			if own[path] {
				note("object")
				return
			}
			for name, one := range v {
				walk(path+"."+name, one)
			}
		case []any:
			note("array")
			for _, one := range v {
				walk(path+"[]", one)
			}
		case nil:
			note("null")
		default:
			note(fmt.Sprintf("%T", v))
		}
	}
	walk("", v)
	var all []string
	for line := range seen {
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

// What each command answers, field by field: whoever changes it must see it here, and says so
// in docs/json.md.
func TestAnswersKeepToTheirSchema(t *testing.T) {
	store, _ := storeOf(t)
	try(t, "check", "-2", "--store", store) // gives it a verdict to compare
	dir := t.TempDir()
	foreign := filepath.Join(dir, "history.edn")
	if err := os.WriteFile(foreign, []byte("{:process 0, :type :invoke, :f :read, :value nil}\n{:process 0, :type :ok, :f :read, :value nil}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	night := filepath.Join(dir, "night.yaml")
	if err := os.WriteFile(night, []byte("campaign: c\nbudget: {wall: 1h}\nsubjects: [{system: paxos}]\nmatrix: {workloads: [register], faults: [none]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("The fields of what commands print with --json. Written by: go test ./cmd/nemesis -run Answers -update\n")
	for _, args := range [][]string{
		{"version"}, {"list", "systems"}, {"list", "claims"}, {"list", "workloads"}, {"list", "faults"}, {"list", "checkers"},
		{"check", "latest", "--store", store}, {"check", foreign}, {"report", "latest", "--store", store}, {"compare", "-2", "-1", "--store", store},
		{"campaign", "run", night, "--dry-run", "--out", filepath.Join(dir, "out")}, {"bench", "run", "--operations", "1000", "--clients", "2", "--dir", dir},
		{"system", "check", "redis-sentinel"},
	} {
		out, code := try(t, append(args, "--json")...)
		if code == usageCode {
			t.Fatalf("%s: %s", args, out)
		}
		lines := strings.Split(strings.TrimSpace(out), "\n")
		var v map[string]any
		for _, line := range lines {
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatalf("%s: %v: %s", args, err, line)
			}
		}
		name, _ := v["command"].(string)
		if len(lines) != 1 && name != "bench run" || v["schema"] != float64(answerSchema) || !strings.HasPrefix(strings.Join(args, " ")+" ", name+" ") {
			t.Errorf("%s answers %d lines, by the schema %v, as %q", args, len(lines), v["schema"], name)
		}
		fmt.Fprintf(&b, "\n%s\n", name)
		if name == "check" && v["file"] != nil {
			b.WriteString("  (of a file)\n")
		}
		for _, line := range shape(v) {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	b.WriteString("\nnodes check, nodes heal\n")
	var nodes strings.Builder
	err := answer(&nodes, "nodes check", struct {
		Nodes []nodeAnswer `json:"nodes"`
	}{[]nodeAnswer{{"n1", "10.0.0.1", "lost", &agent.Facts{}, &history.ClockSample{}, []string{"kill"}, []string{"a"}, []string{"b"}, []string{"c"}}}})
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(nodes.String()), &v); err != nil {
		t.Fatal(err)
	}
	for _, line := range shape(v) {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	if *update {
		if err := os.WriteFile(answersPath, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(answersPath)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if diff := cmp.Diff(string(old), b.String()); diff != "" {
		t.Errorf("what commands answer has changed; raise answerSchema where a field went, and write the list with -update (-old +new):\n%s", diff)
	}
}

func TestAnswersAreObjectsOfOneLine(t *testing.T) {
	var b strings.Builder
	if err := answer(&b, "x y", struct{}{}); err != nil || b.String() != `{"schema":1,"command":"x y"}`+"\n" {
		t.Errorf("an empty answer is %q (%v)", b.String(), err)
	}
	b.Reset()
	if err := answer(&b, "x", map[string]string{"a": "\n\x1b</script>"}); err != nil || b.String() != `{"schema":1,"command":"x","a":"\n\u001b\u003c/script\u003e"}`+"\n" {
		t.Errorf("a hostile answer is %q (%v)", b.String(), err)
	}
	if err := answer(&b, "x", []int{1}); err == nil {
		t.Error("a list is no answer")
	}
}

// Every command that prints something for people prints it for programs as well.
func TestEveryCommandHasJSON(t *testing.T) {
	root, _ := newRoot()
	for _, cmd := range visibleCommands(root) {
		lines := map[string]bool{"nemesis trace export": true}                       // prints lines of JSON
		files := map[string]bool{"nemesis new": true, "nemesis system schema": true} // write files, or JSON always
		of := strings.HasPrefix(cmd.CommandPath(), "nemesis client")
		if cmd.HasSubCommands() || cmd == root || lines[cmd.CommandPath()] || files[cmd.CommandPath()] || of {
			continue
		}
		if cmd.Flags().Lookup("json") == nil {
			t.Errorf("%s has no --json", cmd.CommandPath())
		}
	}
}
