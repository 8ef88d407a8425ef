package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nemesis/checker"
	"nemesis/checker/bank"
	"nemesis/checker/linear"
	"nemesis/checker/linear/models"
	"nemesis/checker/linear/own"
	"nemesis/checker/offsetlog"
	"nemesis/checker/queue"
	"nemesis/checker/set"
	"nemesis/checker/transactions/listappend"
	"nemesis/checker/transactions/register"
	"nemesis/checker/uniqueids"
	"nemesis/history"
	"nemesis/history/foreign"
	"nemesis/reports"
	"nemesis/reports/visible"
	"nemesis/run"
)

// foreignFlags say how to read and judge the history of another tester.
type foreignFlags struct {
	format, model, init, keys, memory, claim string
	nilReads, observe, skip, overdrafts      bool
	time                                     time.Duration
}

func (f *foreignFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.format, "format", "", "the format of another tester's history: "+formatNames()+" (default: what it looks like)")
	flags.StringVar(&f.model, "model", "", "what one object is supposed to be: "+modelNames()+", or the path of a model of yours, FILE.star (default cas-register, for porcupine-kv kv, for plume, polysi-text and dbcop rw-register)")
	flags.StringVar(&f.claim, "claim", "", "the consistency model to hold the history to ("+strings.Join(claimable(), ", ")+"; default strict-serializable)")
	flags.BoolVar(&f.overdrafts, "negative-balances", false, "accounts of a bank may be below zero")
	flags.StringVar(&f.init, "init", "nil", "value that a register or a key holds at first, as the history would have it")
	flags.StringVar(&f.keys, "keys", string(foreign.KeysAuto), "whether values are pairs of a key and the value proper: auto, yes, no")
	flags.BoolVar(&f.nilReads, "nil-reads-tell-nothing", false, "take a register's read of nil for one that saw nothing, as Knossos does")
	flags.BoolVar(&f.observe, "failures-observe", false, "take every failed compare-and-set for one that saw another value than the expected one")
	flags.BoolVar(&f.skip, "skip-unknown", false, "judge a log although lines in it look like operations and cannot be read")
	flags.DurationVar(&f.time, "checker-time", 60*time.Second, "a checker that needs longer ends in unknown (foreign histories; a run has its own)")
	flags.StringVar(&f.memory, "checker-memory", "1GiB", "a checker that needs more heap ends in unknown (foreign histories; a run has its own)")
}

// concerns reports whether a path is another tester's history: it is if a format is named
// or if it is a file, of any sort, that does not lie in a run's directory. Flags for such a history make
// no sense with a run.
func (f *foreignFlags) concerns(cmd *cobra.Command, path string) (bool, error) {
	if f.format != "" {
		return true, nil
	}
	switch info, err := os.Stat(path); {
	case err != nil || info.IsDir() || filepath.Base(path) == history.HistoryFile:
	case !info.Mode().IsRegular():
		return true, nil // what it is not is told when it is opened
	default:
		if _, err := history.OpenDir(path); err != nil {
			return true, nil
		}
	}
	for _, name := range []string{"model", "claim", "init", "keys", "nil-reads-tell-nothing", "failures-observe", "skip-unknown", "negative-balances", "checker-time", "checker-memory"} {
		if cmd.Flags().Changed(name) {
			return false, &run.UsageError{Err: fmt.Errorf("read the command line: --%s is for another tester's history, and %s is none; name its file, or say its --format as well", name, path)}
		}
	}
	return false, nil
}

