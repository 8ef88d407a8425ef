package file

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nemesis/history"
	"nemesis/workload"
	"nemesis/workload/generator"
)

const ofItsOwn = `system: stacks
processes: {server: {ports: [7000], command: serve}}
workloads:
  stack:
    model: stack.star
    operations:
      push: {weight: 3, value: [unique, {range: [1, 9], distribution: zipf}, {one_of: [red, 7, [a]]}]}
      pop: {}
      drop: {value: used}
    final: [pop]
client: {program: {command: ./client, workloads: {stack: [push, pop, drop]}}}
`

const starOfItsOwn = "init = []\ndef step(state, input, output):\n    return True, state\n"

func oneModel(name string) (string, error) {
	if name != "stack.star" {
		return "", errors.New("there is no file " + name)
	}
	return starOfItsOwn, nil
}

func TestAWorkloadOfTheFilesOwnIsMadeAsItSays(t *testing.T) {
	d, err := ParseWith("dir/stacks.yaml", []byte(ofItsOwn), oneModel)
	if err != nil {
		t.Fatal(err)
	}
	s := New(d)
	if got := strings.Join(s.Workloads(), " "); got != "stack" || d.Models["stack.star"] != starOfItsOwn {
		t.Errorf("workloads %s, models %v", got, d.Models)
	}
	if s.OwnWorkload("register") != nil {
		t.Error("register is not the file's")
	}
	again, err := ParseWith("elsewhere/stacks.yaml", []byte(ofItsOwn), Held(d.Models))
	if err != nil || again.own["stack"].Text != starOfItsOwn {
		t.Errorf("without the model's file: %v", err)
	}
	plan := history.Workload{Name: "stack", Concurrency: 4, OpsPerKey: 50, Own: s.OwnWorkload("stack")}
	w, err := workload.Of(plan)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	unique := map[string][]int64{}
	small := 0
	steps, err := generator.Simulation{Threads: 4, Seed: 1, Client: generator.Perfect(time.Millisecond), Operations: 500}.Run(w.Main(plan))
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range steps {
		if op.End != "" {
			continue
		}
		counts[op.F]++
		if op.F != "push" {
			continue
		}
		var value struct{ n, rank int64 }
		var parts []json.RawMessage
		if json.Unmarshal(op.Value, &parts) != nil || len(parts) != 3 || json.Unmarshal(parts[0], &value.n) != nil || json.Unmarshal(parts[1], &value.rank) != nil {
			t.Fatalf("push of %s", op.Value)
		}
		if slices.Contains(unique[op.Key], value.n) || value.rank < 1 || value.rank > 9 || !slices.Contains([]string{`"red"`, "7", `["a"]`}, string(parts[2])) {
			t.Fatalf("push of %s", op.Value)
		}
		unique[op.Key] = append(unique[op.Key], value.n)
		if value.rank <= 3 {
			small++
		}
	}
	if counts["push"] < 2*counts["pop"] || counts["pop"] == 0 || counts["drop"] == 0 || small < counts["push"]/2 {
		t.Errorf("drawn %v, %d of small rank", counts, small)
	}
}

func TestMistakesInAWorkloadOfTheFilesOwnAreToldWithTheirPlace(t *testing.T) {
	for _, test := range []struct{ old, new, want string }{
		{"model: stack.star", "model: stak.star", "stacks.yaml:5:5: workloads.stack.model: there is no file stak.star"},
		{"    model: stack.star\n", "", "workloads.stack: it has no model"},
		{"model: stack.star", "model: |\n      init = 0\n      def step(s):\n          pass", "workloads.stack: read the model stack: step has 1 parameters; it must have 3"},
		{"  stack:\n    model", "  register:\n    model", "a workload of your own needs a name of letters, digits, dots and dashes that is none of nemesis' own"},
		{"weight: 3", "weight: -3", "the operation push: -3 is no weight"},
		{"unique,", "uniq,", `"uniq" is none of unique and used`},
		{"range: [1, 9]", "range: [9, 1]", "a range is the smallest and the greatest number"},
		{"range: [1, 9]", "range: [-9223372036854775808, 9223372036854775807]", "a range is the smallest and the greatest number"},
		{"range: [1, 9]", "range: 9", "give the smallest and the greatest whole number"},
		{"zipf", "normal", `"normal" is no way to draw keys`},
		{"one_of: [red, 7, [a]]", "one_of: []", "there must be from 1 to 100 values"},
		{"one_of: [red, 7, [a]]", "oneof: [red]", `there is no key "oneof"`},
		{"final: [pop]", "final: [peek]", `final: there is no operation "peek"`},
		{"final: [pop]", "final: [push]", "final: the operation push has a value"},
		{"[push, pop, drop]", "[push, pop]", "the operation drop is missing; the workload needs push, pop, drop"},
		{"{stack: [push, pop, drop]}", "{register: [read, write]}", "workloads.stack: the client does not speak it"},
		{"[push, pop, drop]", "[push, pop, drop, peek]", `there is no key "peek"`},
	} {
		if !strings.Contains(ofItsOwn, test.old) {
			t.Fatalf("the file has no %q", test.old)
		}
		_, err := ParseWith("stacks.yaml", []byte(strings.Replace(ofItsOwn, test.old, test.new, 1)), oneModel)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: told %v\nwant %s", test.new, err, test.want)
		}
	}
}

func TestExecutablesAreAWorkload(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"parallel_driver_a": 0o755, "finally_b": 0o755, "helper_c": 0o755, "first_no": 0o644, "README": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	const text = "system: x\nprocesses: {server: {ports: [7000], command: serve}}\nclient: {executables: {dir: .}}\n"
	d, err := Parse(filepath.Join(dir, "x.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := New(d)
	if got := strings.Join(s.Workloads(), " "); got != "executables" {
		t.Errorf("workloads %s", got)
	}
	if got := strings.Join(s.OwnWorkload("executables").Executables, " "); got != "finally_b parallel_driver_a" {
		t.Errorf("executables %s", got)
	}
	if c := s.ClaimOf("executables", nil); len(c.Notes) > 0 || c.Model != "" {
		t.Errorf("the claim is %+v", c)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseWith("elsewhere/x.yaml", []byte(text), Held(d.Models)); err != nil {
		t.Errorf("without the directory: %v", err)
	}
	for _, test := range []struct{ dir, want string }{
		{"{dir: none}", "client.executables.dir: stat "},
		{"{}", "client.executables: it has no dir"},
		{"{dir: ..}", "nothing is to be run; there must be one that begins with parallel_driver_"},
	} {
		sub := filepath.Join(t.TempDir(), "sub")
		if err := os.Mkdir(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(filepath.Join(sub, "x.yaml"), []byte(strings.Replace(text, "{dir: .}", test.dir, 1))); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: told %v, want %s", test.dir, err, test.want)
		}
	}
}
