package cgroup

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHierarchiesThatLimitLastMountedFirst(t *testing.T) {
	const mounts = `31 30 0:28 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
38 30 0:35 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 30 0:37 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
41 30 0:28 /w/n1 /run/limits/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct
42 30 0:35 / /ro ro,relatime - cgroup cgroup rw,memory
`
	for controller, want := range map[string][]place{
		CPU:    {{"/run/limits/cpu", 1}, {"/sys/fs/cgroup/cpu", 1}},
		Memory: {{"/sys/fs/cgroup/memory", 1}},
		PIDs:   nil,
	} {
		if got := limitingIn(mounts, controller); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", controller, got, want)
		}
	}
}

// A limit that is set is read back, and lifted without a trace, in the hierarchies of version 1 that are
// here, and in those of version 2 whose controllers are let in.
func TestLimitsAreSetReadAndLifted(t *testing.T) {
	name := fmt.Sprintf("nemesis-limits-%d", os.Getpid())
	t.Cleanup(func() {
		if err := RemoveNamed(name); err != nil {
			t.Error(err)
		}
	})
	limited := 0
	for controller, limit := range map[string]float64{CPU: 0.25, Memory: 64 << 20, PIDs: 5} {
		g, err := MakeLimiting(controller, name)
		if err != nil {
			whole, made := Make(name)
			if made != nil || whole.Delegate(controller) != nil {
				t.Log(err)
				continue
			}
			if g, err = whole.Below("limited"); err != nil {
				t.Fatal(err)
			}
		}
		limited++
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
		if err := g.Add(cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
		if err := g.Limit(controller, limit); err != nil {
			t.Fatal(err)
		}
		if use, err := g.Use(controller); err != nil || use.Limit != limit || use.Killed != 0 {
			t.Errorf("%s: %+v, %v", controller, use, err)
		}
		if err := g.Limit(controller, math.Inf(1)); err != nil {
			t.Fatal(err)
		}
		if use, err := g.Use(controller); err != nil || !math.IsInf(use.Limit, 1) {
			t.Errorf("%s: %+v, %v", controller, use, err)
		}
		if err := g.Release(); err != nil {
			t.Error(err)
		}
		if left := OpenLimiting(controller, name); left != nil {
			t.Errorf("%s is still there", left.Dir())
		}
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", cmd.Process.Pid)); err != nil || strings.Contains(string(text), name) {
			t.Errorf("the process is still in a group: %s, %v", text, err)
		}
	}
	if limited == 0 {
		t.Skip("no control group can limit anything here: run the test as root with a hierarchy of version 1, or with controllers of version 2 let in")
	}
}

func TestShareTooSmallForTheKernelIsRefused(t *testing.T) {
	g := &Group{dir: "/nowhere", version: 2}
	want := "limit CPU in control group /nowhere: 0.001 cores are less than the kernel grants, which is 0.01"
	if err := g.Limit(CPU, 0.001); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if period != 100*time.Millisecond {
		t.Error("the least share depends on the period")
	}
}
