package history

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// stored makes runs in a store, one a minute, and returns their directories.
func stored(t *testing.T, store string, systems ...string) []Dir {
	t.Helper()
	var dirs []Dir
	for i, system := range systems {
		plan := Plan{Schema: PlanSchema, System: System{Name: system}, Workload: Workload{Name: "register"}, Seed: int64(i)}
		dir, err := NewDir(store, plan, time.Date(2026, 11, 22, 1, i, 0, 0, time.UTC))
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
		LinkLatest(store, system)
	}
	return dirs
}

func TestRunsAreFoundByShortNames(t *testing.T) {
	t.Chdir(t.TempDir()) // paths are tried first, and a clone may have a store of its own beside this package
	store := filepath.Join(t.TempDir(), "store")
	dirs := stored(t, store, "etcd", "etcd-old", "etcd", "paxos")
	if err := os.MkdirAll(filepath.Join(store, "notes", "20991122T010000.000Z"), 0o755); err != nil { // no plan in it: no run
		t.Fatal(err)
	}
	for name, want := range map[string]Dir{
		"latest": dirs[3], "latest~0": dirs[3], "latest~3": dirs[0], "-1": dirs[3], "-2": dirs[2], "-4": dirs[0],
		"latest-etcd": dirs[2], "etcd/latest": dirs[2], "etcd/-2": dirs[0], "etcd-old/latest": dirs[1], "etcd/latest~1": dirs[0],
		"etcd-register-none/-1": dirs[2], "20261122T010100.000Z": dirs[1], "20261122T0102": dirs[2], "2026-11-22T01:03": dirs[3],
		"paxos/2026": dirs[3], "paxos-register-none/20261122T010300.000Z": dirs[3],
		filepath.Join(store, "latest"): dirs[3], filepath.Join(store, "latest-etcd"): dirs[2], filepath.Join(store, "etcd", "latest"): dirs[2],
		string(dirs[1]): dirs[1], dirs[1].Path(PlanFile): dirs[1],
	} {
		got, err := FindDir(store, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !sameDir(t, got, want) {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	for name, says := range map[string]string{
		"2026":            "4 runs begin so: paxos-register-none/20261122T010300.000Z",
		"20261122T01":     "and 1 more; say more of the start time",
		"20251122":        "no run in " + store + " began then; the newest are paxos-register-none/2026",
		"-9":              "there are no more than 4",
		"latest~4":        "there are no more than 4",
		"etcd/-3":         "there are no more than 2",
		"redis/latest":    `no run of a system or plan "redis"; the newest are paxos`,
		"latest-redis":    `no run of a system or plan "redis"`,
		"-0":              "open run",
		"newest":          "open run",
		"/no/such/run":    "open run",
		"a/b/c/latest":    "open run",
		"../store/latest": "open run",
		"":                "open run",
	} {
		_, err := FindDir(store, name)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", name, err, says)
		}
	}
	if _, err := FindDir(t.TempDir(), "latest"); err == nil || !strings.Contains(err.Error(), "there is no run in") {
		t.Errorf("latest of an empty store: %v", err)
	}
	if _, err := FindDir(filepath.Join(store, "missing"), "-1"); err == nil || !strings.Contains(err.Error(), "there is no run in") {
		t.Errorf("-1 of no store: %v", err)
	}
}

func sameDir(t *testing.T, a, b Dir) bool {
	t.Helper()
	one, err := os.Stat(string(a))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.Stat(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(one, other)
}

// Of two runs in one millisecond the second is the later one, and each has its name.
func TestRunsOfOneMillisecondHaveNames(t *testing.T) {
	store := t.TempDir()
	at := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	var dirs []Dir
	for range 12 {
		dir, err := NewDir(store, Plan{System: System{Name: "etcd"}, Workload: Workload{Name: "set"}}, at)
		if err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, dir)
	}
	for name, want := range map[string]Dir{"-1": dirs[11], "-12": dirs[0], "20261122T010000.000Z": dirs[0], "20261122T010000.000Z-2": dirs[2]} {
		if got, err := FindDir(store, name); err != nil || !sameDir(t, got, want) {
			t.Errorf("%s is %s (%v), want %s", name, got, err, want)
		}
	}
}

func TestShortNamesNeedNoLinks(t *testing.T) {
	store := t.TempDir()
	dirs := stored(t, store, "etcd", "paxos")
	for _, name := range []string{"latest", "latest-etcd"} {
		if err := os.Remove(filepath.Join(store, name)); err != nil {
			t.Fatal(err)
		}
	}
	// A link that leads nowhere, to a run that was deleted.
	if err := os.Symlink("etcd-register-none/20200101T000000.000Z", filepath.Join(store, "latest")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Dir{filepath.Join(store, "latest"): dirs[1], "latest": dirs[1], filepath.Join(store, "latest-etcd"): dirs[0]} {
		if got, err := FindDir(store, name); err != nil || !sameDir(t, got, want) {
			t.Errorf("%s is %s (%v), want %s", name, got, err, want)
		}
	}
}

func TestLinksLeadToTheLastRun(t *testing.T) {
	parent := t.TempDir()
	store := filepath.Join(parent, "store")
	stored(t, store, "etcd", "paxos", "etcd")
	want := func(store, name, to string) {
		t.Helper()
		if got, err := os.Readlink(filepath.Join(store, name)); err != nil || filepath.ToSlash(got) != to {
			t.Errorf("%s leads to %s (%v), want %s", name, got, err, to)
		}
	}
	want(store, "latest", "etcd-register-none/20261122T010200.000Z")
	want(store, "latest-paxos", "paxos-register-none/20261122T010100.000Z")
	// Links are relative.
	moved := filepath.Join(parent, "moved")
	if err := os.Rename(store, moved); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(filepath.Join(moved, "latest-etcd")); err != nil {
		t.Error(err)
	}
	// What is not ours stays.
	store = t.TempDir()
	mine := filepath.Join(store, "latest")
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	dirs := stored(t, store, "etcd")
	if text, err := os.ReadFile(mine); err != nil || string(text) != "mine" {
		t.Errorf("the user's file is %q (%v)", text, err)
	}
	if got, err := FindDir(store, "latest"); err != nil || !sameDir(t, got, dirs[0]) {
		t.Errorf("latest is %s (%v)", got, err)
	}
}

func TestLinksAreRightAfterManyRunsAtOnce(t *testing.T) {
	store := t.TempDir()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			plan := Plan{Schema: PlanSchema, System: System{Name: "etcd"}, Workload: Workload{Name: "set"}}
			if _, err := NewDir(store, plan, time.Date(2026, 11, 22, 1, i, 0, 0, time.UTC)); err != nil {
				t.Error(err)
			}
			LinkLatest(store, "etcd")
		})
	}
	all.Wait()
	for _, name := range []string{"latest", "latest-etcd"} {
		if to, err := os.Readlink(filepath.Join(store, name)); err != nil || filepath.Base(to) != "20261122T011500.000Z" {
			t.Errorf("%s leads to %s (%v)", name, to, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(store, "*")); len(left) != 3 {
		t.Errorf("the store has %v", left)
	}
}
