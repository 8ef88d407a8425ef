//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

// endings are the ways in which somebody may want the program to end.
var endings = []struct {
	name string
	end  func(*testing.T, *liveRun)
	// crash: the Go runtime ends the program, with its stacks, by SIGABRT.
	crash bool
}{
	{"SIGINT", func(t *testing.T, s *liveRun) { s.sent(t, syscall.SIGINT) }, false},
	{"SIGTERM", func(t *testing.T, s *liveRun) { s.sent(t, syscall.SIGTERM) }, false},
	{"SIGHUP", func(t *testing.T, s *liveRun) { s.sent(t, syscall.SIGHUP) }, false},
	{"SIGPIPE", func(t *testing.T, s *liveRun) { s.stdout.Close() }, false},
	{"SIGQUIT", func(t *testing.T, s *liveRun) { s.sent(t, syscall.SIGQUIT) }, true},
}

// sent is signal to a program that may have ended.
func (s *liveRun) sent(t *testing.T, sig os.Signal) {
	if err := s.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
}

// wantEnded fails the test unless a run that was asked to end, or crashed, left what it
// should and nothing else.
func wantEnded(t *testing.T, left *remains, o outcome, crash bool) {
	t.Helper()
	left.wantNone(t)
	wantReadable(t, o.dir)
	status := left.ProcessState.Sys().(syscall.WaitStatus)
	if crash && status.Signaled() && status.Signal() == syscall.SIGABRT {
		return
	}
	if crashed.MatchString(o.text) {
		t.Errorf("it crashed:\n%s", o.text)
	}
	if o.dir == "" {
		if o.code != checker.Harness.ExitCode() && o.code != interruptedCode {
			t.Errorf("exit status %d without a run directory:\n%s", o.code, o.text)
		}
		return
	}
	o.wantFiles(t)
	v := o.verdict(t)
	if o.code != v.Outcome.ExitCode() || !slices.Contains([]checker.Outcome{checker.Valid, checker.Vacuous, checker.Unknown}, v.Outcome) {
		t.Errorf("exit status %d, %s: %q\n%s", o.code, v.Sentence, v.Reasons, o.text)
	}
	if temporary, _ := filepath.Glob(o.dir.Path("*.tmp*")); len(temporary) > 0 {
		t.Errorf("half-written files are left: %q", temporary)
	}
}

// signals are all endings at all moments of run, of replay and of campaign run, and of check
// while it reads and while it judges.
func signals(t *testing.T, r *rand.Rand, n int) []attack {
	var all []attack
	add := func(name string, run func(*testing.T)) { all = append(all, attack{name, run}) }
	flags := []string{"--faults", "pause", "--fault-interval", "2s", "--time-limit", "5s"}
	var replayed history.Dir // recorded when it is needed first
	store := t.TempDir()     // it outlives the attacks
	for _, ending := range endings {
		for _, moment := range moments {
			add(fmt.Sprintf("run, %s %s", ending.name, moment.name), func(t *testing.T) {
				s := startRun(t, append([]string{"--nodes", "local:1"}, flags...)...)
				left := &remains{liveRun: s}
				s.until(t, moment.is)
				left.note()
				ending.end(t, s)
				wantEnded(t, left, s.end(t), ending.crash)
			})
			add(fmt.Sprintf("replay, %s %s", ending.name, moment.name), func(t *testing.T) {
				if replayed == "" {
					replayed = recordToReplay(t, store, flags)
				}
				s := startCommand(t, "replay", string(replayed), "--json")
				left := &remains{liveRun: s}
				s.until(t, moment.is)
				left.note()
				ending.end(t, s)
				wantEnded(t, left, s.end(t), ending.crash)
			})
			add(fmt.Sprintf("campaign run, %s %s", ending.name, moment.name), func(t *testing.T) {
				attackCampaign(t, moment.name, ending.end, ending.crash)
			})
		}
		for _, wait := range []time.Duration{0, 200 * time.Millisecond, time.Second, 3 * time.Second} {
			add(fmt.Sprintf("check of a run, %s after %s", ending.name, wait), func(t *testing.T) {
				attackCheck(t, ending.end, ending.crash, wait, false)
			})
			add(fmt.Sprintf("check of a file, %s after %s", ending.name, wait), func(t *testing.T) {
				attackCheck(t, ending.end, ending.crash, wait, true)
			})
		}
	}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}

// recordToReplay records a run on one local node.
func recordToReplay(t *testing.T, store string, flags []string) history.Dir {
	t.Helper()
	return finish(t, invocation(t, append([]string{"run", "etcd", "--nodes", "local:1", "--seed", "7", "--binary", server(t), "--out", store}, flags...)...)).dir
}

