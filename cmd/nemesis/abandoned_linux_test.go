package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A plan says whether the host keys of its nodes were checked.
func TestUncheckedHostKeysAreInThePlan(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	run := []string{"run", "etcd", "--ssh-config", "none", "--faults", "none", "--binary", "/bin/sh", "--json"}
	for name, c := range map[string]struct {
		flags []string
		want  bool
	}{
		"checked":     {[]string{"--nodes", "127.0.0.1:1"}, false},
		"not checked": {[]string{"--nodes", "127.0.0.1:1", "--insecure-host-keys"}, true},
	} {
		out, code := try(t, append(run, c.flags...)...)
		if got := strings.Contains(out, `"insecureHostKeys":true`); code != 5 || got != c.want || !strings.Contains(out, `"cluster":`) {
			t.Errorf("%s: exit status %d, and it says\n%s", name, code, out)
		}
	}
}

// What local clusters left whose processes were all killed is removed by whatever comes
// next, for remote nodes too; what belongs to a living one is not.
func TestDirectoriesOfDeadLocalClustersAreRemoved(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
	}{
		"nodes heal": {[]string{"nodes", "heal", "--nodes", "127.0.0.1:1", "--ssh-config", "none"}, 5},
		"run":        {[]string{"run", "etcd", "--nodes", "127.0.0.1:1", "--ssh-config", "none", "--faults", "none", "--binary", "/bin/sh"}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			t.Setenv("XDG_CACHE_HOME", cache)
			dead, living := filepath.Join(cache, "nemesis/local/world-dead"), filepath.Join(cache, "nemesis/local/world-living")
			for _, dir := range []string{dead + "/cluster-1/n1", living} {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			lock, err := os.Open(living)
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Close()
			if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			out, code := try(t, c.args...)
			if want := "removed what killed local clusters left behind on this machine: " + dead + "\n"; code != c.code || !strings.Contains(out, want) {
				t.Errorf("exit status %d, and it says\n%swant status %d and %s", code, out, c.code, want)
			}
			if _, err := os.Stat(dead); err == nil {
				t.Error("the dead cluster's directory is still there")
			}
			if _, err := os.Stat(living); err != nil {
				t.Errorf("the living cluster's directory: %v", err)
			}
		})
	}
}
