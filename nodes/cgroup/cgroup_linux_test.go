package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// groups are a group of our own in every hierarchy that suits and lets us.
func groups(t *testing.T) []*Group {
	t.Helper()
	places, err := hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	var out []*Group
	for i, p := range places {
		g := &Group{dir: filepath.Join(p.dir, fmt.Sprintf("nemesis-test-%d-%d", i, os.Getpid())), version: p.version}
		if g.make() == nil {
			t.Cleanup(func() {
				if err := g.Kill(time.Minute); err != nil {
					t.Error(err)
				}
				if err := g.Remove(); err != nil {
					t.Error(err)
				}
			})
			out = append(out, g)
		}
	}
	if len(out) == 0 {
		t.Skip("no control group can be made here: run the test as root with /sys/fs/cgroup mounted")
	}
	return out
}

func TestProcessBeginsInGroupAndCannotLeaveIt(t *testing.T) {
	for _, g := range groups(t) {
		t.Run(strings.ReplaceAll(g.dir, "/", "_"), func(t *testing.T) {
			out, in, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			// Its child leaves the session, the process group and its parent.
			cmd := exec.Command("sh", "-c", "setsid sh -c 'echo $$; exec sleep 1000' & exec sleep 1000")
			cmd.Stdout, cmd.SysProcAttr = in, &syscall.SysProcAttr{Setsid: true}
			if err := g.Start(cmd); err != nil {
				t.Fatal(err)
			}
			in.Close()
			var child int
			if _, err := fmt.Fscan(out, &child); err != nil {
				t.Fatal(err)
			}
			got, err := g.PIDs()
			want := []int{cmd.Process.Pid, child}
			slices.Sort(want)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
			if err := g.Remove(); err == nil {
				t.Error("a group with processes was removed")
			}
			if err := g.Kill(time.Minute); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
				t.Errorf("got %v", err)
			}
			if got, err := g.PIDs(); err != nil || len(got) != 0 {
				t.Errorf("left: %v, %v", got, err)
			}
		})
	}
}

func TestKillEndsProcessesThatForkWithoutEnd(t *testing.T) {
	for _, g := range groups(t) {
		cmd := exec.Command("sh", "-c", `while :; do (sleep 0.01; exec sleep 1000) & sleep 0.005; done`)
		if err := g.Start(cmd); err != nil {
			t.Fatal(err)
		}
		for pids := []int{}; len(pids) < 10; pids, _ = g.PIDs() {
			time.Sleep(time.Millisecond)
		}
		if err := g.Kill(time.Minute); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
		if got, err := g.PIDs(); err != nil || len(got) != 0 {
			t.Errorf("%s: left: %v, %v", g.dir, got, err)
		}
	}
}

func TestGroupsBelowAreCountedAndRemoved(t *testing.T) {
	for _, g := range groups(t) {
		below, err := g.Below("server")
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sleep", "1000")
		if err := below.Start(cmd); err != nil {
			t.Fatal(err)
		}
		if got, err := g.PIDs(); err != nil || !slices.Equal(got, []int{cmd.Process.Pid}) {
			t.Errorf("%s: got %v, %v", g.dir, got, err)
		}
		if again, err := Open(below.Dir()); err != nil || *again != *below {
			t.Errorf("opened %+v, %v, want %+v", again, err, below)
		}
		if err := g.Kill(time.Minute); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait()
		if err := RemoveNamed(filepath.Base(g.dir)); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(g.dir); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", g.dir, err)
		}
		if got, err := g.PIDs(); err != nil || len(got) != 0 {
			t.Errorf("of a group that is gone: %v, %v", got, err)
		}
	}
}

// A thread that passes through a group of version 1 must not make us our own victim.
func TestStartingDoesNotLeaveUsInTheGroup(t *testing.T) {
	for _, g := range groups(t) {
		cmd := exec.Command("true")
		if err := g.Start(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
		if err != nil || len(text) != 0 {
			t.Errorf("%s: left %q, %v", g.dir, text, err)
		}
	}
}

func TestOpenRefusesOrdinaryDirectories(t *testing.T) {
	dir := t.TempDir()
	if g, err := Open(dir); err == nil || err.Error() != "open control group "+dir+": it is an ordinary directory" {
		t.Errorf("got %v, %v", g, err)
	}
	if _, err := Open(filepath.Join(dir, "none")); err == nil {
		t.Error("opened what is not there")
	}
}

func TestFailedStartLeavesNothing(t *testing.T) {
	for _, g := range groups(t) {
		if err := g.Start(exec.Command("/nothing/here")); err == nil {
			t.Error("it started")
		}
	}
	gone := &Group{dir: "/nowhere", version: 2}
	if err := gone.Start(exec.Command("true")); err == nil {
		t.Error("started in a group that is not there")
	}
	gone.version = 1
	if err := gone.Start(exec.Command("true")); err == nil {
		t.Error("started in a group that is not there")
	}
}

func TestPlacesBestFirst(t *testing.T) {
	const (
		v1 = `30 22 0:27 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:28 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
38 30 0:35 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
36 30 0:33 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
39 30 0:36 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
`
		v2 = "40 30 0:37 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
	)
	for _, c := range []struct {
		name, mounts, own string
		want              []place
	}{
		{"none", "30 22 0:27 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n", "0::/\n", nil},
		{"both versions", v1 + v2, "8:pids:/a\n1:name=systemd:/\n0::/\n", []place{
			{"/sys/fs/cgroup/unified", 2}, {"/sys/fs/cgroup/freezer", 1}, {"/sys/fs/cgroup/pids", 1}, {"/sys/fs/cgroup/pids/a", 1}, {"/sys/fs/cgroup/systemd", 1}}},
		{"read-only, as in most containers", strings.ReplaceAll(v2, "unified rw", "unified ro"), "0::/\n", nil},
		{"an ordinary user's own", v2, "0::/user.slice/u.scope\n", []place{{"/sys/fs/cgroup/unified", 2}, {"/sys/fs/cgroup/unified/user.slice/u.scope", 2}}},
		{"a part is mounted, and we are in it", "40 30 0:37 /w/n1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/w/n1/x\n", []place{{"/sys/fs/cgroup", 2}, {"/sys/fs/cgroup/x", 2}}},
		{"a part is mounted, and we are outside of it", "40 30 0:37 /w/n1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/w\n", []place{{"/sys/fs/cgroup", 2}}},
		{"a path with a blank", `40 30 0:37 / /a\040b rw - cgroup2 cgroup2 rw`, "", []place{{"/a b", 2}}},
		{"nonsense", "x\n\n - cgroup2\n", "x\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := placesIn(c.mounts, c.own); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if got := homeIn(v1+v2, "8:pids:/a\n0::/\n", "/sys/fs/cgroup/pids/nemesis-1/x"); got != "/sys/fs/cgroup/pids/a" {
		t.Errorf("the thread's own group of version 1: %q", got)
	}
}

func TestMakeOpensWhatIsThere(t *testing.T) {
	groups(t)
	name := fmt.Sprintf("nemesis-make-%d", os.Getpid())
	g, err := Make(name)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Make(name)
	if err != nil || *again != *g {
		t.Errorf("got %+v, %v, want %+v", again, err, g)
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
	if err := g.Remove(); err != nil {
		t.Errorf("removing what is gone: %v", err)
	}
	if unix.Access(g.Dir(), unix.F_OK) == nil {
		t.Error("it is still there")
	}
}
