package cgroup

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The controllers that limit what the processes of a group use together.
const (
	CPU    = "cpu"
	Memory = "memory"
	PIDs   = "pids" // processes and threads
)

// Controllers are all of them.
func Controllers() []string { return []string{CPU, Memory, PIDs} }

// Use is what a limit did so far, and what is used.
type Use struct {
	// Limit is in force now: cores, bytes, or threads; +Inf is none.
	Limit float64
	// Used is what is used now, in the limit's unit; of CPU it is not told here.
	Used float64
	// Reached counts how often the limit was met: periods of CPU time in which the group had to
	// wait, attempts to get memory that had to take some back first, forks that were refused.
	Reached int64
	// Killed counts processes that the kernel ended for want of memory.
	Killed int64
	// Waited is for how long the group's CPUs had to wait.
	Waited time.Duration
}

// period is the time of which a limit of CPU is a part: the kernel's own default.
const period = 100 * time.Millisecond

// MakeLimiting makes the group of this name in the hierarchy of version 1 whose controller
// limits it, or opens the one that is there. Version 2 has one hierarchy for all: a group that
// Make made is limited there itself. The error says in one line why there is none.
func MakeLimiting(controller, name string) (*Group, error) {
	places, err := limiting(controller)
	if err != nil {
		return nil, fmt.Errorf("make control group %s: %w", name, err)
	}
	err = fmt.Errorf("no hierarchy of control groups is mounted here that limits %s", controller)
	for i, p := range places {
		g := &Group{dir: filepath.Join(p.dir, name), version: p.version}
		e := os.MkdirAll(g.dir, 0o755)
		if e == nil {
			e = g.Limits(controller)
		}
		if e == nil {
			return g, nil
		}
		_ = g.Remove()
		if i == 0 {
			err = e
		}
	}
	return nil, fmt.Errorf("make control group %s: %w", name, err)
}

// OpenLimiting opens the group that MakeLimiting made; nil where there is none.
func OpenLimiting(controller, name string) *Group {
	places, _ := limiting(controller)
	for _, p := range places {
		g := &Group{dir: filepath.Join(p.dir, name), version: p.version}
		if _, err := os.Stat(g.dir); err == nil {
			return g
		}
	}
	return nil
}

// LimitingDirs are, by controller, directories of groups of this name in the hierarchies of
// version 1 that limit, made where they may be. Where group is of version 2, the controllers
// are let into it instead, as far as they may be.
func LimitingDirs(name string, group *Group) map[string]string {
	dirs := map[string]string{}
	for _, c := range Controllers() {
		if group != nil && group.version == 2 && group.Delegate(c) == nil {
			continue
		}
		if g, err := MakeLimiting(c, name); err == nil {
			dirs[c] = g.dir
		}
	}
	return dirs
}

// Delegate lets the groups below this one be limited by a controller. Only version 2 needs
// it, and there it takes that no process is in this very group.
func (g *Group) Delegate(controller string) error {
	if g.version == 1 {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(g.dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("limit %s in control group %s: %w", controller, g.dir, err)
	}
	if !slices.Contains(strings.Fields(string(text)), controller) {
		return fmt.Errorf("limit %s in control group %s: its controller is not let into this part of the hierarchy", controller, g.dir)
	}
	return g.write("cgroup.subtree_control", "+"+controller)
}

// Limits says why a controller does not limit this group.
func (g *Group) Limits(controller string) error {
	if err := unix.Access(filepath.Join(g.dir, g.file(controller)), unix.W_OK); err != nil {
		return fmt.Errorf("write to %s: %w", filepath.Join(g.dir, g.file(controller)), err)
	}
	return nil
}

// file is where a controller's limit is written.
func (g *Group) file(controller string) string {
	switch {
	case controller == CPU && g.version == 2:
		return "cpu.max"
	case controller == CPU:
		return "cpu.cfs_quota_us"
	case controller == Memory && g.version == 2:
		return "memory.max"
	case controller == Memory:
		return "memory.limit_in_bytes"
	}
	return "pids.max"
}

// Limit sets a limit in the unit of Use.Limit; +Inf lifts it.
func (g *Group) Limit(controller string, limit float64) error {
	none := math.IsInf(limit, 1)
	value := "max"
	switch {
	case controller == CPU:
		quota := int64(limit * float64(period.Microseconds()))
		switch {
		case !none && quota < 1000:
			return fmt.Errorf("limit CPU in control group %s: %g cores are less than the kernel grants, which is %g", g.dir, limit, 1000/float64(period.Microseconds()))
		case g.version == 2 && none:
		case g.version == 2:
			value = fmt.Sprintf("%d %d", quota, period.Microseconds())
		case none:
			value = "-1"
		default:
			if err := g.write("cpu.cfs_period_us", strconv.FormatInt(period.Microseconds(), 10)); err != nil {
				return err
			}
			value = strconv.FormatInt(quota, 10)
		}
	case none && controller == Memory && g.version == 1:
		value = "-1"
	case !none:
		value = strconv.FormatInt(int64(limit), 10)
	}
	return g.write(g.file(controller), value)
}

// Use reads a limit and what came of it.
func (g *Group) Use(controller string) (u Use, err error) {
	u.Limit, err = g.limit(controller)
	if err != nil {
		return u, err
	}
	switch controller {
	case CPU:
		stat, err := g.table("cpu.stat")
		u.Reached = stat["nr_throttled"]
		u.Waited = time.Duration(stat["throttled_usec"]) * time.Microsecond
		if g.version == 1 {
			u.Waited = time.Duration(stat["throttled_time"])
		}
		return u, err
	case Memory:
		if g.version == 2 {
			events, err := g.table("memory.events")
			if err != nil {
				return u, err
			}
			u.Reached, u.Killed = events["max"], events["oom_kill"]
			u.Used, err = g.number("memory.current")
			return u, err
		}
		control, err := g.table("memory.oom_control")
		if err != nil {
			return u, err
		}
		failed, err := g.number("memory.failcnt")
		if err != nil {
			return u, err
		}
		u.Reached, u.Killed = int64(failed), control["oom_kill"]
		u.Used, err = g.number("memory.usage_in_bytes")
		return u, err
	}
	events, err := g.table("pids.events")
	if err != nil {
		return u, err
	}
	u.Reached = events["max"]
	u.Used, err = g.number("pids.current")
	return u, err
}

func (g *Group) limit(controller string) (float64, error) {
	text, err := g.read(g.file(controller))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return 0, fmt.Errorf("read %s: it is empty", filepath.Join(g.dir, g.file(controller)))
	}
	if fields[0] == "max" || fields[0] == "-1" {
		return math.Inf(1), nil
	}
	limit, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %q is no limit", filepath.Join(g.dir, g.file(controller)), text)
	}
	switch {
	case controller == Memory && limit >= math.MaxInt64/2: // version 1 has no other word for none
		return math.Inf(1), nil
	case controller != CPU:
		return limit, nil
	case len(fields) > 1:
		whole, err := strconv.ParseFloat(fields[1], 64)
		if err != nil || whole <= 0 {
			return 0, fmt.Errorf("read %s: %q is no limit", filepath.Join(g.dir, g.file(controller)), text)
		}
		return limit / whole, nil
	}
	whole, err := g.number("cpu.cfs_period_us")
	if err != nil {
		return 0, err
	}
	return limit / whole, nil
}

