//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/clients/etcd"
	"nemesis/history"
	"nemesis/nodes/local"
	"nemesis/nodes/local/localtest"
)

// The tests below this line run the real program against real servers. Some run
// in a local world of their own, next to nodes that must outlive the program.

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == local.Command {
		os.Exit(local.Main(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == fakeIron {
		os.Exit(serveFakeIron(os.Args[2:]))
	}
	// Started under nohup, this process would hand an ignored hang-up to every run.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	localtest.WaitTogether()
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// built is the program under test, made once.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// testVersion is its version, written into it as .ci/release does.
const testVersion = "v0.0.1-test"

const programVariable = "NEMESIS_TEST_PROGRAM"

// program is the path of the nemesis executable, readable by every user.
func program(t *testing.T) string {
	t.Helper()
	if path := os.Getenv(programVariable); path != "" {
		return path // in a world: the test outside built it
	}
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "nemesis-test-"); built.err != nil {
			return
		}
		os.Chmod(built.dir, 0o755)
		// Without debugging information, as it goes to the nodes of every run; with or without
		// cgo as this test, which has all but this package compiled already.
		cmd := exec.Command("go", "build", "-ldflags=-s -w -X nemesis/run.release="+testVersion, "-o", filepath.Join(built.dir, "nemesis"), ".")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = errors.New(string(out))
		}
	})
	if built.err != nil {
		t.Fatalf("build nemesis: %v", built.err)
	}
	return filepath.Join(built.dir, "nemesis")
}

// server is the path of a real etcd, from the cache or built now.
func server(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real servers; run without -short")
	}
	install, err := etcd.System{}.Prepare(t.Context(), history.System{Name: "etcd", Version: etcd.System{}.DefaultVersion()}, io.Discard)
	if err != nil {
		t.Skipf("needs etcd, which cannot be built here: %v", err)
	}
	return install.Files["etcd"]
}

// cluster skips a test where there can be no local nodes.
func needsLocalNodes(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real servers; run without -short")
	}
	if err := local.Check(t.Context()); err != nil {
		t.Skipf("needs local nodes: %v", err)
	}
}

// outcome is how a run of the program ended.
type outcome struct {
	text string // standard output and standard error
	code int
	dir  history.Dir // "" when it made none
}

// invocation is a command line of the program, not yet started.
func invocation(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.Command(program(t), args...)
	cmd.Dir = t.TempDir()
	// A test that dies must not leave a cluster behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// finish runs an invocation to its end.
func finish(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	began := time.Now()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("start %s: %v", cmd, err)
	}
	o := outcome{text: b.String(), code: cmd.ProcessState.ExitCode()}
	if _, rest, ok := strings.Cut(o.text, "writing to "); ok {
		path, _, _ := strings.Cut(rest, "\n")
		o.dir = history.Dir(path)
	}
	t.Logf("%s: exit status %d after %.1f s", strings.Join(cmd.Args[1:], " "), o.code, time.Since(began).Seconds())
	return o
}

func (o outcome) verdict(t *testing.T) checker.Verdict {
	t.Helper()
	if o.dir == "" {
		t.Fatalf("no run directory:\n%s", o.text)
	}
	var v checker.Verdict
	if err := o.dir.ReadJSON(history.VerdictFile, &v); err != nil {
		t.Fatalf("%v\n%s", err, o.text)
	}
	return v
}

// want fails the test unless the run ended with this status, and shows why.
func (o outcome) want(t *testing.T, code int) {
	t.Helper()
	if o.code != code {
		t.Fatalf("exit status %d, want %d:\n%s", o.code, code, o.text)
	}
}

// wantFiles fails the test unless the run directory is complete.
func (o outcome) wantFiles(t *testing.T) {
	t.Helper()
	for _, name := range []string{history.PlanFile, history.ProgramFile, history.HistoryFile, history.VerdictFile, history.ReportFile, history.JUnitFile} {
		if info, err := os.Stat(o.dir.Path(name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// wantFaults fails the test unless one fault of each kind is confirmed and healed.
func wantFaults(t *testing.T, v checker.Verdict, kinds ...string) {
	t.Helper()
	for _, kind := range kinds {
		found := false
		for _, f := range v.Faults {
			found = found || f.Step.Kind == kind && f.Confirmed && f.Recovered && f.Evidence != ""
		}
		if !found {
			t.Errorf("no %s was confirmed and healed: %+v", kind, v.Faults)
		}
	}
}

// inWorld runs the rest of a test in a local world, where it can make nodes that
// outlive the program. It returns false outside, when the work is done.
func inWorld(t *testing.T) bool {
	t.Helper()
	if local.Inside() {
		return true
	}
	needsLocalNodes(t)
	t.Parallel() // a world of its own shares nothing, and mostly waits
	var b bytes.Buffer
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v", "-test.count=1", "-test.timeout=5m"}
	var show io.Writer = &b
	if testing.Verbose() {
		show = io.MultiWriter(&b, os.Stderr)
	}
	code, err := local.Run(t.Context(), local.World{
		Args: args, Env: []string{programVariable + "=" + program(t)}, Stdout: show, Stderr: show,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !testing.Verbose() {
		t.Log(b.String())
	}
	if code != 0 {
		t.Fatalf("failed in its world with status %d", code)
	}
	if strings.Contains(b.String(), "--- SKIP") {
		t.Skip("skipped in its world: " + b.String())
	}
	return false
}
