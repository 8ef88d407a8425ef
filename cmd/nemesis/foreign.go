package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nemesis/checker"
	"nemesis/checker/linear"
	"nemesis/checker/linear/models"
	"nemesis/history"
	"nemesis/history/foreign"
	"nemesis/reports"
	"nemesis/reports/visible"
	"nemesis/run"
)

// foreignFlags say how to read and judge the history of another tester.
type foreignFlags struct {
	format, model, init, keys, memory string
	nilReads, observe                 bool
	time                              time.Duration
}

func (f *foreignFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.format, "format", "", "judge another tester's history, of this format: "+formatNames())
	flags.StringVar(&f.model, "model", "", "what one object is supposed to be: "+modelNames()+" (default cas-register, for porcupine-kv kv)")
	flags.StringVar(&f.init, "init", "nil", "value that a register or a key holds at first, as EDN")
	flags.StringVar(&f.keys, "keys", string(foreign.KeysAuto), "whether values are pairs of a key and the value proper: auto, yes, no")
	flags.BoolVar(&f.nilReads, "nil-reads-tell-nothing", false, "take a register's read of nil for one that saw nothing, as Knossos does")
	flags.BoolVar(&f.observe, "failures-observe", false, "take every failed compare-and-set for one that saw another value than the expected one")
	flags.DurationVar(&f.time, "checker-time", 60*time.Second, "a checker that needs longer ends in unknown (foreign histories; a run has its own)")
	flags.StringVar(&f.memory, "checker-memory", "1GiB", "a checker that needs more heap ends in unknown (foreign histories; a run has its own)")
}

// only reports a flag that was given although there is no --format.
func (f *foreignFlags) only(cmd *cobra.Command) error {
	for _, name := range []string{"model", "init", "keys", "nil-reads-tell-nothing", "failures-observe", "checker-time", "checker-memory"} {
		if f.format == "" && cmd.Flags().Changed(name) {
			return &run.UsageError{Err: fmt.Errorf("read the command line: --%s is for another tester's history; say its --format as well", name)}
		}
	}
	return nil
}

// judge reads and judges a history and tells the verdict. Whatever is wrong with the
// file or the flags is the user's mistake.
func (f *foreignFlags) judge(ctx context.Context, w io.Writer, path string, quiet bool) error {
	chosen, limit, memory, err := f.checker()
	if err != nil {
		return &run.UsageError{Err: err}
	}
	log, err := foreign.Load(path, foreign.Format(f.format), foreign.Keys(f.keys))
	if err != nil {
		return &run.UsageError{Err: err}
	}
	verdict := foreignVerdict(log, checker.Run(ctx, log, []checker.Checker{chosen}, limit, memory))
	if verdict.Outcome == checker.Harness {
		return &run.UsageError{Err: fmt.Errorf("judge %s: %s", path, strings.TrimSuffix(verdict.Sentence, "."))}
	}
	if quiet {
		fmt.Fprintf(w, "%s: %s\n", verdict.Outcome, visible.Text(verdict.Sentence))
	} else {
		fmt.Fprintln(w, reports.Foreign(filepath.Base(path), verdict, terminalWidth()))
	}
	return statusOf(verdict.Outcome)
}

// checker is what the flags ask for.
func (f *foreignFlags) checker() (checker.Checker, time.Duration, int64, error) {
	name := f.model
	switch {
	case name != "":
	case foreign.Format(f.format) == foreign.PorcupineKV:
		name = "kv"
	default:
		name = "cas-register"
	}
	kind, err := models.Find(name)
	if err != nil {
		return nil, 0, 0, err
	}
	opt := models.Options{NilReads: f.nilReads, ObserveFailures: f.observe}
	if opt.Init, err = foreign.Value(f.init); err != nil {
		return nil, 0, 0, fmt.Errorf("read --init: %w", err)
	}
	memory, err := run.ParseBytes(f.memory)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("read --checker-memory: %w", err)
	}
	if f.time < 0 {
		return nil, 0, 0, errors.New("read --checker-time: it is negative; give a duration such as 60s, or 0s for no bound")
	}
	return linear.Checker(kind, opt), f.time, memory, nil
}

// foreignVerdict makes a verdict of what a checker found in a history whose faults
// nobody knows. That only few operations succeeded is for the user to weigh; that none
// did leaves nothing to judge.
func foreignVerdict(log *history.Log, results []checker.Result) checker.Verdict {
	v := checker.Verdict{Schema: checker.VerdictSchema, Results: results}
	for _, o := range log.Operations {
		switch o.Type {
		case history.OK:
			v.OK++
		case history.Fail:
			v.Fail++
		default:
			v.Info++
		}
	}
	r := results[0]
	v.Outcome, v.Sentence = r.Outcome, r.Summary
	switch {
	case r.Outcome == checker.Violation && len(r.Findings) > 0:
		v.Sentence = r.Findings[0].Claim
	case r.Outcome == checker.Unknown:
		v.Sentence = "The checker could not finish: " + r.Summary + "."
	case r.Outcome == checker.Valid && v.OK == 0:
		v.Outcome, v.Sentence = checker.Vacuous, "The history proves nothing: no operation succeeded."
	case r.Outcome == checker.Valid:
		v.Sentence = fmt.Sprintf("No violation found in %s (%d ok, %d fail, %d info).", checker.Plural(len(log.Operations), "operation"), v.OK, v.Fail, v.Info)
	}
	// The details are for verdict.json, which a foreign history has not.
	for i := range v.Results {
		v.Results[i].Details = json.RawMessage(nil)
	}
	return v
}

func formatNames() string {
	var s []string
	for _, f := range foreign.Formats() {
		s = append(s, string(f))
	}
	return strings.Join(s, ", ")
}

func modelNames() string {
	var s []string
	for _, k := range models.All() {
		s = append(s, k.Name)
	}
	return strings.Join(s, ", ")
}