// Add moves a process, with all its threads, into the group. One that has ended is none to
// move.
func (g *Group) Add(pid int) error {
	err := g.write("cgroup.procs", strconv.Itoa(pid))
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// Release moves all processes of the group to where this process's own are, or else to the
// root of what is mounted, and removes the group.
func (g *Group) Release() error {
	home := threadHome(g.dir)
	if home == "" || unix.Access(filepath.Join(home, "cgroup.procs"), unix.W_OK) != nil {
		home = mountOf(g.dir)
	}
	to := &Group{dir: home, version: g.version}
	for {
		pids, err := g.PIDs()
		if err != nil || len(pids) == 0 {
			break
		}
		for _, pid := range pids {
			if err := to.Add(pid); err != nil {
				return err
			}
		}
	}
	return g.Remove()
}

func (g *Group) write(name, value string) error {
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(value), 0); err != nil {
		return fmt.Errorf("write %s to a control group: %w", value, err)
	}
	return nil
}

func (g *Group) read(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		return "", fmt.Errorf("read a control group: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

func (g *Group) number(name string) (float64, error) {
	text, err := g.read(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("read %s: %q is no number", filepath.Join(g.dir, name), text)
	}
	return n, nil
}

// table reads lines of a name and a number.
func (g *Group) table(name string) (map[string]int64, error) {
	text, err := g.read(name)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				out[key] = n
			}
		}
	}
	return out, nil
}

// limiting are the places of the hierarchies of version 1 that have a controller, best first.
func limiting(controller string) ([]place, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("find the hierarchies of control groups: %w", err)
	}
	return limitingIn(string(mounts), controller), nil
}

// limitingIn reads a process's mountinfo. What was mounted last comes first: it may hide
// what was before.
func limitingIn(mountinfo, controller string) []place {
	var out []place
	for line := range strings.Lines(mountinfo) {
		if m, ok := parseMount(line); ok && m.version == 1 && slices.Contains(m.controllers, controller) {
			out = append(out, m.place)
		}
	}
	slices.Reverse(out)
	return out
}

// mountOf is the mounted directory that a group lies in.
func mountOf(dir string) string {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return filepath.Dir(dir)
	}
	best := ""
	for line := range strings.Lines(string(mounts)) {
		if m, ok := parseMount(line); ok && strings.HasPrefix(dir, m.dir+"/") && len(m.dir) > len(best) {
			best = m.dir
		}
	}
	if best == "" {
		return filepath.Dir(dir)
	}
	return best
}

// removeLimiting removes the groups of this name that MakeLimiting made.
func removeLimiting(name string) (err error) {
	for _, c := range Controllers() {
		places, _ := limiting(c)
		for _, p := range places {
			g := &Group{dir: filepath.Join(p.dir, name), version: p.version}
			if _, missing := os.Stat(g.dir); missing == nil {
				err = errors.Join(err, g.Remove())
			}
		}
	}
	return err
}