// judge reads and judges a history and tells the verdict. Whatever is wrong with the
// file or the flags is the user's mistake. What was read is told with the verdict; with
// quiet, on the other output, and only if lines were left out.
func (f *foreignFlags) judge(ctx context.Context, w, aside io.Writer, path string, quiet, asJSON bool) error {
	format := foreign.Format(f.format)
	chosen, limit, memory, err := f.checker(format)
	if err != nil {
		return &run.UsageError{Err: err}
	}
	memory, note := checker.Memory(memory)
	if note != "" {
		fmt.Fprintln(aside, note)
	}
	// The collector keeps to the budget, where by default it would let the heap grow to
	// twice what is in use.
	if memory > 0 {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(memory))
	}
	options := foreign.Options{Format: format, Keys: foreign.Keys(f.keys), SkipUnknown: f.skip, Memory: memory}
	if m := wholeHistory[f.model]; m.check != nil {
		if options.Keys == foreign.KeysAuto {
			options.Keys = foreign.KeysNo // a transaction of two parts looks like a pair
		}
		options.Transactions = m.transactions
	}
	read, err := foreign.Load(ctx, path, options)
	var beyond *foreign.BudgetError
	if errors.As(err, &beyond) || err != nil && ctx.Err() != nil {
		unread := checker.Result{Checker: "history", Outcome: checker.Unknown, Summary: err.Error()}
		return f.tell(w, path, "", foreignVerdict(&history.Log{}, []checker.Result{unread}), quiet, asJSON)
	}
	if err != nil {
		return &run.UsageError{Err: err}
	}
	if read.Format != format {
		if chosen, limit, _, err = f.checker(read.Format); err != nil {
			return &run.UsageError{Err: err}
		}
	}
	log := read.Log
	claim := history.Claim{Origin: history.AskedFor} // every anomaly counts
	if m := wholeHistory[f.modelOf(read.Format)]; m.check != nil {
		if claim.Model, err = f.claimed(); err == nil && m.prepare != nil && !read.Format.Sessions() {
			err = m.prepare(log)
		}
		if err != nil {
			return &run.UsageError{Err: err}
		}
	}
	results := checker.Run(ctx, log, []checker.Checker{chosen}, limit, memory)
	for i := range results {
		if claim.Model != "" {
			results[i] = checker.Against(claim, results[i])
		}
	}
	verdict := foreignVerdict(log, results)
	if verdict.Outcome == checker.Harness {
		return &run.UsageError{Err: fmt.Errorf("judge %s as a %s: %s; or name its --model", path, f.modelOf(read.Format), strings.TrimSuffix(verdict.Sentence, "."))}
	}
	if !quiet && !asJSON {
		fmt.Fprintln(w, read.Account())
	} else if !asJSON && read.Skipped.Lines > 0 {
		fmt.Fprintln(aside, read.Account())
	}
	return f.tell(w, path, read.Account(), verdict, quiet, asJSON)
}

// tell prints a verdict. account is what was read, "" where that came to no end.
func (*foreignFlags) tell(w io.Writer, path, account string, verdict checker.Verdict, quiet, asJSON bool) error {
	if asJSON {
		err := answer(w, "check", struct {
			File    string          `json:"file"`
			Read    string          `json:"read,omitempty"`
			Verdict checker.Verdict `json:"verdict"`
		}{path, account, verdict})
		if err != nil {
			return err
		}
		return statusOf(verdict.Outcome)
	}
	if quiet {
		fmt.Fprintf(w, "%s: %s\n", verdict.Outcome, visible.Text(verdict.Sentence))
	} else {
		fmt.Fprintln(w, reports.Foreign(filepath.Base(path), verdict, terminalWidth()))
	}
	return statusOf(verdict.Outcome)
}

// modelOf is the model to judge a history of this format by.
func (f *foreignFlags) modelOf(format foreign.Format) string {
	switch {
	case f.model != "":
		return f.model
	case format == foreign.PorcupineKV:
		return "kv"
	case format.Sessions():
		return "rw-register"
	}
	return "cas-register"
}

