package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nemesis/campaign"
	"nemesis/checker"
	"nemesis/history"
	"nemesis/run"
)

// seriesFlags say how often a run is carried out.
type seriesFlags struct {
	times     int
	keepGoing bool
}

// mostTimes is more runs than anybody waits for.
const mostTimes = 1_000_000

func (f *seriesFlags) register(flags *pflag.FlagSet, seeds string) {
	flags.IntVar(&f.times, "times", 1, "how many runs in a row, "+seeds+"; stops at the first violation, and tells rates")
	flags.BoolVar(&f.keepGoing, "keep-going", false, "with --times, go on after a violation")
}

// check refuses what cannot be before anything starts. seed is the first run's, next
// whether it is counted up.
func (f seriesFlags) check(present presentation, seed int64, next bool) error {
	switch {
	case f.times < 1 || f.times > mostTimes:
		return &run.UsageError{Err: fmt.Errorf("read --times: %d is no number of runs from 1 to %d", f.times, mostTimes)}
	case f.times == 1:
		return nil
	case present.Keep:
		return &run.UsageError{Err: errors.New("read --times: --keep leaves the servers of a run where the next one needs its place; leave out one of them")}
	case next && seed > math.MaxInt64-int64(f.times-1):
		return &run.UsageError{Err: fmt.Errorf("read --times: there are no %d seeds from %d on", f.times, seed)}
	}
	return nil
}

// run carries out the plans of a series in turn, each of which differs from the first by
// what plan makes of its number, and tells the rates. One run is told as ever.
func (f seriesFlags) run(cmd *cobra.Command, first history.Plan, plan func(n int) (history.Plan, error), cluster clusterFlags, present presentation) error {
	if f.times == 1 {
		return runPlan(cmd, first, cluster, present)
	}
	series := campaign.Series{Asked: f.times}
	for n := range f.times {
		next := first
		if n > 0 {
			var err error
			if next, err = plan(n); err != nil {
				return err
			}
		}
		if !present.JSON && !present.Quiet {
			fmt.Fprintf(cmd.OutOrStdout(), "run %d of %d, seed %d\n", n+1, f.times, next.Seed)
		}
		ended := runPlan(cmd, next, cluster, present)
		outcome, judged := outcomeOf(ended)
		if !judged { // nothing was run; the next would not be either
			if len(series.Runs) > 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), series)
			}
			return ended
		}
		series.Runs = append(series.Runs, campaign.SeriesRun{Seed: next.Seed, Outcome: outcome})
		if n == f.times-1 {
			break
		}
		if cmd.Context().Err() != nil {
			series.Stopped = "interrupted"
			break
		}
		if outcome == checker.Violation && !f.keepGoing {
			series.Stopped = "stopped at the first violation"
			break
		}
	}
	if err := tellSeries(cmd, series, present.JSON); err != nil {
		return err
	}
	return statusOf(series.Outcome())
}

// outcomeOf is the verdict of a run that ended so; judged is false where there is none.
func outcomeOf(ended error) (outcome checker.Outcome, judged bool) {
	var exit exitStatus
	switch {
	case ended == nil:
		return checker.Valid, true
	case errors.As(ended, &exit):
		return checker.OutcomeOf(int(exit))
	}
	return "", false
}

func tellSeries(cmd *cobra.Command, series campaign.Series, asJSON bool) error {
	if !asJSON {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "\n%s\n", series)
		return err
	}
	line, err := json.Marshal(struct {
		Action string          `json:"action"`
		Series campaign.Series `json:"series"`
	}{"series", series})
	if err != nil {
		return fmt.Errorf("tell the series: %w", err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", line)
	return err
}
