//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/run"
)

// What Ctrl-C and kill do to a run on local nodes, and what is left of it.

// liveRun is a run on local nodes that a test watches and disturbs.
type liveRun struct {
	*exec.Cmd
	home   string // its caches: whatever it makes lies below
	stdout io.Closer
	events *bufio.Scanner
	stderr *lockedBuffer
	dir    history.Dir
}

// patience is what nothing here takes, on the slowest machine that does much else.
const patience = 5 * time.Minute

// startRun starts a run of three local nodes, with a home of its own.
func startRun(t *testing.T, flags ...string) *liveRun {
	t.Helper()
	needsLocalNodes(t)
	etcd := server(t)
	return startCommand(t, append([]string{"run", "etcd", "--nodes", "local:3", "--seed", "7", "--rate", "200", "--binary", etcd, "--json"}, flags...)...)
}

// startCommand starts a command with a home of its own.
func startCommand(t *testing.T, args ...string) *liveRun {
	t.Helper()
	s := &liveRun{home: t.TempDir(), stderr: &lockedBuffer{}}
	s.Cmd = invocation(t, args...)
	if err := os.Mkdir(filepath.Join(s.home, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.Env = append(os.Environ(), s.environment()...)
	s.Cmd.Stderr = s.stderr
	stdout, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { s.Process.Kill() })
	t.Cleanup(func() {
		timer.Stop()
		s.Process.Kill()
		s.Wait()
	})
	s.stdout, s.events = stdout, bufio.NewScanner(stdout)
	s.events.Buffer(nil, 64<<20)
	return s
}

// environment puts whatever the program makes below its home.
func (s *liveRun) environment() []string {
	return []string{"XDG_CACHE_HOME=" + s.home, "TMPDIR=" + filepath.Join(s.home, "tmp")}
}

// until reads the event stream up to an event.
func (s *liveRun) until(t *testing.T, is func(run.Progress) bool) run.Progress {
	t.Helper()
	for s.events.Scan() {
		var p run.Progress
		if err := json.Unmarshal(s.events.Bytes(), &p); err != nil {
			t.Fatalf("the event stream has a line %q: %v", s.events.Text(), err)
		}
		if p.Directory != "" {
			s.dir = history.Dir(p.Directory)
		}
		if is(p) {
			return p
		}
	}
	t.Fatalf("the run ended before its time: %v\n%s", s.events.Err(), s.stderr)
	return run.Progress{}
}

func phase(name string) func(run.Progress) bool {
	return func(p run.Progress) bool { return p.Phase == name }
}

func inForce(p run.Progress) bool { return p.Fault != nil && p.Fault.Stage == history.Active }

// end waits for the program, and for everything it made to be gone.
func (s *liveRun) end(t *testing.T) outcome {
	t.Helper()
	for s.events.Scan() { // an open pipe would keep it from ending
	}
	err := s.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatal(err)
	}
	return outcome{text: s.stderr.String(), code: s.ProcessState.ExitCode(), dir: s.dir}
}