// checker is what the flags ask for, for a history of this format.
func (f *foreignFlags) checker(format foreign.Format) (checker.Checker, time.Duration, int64, error) {
	whole := wholeHistory[f.modelOf(format)]
	switch {
	case f.claim != "" && whole.check == nil && (format != "" || f.model != ""):
		return nil, 0, 0, fmt.Errorf("read --claim: it is for the models %s; leave it out", strings.Join(claimable(), ", "))
	case f.overdrafts && f.model != "bank":
		return nil, 0, 0, errors.New("read --negative-balances: it is for the model bank; leave it out")
	case format.Sessions() && f.model != "" && f.model != "rw-register" && f.model != "long-fork":
		return nil, 0, 0, fmt.Errorf("read --model %s: a history of the format %s has transactions over registers; leave it out", f.model, format)
	}
	kind, err := f.kind(format)
	if err != nil && filepath.Ext(f.model) == starlark {
		return nil, 0, 0, err
	}
	if err != nil && whole.check == nil {
		return nil, 0, 0, fmt.Errorf("%w, %s", err, strings.Join(claimable(), ", "))
	}
	opt := models.Options{InitOption: "--init", NilReads: f.nilReads, ObserveFailures: f.observe}
	if opt.Init, err = foreign.Value(f.init, format); err != nil {
		return nil, 0, 0, fmt.Errorf("read --init: %w", err)
	}
	memory, err := run.ParseBytes(f.memory)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("read --checker-memory: %w", err)
	}
	if f.time < 0 {
		return nil, 0, 0, errors.New("read --checker-time: it is negative; give a duration such as 60s, or 0s for no bound")
	}
	if whole.check != nil {
		return whole.check(f), f.time, memory, nil
	}
	return linear.Checker(kind, opt), f.time, memory, nil
}

// starlark is how names of files end that hold a model of the user's.
const starlark = ".star"

// kind is the model of single objects that the flags name: one that nemesis knows, or a file.
func (f *foreignFlags) kind(format foreign.Format) (models.Kind, error) {
	if filepath.Ext(f.model) != starlark {
		return models.Find(f.modelOf(format))
	}
	text, err := history.ReadFile(f.model, own.MostText)
	if err != nil {
		return models.Kind{}, fmt.Errorf("read --model: %w", err)
	}
	model, err := own.Compile(filepath.Base(f.model), string(text))
	if err != nil {
		return models.Kind{}, err
	}
	return model.Kind(), nil
}

// ofWhole is a model that is judged by the whole history at once, and not object by object.
type ofWhole struct {
	check func(*foreignFlags) checker.Checker
	// transactions: every event is one of a transaction, whatever its :f.
	transactions bool
	// prepare makes our own operations of those of Jepsen; nil for nothing to do.
	prepare func(*history.Log) error
}

// wholeHistory are the models of whole histories.
var wholeHistory = map[string]ofWhole{
	"list-append": {func(*foreignFlags) checker.Checker { return listappend.Append() }, true, transactions},
	"rw-register": {func(*foreignFlags) checker.Checker { return register.Checker() }, true, transactions},
	"long-fork": {func(*foreignFlags) checker.Checker { return register.Checker() }, true, func(log *history.Log) error {
		if err := transactions(log); err != nil {
			return err
		}
		return foreign.UnrecordedWrites(log)
	}},
	"bank":        {func(f *foreignFlags) checker.Checker { return bank.Checker(bank.Options{Overdrafts: f.overdrafts}) }, false, foreign.Banks},
	"set-full":    {func(*foreignFlags) checker.Checker { return set.Full() }, false, foreign.Sets},
	"total-queue": {func(*foreignFlags) checker.Checker { return queue.Checker(queue.Options{Drained: true}) }, false, nil},
	"kafka":       {func(*foreignFlags) checker.Checker { return offsetlog.Checker(offsetlog.Options{Consumers: true}) }, false, foreign.Kafka},
	"unique-ids":  {func(*foreignFlags) checker.Checker { return uniqueids.Checker() }, false, nil},
}

func transactions(log *history.Log) error { return foreign.Transactions(log.Operations) }

// claimable are the names of models that are held to a claim.
func claimable() []string {
	return []string{"list-append", "rw-register", "long-fork", "bank", "set-full", "total-queue", "kafka", "unique-ids"}
}

// claimed is the model that the history is held to.
func (f *foreignFlags) claimed() (history.Model, error) {
	if f.claim == "" {
		return history.StrictSerializable, nil
	}
	model, err := history.FindModel(f.claim)
	if err != nil {
		return "", fmt.Errorf("read --claim %s: %w", f.claim, err)
	}
	return model, nil
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
	case r.Outcome == checker.Violation && len(r.Anomalies) > 0:
		v.Sentence = r.Anomalies[0].Sentence
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
	s = append(s, claimable()...)
	return strings.Join(s, ", ")
}
