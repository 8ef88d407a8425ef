package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Group is one control group. Its methods are safe for concurrent use.
type Group struct {
	dir     string
	version int
}

// Make makes the group of this name in the first hierarchy that lets us and takes
// processes, or opens the one that is there. The error says in one line why there is none.
func Make(name string) (*Group, error) {
	places, err := hierarchies()
	if err != nil {
		return nil, fmt.Errorf("make control group %s: %w", name, err)
	}
	err = errors.New("no hierarchy of control groups is mounted here")
	for i, p := range places {
		g := &Group{dir: filepath.Join(p.dir, name), version: p.version}
		e := g.make()
		if e == nil {
			if e = g.takesProcesses(); e == nil {
				return g, nil
			}
			_ = g.Remove()
		}
		if i == 0 {
			err = e
		}
	}
	return nil, fmt.Errorf("make control group %s: %w", name, err)
}

// Open opens the group in this directory, which Group.Dir told an earlier process. It
// fails when that is not a control group.
func Open(dir string) (*Group, error) {
	var at unix.Statfs_t
	if err := unix.Statfs(dir, &at); err != nil {
		return nil, fmt.Errorf("open control group %s: %w", dir, err)
	}
	switch at.Type {
	case unix.CGROUP2_SUPER_MAGIC:
		return &Group{dir: dir, version: 2}, nil
	case unix.CGROUP_SUPER_MAGIC:
		return &Group{dir: dir, version: 1}, nil
	}
	return nil, fmt.Errorf("open control group %s: it is an ordinary directory", dir)
}

// RemoveNamed removes the groups of this name, in whatever hierarchy Make or MakeLimiting
// made them, with those below. Their processes must have ended.
func RemoveNamed(name string) error {
	places, err := hierarchies()
	for _, p := range places {
		g := &Group{dir: filepath.Join(p.dir, name), version: p.version}
		if _, missing := os.Stat(g.dir); missing == nil {
			err = errors.Join(err, g.Remove())
		}
	}
	return errors.Join(err, removeLimiting(name))
}

func (g *Group) make() error {
	if err := os.Mkdir(g.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := unix.Access(filepath.Join(g.dir, "cgroup.procs"), unix.W_OK); err != nil {
		return fmt.Errorf("write to %s: %w", g.dir, err)
	}
	return nil
}

// Dir is the group's directory.
func (g *Group) Dir() string { return g.dir }

// Version is the version of its hierarchy, 1 or 2.
func (g *Group) Version() int { return g.version }

// Below makes a group inside this one, or opens the one that is there.
func (g *Group) Below(name string) (*Group, error) {
	below := &Group{dir: filepath.Join(g.dir, name), version: g.version}
	if err := below.make(); err != nil {
		return nil, fmt.Errorf("make control group %s: %w", below.dir, err)
	}
	return below, nil
}

// PIDs are the processes in the group and in those below it, without this process, in
// ascending order. A group that is gone has none. Ended processes that nobody has waited
// for yet are not listed.
func (g *Group) PIDs() ([]int, error) {
	var all []int
	err := filepath.WalkDir(g.dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV): // removed meanwhile
			return nil
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		}
		text, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, field := range strings.Fields(string(text)) {
			// 0 is a process outside of our PID namespace: nobody we could signal. We are
			// listed while a thread of ours passes through (see Start).
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 && pid != os.Getpid() {
				all = append(all, pid)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the processes of control group %s: %w", g.dir, err)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// Kill sends SIGKILL to every process in the group until none is left, those that are
// forked meanwhile included. It fails when some are left after patience: a process that
// waits for a disk dies late.
//
// cgroup.kill is not used: from Linux 6.14 on, what CLONE_INTO_CGROUP starts in a group
// that was killed before is killed at birth.
func (g *Group) Kill(patience time.Duration) error {
	if g.version == 2 {
		// Since Linux 5.2: what is frozen does not fork, and dies of SIGKILL.
		freeze := filepath.Join(g.dir, "cgroup.freeze")
		_ = os.WriteFile(freeze, []byte("1"), 0)
		defer os.WriteFile(freeze, []byte("0"), 0)
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		pids, err := g.PIDs()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("kill control group %s: %d processes did not end within %s of SIGKILL, the first of them %d: the kernel holds them, perhaps for a disk", g.dir, len(pids), patience, pids[0])
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // ESRCH: it has ended
		}
	}
}

// Remove removes the group with those below it. It fails while they hold processes; one
// that is gone is removed already.
func (g *Group) Remove() error {
	var dirs []string
	_ = filepath.WalkDir(g.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	slices.Reverse(dirs) // what is below comes first
	for _, dir := range dirs {
		err := unix.Rmdir(dir)
		// A process leaves its group a moment after its end is told.
		for try := 0; errors.Is(err, unix.EBUSY) && try < 50; try++ {
			time.Sleep(time.Millisecond)
			err = unix.Rmdir(dir)
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove control group %s: %w", dir, err)
		}
	}
	return nil
}
