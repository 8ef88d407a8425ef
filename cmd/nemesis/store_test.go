package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/run"
)

// storeOf makes a store with two runs of paxos that recorded nothing.
func storeOf(t *testing.T) (store string, dirs []history.Dir) {
	t.Helper()
	store = filepath.Join(t.TempDir(), "store")
	for i := range 2 {
		plan, err := run.Resolve(run.Options{System: "paxos", Spec: "local:3", Nodes: []string{"n1", "n2", "n3"}, Settings: run.Settings{"seed": "7", "faults": "none"}})
		if err != nil {
			t.Fatal(err)
		}
		dir, err := history.NewDir(store, plan, time.Date(2026, 11, 22, 1, 2, i, 0, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		w, err := history.Create(dir.Path(history.HistoryFile))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	return store, dirs
}

func TestCommandsTakeShortNamesOfRuns(t *testing.T) {
	store, dirs := storeOf(t)
	for _, tc := range []struct {
		name string
		want history.Dir
	}{{"latest", dirs[1]}, {"-1", dirs[1]}, {"-2", dirs[0]}, {"20261122T010200", dirs[0]}, {"paxos/latest~1", dirs[0]}} {
		out, code := try(t, "check", "--store", store, tc.name, "--quiet")
		if code != checker.Harness.ExitCode() || !strings.Contains(out, tc.want.Path(history.ReportFile)) {
			t.Errorf("check %s: exit status %d, want %s:\n%s", tc.name, code, tc.want, out)
		}
		out, code = try(t, "report", tc.name, "--store", store)
		if code != 0 || strings.TrimSpace(out) != tc.want.Path(history.ReportFile) {
			t.Errorf("report %s: exit status %d, want %s:\n%s", tc.name, code, tc.want, out)
		}
	}
	if out, code := try(t, "compare", "--store", store, "-2", "-1"); code != 0 {
		t.Errorf("compare -2 -1: exit status %d:\n%s", code, out)
	}
	for _, args := range [][]string{
		{"check", "--store", store, "-3"}, {"report", "--store", store, "2026"}, {"replay", "--out", store, "redis/latest"},
		{"trace", "export", "--store", store, "latest~7"}, {"compare", "--store", store, "latest", "-9"},
	} {
		out, code := try(t, args...)
		if code != usageCode || strings.Count(strings.TrimSpace(out), "\n") != 0 || !strings.Contains(out, "find run") || !strings.Contains(out, "20261122T010201.000Z") {
			t.Errorf("%s: exit status %d, want one line with candidates:\n%s", strings.Join(args, " "), code, out)
		}
	}
}

func TestNegativeNumbersAreRunsWhereACommandTakesOne(t *testing.T) {
	for _, tc := range []struct{ args, want []string }{
		{[]string{"check", "-1"}, []string{"check", "latest"}},
		{[]string{"check", "-12", "--quiet"}, []string{"check", "latest~11", "--quiet"}},
		{[]string{"check", "--init", "-1", "-2"}, []string{"check", "--init", "-1", "latest~1"}},
		{[]string{"check", "--quiet", "-2"}, []string{"check", "--quiet", "latest~1"}},
		{[]string{"check", "--init=-1", "--", "-2"}, []string{"check", "--init=-1", "--", "-2"}},
		{[]string{"trace", "export", "-3"}, []string{"trace", "export", "latest~2"}},
		{[]string{"compare", "-2", "-1"}, []string{"compare", "latest~1", "latest"}},
		{[]string{"run", "etcd", "-1"}, []string{"run", "etcd", "-1"}},
		{[]string{"check", "-0", "-x"}, []string{"check", "-0", "-x"}},
	} {
		root, _ := newRoot()
		if got := withoutNegatives(root, tc.args); !slices.Equal(got, tc.want) {
			t.Errorf("%q becomes %q, want %q", tc.args, got, tc.want)
		}
	}
}
