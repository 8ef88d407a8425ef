//go:build linux

package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

func TestVersionTellsTheFormatsThatAreWritten(t *testing.T) {
	var told history.Program
	o := finish(t, invocation(t, "version", "--json"))
	o.want(t, 0)
	if err := json.Unmarshal([]byte(o.text), &told); err != nil {
		t.Fatalf("%v: %s", err, o.text)
	}
	want := history.Formats{Plan: history.PlanSchema, History: history.HistorySchema, Verdict: checker.VerdictSchema}
	if told.Formats != want || told.Version != testVersion || told.Go == "" {
		t.Errorf("tells %+v, want the formats %+v", told, want)
	}
	words := finish(t, invocation(t, "version"))
	words.want(t, 0)
	flag := finish(t, invocation(t, "--version"))
	flag.want(t, 0)
	if words.text != flag.text || !strings.HasPrefix(words.text, "nemesis "+told.Version+"\n") {
		t.Errorf("version says %q, --version %q", words.text, flag.text)
	}
}

// go run stamps no commit; git knows it.
func TestVersionUnderGoRunTellsTheCommit(t *testing.T) {
	head, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err != nil {
		t.Skipf("needs git and a checkout: %v", err)
	}
	out, err := exec.Command("go", "run", ".", "version", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var told history.Program
	if err := json.Unmarshal(out, &told); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if told.Version != "devel" || told.Commit != strings.TrimSpace(string(head)) {
		t.Errorf("tells %s, commit %s; the commit is %s", told.Version, told.Commit, head)
	}
}
