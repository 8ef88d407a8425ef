//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/run"
)

// onControl is the process that carries a run out inside its local cluster.
func (r *remains) onControl(t *testing.T) process {
	t.Helper()
	r.note()
	for _, p := range slices.Backward(r.family) {
		if strings.Contains(p.args, " "+insideName+" run") && !strings.Contains(p.args, "local-node") && p.lives() {
			return p
		}
	}
	t.Fatal("no control process is there")
	return process{}
}

// limit lowers a resource limit of a running process.
func (p process) limit(t *testing.T, resource int, to uint64) {
	t.Helper()
	if err := unix.Prlimit(p.pid, resource, &unix.Rlimit{Cur: to, Max: to}, nil); err != nil {
		t.Fatal(err)
	}
}

// controlTrouble is something that fails on the control side of a run on local nodes, and
// that the system under test has nothing to do with.
type controlTrouble struct {
	name  string
	flags []string
	// before makes it so before the program starts, with the directory for its runs; at is
	// when during the run, and while what then happens.
	before func(t *testing.T, out string)
	at     func(run.Progress) bool
	while  func(t *testing.T, r *remains, out string)
	// codes are the exit statuses that a run may end with, and says what it then says.
	codes []int
	says  []string
}

var (
	harness = checker.Harness.ExitCode()
	// inconclusive are the exit statuses of a run about which nothing has to be known.
	inconclusive = []int{0, checker.Unknown.ExitCode(), checker.Vacuous.ExitCode(), harness}
)

func controlTroubles() []controlTrouble {
	kills := []string{"--faults", "kill", "--fault-interval", "3s", "--time-limit", "15s"}
	descriptors := func(n uint64) func(t *testing.T, r *remains, _ string) {
		return func(t *testing.T, r *remains, _ string) { r.onControl(t).limit(t, unix.RLIMIT_NOFILE, n) }
	}
	stopped := func(hold time.Duration) func(t *testing.T, r *remains, _ string) {
		return func(t *testing.T, r *remains, _ string) {
			p := r.onControl(t)
			for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGCONT} {
				if err := syscall.Kill(p.pid, sig); err != nil {
					t.Fatal(err)
				}
				if sig == syscall.SIGSTOP {
					time.Sleep(hold)
				}
			}
		}
	}
	deleted := func(t *testing.T, _ *remains, out string) {
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
	}
	small := func(size string) func(*testing.T, string) {
		return func(t *testing.T, out string) { mountSmall(t, out, size) }
	}
	workload := phase(history.PhaseWorkload)
	return []controlTrouble{
		{name: "EMFILE from the workload on", flags: kills, at: workload, while: descriptors(12), codes: inconclusive},
		{name: "EMFILE from a fault on", flags: kills, at: inForce, while: descriptors(20), codes: inconclusive},
		{name: "EMFILE while it deploys", flags: kills, at: phase(history.PhaseInstall), while: descriptors(10), codes: inconclusive},
		{name: "EMFILE while it settles", flags: kills, at: phase(history.PhaseSettle), while: descriptors(10), codes: inconclusive},
		{name: "EADDRNOTAVAIL from the workload on", flags: kills, at: workload, codes: inconclusive,
			while: func(t *testing.T, r *remains, _ string) { exhaustPorts(t, r.onControl(t)) }},
		{name: "EFBIG of the history", flags: []string{"--faults", "none", "--time-limit", "10s", "--rate", "1000"}, at: workload, codes: []int{harness}, says: []string{"file too large"},
			while: func(t *testing.T, r *remains, _ string) { r.onControl(t).limit(t, unix.RLIMIT_FSIZE, 20<<10) }},
		{name: "ENOSPC in the store", flags: []string{"--faults", "none", "--time-limit", "10s", "--rate", "1000"}, before: small("60k"), codes: []int{harness}, says: []string{"no space left on device"}},
		{name: "no space at all in the store", flags: kills, before: small("4k"), codes: []int{harness}, says: []string{"no space left on device"}},
		{name: "EROFS of the store", flags: kills, codes: []int{harness, usageCode}, says: []string{"read-only file system"},
			before: func(t *testing.T, out string) {
				mountSmall(t, out, "1m")
				if err := syscall.Mount("none", out, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
					t.Fatal(err)
				}
			}},
		{name: "the store is a file", flags: kills, codes: []int{harness, usageCode}, says: []string{"not a directory"},
			before: func(t *testing.T, out string) {
				os.Remove(out)
				put(t, out, "mine")
			}},
		{name: "the store deleted in the workload", flags: kills, at: workload, while: deleted, codes: []int{harness}, says: []string{"was deleted or moved during the run"}},
		{name: "the store deleted while it settles", flags: kills, at: phase(history.PhaseSettle), while: deleted, codes: []int{harness}, says: []string{"was deleted or moved during the run"}},
		{name: "stopped for 12 s in the workload", flags: kills, at: workload, while: stopped(12 * time.Second), codes: inconclusive},
		{name: "stopped for 12 s with a fault in force", flags: kills, at: inForce, while: stopped(12 * time.Second), codes: inconclusive},
		{name: "stopped for 12 s while it settles", flags: kills, at: phase(history.PhaseSettle), while: stopped(12 * time.Second), codes: inconclusive},
		{name: "stopped for 3 s while it starts", flags: kills, at: phase(history.PhaseStart), while: stopped(3 * time.Second), codes: inconclusive},
	}
}

