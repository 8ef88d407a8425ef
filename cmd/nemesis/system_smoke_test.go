//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/run"
)

// A system is tried with a client that knows its protocol, and with one that does not.
func TestSmokeTellsWhatASystemCanHaveTested(t *testing.T) {
	needsProgram(t, "redis-server")
	needsLocalNodes(t)
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "redis")
	finish(t, invocation(t, "new", "redis", dir)).want(t, 0)
	path := filepath.Join(dir, "system.yaml")
	smoke := func(want int) run.Smoke {
		t.Helper()
		tried := finish(t, invocation(t, "system", "smoke", path, "--json"))
		tried.want(t, want)
		var told run.Smoke
		for line := range strings.Lines(tried.text) {
			if strings.HasPrefix(line, `{"schema":1,"command":"system smoke"`) {
				if err := json.Unmarshal([]byte(line), &told); err != nil {
					t.Fatal(err)
				}
				return told
			}
		}
		t.Fatalf("it did not answer: %s", tried.text)
		return told
	}
	told := smoke(0)
	var names []string
	for _, step := range told.Steps {
		names = append(names, strings.TrimSpace(step.Name+" "+step.Of)+" "+step.Result)
	}
	want := []string{"start ok", "operations register ok", "operations append ok", "operations set ok", "operations log ok", "kill n1 ok", "restart n1 ok", "wipe n1 ok", "failover none"}
	if !slices.Equal(names, want) {
		t.Errorf("the steps are %q", names)
	}
	can := func(all []run.Capability, name string) bool {
		return slices.ContainsFunc(all, func(c run.Capability) bool { return c.Name == name && c.Can && c.Why == "" })
	}
	if !can(told.Workloads, "append") || can(told.Workloads, "queue") || !can(told.Faults, "kill") || can(told.Faults, "partition") {
		t.Errorf("it can have %+v and %+v", told.Workloads, told.Faults)
	}

	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "send: [SADD,", "send: [ADD,", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	told = smoke(checker.Violation.ExitCode())
	at := slices.IndexFunc(told.Steps, func(s run.SmokeStep) bool { return s.Result == run.SmokeFailed })
	if at < 0 || told.Steps[at].Of != "set" || !strings.Contains(told.Steps[at].Text, "no add of") || !strings.Contains(told.Steps[at].Text, "unknown command") {
		t.Errorf("the steps are %+v", told.Steps)
	}
}
