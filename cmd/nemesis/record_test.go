//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/run"
)

// A short run on local nodes, recorded once, for tests of what is shown while it
// goes on and of what can be made of its directory later.
var recorded struct {
	once           sync.Once
	stdout, stderr string
	code           int
	dir            history.Dir
	files          map[string][]byte
}

func record(t *testing.T) {
	t.Helper()
	needsLocalNodes(t)
	etcd := server(t)
	recorded.once.Do(func() {
		cmd := invocation(t, "run", "etcd", "--nodes", "local:3", "--time-limit", "3s", "--seed", "7",
			"--faults", "pause", "--fault-interval", "2s", "--binary", etcd, "--json")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Run()
		recorded.stdout, recorded.stderr, recorded.code = stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
		for line := range strings.Lines(recorded.stdout) {
			var p run.Progress
			if json.Unmarshal([]byte(line), &p) == nil && p.Directory != "" {
				recorded.dir = history.Dir(p.Directory)
			}
		}
		recorded.files = map[string][]byte{}
		for _, name := range []string{history.PlanFile, history.HistoryFile, history.VerdictFile} {
			recorded.files[name], _ = os.ReadFile(recorded.dir.Path(name))
		}
	})
	if recorded.code != 0 || len(recorded.files[history.HistoryFile]) == 0 {
		t.Fatalf("the run to look at failed with status %d:\n%s", recorded.code, recorded.stderr)
	}
}