// mountSmall puts a small file system over a directory until the test ends.
func mountSmall(t *testing.T, dir, size string) {
	t.Helper()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("needs to mount: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// exhaustPorts leaves two ports for new connections from where a process is.
func exhaustPorts(t *testing.T, p process) {
	t.Helper()
	if _, err := exec.LookPath("nsenter"); err != nil {
		t.Skip("needs nsenter")
	}
	script := "echo '61000 61001' > /proc/sys/net/ipv4/ip_local_port_range"
	if out, err := exec.Command("nsenter", "-t", fmt.Sprint(p.pid), "-n", "sh", "-c", script).CombinedOutput(); err != nil {
		t.Skipf("the ports cannot be taken away: %v: %s", err, out)
	}
}

// troublesOfOurs are runs in which the control side fails, and checks that cannot write.
func troublesOfOurs(_ *testing.T, r *rand.Rand, n int) []attack {
	var all []attack
	for _, trouble := range controlTroubles() {
		for _, concurrency := range []string{"10", "60"} {
			all = append(all, attack{fmt.Sprintf("%s, %s clients", trouble.name, concurrency), func(t *testing.T) {
				trouble.attack(t, append(trouble.flags, "--concurrency", concurrency))
			}})
		}
	}
	for name, spoil := range map[string]func(t *testing.T, cmd *exec.Cmd, dir string){
		"EROFS": func(t *testing.T, _ *exec.Cmd, dir string) {
			if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
				t.Skipf("needs to mount: %v", err)
			}
			t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
			if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
		},
		"EACCES": func(t *testing.T, cmd *exec.Cmd, dir string) {
			if os.Getuid() != 0 {
				t.Skip("needs root, to be somebody else")
			}
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
			for path := dir; len(path) > len(os.TempDir()); path = filepath.Dir(path) {
				if err := os.Chmod(path, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd.Dir = "/"
		},
		"EMFILE": func(t *testing.T, cmd *exec.Cmd, _ string) {
			cmd.Args = []string{"sh", "-c", `ulimit -n 4; exec "$0" "$@"`, cmd.Path, cmd.Args[1], cmd.Args[2]}
			cmd.Path, cmd.Err = "/bin/sh", nil
		},
		"ENOSPC": func(t *testing.T, _ *exec.Cmd, dir string) {
			text := map[string][]byte{}
			for _, name := range []string{history.PlanFile, history.HistoryFile} {
				text[name], _ = os.ReadFile(filepath.Join(dir, name))
			}
			mountSmall(t, dir, "100k")
			for name, content := range text {
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			filler := make([]byte, 1<<20)
			os.WriteFile(filepath.Join(dir, "filler"), filler, 0o644) // until there is no more
		},
	} {
		for _, broken := range []bool{false, true} {
			all = append(all, attack{fmt.Sprintf("%s for check, violation: %v", name, broken), func(t *testing.T) {
				dir := t.TempDir()
				recordRun(t, dir, broken)
				cmd := invocation(t, "check", dir)
				spoil(t, cmd, dir)
				said, code, _ := watched(t, cmd)
				wantWellBehaved(t, said, code)
				// What was found is told although it cannot be written down.
				if want := map[bool][]int{false: {harness}, true: {1, harness}}[broken]; !slices.Contains(want, code) {
					t.Errorf("exit status %d:\n%s", code, said)
				}
			}})
		}
	}
	slices.SortFunc(all, func(a, b attack) int { return strings.Compare(a.name, b.name) })
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}

func (c *controlTrouble) attack(t *testing.T, flags []string) {
	out := filepath.Join(t.TempDir(), "store")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	if c.before != nil {
		c.before(t, out)
	}
	s := startRun(t, append([]string{"--nodes", "local:3", "--out", out}, flags...)...)
	left := &remains{liveRun: s}
	if c.at != nil {
		s.until(t, c.at)
		left.note()
		c.while(t, left, out)
	}
	o := s.end(t)
	left.wantNone(t)
	if crashed.MatchString(o.text) {
		t.Errorf("it crashed:\n%s", o.text)
	}
	if !slices.Contains(c.codes, o.code) {
		t.Errorf("exit status %d, not one of %v:\n%s", o.code, c.codes, shortened(o.text))
	}
	for _, says := range c.says {
		if !strings.Contains(o.text, says) {
			t.Errorf("does not say %q:\n%s", says, shortened(o.text))
		}
	}
	v := checker.Verdict{}
	if o.dir == "" || o.dir.ReadJSON(history.VerdictFile, &v) != nil {
		return
	}
	if o.code != v.Outcome.ExitCode() {
		t.Errorf("exit status %d, and the verdict is %s", o.code, v.Outcome)
	}
	t.Logf("%s: %s %q", v.Outcome, v.Sentence, v.Reasons)
}
