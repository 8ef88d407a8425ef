// A nemesis that is none, for the tests of campaigns: it takes the same arguments, leaves
// the same files and ends with the same statuses, in milliseconds, and can be told to
// misbehave. What it should do with a workload stands in $NEMESIS_FAKE, as
// "register=violation lock=hang"; "valid" is what it does by itself. It is a program of its
// own since it is started a thousand times, and nemesis takes 100 ms to begin.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"nemesis/checker"
	"nemesis/checker/stats"
	"nemesis/history"
)

const (
	modes = "NEMESIS_FAKE"
	world = "NEMESIS_FAKE_WORLD" // a directory that stands for remote nodes
	pace  = "NEMESIS_FAKE_PACE"  // how long a run takes
)

func main() { os.Exit(command(os.Args[1:])) }

func command(args []string) int {
	switch args[0] {
	case "replay":
		return execute(args[1], args[slices.Index(args, "--out")+1])
	case "check":
		dir := history.Dir(args[1])
		plan, err := dir.Plan()
		if err != nil {
			return 64
		}
		if mode := modeOf(plan); mode == "hang" || mode == "check-hangs" {
			time.Sleep(time.Hour)
		} else if mode == "check-crashes" {
			return 2
		}
		return writeVerdict(dir, plan, true)
	case "nodes":
		return heal(args[slices.Index(args, "--nodes")+1])
	}
	fmt.Fprintln(os.Stderr, "nemesis: unknown command", args)
	return 64
}

// modeOf is what to do with a plan.
func modeOf(plan history.Plan) string {
	if plan.System.Options["reads"] == "serializable" {
		return "violation"
	}
	for _, rule := range strings.Fields(os.Getenv(modes)) {
		workload, mode, _ := strings.Cut(rule, "=")
		if workload == plan.Workload.Name || workload == "all" {
			return mode
		}
	}
	return "valid"
}

func heal(spec string) int {
	nodes := os.Getenv(world)
	os.RemoveAll(filepath.Join(nodes, "faults"))
	f, err := os.OpenFile(filepath.Join(nodes, "heals"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return 5
	}
	defer f.Close()
	fmt.Fprintln(f, spec)
	return 0
}

func execute(item, out string) int {
	plan, err := history.Dir(item).Plan()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nemesis:", err)
		return 64
	}
	mode := modeOf(plan)
	// As run.Progress; that package takes along every system.
	say := func(action, key string, value any) {
		line, _ := json.Marshal(map[string]any{"action": action, key: value})
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
	say("plan", "plan", plan)
	say("directory", "directory", dir)
	nodes := os.Getenv(world)
	if nodes != "" {
		os.Mkdir(filepath.Join(nodes, "faults"), 0o755) // the network is cut
	}
	writer, err := history.Create(dir.Path(history.HistoryFile))
	if err != nil {
		fmt.Fprintln(os.Stderr, "nemesis:", err)
		return 5
	}
	phase := func(name string) {
		writer.Append(&history.Event{Type: history.PhaseChange, Message: name})
		say("phase", "phase", name)
	}
	phase("workload")
	at := int64(0)
	for i := range 20 {
		at += 1e6
		writer.Append(&history.Event{Time: at, Type: history.Invoke, F: "read", Process: i})
		writer.Append(&history.Event{Time: at + 1e5, Type: history.OK, F: "read", Process: i})
	}
	writer.Flush()
	if d, err := time.ParseDuration(os.Getenv(pace)); err == nil {
		time.Sleep(d)
	}
	switch mode {
	case "dies", "dies-late":
		fmt.Fprintln(os.Stderr, "panic: index out of range\n\ngoroutine 1 [running]:")
		return 2
	case "loses":
		return 5 // the disk is full: no verdict
	}
	if nodes != "" {
		os.Remove(filepath.Join(nodes, "faults"))
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
		for all := [][]byte{}; ; time.Sleep(10 * time.Millisecond) {
			all = append(all, slices.Repeat([]byte{1}, 16<<20))
		}
	}
	code := writeVerdict(dir, plan, false)
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

// writeVerdict writes verdict.json as the mode says.
func writeVerdict(dir history.Dir, plan history.Plan, again bool) int {
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
	switch mode := modeOf(plan); mode {
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
