package nemesistest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nemesis/checker"
)

// TestMain lets the test binary be a nemesis that tells what a test asks for.
func TestMain(m *testing.M) {
	if tells := os.Getenv("NEMESIS_TEST_TELLS"); tells != "" {
		if tells == "nothing" {
			fmt.Fprintln(os.Stderr, "first\nnemesis: run etcd: there is no \x1b[31mnode")
			os.Exit(5)
		}
		verdict, _ := json.Marshal(checker.Verdict{Outcome: checker.Outcome(tells), Sentence: "Client 1 read \x1b[31mit."})
		fmt.Printf("{\"schema\":1,\"action\":\"plan\"}\n{\"action\":\"directory\",\"directory\":\"/store/a/b\"}\nno JSON\n{\"action\":\"verdict\",\"verdict\":%s}\n", verdict)
		os.Exit(checker.Outcome(tells).ExitCode())
	}
	os.Exit(m.Run())
}

// fake is a test that notes how it failed.
type fake struct {
	testing.TB
	failed string
}

func (f *fake) Helper()             {}
func (f *fake) Logf(string, ...any) {}
func (f *fake) Fatalf(format string, args ...any) {
	f.failed = fmt.Sprintf(format, args...)
	panic(f)
}

// told is how a test fails whose nemesis tells something; "" when it does not.
func told(t *testing.T, tells string) (result Result, failed string) {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NEMESIS_TEST_TELLS", tells)
	f := &fake{TB: t}
	defer func() {
		if p := recover(); p != nil && p != any(f) {
			panic(p)
		}
		failed = f.failed
	}()
	return Run(f, Options{System: "etcd", Program: executable}), ""
}

func TestOnlyAValidRunPasses(t *testing.T) {
	if result, failed := told(t, "valid"); failed != "" || result.Dir != "/store/a/b" || result.Report != "/store/a/b/report.html" || result.Verdict.Outcome != checker.Valid {
		t.Errorf("a valid run: %+v, failed with %q", result, failed)
	}
	for _, o := range []checker.Outcome{checker.Violation, checker.Exceeded, checker.Harness, checker.Unknown, checker.Vacuous} {
		want := fmt.Sprintf("nemesis: %s: Client 1 read \\x1b[31mit.\nreport: /store/a/b/report.html", o)
		if _, failed := told(t, string(o)); failed != want {
			t.Errorf("a run that is %s fails with %q, want %q", o, failed, want)
		}
	}
	_, failed := told(t, "nothing")
	if !strings.HasSuffix(failed, `run etcd --json --out store --nodes local:3: exit status 5: nemesis: run etcd: there is no \x1b[31mnode`) {
		t.Errorf("a run without a verdict fails with %q", failed)
	}
}

func TestOptionsSayOneThingToRun(t *testing.T) {
	for _, opt := range []Options{{}, {System: "etcd", Replay: "latest"}} {
		if _, err := opt.args(); err == nil {
			t.Errorf("%+v is taken", opt)
		}
	}
	args, err := Options{Replay: "latest", Out: "x", Flags: []string{"--quiet"}}.args()
	if got := strings.Join(args, " "); err != nil || got != "replay latest --json --out x --quiet" {
		t.Errorf("%s (%v)", got, err)
	}
}

// The example is a module of its own, as a user's is: it must build as it stands, but for the
// versions of what nemesis needs, which follow ours.
func TestTheExampleModuleBuilds(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the example")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command:", err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for from, to := range map[string]string{"examples/gotest/go.mod": "go.mod", "examples/gotest/store_test.go": "store_test.go", "go.sum": "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, from))
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.Replace(string(text), "=> ../..", "=> "+root, 1))
		if err := os.WriteFile(filepath.Join(dir, to), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"vet", "./..."}, {"list", "-deps", "nemesis/cmd/nemesis"}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