// wantNothingLeft fails the test if a process or a directory of the run's world is
// still there. The keeper of a killed run may take a moment to clean up.
func (s *liveRun) wantNothingLeft(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		left, _ := filepath.Glob(filepath.Join(s.home, "nemesis", "local", "world-*"))
		left = append(left, processesOf(s.home)...)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %q", left)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// processesOf lists the processes on this machine that have path in their arguments
// or their environment.
func processesOf(path string) []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range all {
		args, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(proc, "environ"))
		if bytes.Contains(args, []byte(path)) || bytes.Contains(env, []byte(path)) {
			found = append(found, proc+" "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return found
}

// signal is Ctrl-C, or worse.
func (s *liveRun) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := s.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func TestInterruptedRunHealsKeepsAndChecks(t *testing.T) {
	t.Parallel()
	s := startRun(t, "--faults", "pause", "--fault-interval", "4s", "--time-limit", "120s")
	s.until(t, inForce)
	s.signal(t, os.Interrupt)
	o := s.end(t)
	s.wantNothingLeft(t)
	o.wantFiles(t)
	v := o.verdict(t)
	if o.code != v.Outcome.ExitCode() || (v.Outcome != checker.Valid && v.Outcome != checker.Vacuous) {
		t.Errorf("exit status %d, %s: %q", o.code, v.Sentence, v.Reasons)
	}
	if !strings.Contains(v.Sentence, "the run was interrupted after ") {
		t.Errorf("the verdict does not say that the run was interrupted: %s", v.Sentence)
	}
	struck := 0
	for _, f := range v.Faults {
		if f.Injected >= 0 {
			struck++
			if !f.Recovered {
				t.Errorf("fault %d was not seen to heal: %+v", f.Step.ID, f)
			}
		}
	}
	if struck == 0 {
		t.Error("no fault struck before the interruption")
	}
}

func TestInterruptedBeforeTheWorkload(t *testing.T) {
	t.Parallel()
	s := startRun(t, "--faults", "none")
	s.until(t, phase("install"))
	s.signal(t, os.Interrupt)
	o := s.end(t)
	s.wantNothingLeft(t)
	o.want(t, checker.Vacuous.ExitCode())
	o.wantFiles(t)
	if v := o.verdict(t); !strings.Contains(v.Sentence, "the run was interrupted after ") {
		t.Errorf("says: %s", v.Sentence)
	}
}

func TestSecondInterruptEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := startRun(t, "--faults", "none", "--time-limit", "120s")
	s.until(t, phase("workload"))
	s.signal(t, os.Interrupt)
	s.until(t, func(p run.Progress) bool { return strings.HasPrefix(p.Message, "interrupted after ") })
	s.signal(t, os.Interrupt)
	o := s.end(t)
	s.wantNothingLeft(t)
	// The first may have been enough, if the machine was slow to deliver the second.
	if v := (checker.Verdict{}); o.code != interruptedCode && o.dir.ReadJSON(history.VerdictFile, &v) != nil {
		t.Errorf("exit status %d without a verdict:\n%s", o.code, o.text)
	}
}

func TestKilledRunLeavesItsHistoryAndNothingElse(t *testing.T) {
	t.Parallel()
	s := startRun(t, "--faults", "partition", "--fault-interval", "4s", "--time-limit", "120s")
	s.until(t, inForce)
	s.signal(t, syscall.SIGKILL)
	s.end(t)
	s.wantNothingLeft(t)
	check := finish(t, invocation(t, "check", string(s.dir)))
	check.want(t, checker.Harness.ExitCode())
	check.dir = s.dir
	check.wantFiles(t)
	if v := check.verdict(t); v.OK < checker.MinOK || !strings.Contains(v.Sentence, "history") {
		t.Errorf("%d operations: %s", v.OK, v.Sentence)
	}
}

func TestKeptLocalClusterStaysUntilInterrupted(t *testing.T) {
	t.Parallel()
	s := startRun(t, "--faults", "none", "--time-limit", "1s", "--keep")
	s.until(t, func(p run.Progress) bool { return p.Verdict != nil })
	const says = "look at them from another terminal with: "
	deadline := time.Now().Add(patience)
	for !strings.Contains(s.stderr.String(), says) {
		if time.Now().After(deadline) {
			t.Fatalf("does not say how to look inside:\n%s", s.stderr)
		}
		time.Sleep(20 * time.Millisecond)
	}
	_, line, _ := strings.Cut(s.stderr.String(), says)
	line, _, _ = strings.Cut(line, "\n")
	if _, err := exec.LookPath("nsenter"); err == nil {
		enter, isShell := strings.CutSuffix(line, " bash")
		out, err := exec.Command("bash", "-c", enter+" sh -c 'uname -n; cat /proc/[0-9]*/comm'").CombinedOutput()
		if !isShell || err != nil || !strings.HasPrefix(string(out), "n1\n") || !strings.Contains(string(out), "\netcd\n") {
			t.Errorf("%s: %v: %s", line, err, out)
		}
	}
	s.signal(t, os.Interrupt)
	o := s.end(t)
	s.wantNothingLeft(t)
	o.want(t, checker.Valid.ExitCode())
}

// lockedBuffer is written by a program while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A store that is deleted during a run ends the run in order. What was recorded is kept, and
// where is told in the verdict's sentence.
func TestADeletedStoreEndsTheRunInOrder(t *testing.T) {
	t.Parallel()
	s := startRun(t, "--faults", "pause", "--fault-interval", "4s", "--time-limit", "120s")
	s.until(t, inForce)
	deleted := s.dir
	if err := os.RemoveAll(filepath.Dir(filepath.Dir(string(deleted)))); err != nil {
		t.Fatal(err)
	}
	s.until(t, func(p run.Progress) bool { return p.Verdict != nil })
	o := s.end(t)
	s.wantNothingLeft(t)
	o.want(t, checker.Harness.ExitCode())
	o.wantFiles(t)
	v := o.verdict(t)
	want := "The harness failed: the run directory " + string(deleted) + " was deleted or moved during the run, which ends it; what was recorded is kept in its place."
	if v.Sentence != want || o.dir != deleted {
		t.Errorf("says %s\nwant %s", v.Sentence, want)
	}
	if v.OK < 20 {
		t.Errorf("of what was recorded there are %d operations", v.OK)
	}
	for _, f := range v.Faults {
		if f.Injected >= 0 && !f.Recovered {
			t.Errorf("fault %d was not seen to heal: %+v", f.Step.ID, f)
		}
	}
}
