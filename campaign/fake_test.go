package campaign

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/checker/stats"
	"nemesis/history"
	"nemesis/nodes/local/localtest"
	"nemesis/run"
)

// The tests of this package start a nemesis that is not one: this test program, which
// takes the same arguments, leaves the same files and ends with the same statuses, in
// milliseconds, and can be told to misbehave. What it should do with a workload stands in
// $NEMESIS_FAKE, as "register=violation lock=hang"; "valid" is what it does by itself.

const (
	fakeVariable     = "NEMESIS_FAKE"
	worldVariable    = "NEMESIS_FAKE_WORLD" // a directory that stands for remote nodes
	campaignVariable = "NEMESIS_FAKE_CAMPAIGN"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(campaignVariable); file != "" {
		os.Unsetenv(campaignVariable)
		os.Exit(campaignMain(file))
	}
	if _, is := os.LookupEnv(fakeVariable); is && len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-test.") {
		os.Exit(fakeMain(os.Args[1:]))
	}
	localtest.WaitTogether()
	os.Exit(m.Run())
}

func fakeMain(args []string) int {
	switch args[0] {
	case "replay":
		return fakeRun(args[1], args[slices.Index(args, "--out")+1])
	case "check":
		dir := history.Dir(args[1])
		plan, err := dir.Plan()
		if err != nil {
			return 64
		}
		if mode := fakeMode(plan); mode == "hang" || mode == "check-hangs" {
			time.Sleep(time.Hour)
		} else if mode == "check-crashes" {
			return 2
		}
		return fakeVerdict(dir, plan, true)
	case "nodes":
		return fakeHeal(args[slices.Index(args, "--nodes")+1])
	}
	fmt.Fprintln(os.Stderr, "nemesis: unknown command", args)
	return 64
}

// fakeMode is what to do with a plan.
func fakeMode(plan history.Plan) string {
	if plan.System.Options["reads"] == "serializable" {
		return "violation"
	}
	for _, rule := range strings.Fields(os.Getenv(fakeVariable)) {
		workload, mode, _ := strings.Cut(rule, "=")
		if workload == plan.Workload.Name || workload == "all" {
			return mode
		}
	}
	return "valid"
}

func fakeHeal(spec string) int {
	world := os.Getenv(worldVariable)
	os.RemoveAll(filepath.Join(world, "faults"))
	f, err := os.OpenFile(filepath.Join(world, "heals"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return 5
	}
	defer f.Close()
	fmt.Fprintln(f, spec)
	return 0
}

func fakeRun(item, out string) int {
	plan, err := history.Dir(item).Plan()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nemesis:", err)
		return 64
	}
	mode := fakeMode(plan)
	say := func(p run.Progress) {
		line, _ := json.Marshal(p)
		fmt.Println(string(line))
	}
	if mode == "no-key" {
		fmt.Fprintln(os.Stderr, "nemesis: connect to n1: the server refused every key")
		return 5
	}
	dir, err := history.NewDir(out, plan, time.Now())
	if err != nil {
		fmt.Fprintln(os.Stderr, "nemesis:", err)
		return 5
	}
	say(run.Progress{Action: "plan", Plan: &plan})
	say(run.Progress{Action: "directory", Directory: string(dir)})
	world := os.Getenv(worldVariable)
	if world != "" {
		os.Mkdir(filepath.Join(world, "faults"), 0o755) // the network is cut
	}
	writer, err := history.Create(dir.Path(history.HistoryFile))
	if err != nil {
		fmt.Fprintln(os.Stderr, "nemesis:", err)
		return 5
	}
	phase := func(name string) {
		writer.Append(&history.Event{Type: history.PhaseChange, Message: name})
		say(run.Progress{Action: "phase", Phase: name})
	}
	phase("workload")
	at := int64(0)
	for i := range 20 {
		at += 1e6
		writer.Append(&history.Event{Time: at, Type: history.Invoke, F: "read", Process: i})
		writer.Append(&history.Event{Time: at + 1e5, Type: history.OK, F: "read", Process: i})
	}
	writer.Flush()
	if pace := os.Getenv("NEMESIS_FAKE_PACE"); pace != "" {
		d, _ := time.ParseDuration(pace)
		time.Sleep(d)
	}
	switch mode {
	case "dies", "dies-late":
		fmt.Fprintln(os.Stderr, "panic: index out of range\n\ngoroutine 1 [running]:")
		return 2
	case "loses":
		return 5 // the disk is full: no verdict
	}
	if world != "" {
		os.Remove(filepath.Join(world, "faults"))
	}
	phase("check")
	phase("done")
	writer.Close()
	switch mode {
	case "hang":
		time.Sleep(time.Hour)
	case "crash":
		fmt.Fprintln(os.Stderr, "panic: a checker is wrong\n\ngoroutine 7 [running]:")
		return 2
	case "crashes-silently":
		return 2
	case "panics":
		panic("a checker is wrong")
	case "aborts":
		return dieOf("ABRT")
	case "segfaults":
		return dieOf("SEGV")
	case "dumps": // the runtime exits with 2
		syscall.Kill(os.Getpid(), syscall.SIGABRT)
		time.Sleep(time.Hour)
	case "half-a-verdict":
		os.WriteFile(dir.Path(history.VerdictFile), []byte(`{"schema":2,"verdict":"unk`), 0o644)
		return 2
	case "eat":
		for all := []byte{}; ; time.Sleep(10 * time.Millisecond) {
			all = append(all, slices.Repeat([]byte{1}, 16<<20)...)
		}
	}
	code := fakeVerdict(dir, plan, false)
	if mode == "violation-then-crash" {
		fmt.Fprintln(os.Stderr, "panic: the report is wrong")
		return 2
	}
	return code
}

