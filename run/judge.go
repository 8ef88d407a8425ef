package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"nemesis/checker"
	"nemesis/checker/clocks"
	"nemesis/checker/refinement"
	"nemesis/history"
	"nemesis/workload"
)

// Judge loads a run's history, lets every checker of its workload judge it, and
// writes verdict.json. troubles are those that the history could not record; the
// ones it did record count as well. Cancelling ctx ends the checkers early, with unknown.
// Steps that servers traced are held to specs, where the plan's claim names a specification.
//
// It needs nothing but the run directory: neither the cluster nor the system's code. An
// error means that there is no verdict: the plan cannot be read, or names a workload that
// this nemesis does not know. A history that cannot be read is a harness trouble.
func Judge(ctx context.Context, dir history.Dir, start time.Time, troubles []string, specs refinement.Specifications) (checker.Verdict, error) {
	plan, err := ReadPlan(dir)
	if err != nil {
		return checker.Verdict{}, err
	}
	work, err := workload.Of(plan.Workload)
	if err != nil {
		return checker.Verdict{}, fmt.Errorf("judge %s: %w", dir, err)
	}
	claim := checker.ClaimOf(plan)
	facts := checker.Facts{
		RequireFaults: plan.RequireFaults, RequireCoverage: plan.RequireCoverage,
		Claim:       claim,
		Assumptions: checker.AssumptionsOf(claim),
		Start:       start.UTC().Format(time.RFC3339Nano),
		Version:     Version(),
	}
	facts.Host, _ = os.Hostname()
	facts.Notes = slices.Clone(plan.Claim.Notes)
	if plan.Cluster.InsecureHostKeys {
		facts.Notes = append(facts.Notes, "Host keys were not checked (--insecure-host-keys), so nobody knows that the machines which answered are those that were named.")
	}
	// The collector keeps to the checkers' budget, where by default it would let the
	// heap grow to twice what is in use.
	memory, note := checker.Memory(plan.CheckerMemory)
	if note != "" {
		facts.Notes = append(facts.Notes, note)
	}
	if memory > 0 {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(memory))
	}
	log, err := dir.LoadWithin(memory)
	var beyond *history.BudgetError
	if errors.As(err, &beyond) {
		facts.Harness = troubles
		return conclude(dir, []checker.Result{{Checker: "history", Outcome: checker.Unknown, Summary: err.Error()}}, nil, facts), nil
	}
	if err != nil {
		// A history that contradicts itself is ours to answer for, whatever the
		// servers did.
		facts.Harness = append(facts.Harness, err.Error())
		return conclude(dir, nil, nil, facts), nil
	}
	facts.Truncated = log.Truncated
	facts.Harness = missing(troubles, log)
	facts.Interrupted = interruption(log)
	facts.ControlSide = checker.ControlSideOf(log)
	final := beginOf(history.PhaseFinal, log)
	for _, op := range log.Operations {
		switch op.Type {
		case history.OK:
			facts.OK++
			if op.Call >= final {
				facts.Final++
			}
		case history.Fail:
			facts.Fail++
		default:
			facts.Info++
		}
	}
	checkers := work.Checkers(plan)
	if name := plan.Claim.Specification; name != "" {
		checkers = append(checkers, refinement.Checker(dir, plan.Cluster.Nodes, name, specs))
	}
	results := checker.Run(ctx, log, checkers, time.Duration(plan.CheckerTime), memory)
	clocks.Excuse(plan.Claim, plan.Timing.Lease, log, results)
	checker.BeyondRestarts(plan.Claim, results, log)
	checker.BeyondDisks(plan.Claim, results, log)
	checker.BeyondPackets(claim, results, log)
	faults := checker.FaultsOf(plan.Schedule, log.Events)
	facts.Coverage = checker.CoverageOf(plan.Faults, plan.Cluster.Nodes, faults, log)
	if note := checker.BeyondMajority(plan.Claim, faults, len(plan.Cluster.Nodes)); note != "" {
		facts.Notes = append(facts.Notes, note)
	}
	return conclude(dir, results, faults, facts), nil
}

// conclude makes the verdict and writes it down. A full disk is one more trouble,
// and masks nothing that was found.
func conclude(dir history.Dir, results []checker.Result, faults []checker.Fault, facts checker.Facts) checker.Verdict {
	verdict := checker.Judge(results, faults, facts)
	if err := dir.WriteJSON(history.VerdictFile, verdict); err != nil {
		facts.Harness = append(facts.Harness, err.Error())
		verdict = checker.Judge(results, faults, facts)
	}
	return verdict
}

// beginOf is when a phase began, history.Never if it did not.
func beginOf(phase string, log *history.Log) int64 {
	for _, ev := range log.Events {
		if ev.Type == history.PhaseChange && ev.Message == phase {
			return ev.Time
		}
	}
	return history.Never
}

// interruption is the clause that says when the user ended the run, "" if nobody did, and
// whether final reads were still to come: they are what shows whether all that was
// acknowledged is there in the end.
func interruption(log *history.Log) string {
	for _, ev := range log.Events {
		if ev.Type != history.Interrupt {
			continue
		}
		clause := "the run was interrupted after " + inSeconds(ev.Time)
		if beginOf(history.PhaseFinal, log) >= ev.Time {
			clause += ", before the final reads"
		}
		return clause
	}
	return ""
}

// Rejudge is Judge for a run of the past. Its start comes from the old verdict
// when there is one. An error is a UsageError: the plan is not one.
func Rejudge(ctx context.Context, dir history.Dir, specs refinement.Specifications) (checker.Verdict, error) {
	start := time.Time{}
	var old checker.Verdict
	if err := dir.ReadJSON(history.VerdictFile, &old); err == nil {
		start, _ = time.Parse(time.RFC3339Nano, old.Start)
	}
	if start.IsZero() {
		if info, err := os.Stat(dir.Path(history.PlanFile)); err == nil {
			start = info.ModTime()
		}
	}
	verdict, err := Judge(ctx, dir, start, nil, specs)
	if err != nil {
		return verdict, &UsageError{err}
	}
	return verdict, nil
}

// missing joins the troubles that the history holds with those that it does not,
// and adds one for a history that stops before its run ended.
func missing(troubles []string, log *history.Log) []string {
	var all []string
	known := map[string]bool{}
	add := func(trouble string) {
		if !known[trouble] {
			known[trouble] = true
			all = append(all, trouble)
		}
	}
	done := false
	for _, ev := range log.Events {
		switch {
		case ev.Type == history.Trouble:
			add(ev.Message)
		case ev.Type == history.PhaseChange && ev.Message == history.PhaseDone:
			done = true
		}
	}
	for _, trouble := range troubles {
		add(trouble)
	}
	if !done && log.Truncated == "" && len(all) == 0 {
		add("the history stops before the run ended")
	}
	return all
}
