package agent

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"nemesis/nodes/cgroup"
)

// limits is Host.Limits. With version 2 of control groups the group of a server is limited
// itself. With version 1 a server that is limited moves to a group of ours in the hierarchy of
// the controller, and out of it again: there a group of the server's is in force as long as
// it exists, and the next agent finds it by its name.
type limits struct{ super *supervisor }

// Available is Limits.Available. It changes nothing that lasts.
func (l limits) Available(what Limited) error {
	g := l.super.groups
	if g.root == nil {
		return fmt.Errorf("the %s of servers cannot be limited, which takes control groups: %s", words[what], g.why)
	}
	trial, err := g.root.Below("trial")
	if err == nil {
		_, err = l.of(trial, "trial", what)
		if other := cgroup.OpenLimiting(string(what), filepath.Join(g.name, "trial")); other != nil {
			_ = other.Remove()
		}
		_ = trial.Remove()
	}
	if err != nil {
		return fmt.Errorf("the %s of servers cannot be limited: %s", words[what], firstLine(err.Error()))
	}
	return nil
}

var words = map[Limited]string{LimitedCPU: "CPU time", LimitedMemory: "memory", LimitedThreads: "number of threads"}

// of is the group by which a server is limited: its own, or one of version 1, made if need be.
func (l limits) of(whole *cgroup.Group, name string, what Limited) (*cgroup.Group, error) {
	if err := l.super.groups.root.Delegate(string(what)); err == nil && whole.Limits(string(what)) == nil {
		return whole, nil
	}
	return cgroup.MakeLimiting(string(what), filepath.Join(l.super.groups.name, name))
}

// known is the server's process and its group, where it has one.
func (l limits) known(name string) (*process, *cgroup.Group) {
	l.super.mu.Lock()
	defer l.super.mu.Unlock()
	p := l.super.procs[name]
	if p == nil || p.group == nil {
		return p, nil
	}
	return p, p.group.whole
}

// in is the group that limits a server now; nil when there is none.
func (l limits) in(whole *cgroup.Group, name string, what Limited) *cgroup.Group {
	if whole != nil && whole.Limits(string(what)) == nil {
		return whole
	}
	return cgroup.OpenLimiting(string(what), filepath.Join(l.super.groups.name, name))
}

// Set is Limits.Set.
func (l limits) Set(name string, what Limited, limit float64) error {
	p, err := l.super.find(name)
	if err != nil {
		return err
	}
	defer p.acting.Unlock()
	_, whole := l.known(name)
	if whole == nil {
		return fmt.Errorf("limit the %s of %s: it has no control group", words[what], name)
	}
	l.super.mu.Lock()
	over := p.instance.over()
	l.super.mu.Unlock()
	if over {
		return fmt.Errorf("limit the %s of %s: it does not run", words[what], name)
	}
	g, err := l.of(whole, name, what)
	if err != nil {
		return err
	}
	if g != whole {
		// What is forked while they are moved is seen the next time.
		for range 100 {
			outside, err := l.outside(p, g)
			if err != nil {
				return err
			}
			if len(outside) == 0 {
				break
			}
			for _, pid := range outside {
				if err := g.Add(pid); err != nil {
					return err
				}
			}
		}
	}
	return g.Limit(string(what), limit)
}

// outside are the processes of a server that are in no such group.
func (l limits) outside(p *process, g *cgroup.Group) ([]int, error) {
	inside, err := g.PIDs()
	if err != nil {
		return nil, err
	}
	under := map[int]bool{}
	for _, pid := range inside {
		under[pid] = true
	}
	var out []int
	for _, m := range l.super.members(p) {
		if !under[m.PID] {
			out = append(out, m.PID)
		}
	}
	return out, nil
}

// Include is Limits.Include.
func (l limits) Include(name string, what Limited, pid int) error {
	_, whole := l.known(name)
	g := l.in(whole, name, what)
	switch {
	case g == nil:
		return fmt.Errorf("limit a process beside %s: there is no limit", name)
	case whole != nil && g.Dir() == whole.Dir(): // it was started there
		return nil
	}
	return g.Add(pid)
}

// Lift is Limits.Lift.
func (l limits) Lift(name string, what Limited) error {
	_, whole := l.known(name)
	g := l.in(whole, name, what)
	if g == nil {
		return nil
	}
	err := g.Limit(string(what), math.Inf(1))
	if whole == nil || g.Dir() != whole.Dir() {
		err = errors.Join(err, g.Release())
	}
	return err
}

// Use is Limits.Use.
func (l limits) Use(name string, what Limited) (use LimitUse, there bool, err error) {
	p, whole := l.known(name)
	g := l.in(whole, name, what)
	if g == nil || p == nil {
		return use, false, nil
	}
	u, err := g.Use(string(what))
	if err != nil {
		return use, false, err
	}
	if math.IsInf(u.Limit, 1) {
		return use, false, nil
	}
	outside, err := l.outside(p, g)
	return LimitUse{Limit: u.Limit, Used: u.Used, Reached: u.Reached, Killed: u.Killed, Waited: u.Waited, Outside: len(outside)}, true, err
}
