//go:build linux

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// wantInOrder fails the test unless a run that was asked to end healed what it broke,
// judged what it recorded and wrote its reports.
func (o outcome) wantInOrder(t *testing.T) {
	t.Helper()
	o.wantFiles(t)
	v := o.verdict(t)
	if o.code != v.Outcome.ExitCode() || (v.Outcome != checker.Valid && v.Outcome != checker.Vacuous) {
		t.Errorf("exit status %d, %s: %q\n%s", o.code, v.Sentence, v.Reasons, o.text)
	}
	if !strings.Contains(v.Sentence, "the run was interrupted after ") {
		t.Errorf("the verdict does not say that the run was interrupted: %s", v.Sentence)
	}
	for _, f := range v.Faults {
		if f.Injected >= 0 && !f.Recovered {
			t.Errorf("fault %d was not seen to heal: %+v", f.Step.ID, f)
		}
	}
}

// Every way in which a run may be asked to end, or lose the one who reads its output.
func TestRunEndsInOrderHoweverItIsAskedToEnd(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		end  func(*liveRun, *testing.T)
	}{
		{"SIGTERM", func(s *liveRun, t *testing.T) { s.signal(t, syscall.SIGTERM) }},
		{"SIGHUP, twice, as from a closed terminal", func(s *liveRun, t *testing.T) {
			s.signal(t, syscall.SIGHUP)
			s.signal(t, syscall.SIGHUP)
		}},
		{"the reader of standard output goes away", func(s *liveRun, t *testing.T) { s.stdout.Close() }},
		{"Ctrl-C ends tee as well", func(s *liveRun, t *testing.T) {
			s.stdout.Close()
			s.signal(t, os.Interrupt)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := startRun(t, "--faults", "pause", "--fault-interval", "4s", "--time-limit", "120s")
			s.until(t, inForce)
			tc.end(s, t)
			o := s.end(t)
			s.wantNothingLeft(t)
			o.wantInOrder(t)
		})
	}
}

// The same for a replay in its plain form with both its streams in one pipe, as under tee,
// and for a check, whose only output has no reader.
func TestReplayAndCheckEndInOrderWithoutTheirReader(t *testing.T) {
	t.Parallel()
	s := startRun(t, "--faults", "none", "--time-limit", "120s")
	s.until(t, phase("workload"))
	s.signal(t, syscall.SIGHUP)
	recorded := s.end(t)
	recorded.wantInOrder(t)

	out := t.TempDir()
	replay := invocation(t, "replay", string(recorded.dir), "--out", out)
	replay.Env = append(os.Environ(), "XDG_CACHE_HOME="+s.home)
	said, code := endWithoutReader(t, replay, "workload")
	plans, _ := filepath.Glob(filepath.Join(out, "*", "*", history.PlanFile))
	if len(plans) != 1 {
		t.Fatalf("%d run directories:\n%s", len(plans), said)
	}
	outcome{text: said, code: code, dir: history.Dir(filepath.Dir(plans[0]))}.wantInOrder(t)

	if _, code := endWithoutReader(t, invocation(t, "check", string(recorded.dir)), ""); code != recorded.code {
		t.Errorf("check without a reader ends with %d, the run ended with %d", code, recorded.code)
	}
}