// copyOf is a run directory with the recorded run's files, of which some are
// replaced, and those that are nil are missing.
func copyOf(t *testing.T, replaced map[string][]byte) history.Dir {
	t.Helper()
	dir := history.Dir(t.TempDir())
	for name, content := range recorded.files {
		if other, ok := replaced[name]; ok {
			content = other
		}
		if content == nil {
			continue
		}
		if err := os.WriteFile(dir.Path(name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestEventStreamIsOneObjectALine(t *testing.T) {
	t.Parallel()
	record(t)
	seen := map[string]int{}
	last := ""
	for line := range strings.Lines(recorded.stdout) {
		var p struct {
			Time   *int64
			Action string
		}
		if err := json.Unmarshal([]byte(line), &p); err != nil || p.Action == "" || p.Time == nil {
			t.Fatalf("line %q: %v", line, err)
		}
		seen[p.Action]++
		last = p.Action
	}
	for _, action := range []string{"plan", "directory", "phase", "status", "fault", "leader", "verdict"} {
		if seen[action] == 0 {
			t.Errorf("no line tells of a %s: %v", action, seen)
		}
	}
	if last != "verdict" {
		t.Errorf("the last line tells of a %s", last)
	}
	if want := "valid: No violation found in "; !strings.HasPrefix(recorded.stderr, want) || !strings.HasSuffix(recorded.stderr, "/"+history.ReportFile+"\n") {
		t.Errorf("standard error has not just the verdict and its report: %q", recorded.stderr)
	}
}

func TestCheckRepeatsTheVerdict(t *testing.T) {
	t.Parallel()
	record(t)
	dir := copyOf(t, nil)
	out, code := try(t, "check", "--quiet", string(dir))
	if code != 0 || strings.Count(out, "\n") != 2 || !strings.HasPrefix(out, "valid: No violation found in ") {
		t.Errorf("check --quiet: exit status %d: %q", code, out)
	}
	out, code = try(t, "check", dir.Path(history.HistoryFile)) // any file of the run will do
	if code != 0 || !strings.Contains(out, "VALID") {
		t.Errorf("check: exit status %d: %q", code, out)
	}
	o := outcome{text: out}
	o.wantPlainText(t)
}

func TestHistoryCutAnywhereIsReadAndNeverCalledValid(t *testing.T) {
	t.Parallel()
	record(t)
	whole := recorded.files[history.HistoryFile]
	cuts := []int{0, 1, 4, 5, len(whole) - 1}
	for i := range 24 {
		cuts = append(cuts, len(whole)*(i+1)/25)
	}
	for _, boundary := range frames(whole) {
		cuts = append(cuts, boundary-1, boundary, boundary+1)
	}
	judged := 0
	for _, cut := range cuts {
		if cut < 0 || cut >= len(whole) {
			continue
		}
		judged++
		dir := copyOf(t, map[string][]byte{history.HistoryFile: whole[:cut], history.VerdictFile: nil})
		out, code := try(t, "check", "--quiet", string(dir))
		var v checker.Verdict
		if err := dir.ReadJSON(history.VerdictFile, &v); err != nil {
			t.Fatalf("cut at %d of %d: %v: %s", cut, len(whole), err, out)
		}
		if code != checker.Harness.ExitCode() || v.Outcome != checker.Harness {
			t.Errorf("cut at %d of %d: exit status %d: %s", cut, len(whole), code, out)
		}
		if !strings.Contains(v.Sentence, fmt.Sprintf("of %d bytes", cut)) && !strings.Contains(v.Sentence, "the history stops before the run ended") {
			t.Errorf("cut at %d of %d: does not say how much it read: %s", cut, len(whole), v.Sentence)
		}
		if out, code := try(t, "report", string(dir)); code != 0 {
			t.Errorf("cut at %d of %d: report: exit status %d: %s", cut, len(whole), code, out)
		}
	}
	if judged < 30 {
		t.Errorf("only %d cuts were judged", judged)
	}
}

// frames finds where the frames of a history begin, by the magic number of zstd;
// one in the middle of a frame is as good a place to cut.
func frames(file []byte) []int {
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	var at []int
	for i := 0; ; {
		n := bytes.Index(file[i:], magic)
		if n < 0 {
			return at
		}
		at = append(at, i+n)
		i += n + 1
	}
}

// A run directory is enough: a system that this nemesis does not know is judged and
// reported all the same.
func TestRunOfAnUnknownSystemIsJudgedTheSame(t *testing.T) {
	t.Parallel()
	record(t)
	const other = "xyzd"                                   // as long as etcd
	inDirNamedAlike := func(dir history.Dir) history.Dir { // the page shows the name
		alike := history.Dir(filepath.Join(t.TempDir(), "run"))
		if err := os.Rename(string(dir), string(alike)); err != nil {
			t.Fatal(err)
		}
		return alike
	}
	known := inDirNamedAlike(copyOf(t, nil))
	unknown := inDirNamedAlike(copyOf(t, map[string][]byte{history.PlanFile: bytes.Replace(recorded.files[history.PlanFile], []byte(`"name": "etcd"`), []byte(`"name": "`+other+`"`), 1)}))
	if plan, err := unknown.Plan(); err != nil || plan.System.Name != other {
		t.Fatalf("the system is %q: %v", plan.System.Name, err)
	}
	verdict := func(dir history.Dir) checker.Verdict {
		_, code := try(t, "check", "--quiet", string(dir))
		v, err := checker.ReadVerdict(dir)
		if err != nil {
			t.Fatal(err)
		}
		if code != v.Outcome.ExitCode() {
			t.Errorf("exit status %d of %s", code, v.Outcome)
		}
		for i := range v.Results {
			v.Results[i].Took = 0
		}
		return v
	}
	want := verdict(known)
	if diff := cmp.Diff(want, verdict(unknown)); diff != "" || want.Claim.Origin != history.Documented || len(want.Assumptions) == 0 {
		t.Errorf("another verdict without the system's code (-with +without), claim %+v:\n%s", want.Claim, diff)
	}
	page := func(dir history.Dir) string {
		if err := dir.WriteJSON(history.VerdictFile, want); err != nil {
			t.Fatal(err)
		}
		if out, code := try(t, "report", string(dir)); code != 0 {
			t.Fatalf("exit status %d: %s", code, out)
		}
		text, err := os.ReadFile(dir.Path(history.ReportFile))
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(text), string(dir), "RUN")
	}
	if a, b := page(known), strings.ReplaceAll(page(unknown), other, "etcd"); a != b {
		t.Errorf("another page without the system's code:\n%s", cmp.Diff(strings.Split(a, "\n"), strings.Split(b, "\n")))
	}
}

func TestDamagedRunDirectories(t *testing.T) {
	t.Parallel()
	record(t)
	plan := func(change func(map[string]any)) []byte {
		var p map[string]any
		if err := json.Unmarshal(recorded.files[history.PlanFile], &p); err != nil {
			t.Fatal(err)
		}
		change(p)
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	impossible := recordedTwice(t)
	for name, tc := range map[string]struct {
		command string
		files   map[string][]byte
		code    int
		says    string
	}{
		"no history":            {"check", map[string][]byte{history.HistoryFile: nil}, 5, "history.jsonl.zst: no such file"},
		"a history of nothing":  {"check", map[string][]byte{history.HistoryFile: {}}, 5, "the history stops before the run ended"},
		"a history of rubbish":  {"check", map[string][]byte{history.HistoryFile: []byte("it was a dark and stormy night")}, 5, "read 0 events from 0 of 30 bytes"},
		"an impossible history": {"check", map[string][]byte{history.HistoryFile: impossible}, 5, "event 0 stands where event"},
		"a rubbish plan":        {"check", map[string][]byte{history.PlanFile: []byte("\x1b[2J{")}, 64, "plan.json: invalid character"},
		"another schema": {"check", map[string][]byte{history.PlanFile: plan(func(p map[string]any) { p["schema"] = 99 })}, 64,
			"its schema is 99, this nemesis reads 1 to 2; use the nemesis that wrote it"},
		"another system": {"check", map[string][]byte{history.PlanFile: plan(func(p map[string]any) { p["system"].(map[string]any)["name"] = "postgres\x07" })}, 0,
			"valid: "},
		"a report of another system": {"report", map[string][]byte{history.PlanFile: plan(func(p map[string]any) { p["system"].(map[string]any)["name"] = "postgres" })}, 0, history.ReportFile},
		"a replay of another system": {"replay", map[string][]byte{history.PlanFile: plan(func(p map[string]any) { p["system"].(map[string]any)["name"] = "postgres\x07" })}, 64,
			"is not known here"},
		"a plan of schema 1": {"check", map[string][]byte{history.PlanFile: plan(func(p map[string]any) {
			p["schema"], p["bounds"] = 1, p["claim"].(map[string]any)["bounds"]
			delete(p, "claim")
		})}, 0, "valid: "},
		"another workload":            {"check", map[string][]byte{history.PlanFile: plan(func(p map[string]any) { p["workload"].(map[string]any)["name"] = "casino" })}, 64, `"casino"`},
		"a rubbish verdict":           {"check", map[string][]byte{history.VerdictFile: []byte("{")}, 0, "valid: "},
		"a report of rubbish":         {"report", map[string][]byte{history.VerdictFile: []byte("{")}, 64, "verdict.json: unexpected end of JSON input; run nemesis check to write it anew"},
		"a report without a verdict":  {"report", map[string][]byte{history.VerdictFile: nil}, 64, "it has no verdict.json; run nemesis check on it first"},
		"a report of another schema":  {"report", map[string][]byte{history.VerdictFile: []byte(`{"schema":99}`)}, 64, "its schema is 99, this nemesis reads 1 to 2; run nemesis check to write it anew"},
		"a report without a history":  {"report", map[string][]byte{history.HistoryFile: nil}, 0, history.ReportFile},
		"a replay of another schema":  {"replay", map[string][]byte{history.PlanFile: plan(func(p map[string]any) { p["schema"] = 99 })}, 64, "its schema is 99"},
		"a replay without a schedule": {"replay", map[string][]byte{history.PlanFile: []byte("[]")}, 64, "plan.json: "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyOf(t, tc.files)
			args := []string{tc.command, string(dir)}
			if tc.command == "check" {
				args = append(args, "--quiet")
			}
			out, code := try(t, args...)
			if code != tc.code || !strings.Contains(out, tc.says) {
				t.Errorf("exit status %d, want %d; %q lacks %q", code, tc.code, out, tc.says)
			}
			outcome{text: out}.wantPlainText(t)
			if lines := strings.Count(out, "\n"); lines > 2 || code == usageCode && lines != 1 {
				t.Errorf("%d lines: %q", lines, out)
			}
		})
	}
}

// recordedTwice is a history whose second half is its first again.
func recordedTwice(t *testing.T) []byte {
	t.Helper()
	whole := recorded.files[history.HistoryFile]
	return append(bytes.Clone(whole), whole...)
}

func TestRunDirectoryThatMayNotBeWritten(t *testing.T) {
	t.Parallel()
	record(t)
	if os.Getuid() == 0 {
		// Root may write anywhere but through a file that is not a directory.
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		o := finish(t, invocation(t, "run", "etcd", "--nodes", "local:1", "--time-limit", "1s", "--faults", "none", "--quiet", "--out", filepath.Join(file, "store")))
		o.want(t, checker.Harness.ExitCode())
		if strings.Count(o.text, "\n") != 1 || !strings.HasPrefix(o.text, "nemesis: make run directory: ") {
			t.Errorf("says %q", o.text)
		}
		return
	}
	dir := copyOf(t, nil)
	if err := os.Chmod(string(dir), 0o555); err != nil {
		t.Fatal(err)
	}
	out, code := try(t, "check", "--quiet", string(dir))
	if code != checker.Harness.ExitCode() || !strings.Contains(out, errors.New("permission denied").Error()) {
		t.Errorf("exit status %d: %q", code, out)
	}
}
