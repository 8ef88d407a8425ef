package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
)

// Start is cmd.Start with the new process in the group before its first instruction.
// When it fails, nothing runs. cmd must not ask for Pdeathsig: with version 1 the thread
// that starts it ends at once.
func (g *Group) Start(cmd *exec.Cmd) error {
	if g.version == 1 {
		return g.startByThread(cmd)
	}
	dir, err := os.Open(g.dir)
	if err != nil {
		return fmt.Errorf("start in control group %s: %w", g.dir, err)
	}
	defer dir.Close()
	attr := syscall.SysProcAttr{}
	if cmd.SysProcAttr != nil {
		attr = *cmd.SysProcAttr
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(dir.Fd())
	cmd.SysProcAttr = &attr
	err = cmd.Start()
	attr.UseCgroupFD, attr.CgroupFD = false, 0
	return err
}

// takesProcesses says why no process can be started in the group: before Linux 5.7, in a
// container's seccomp filter, in a group whose kind forbids it. It asks for a program that
// is not there, so that nothing runs: that error comes after the kernel took the process.
func (g *Group) takesProcesses() error {
	err := g.Start(&exec.Cmd{Path: filepath.Join(g.dir, "no program")})
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return fmt.Errorf("start a process in %s: %w", g.dir, err)
}

// startByThread forks from a thread that has entered the group by itself: version 1 lets
// the threads of a process be in different ones, and a child begins in its parent's.
func (g *Group) startByThread(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		home := threadHome(g.dir)
		if err := os.WriteFile(filepath.Join(g.dir, "tasks"), []byte("0"), 0); err != nil {
			started <- fmt.Errorf("start in control group %s: %w", g.dir, err)
			return
		}
		err := cmd.Start()
		if home != "" { // or the group could not be removed before the thread is gone
			_ = os.WriteFile(filepath.Join(home, "tasks"), []byte("0"), 0)
		}
		started <- err
	}()
	return <-started
}

// threadHome is the directory of the group that this thread is in, in the hierarchy of
// the given one; "" when that is not mounted.
func threadHome(dir string) string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	own, err := os.ReadFile("/proc/thread-self/cgroup")
	if err != nil {
		return ""
	}
	return homeIn(string(mounts), string(own), dir)
}
