// Package nemesistest runs nemesis from go test, so that a repository with a system of its
// own tests it like anything else:
//
//	func TestStoreKeepsItsPromise(t *testing.T) {
//		nemesistest.Run(t, nemesistest.Options{
//			System: "./store.yaml",
//			Flags:  []string{"--faults", "partition,kill", "--time-limit", "30s"},
//		})
//	}
//
// A violation fails the test with the finding's sentence and the path of the report. Whatever
// proves nothing fails it too, and says so: a test that is green because nothing was
// tested is worse than a red one.
//
// nemesis is a program of its own, since a local cluster needs namespaces that a test's
// process cannot have. It is built from the version that the test's go.mod requires, which
// has to name it as a tool (go get -tool nemesis/cmd/nemesis). examples/gotest is a whole module.
package nemesistest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
)

// Options say what to run.
type Options struct {
	// System is the argument of nemesis run: the name of a system, or a file.
	System string
	// Replay is a run directory whose plan is carried out again, instead of System.
	Replay string
	// Flags are further flags, as on the command line. Without --nodes there are three local
	// nodes.
	Flags []string
	// Out is the store; "" is a directory "store" beside the test, which outlives it. The
	// report of a failed test must be there afterwards.
	Out string
	// Program is the nemesis executable; "" is $NEMESIS_PROGRAM, or else one that is built.
	Program string
}

// Result is how a run ended.
type Result struct {
	// Verdict is what verdict.json has.
	Verdict checker.Verdict
	// Dir is the run directory, Report the path of report.html in it.
	Dir, Report string
}

const (
	// beforeDeadline is how long before the test's deadline a run is interrupted, so that it
	// still heals its nodes and judges what it recorded.
	beforeDeadline = 30 * time.Second
	// graceful is how long it may take for that.
	graceful = 2 * time.Minute
)

// Run runs nemesis and returns what it found. It ends the test, failed, unless the run is
// valid, with the verdict's sentence and the path of the report. It must be called from the test's own
// goroutine.
func Run(t testing.TB, opt Options) Result {
	t.Helper()
	result, err := run(t, opt)
	if err != nil {
		t.Fatalf("nemesis: %v", err)
	}
	if result.Verdict.Outcome != checker.Valid {
		t.Fatalf("nemesis: %s: %s\nreport: %s", result.Verdict.Outcome, checker.ShowWhole(result.Verdict.Sentence), result.Report)
	}
	return result
}

// run is Run without a judgement of its own. An error means that there is no verdict.
func run(t testing.TB, opt Options) (Result, error) {
	args, err := opt.args()
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if test, is := t.(interface{ Deadline() (time.Time, bool) }); is {
		if at, limited := test.Deadline(); limited {
			ctx, cancel = context.WithDeadline(ctx, at.Add(-beforeDeadline))
			defer cancel()
		}
	}
	program := opt.Program
	if program == "" {
		program = os.Getenv("NEMESIS_PROGRAM")
	}
	if program == "" {
		if program, err = build(ctx, t.TempDir()); err != nil {
			return Result{}, err
		}
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = graceful
	var said lastWords
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return Result{}, fmt.Errorf("start %s: %w", program, err)
	}
	result, judged := follow(t, out)
	ended := cmd.Wait()
	if !judged {
		if ended == nil {
			ended = errors.New("it told no verdict")
		}
		return result, fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), ended, said.line())
	}
	return result, nil
}

func (o Options) args() ([]string, error) {
	if (o.System == "") == (o.Replay == "") {
		return nil, errors.New("say either a System or a run to Replay")
	}
	out := o.Out
	if out == "" {
		out = "store"
	}
	args := []string{"run", o.System}
	if o.Replay != "" {
		args = []string{"replay", o.Replay}
	}
	args = append(args, "--json", "--out", out)
	if o.Replay == "" {
		args = append(args, "--nodes", "local:3") // the last one of a flag counts
	}
	return append(args, o.Flags...), nil
}

// build makes the program of the module that is being tested.
func build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "nemesis")
	if err := os.Chmod(dir, 0o755); err != nil { // nodes run it as other users
		return "", err
	}
	out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "nemesis/cmd/nemesis").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build nemesis (go get -tool nemesis/cmd/nemesis adds it to go.mod): %w: %s", err, checker.ShowWhole(strings.TrimSpace(string(out))))
	}
	return program, nil
}

// follow reads what a run tells, and passes on what a person wants to know of it.
func follow(t testing.TB, out io.Reader) (result Result, judged bool) {
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadBytes('\n')
		var event struct {
			Action, Directory, Phase, Message string
			Verdict                           *checker.Verdict
		}
		if json.Unmarshal(line, &event) == nil {
			switch event.Action {
			case "directory":
				result.Dir, result.Report = event.Directory, filepath.Join(event.Directory, "report.html")
				t.Logf("nemesis writes to %s", event.Directory)
			case "phase":
				t.Logf("nemesis: %s", event.Phase)
			case "trouble":
				t.Logf("nemesis: trouble: %s", checker.ShowLine(event.Message))
			case "verdict":
				if event.Verdict != nil {
					result.Verdict, judged = *event.Verdict, true
				}
			}
		}
		if err != nil {
			return result, judged
		}
	}
}

// lastWords keeps the end of what a program says.
type lastWords struct{ text []byte }

func (l *lastWords) Write(p []byte) (int, error) {
	const most = 4096
	l.text = append(l.text, p...)
	l.text = l.text[max(0, len(l.text)-most):]
	return len(p), nil
}

func (l *lastWords) line() string {
	lines := strings.Split(strings.TrimSpace(string(l.text)), "\n")
	return checker.ShowWhole(lines[len(lines)-1])
}
