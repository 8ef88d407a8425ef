//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/run"
)

// process is one of this machine's; a number is given to another later on.
type process struct {
	pid     int
	started string // in ticks since the machine's start
	args    string
}

// lineage is what began with a process: it, its children, and theirs.
func lineage(pid int) []process {
	children := map[int][]process{}
	all, _ := filepath.Glob("/proc/[0-9]*")
	var family []process
	for _, proc := range all {
		p, parent, err := readProcess(proc)
		if err != nil {
			continue // it has ended
		}
		children[parent] = append(children[parent], p)
		if p.pid == pid {
			family = append(family, p)
		}
	}
	for i := 0; i < len(family); i++ {
		family = append(family, children[family[i].pid]...)
	}
	return family
}

func readProcess(proc string) (p process, parent int, err error) {
	if p.pid, err = strconv.Atoi(filepath.Base(proc)); err != nil {
		return p, 0, err
	}
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return p, 0, err
	}
	// The name in brackets may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return p, 0, errors.New("too few fields")
	}
	args, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
	p.started, p.args = fields[19], strings.ReplaceAll(string(args), "\x00", " ")
	parent, err = strconv.Atoi(fields[1])
	return p, parent, err
}

func (p process) lives() bool {
	now, _, err := readProcess(fmt.Sprint("/proc/", p.pid))
	return err == nil && now.started == p.started
}

// remains is what a run of local nodes may leave behind, as far as it can be seen from
// outside: its processes, the directories below its home, control groups, mounts and tables
// of packet filters. The network namespaces of a world are held by nothing else.
type remains struct {
	*liveRun
	family []process
	worlds []string
}

// note takes down what there is now.
func (r *remains) note() {
	r.family = append(r.family, lineage(r.Process.Pid)...)
	found, _ := filepath.Glob(filepath.Join(r.home, "nemesis", "local", "world-*"))
	r.worlds = append(r.worlds, found...)
}

// wantNone fails the test unless all of it is gone, at the latest after the next command that
// has to do with nodes.
func (r *remains) wantNone(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(patience)
	alive := func() (left []string) {
		for _, p := range r.family {
			if p.lives() {
				left = append(left, fmt.Sprintf("process %d %s", p.pid, p.args))
			}
		}
		return append(left, processesOf(r.home)...)
	}
	for len(alive()) > 0 && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	heal := invocation(t, "nodes", "heal", "--nodes", "127.0.0.1:1", "--ssh-config", "none")
	heal.Env = append(os.Environ(), r.environment()...)
	finish(t, heal) // nobody is there to be healed, but this machine is
	left := alive()
	for _, pattern := range []string{"nemesis/local/world-*", "tmp/*"} {
		found, _ := filepath.Glob(filepath.Join(r.home, pattern))
		left = append(left, found...)
	}
	for _, world := range r.worlds {
		for _, pattern := range []string{"/sys/fs/cgroup/nemesis-", "/sys/fs/cgroup/*/nemesis-"} {
			found, _ := filepath.Glob(pattern + filepath.Base(world) + "*")
			left = append(left, found...)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, r.home) {
			left = append(left, "mount "+line)
		}
	}
	if tables, err := new(nftables.Conn).ListTables(); err == nil {
		for _, table := range tables {
			if strings.Contains(table.Name, "nemesis") {
				left = append(left, "nftables table "+table.Name)
			}
		}
	}
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// wantReadable fails the test unless what a run recorded until it was killed can be read and
// judged, and is not called valid if it did not come to its end.
func wantReadable(t *testing.T, dir history.Dir) {
	t.Helper()
	if _, err := os.Stat(dir.Path(history.HistoryFile)); dir == "" || errors.Is(err, os.ErrNotExist) {
		return // it was killed before there was any
	}
	log, err := dir.Load()
	if err != nil {
		t.Errorf("the history cannot be read: %v", err)
		return
	}
	done := false
	for _, ev := range log.Events {
		done = done || ev.Type == history.PhaseChange && ev.Message == history.PhaseDone
	}
	check := finish(t, invocation(t, "check", string(dir)))
	wantWellBehaved(t, check.text, check.code)
	switch {
	case check.code == usageCode, check.code == checker.Violation.ExitCode(), check.code == checker.Exceeded.ExitCode():
		t.Errorf("check ends with %d:\n%s", check.code, check.text)
	case check.code == 0 && !done:
		t.Errorf("check calls a run valid that was killed:\n%s", check.text)
	}
}

// victims are the processes of a run on local nodes by what is killed with them: what its
// arguments have, and have not.
var victims = []struct{ name, has, hasNot string }{
	{"outer process", "run etcd", "local-node"},
	{"keeper", " local-node keeper ", ""},
	{"control process", " " + insideName + " run", "local-node"},
	{"node", " local-node node ", ""},
	{"agent", " agent --dir ", "--watch"},
	{"watchdog", " agent --watch ", ""},
	{"server", "/etcd --name ", ""},
}

// moments are when something may happen to a run: at an event, and some time after it.
var moments = []struct {
	name  string
	is    func(run.Progress) bool
	lasts time.Duration // about
}{
	{"while it deploys", phase(history.PhaseInstall), time.Second},
	{"while it starts", phase(history.PhaseStart), time.Second},
	{"in the workload", phase(history.PhaseWorkload), 4 * time.Second},
	{"with a fault in force", inForce, 2 * time.Second},
	{"while it settles", phase(history.PhaseSettle), time.Second},
	{"while it stops", phase(history.PhaseStop), 50 * time.Millisecond},
	{"while it judges", phase(history.PhaseCheck), 50 * time.Millisecond},
}

// kills are runs on local nodes of which one process is killed at some moment.
func kills(_ *testing.T, r *rand.Rand, n int) []attack {
	var all []attack
	for i := range n {
		victim := victims[i%len(victims)]
		moment := moments[r.IntN(len(moments))]
		wait := time.Duration(r.Int64N(int64(moment.lasts)))
		choice, seed := r.Uint64(), r.IntN(1000)
		name := fmt.Sprintf("%02d the %s %s and %s", i, victim.name, moment.name, wait.Round(time.Millisecond))
		all = append(all, attack{name, func(t *testing.T) {
			s := startRun(t, "--nodes", "local:2", "--faults", "pause,partition", "--fault-interval", "2s", "--time-limit", "6s", "--seed", fmt.Sprint(seed))
			left := &remains{liveRun: s}
			s.until(t, moment.is)
			time.Sleep(wait)
			left.note()
			var found []process
			for _, p := range left.family {
				if strings.Contains(p.args, victim.has) && (victim.hasNot == "" || !strings.Contains(p.args, victim.hasNot)) {
					found = append(found, p)
				}
			}
			if len(found) == 0 { // not yet, or not any more
				t.Log("there is nothing to kill")
			} else if p := found[choice%uint64(len(found))]; syscall.Kill(p.pid, syscall.SIGKILL) == nil {
				t.Logf("kill %d %s", p.pid, p.args)
			}
			o := s.end(t)
			left.wantNone(t)
			wantReadable(t, o.dir)
			switch {
			case o.code == -1 && victim.name == "outer process":
			case crashed.MatchString(o.text):
				t.Errorf("it crashed:\n%s", o.text)
			case o.code != 0 && o.code != checker.Unknown.ExitCode() && o.code != checker.Vacuous.ExitCode() && o.code != checker.Harness.ExitCode():
				t.Errorf("exit status %d:\n%s", o.code, o.text)
			}
		}})
	}
	return all
}