// attackCampaign ends a campaign of one run while that is in a phase.
func attackCampaign(t *testing.T, moment string, end func(*testing.T, *liveRun), crash bool) {
	needsLocalNodes(t)
	dir := t.TempDir()
	put(t, filepath.Join(dir, "night.yaml"), `
campaign: one
budget: {wall: 10m, run: 4m, per-cell: 1}
cluster: {nodes: "local:1"}
subjects: [{system: etcd}]
matrix: {workloads: [register], faults: [pause]}
run: {time-limit: 5s, fault-interval: 2s}
`)
	s := startCommand(t, "campaign", "run", filepath.Join(dir, "night.yaml"), "--out", filepath.Join(dir, "out"), "--subject", "etcd@"+server(t))
	left := &remains{liveRun: s}
	phases := map[string]string{"while it deploys": history.PhaseInstall, "while it starts": history.PhaseStart, "in the workload": history.PhaseWorkload,
		"with a fault in force": "", "while it settles": history.PhaseSettle, "while it stops": history.PhaseStop, "while it judges": history.PhaseCheck}
	at := phases[moment]
	runs := filepath.Join(dir, "out", "runs", "*", "1", "*", "*")
	reached := func() bool {
		found, _ := filepath.Glob(filepath.Join(runs, history.HistoryFile))
		if len(found) == 0 {
			return false
		}
		log, err := history.Load(found[0])
		if err != nil {
			return false // it is being written
		}
		for _, ev := range log.Events {
			if ev.Type == history.PhaseChange && at != "" && (ev.Message == at || ev.Message == history.PhaseDone) ||
				ev.Type == history.FaultChange && at == "" && ev.Fault.Stage == history.Active {
				return true
			}
		}
		return false
	}
	ended := make(chan struct{})
	go func() {
		for s.events.Scan() {
		}
		close(ended)
	}()
	for deadline := time.Now().Add(patience); !reached(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the run never came so far:\n%s", s.stderr)
		}
	}
	left.note()
	end(t, s)
	<-ended
	o := s.end(t)
	left.wantNone(t)
	verdicts, _ := filepath.Glob(filepath.Join(runs, history.PlanFile))
	for _, plan := range verdicts {
		wantReadable(t, history.Dir(filepath.Dir(plan)))
	}
	if crash && o.code == -1 {
		return
	}
	if crashed.MatchString(o.text) {
		t.Errorf("it crashed:\n%s", o.text)
	}
	for _, plan := range verdicts {
		for _, name := range []string{history.VerdictFile, history.ReportFile, history.JUnitFile} {
			if _, err := os.Stat(filepath.Join(filepath.Dir(plan), name)); err != nil {
				t.Errorf("the run that was interrupted: %v", err)
			}
		}
	}
	// The run may have come to its end, and the night with it.
	if o.code != interruptedCode && o.code != 0 && o.code != checker.Vacuous.ExitCode() {
		t.Errorf("exit status %d:\n%s", o.code, o.text)
	}
	// The same command goes on with the night.
	if o.code == interruptedCode && !strings.Contains(o.text, "the same command goes on with the night") {
		t.Errorf("does not say how to go on:\n%s", o.text)
	}
}

// attackCheck ends a check some time after it began.
func attackCheck(t *testing.T, end func(*testing.T, *liveRun), crash bool, wait time.Duration, file bool) {
	dir := t.TempDir()
	var args []string
	if file {
		var b bytes.Buffer
		for i := range 300_000 {
			fmt.Fprintf(&b, "{:process %d, :type :invoke, :f :add, :value %d}\n{:process %d, :type :ok, :f :add, :value %d}\n", i%5, i, i%5, i)
		}
		put(t, filepath.Join(dir, "history.edn"), b.String())
		args = []string{"check", "--model", "set", filepath.Join(dir, "history.edn")}
	} else {
		recordLongRun(t, dir)
		args = []string{"check", dir}
	}
	s := startCommand(t, args...)
	left := &remains{liveRun: s}
	s.untilItReads(dir)
	time.Sleep(wait)
	left.note()
	end(t, s)
	o := s.end(t)
	left.wantNone(t)
	status := s.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case crash && status.Signaled() && status.Signal() == syscall.SIGABRT:
	case crashed.MatchString(o.text):
		t.Errorf("it crashed:\n%s", o.text)
	case o.code != 0 && o.code != checker.Unknown.ExitCode():
		t.Errorf("exit status %d:\n%s", o.code, o.text)
	}
	if !file {
		if temporary, _ := filepath.Glob(filepath.Join(dir, "*.tmp*")); len(temporary) > 0 && !status.Signaled() {
			t.Errorf("half-written files are left: %q", temporary)
		}
		verdict := checker.Verdict{}
		if err := history.Dir(dir).ReadJSON(history.VerdictFile, &verdict); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("half a verdict was written: %v", err)
		}
	}
}

// untilItReads waits until the program has opened a file below a directory, or has ended.
// Before its main function begins, the runtime's own handlers of signals are in force.
func (s *liveRun) untilItReads(dir string) {
	for (process{pid: s.Process.Pid}).runs() {
		open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.Process.Pid))
		for _, fd := range open {
			if path, _ := os.Readlink(fd); strings.HasPrefix(path, dir+"/") {
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// runs reports whether a child of this process has not ended.
func (p process) runs() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	at := bytes.LastIndexByte(stat, ')')
	return err == nil && at >= 0 && !bytes.HasPrefix(stat[at:], []byte(") Z"))
}

// recordLongRun writes a run directory that takes a moment to judge.
func recordLongRun(t *testing.T, dir string) {
	t.Helper()
	d := history.Dir(dir)
	put(t, d.Path(history.PlanFile), strings.Replace(attackedPlan, fmt.Sprint(attackMemory), fmt.Sprint(1<<30), 1))
	events, long := recordedEvents(false), 400
	var first, last int
	for i, ev := range events {
		if ev.Message == history.PhaseWorkload {
			first = i + 1
		}
		if ev.Message == history.PhaseHeal {
			last = i
		}
	}
	index, now := int64(0), int64(0)
	writeFrames(t, d.Path(history.HistoryFile), long+2, func(i int) (lines []byte) {
		part := events[first:last]
		switch i {
		case 0:
			part = events[:first]
		case long + 1:
			part = events[last:]
		}
		for _, ev := range part {
			now += 1e5
			ev.Index, ev.Time = index, now
			if ev.Key != "" {
				ev.Key = fmt.Sprint(i)
			}
			if i == long+1 && ev.Key != "" {
				ev.Key = fmt.Sprint(long) // whose last value it reads
			}
			index++
			lines = append(lines, lineOf(t, ev)...)
		}
		return lines
	})
}