// dieOf ends this process by a signal, without the Go runtime having a say in it.
func dieOf(name string) int {
	err := syscall.Exec("/bin/sh", []string{"sh", "-c", "kill -" + name + " $$"}, os.Environ())
	fmt.Fprintln(os.Stderr, "nemesis:", err)
	return 64
}

// fakeVerdict writes verdict.json as the mode says.
func fakeVerdict(dir history.Dir, plan history.Plan, again bool) int {
	v := checker.Verdict{Schema: checker.VerdictSchema, Outcome: checker.Valid, Sentence: "No violation found.", OK: 5000, Version: "fake"}
	counts, _ := json.Marshal(stats.Counts{Functions: []stats.Function{{F: "read", Latency: stats.Latency{P50: 1e6, P99: 5e6}}}})
	v.Results = []checker.Result{{Checker: "stats", Outcome: checker.Valid, Details: counts, Took: 1e6}}
	for _, step := range plan.Schedule {
		v.Faults = append(v.Faults, checker.Fault{Step: step, Injected: int64(step.At), Healed: int64(step.At + step.Hold), Confirmed: true})
	}
	found := func(class string) {
		v.Outcome, v.Sentence = checker.Violation, "A read returned 1 after 2 was written."
		core := []history.Operation{
			{F: "write", Key: fmt.Sprint("k", plan.Seed), Type: history.OK, Input: json.RawMessage(fmt.Sprint(plan.Seed)), Call: 1, Return: 2},
			{F: "read", Key: fmt.Sprint("k", plan.Seed), Type: history.OK, Output: json.RawMessage(fmt.Sprint(plan.Seed + 1)), Call: 3, Return: 4},
		}
		v.Results = append(v.Results, checker.Result{Checker: "linear", Outcome: checker.Violation, Summary: "found",
			Anomalies: []checker.Anomaly{{Class: class, Sentence: v.Sentence, Core: core}}})
	}
	switch mode := fakeMode(plan); mode {
	case "violation-in-many-shapes":
		found("stale-read")
		core := &v.Results[1].Anomalies[0].Core
		for i := range time.Now().UnixNano() >> 10 % 1000 { // another one whenever it is run
			*core = append(*core, history.Operation{F: fmt.Sprint("read", i), Type: history.OK, Call: 5 + i, Return: 5 + i})
		}
	case "violation", "violation-then-crash", "dies-late":
		found("stale-read")
	case "sometimes":
		if plan.Seed%3 == 0 {
			found("stale-read")
		}
	case "loses", "dies":
		if again {
			v.Outcome, v.Sentence = checker.Harness, "The harness failed: the history stops before the run ended."
		}
	case "changes-its-mind":
		if !again {
			found("stale-read")
		}
	case "idle":
		v.OK = 7
	case "unproved":
		for i := range v.Faults {
			v.Faults[i].Confirmed = false
		}
	case string(checker.Harness), string(checker.Unknown), string(checker.Vacuous), string(checker.Exceeded):
		v.Outcome, v.Sentence = checker.Outcome(mode), "It was "+mode+"."
	}
	if err := dir.WriteJSON(history.VerdictFile, v); err != nil {
		fmt.Fprintln(os.Stderr, "nemesis:", err)
		return 5
	}
	dir.WriteFile(history.ReportFile, []byte("<!doctype html><title>fake</title>"))
	return v.Outcome.ExitCode()
}

// fakeNames stands for --nodes.
func fakeNames(spec string) ([]string, error) {
	if spec == "" {
		return nil, fmt.Errorf("there are no nodes")
	}
	return []string{"n1", "n2", "n3"}, nil
}

// night is a campaign on fake runs.
type night struct {
	t       *testing.T
	yaml    string
	out     string
	archive string
	fake    string
	world   string
	choice  Choice
	config  Config
}

// smallNight is a night of one system, three workloads and two kinds of faults, with a
// canary in each direction.
const smallNight = `
campaign: small
budget: {wall: 1h, run: 30s, per-cell: 2}
subjects: [{system: etcd, versions: [v3.6.5]}]
matrix:
  workloads: [register, set, append]
  faults: [none, "partition,kill"]
run: {time-limit: 20s}
repeat: 2
canaries:
  - {name: stale, system: etcd, set: {reads: serializable}, workload: register, faults: partition, expect: violation, finds: etcd/linear/stale-read}
  - {name: clean, system: etcd, workload: register, expect: valid}
`

func newNight(t *testing.T, yaml string) *night {
	return &night{t: t, yaml: yaml, out: filepath.Join(t.TempDir(), "out"),
		choice: Choice{Night: "n1", Shard: Whole, Names: fakeNames, Now: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)}}
}

func (n *night) resolve() *Campaign {
	n.t.Helper()
	file, err := Parse("nightly.yaml", []byte(n.yaml))
	if err != nil {
		n.t.Fatal(err)
	}
	if n.choice.Archive, err = OpenArchive(n.archive); err != nil {
		n.t.Fatal(err)
	}
	c, err := file.Resolve(n.choice)
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

func (n *night) run() Night {
	n.t.Helper()
	self, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	cfg := n.config
	cfg.Out, cfg.Archive, cfg.Executable = n.out, n.archive, self
	cfg.Env = append(cfg.Env, fakeVariable+"="+n.fake, worldVariable+"="+n.world)
	if cfg.Grace == 0 {
		cfg.Grace = time.Second
	}
	said, err := Run(n.t.Context(), n.resolve(), cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	return said
}

// results are those on disk.
func (n *night) results() []Result {
	n.t.Helper()
	_, results, err := ReadResults(n.out)
	if err != nil {
		n.t.Fatal(err)
	}
	return inOrder(results)
}