// endWithoutReader runs a command whose output is a pipe, closes its reading end once it has
// said a word, and returns what was read and the exit status.
func endWithoutReader(t *testing.T, cmd *exec.Cmd, word string) (said string, code int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if word == "" {
		r.Close()
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(patience, func() { cmd.Process.Kill() }).Stop()
	w.Close()
	b := make([]byte, 512)
	for !strings.Contains(said, word) {
		n, err := r.Read(b)
		if err != nil {
			t.Fatalf("%v before it said %q:\n%s", err, word, said)
		}
		said += string(b[:n])
	}
	r.Close()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return said, cmd.ProcessState.ExitCode()
}

func TestCrashIsNoVerdict(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		crash func(*testing.T, *liveRun)
		want  int
		says  string
	}{
		// The Go runtime exits with 2 then, as the first process of a namespace.
		{"inside the local cluster", func(t *testing.T, s *liveRun) { signalInner(t, s, syscall.SIGQUIT) },
			checker.Harness.ExitCode(), "crashed or was killed"},
		{"killed inside the local cluster", func(t *testing.T, s *liveRun) { signalInner(t, s, syscall.SIGKILL) },
			checker.Harness.ExitCode(), "crashed or was killed"},
		{"of the process that was started", func(t *testing.T, s *liveRun) { s.signal(t, syscall.SIGQUIT) },
			-1, "SIGQUIT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := startRun(t, "--faults", "none", "--time-limit", "120s")
			s.until(t, phase("workload"))
			tc.crash(t, s)
			o := s.end(t)
			s.wantNothingLeft(t)
			o.want(t, tc.want)
			if !strings.Contains(o.text, tc.says) {
				t.Errorf("does not say %q:\n%s", tc.says, o.text)
			}
			if status := s.ProcessState.Sys().(syscall.WaitStatus); tc.want < 0 && status.Signal() != syscall.SIGABRT {
				t.Errorf("ended by %v", status.Signal())
			}
		})
	}
}

// signalInner sends a signal to the process that carries out the run inside its cluster.
func signalInner(t *testing.T, s *liveRun, sig syscall.Signal) {
	t.Helper()
	for _, found := range processesOf(s.home) {
		proc, args, _ := strings.Cut(found, " ")
		if fields := strings.Fields(args); len(fields) < 2 || fields[1] != insideName {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(proc))
		if err == nil {
			err = syscall.Kill(pid, sig)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no inner process among %q", processesOf(s.home))
}

func TestHangUpEndsACampaignInOrder(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	dir, home := t.TempDir(), t.TempDir()
	put(t, filepath.Join(dir, "night.yaml"), `
campaign: one
budget: {wall: 10m, run: 4m, per-cell: 1}
cluster: {nodes: "local:1"}
subjects: [{system: etcd}]
matrix: {workloads: [register], faults: [none]}
run: {time-limit: 120s}
`)
	cmd := invocation(t, "campaign", "run", filepath.Join(dir, "night.yaml"), "--out", filepath.Join(dir, "out"), "--subject", "etcd@"+server(t))
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+home)
	var said lockedBuffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(patience, func() { cmd.Process.Kill() }).Stop()
	begun := filepath.Join(dir, "out", "runs", "*", "1", "*", "*", history.HistoryFile)
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if found, _ := filepath.Glob(begun); len(found) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no run began:\n%s", &said)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	outcome{text: said.String(), code: cmd.ProcessState.ExitCode()}.want(t, interruptedCode)
	if !strings.Contains(said.String(), "the same command goes on with the night") {
		t.Errorf("does not say how to go on:\n%s", &said)
	}
	verdicts, _ := filepath.Glob(filepath.Join(filepath.Dir(begun), history.VerdictFile))
	if len(verdicts) != 1 {
		t.Errorf("the run that was interrupted has %d verdicts", len(verdicts))
	}
	(&liveRun{home: home}).wantNothingLeft(t)
}

// Writing to a connection that broke raises SIGPIPE as well, and is no reason to end.
func TestBrokenConnectionIsNoReasonToEnd(t *testing.T) {
	ctx, stop := endOnSignals()
	defer stop()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	if _, err := w.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("writing to a pipe without a reader: %v", err)
	}
	if !readerGone(w) || readerGone(os.Stdout) {
		t.Errorf("the reader of the pipe is gone: %v, of standard output: %v", readerGone(w), readerGone(os.Stdout))
	}
	if n, err := (output{w}).Write([]byte("xyz")); n != 3 || err != nil {
		t.Errorf("output without a reader: %d, %v", n, err)
	}
	select {
	case <-ctx.Done():
		t.Error("ended")
	case <-time.After(100 * time.Millisecond):
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
}
