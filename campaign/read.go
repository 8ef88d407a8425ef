package campaign

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"nemesis/checker"
	"nemesis/checker/stats"
	"nemesis/history"
	"nemesis/run"
)

// observe fills in a result from what its run left behind, and holds it against the
// floors. An error means that there is no verdict to be had from this directory.
func (r *Result) observe(dir history.Dir, floors Floors) error {
	plan, v, err := r.read(dir)
	if err != nil {
		return err
	}
	if err := r.Figures.underFaults(dir, v.Faults); err != nil && v.Outcome == checker.Valid {
		r.Verdict, r.Sentence = checker.Harness, "The history could not be read again: "+err.Error()+"."
		return nil
	}
	r.fall(plan, floors)
	return nil
}

// read takes what stands in a run's plan and verdict. It needs no history: of valid runs
// there is none after their night.
func (r *Result) read(dir history.Dir) (plan history.Plan, v checker.Verdict, err error) {
	if plan, err = run.ReadPlan(dir); err != nil {
		return plan, v, err
	}
	if v, err = checker.ReadVerdict(dir); err != nil {
		return plan, v, err
	}
	if !isVerdict(v.Outcome) {
		return plan, v, fmt.Errorf("read %s: %q is no verdict", dir.Path(history.VerdictFile), v.Outcome)
	}
	r.Verdict, r.Said, r.Sentence, r.Reasons = v.Outcome, v.Outcome, v.Sentence, v.Reasons
	r.Nemesis, r.Interrupted = v.Version, v.Interrupted
	r.Figures.OK, r.Figures.Fail, r.Figures.Info = v.OK, v.Fail, v.Info
	r.Confirmed, r.Unconfirmed = map[string]int{}, map[string]int{}
	for _, f := range v.Faults {
		if f.Confirmed {
			r.Confirmed[f.Step.Kind]++
		} else {
			r.Unconfirmed[f.Step.Kind]++
		}
	}
	for _, one := range v.Results {
		r.Figures.Check += one.Took
		r.Figures.details(one)
		if one.Outcome != checker.Violation {
			continue
		}
		for _, f := range one.Anomalies {
			r.Findings = append(r.Findings, Finding{Fingerprint: Fingerprint(plan.System.Name, one.Checker, f), Claim: f.Sentence})
		}
		if len(one.Anomalies) == 0 {
			r.Findings = append(r.Findings, Finding{Fingerprint: Fingerprint(plan.System.Name, one.Checker, checker.Anomaly{Class: "untold"}), Claim: one.Summary})
		}
	}
	if v.Outcome != checker.Violation { // beyond an assumption nothing is found
		r.Findings = nil
	}
	r.Figures.PerSecond = float64(v.OK) / max(float64(plan.TimeLimit)/1e9, 1e-9)
	return plan, v, nil
}

// isVerdict reports whether an outcome is one of a run.
func isVerdict(o checker.Outcome) bool {
	switch o {
	case checker.Valid, checker.Violation, checker.Unknown, checker.Vacuous, checker.Exceeded, checker.Harness:
		return true
	}
	return false
}

// details takes the figures that the checkers stats and availability measured.
func (f *Figures) details(one checker.Result) {
	switch one.Checker {
	case "stats":
		var counts stats.Counts
		if json.Unmarshal(one.Details, &counts) != nil {
			return
		}
		for _, fn := range counts.Functions {
			f.P50, f.P99 = max(f.P50, fn.Latency.P50), max(f.P99, fn.Latency.P99)
		}
	case "availability":
		var d stats.Unavailability
		if json.Unmarshal(one.Details, &d) != nil {
			return
		}
		f.Outage, f.Down = d.Overall.Longest, d.Overall.Total
		for _, h := range d.Recoveries {
			if h.Overall < 0 {
				f.Unrecovered++
			} else {
				f.Recoveries = append(f.Recoveries, h.Overall)
			}
		}
	}
}

// underFaults counts the operations that ended while a confirmed fault was in force. It
// reads the history event by event: what a run recorded may be larger than memory.
func (f *Figures) underFaults(dir history.Dir, faults []checker.Fault) error {
	type span struct{ from, to int64 }
	var spans []span
	for _, fault := range faults {
		if fault.Confirmed && fault.Injected >= 0 {
			to := fault.Healed
			if to < 0 {
				to = history.Never
			}
			spans = append(spans, span{fault.Injected, to})
		}
	}
	if len(spans) == 0 {
		return nil
	}
	_, err := history.Scan(dir.Path(history.HistoryFile), func(ev *history.Event) error {
		if !ev.Type.IsCompletion() {
			return nil
		}
		if slices.ContainsFunc(spans, func(s span) bool { return s.from <= ev.Time && ev.Time <= s.to }) {
			f.FaultAll++
			if ev.Type == history.OK {
				f.FaultOK++
			}
		}
		return nil
	})
	return err
}

// fall makes a valid result vacuous when it lies below a floor. Nothing else is touched:
// what was found stays found, however little was done.
func (r *Result) fall(plan history.Plan, floors Floors) {
	if r.Verdict != checker.Valid {
		return
	}
	var below []string
	f := r.Figures
	if f.OK < floors.Operations {
		below = append(below, fmt.Sprintf("only %s succeeded, the floor is %d", checker.Plural(f.OK, "operation"), floors.Operations))
	}
	if all := f.All(); all > 0 && float64(f.OK) < float64(floors.OK)*float64(all) {
		below = append(below, fmt.Sprintf("only %d of %d operations succeeded, the floor is %s", f.OK, all, floors.OK))
	}
	if float64(f.FaultOK) < float64(floors.FaultOK)*float64(f.FaultAll) {
		below = append(below, fmt.Sprintf("only %d of %d operations succeeded while faults were in force, the floor is %s", f.FaultOK, f.FaultAll, floors.FaultOK))
	}
	scheduled := map[string]int{}
	for _, step := range plan.Schedule {
		scheduled[step.Kind]++
	}
	for _, kind := range plan.Faults {
		if floor := min(floors.Evidence, scheduled[kind]); r.Confirmed[kind] < floor {
			below = append(below, fmt.Sprintf("%d of %d faults of the kind %s showed that they acted, the floor is %d", r.Confirmed[kind], scheduled[kind], kind, floor))
		}
		if scheduled[kind] == 0 && floors.Evidence > 0 {
			below = append(below, "the run was too short for a "+kind)
		}
	}
	if len(below) > 0 {
		r.Verdict, r.Reasons = checker.Vacuous, append(below, r.Reasons...)
		r.Sentence = "The run proves too little: " + below[0] + "."
	}
}

// findRun is the run directory that a child made below out; "" when there is none.
func findRun(out string) history.Dir {
	plans, err := filepath.Glob(filepath.Join(out, "*", "*", history.PlanFile))
	if err != nil || len(plans) == 0 {
		return ""
	}
	slices.Sort(plans)
	return history.Dir(filepath.Dir(plans[len(plans)-1]))
}
