package checker

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"nemesis/history"
)

// MinOK is how many operations must have succeeded for a run to prove anything.
const MinOK = 20

// Facts are what a verdict rests on besides the checkers' results and the faults.
type Facts struct {
	// OK, Fail and Info count the completed operations by type.
	OK, Fail, Info int
	// Final is how many of the OK were final reads. They show what is there in the
	// end, and prove nothing about the time in which faults struck.
	Final int
	// RequireFaults makes the run vacuous when any fault showed no evidence.
	RequireFaults bool
	// Coverage is what the faults met, as of CoverageOf; RequireCoverage makes the run vacuous when
	// they did not meet all of it.
	Coverage        []Covered
	RequireCoverage bool
	// Claim is what the system is held to, Assumptions what it takes for granted; see
	// AssumptionsOf.
	Claim       history.Claim
	Assumptions []Assumption
	// Harness are the troubles of nemesis itself, of SSH, of nodes and installs, one
	// sentence each.
	Harness []string
	// ControlSide is what nemesis itself failed to do. Beyond MostGaps it is one more trouble.
	ControlSide ControlSide
	// Truncated is history.Log.Truncated.
	Truncated string
	// Interrupted says that the user ended the run before its time, as a clause: "the
	// run was interrupted after 4.4 s". "" when it ran its course.
	Interrupted string
	// Notes are copied.
	Notes []string
	// Start, Version and Host identify the run; they are copied.
	Start, Version, Host string
}

// Judge makes one verdict of everything that is known about a run. It is the one place
// that decides what an anomaly means: a violation when the claim includes a model that it
// breaks, exceeded when it does but rests on an assumption of the claim that the run went
// beyond, and allowed otherwise.
//
// The worst thing that is certain wins:
//
//	violation > exceeded > harness > unknown > vacuous > valid
//
// A violation is a fact about the recorded operations, and no later trouble can
// undo it; it becomes exceeded only when the run went beyond an assumption that
// the claim rests on. Harness comes next because what a broken harness did not
// find means nothing. Unknown outranks vacuous because an unfinished checker may
// yet find a violation in what is already recorded. Whatever did not win is still
// told, in Reasons. A torn history is a harness trouble: the part that was lost
// was never judged.
func Judge(results []Result, faults []Fault, facts Facts) Verdict {
	v := Verdict{
		Schema: VerdictSchema, Faults: faults,
		Claim: facts.Claim, Assumptions: slices.Clone(facts.Assumptions),
		OK: facts.OK, Fail: facts.Fail, Info: facts.Info, Truncated: facts.Truncated,
		Coverage: facts.Coverage,
		Notes:    facts.Notes, Start: facts.Start, Version: facts.Version, Host: facts.Host,
	}
	v.Results = make([]Result, len(results))
	for i, r := range results {
		v.Results[i] = Against(facts.Claim, r)
	}
	harness := append([]string(nil), facts.Harness...)
	if facts.Truncated != "" {
		harness = append(harness, facts.Truncated)
	}
	var failed []string // of our own, and too little to decide anything
	if text := facts.ControlSide.String(); text != "" {
		v.ControlSide = &facts.ControlSide
		if facts.ControlSide.TooMuch() {
			harness = append(harness, text)
		} else {
			failed = append(failed, text)
		}
	}
	var violated, beyond, exceeded, unknown, vacuous []string
	for _, r := range v.Results {
		line := r.Checker + ": " + r.Summary
		switch r.Outcome {
		case Violation:
			violated = append(violated, line)
		case Exceeded:
			beyond = append(beyond, line)
		case Unknown:
			unknown = append(unknown, line)
		case Vacuous:
			if facts.OK > 0 { // that nothing succeeded is said once, below
				vacuous = append(vacuous, line)
			}
		case Valid:
			if r.Unread != nil && r.Unread.Number == r.Unread.All {
				vacuous = append(vacuous, r.Checker+": "+r.Unread.Text)
			}
		default:
			harness = append(harness, line)
		}
	}
	if len(results) == 0 {
		harness = append(harness, "no checker judged this run")
	}
	for _, a := range v.Assumptions {
		if a.Exceeded {
			exceeded = append(exceeded, "the run exceeded an assumption of the claim, "+assumption(a))
		}
	}
	when := ""
	if facts.Final > 0 {
		when = " before the final reads"
	}
	switch worked := facts.OK - facts.Final; {
	case worked == 0:
		vacuous = append(vacuous, "no operation succeeded"+when)
	case worked < MinOK:
		vacuous = append(vacuous, fmt.Sprintf("only %s succeeded%s, fewer than %d", Plural(worked, "operation"), when, MinOK))
	}
	vacuous = append(vacuous, idleFaults(faults, facts.RequireFaults)...)
	vacuous = append(vacuous, missingCoverage(facts.Coverage, facts.RequireCoverage)...)

	switch {
	case len(violated) > 0 && len(exceeded) == 0:
		v.Outcome = Violation
	case len(violated)+len(beyond) > 0:
		v.Outcome = Exceeded
	case len(harness) > 0:
		v.Outcome = Harness
	case len(unknown) > 0:
		v.Outcome = Unknown
	case len(vacuous) > 0:
		v.Outcome = Vacuous
	default:
		v.Outcome = Valid
	}
	// An interruption makes no run vacuous by itself, but it explains whatever did.
	if v.Interrupted = facts.Interrupted != ""; v.Interrupted {
		vacuous = append([]string{facts.Interrupted}, vacuous...)
	}
	// The winner's reasons come first.
	reasons := map[Outcome][]string{Exceeded: exceeded, Harness: harness, Unknown: unknown, Vacuous: vacuous}
	v.Reasons = append(v.Reasons, reasons[v.Outcome]...)
	for _, o := range []Outcome{Exceeded, Harness, Unknown, Vacuous} {
		if o != v.Outcome {
			v.Reasons = append(v.Reasons, reasons[o]...)
		}
	}
	v.Reasons = append(v.Reasons, failed...)
	for i := range v.Assumptions {
		v.Assumptions[i].mark(v.Results)
	}
	v.Sentence = sentence(v)
	if v.Outcome == Valid && facts.Interrupted != "" {
		v.Sentence = strings.TrimSuffix(v.Sentence, ".") + "; " + facts.Interrupted + "."
	}
	// Final reads leave little unread, and of a run that had them all its summaries tell it.
	if v.Outcome == Valid && (facts.Interrupted != "" || facts.Final == 0) {
		for _, r := range v.Results {
			if r.Unread != nil {
				v.Sentence = strings.TrimSuffix(v.Sentence, ".") + "; " + r.Unread.Text + "."
			}
		}
	}
	if v.Outcome == Exceeded && len(exceeded) > 0 {
		v.Sentence += " But " + exceeded[0] + "."
	}
	return v
}

// Against holds what a checker found against the claim. Where an anomaly breaks it within
// its assumptions, those beyond them are told in the summary alone.
func Against(claim history.Claim, r Result) Result {
	if len(r.Anomalies) == 0 {
		return r
	}
	var broken, beyond, allowed []Anomaly
	for _, f := range r.Anomalies {
		switch {
		case !claim.Broken(f.Breaks):
			allowed = append(allowed, f)
		case f.Beyond != nil && (claim.Origin == "" || claim.Assumes(f.Beyond.Assumption)):
			beyond = append(beyond, f)
		default:
			broken = append(broken, f)
		}
	}
	r.Allowed = allowed
	switch {
	case len(broken) > 0:
		r.Outcome, r.Anomalies = Violation, broken
	case len(beyond) > 0:
		r.Outcome, r.Anomalies = Exceeded, beyond
	default:
		r.Outcome, r.Anomalies = r.Beside, nil
		if r.Outcome == "" {
			r.Outcome = Valid
		}
		r.Summary = "seen, and allowed by the claim: " + r.Summary
	}
	return r
}

// mark notes that anomalies rest on an assumption that the run went beyond.
func (a *Assumption) mark(results []Result) {
	for _, r := range results {
		for _, f := range r.Anomalies {
			if f.Beyond != nil && f.Beyond.Assumption == a.Name && !a.Exceeded {
				a.Exceeded, a.Why = true, f.Beyond.Why
			}
		}
	}
}

// AssumptionsOf are those of a claim, none of them exceeded.
func AssumptionsOf(claim history.Claim) []Assumption {
	var list []Assumption
	for _, a := range claim.Assumptions {
		list = append(list, Assumption{Name: a.Name, Text: a.Text})
	}
	return list
}

func assumption(a Assumption) string {
	text := a.Name
	if a.Text != "" {
		text += " (" + a.Text + ")"
	}
	if a.Why != "" {
		text += ": " + a.Why
	}
	return text
}

// idleFaults says which faults leave a run without proof. One fault in vain is
// the user's to weigh, unless required; a schedule of which nothing took effect
// tested nothing.
func idleFaults(faults []Fault, require bool) []string {
	var idle []Fault
	for _, f := range faults {
		if !f.Confirmed {
			idle = append(idle, f)
		}
	}
	switch {
	case len(idle) == 0:
		return nil
	case require:
		reasons := make([]string, len(idle))
		for i, f := range idle {
			reasons[i] = fmt.Sprintf("required fault %d (%s) %s", f.Step.ID, f.Step.Kind, whyIdle(f))
		}
		return reasons
	case len(idle) == len(faults):
		// One that was tried tells more than those whose time never came.
		example := idle[0]
		for _, f := range idle {
			if f.Injected >= 0 {
				example = f
				break
			}
		}
		return []string{fmt.Sprintf("no fault of the schedule showed that it acted; fault %d (%s) %s",
			example.Step.ID, example.Step.Kind, whyIdle(example))}
	}
	return nil
}

func whyIdle(f Fault) string {
	switch {
	case f.Injected < 0 && f.Error != "":
		return "was not injected: " + f.Error
	case f.Injected < 0:
		return "was not injected"
	case f.Error != "":
		return "failed: " + f.Error
	}
	return "showed no evidence that it acted"
}

// sentence says a verdict to a person, with the shortest evidence there is.
func sentence(v Verdict) string {
	first := ""
	if len(v.Reasons) > 0 {
		first = strings.TrimSuffix(v.Reasons[0], ".")
	}
	switch v.Outcome {
	case Violation, Exceeded:
		return claim(v)
	case Valid:
		return fmt.Sprintf("No violation found in %s (%d ok, %d fail, %d info) under %s%s.",
			Plural(v.OK+v.Fail+v.Info, "operation"), v.OK, v.Fail, v.Info, faultsInWords(v.Faults), allowedInWords(v.Results))
	case Unknown:
		return "The checkers could not finish: " + first + "."
	case Vacuous:
		return "The run proves nothing: " + first + "."
	}
	return "The harness failed: " + first + "."
}

// allowedInWords counts the anomalies outside the claim: "; seen and allowed: 3 × stale-element".
func allowedInWords(results []Result) string {
	var parts []string
	for _, r := range results {
		for _, f := range r.Allowed {
			parts = append(parts, fmt.Sprintf("%d × %s", f.Count, f.Class))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "; seen and allowed: " + strings.Join(parts, ", ")
}

func claim(v Verdict) string {
	fallback := ""
	for _, r := range v.Results {
		if r.Outcome != Violation && r.Outcome != Exceeded {
			continue
		}
		if len(r.Anomalies) > 0 {
			return r.Anomalies[0].Sentence
		}
		if fallback == "" {
			fallback = r.Summary
		}
	}
	return fallback
}

// faultsInWords counts the confirmed faults by kind: "3 confirmed faults (1 kill, 2 partition)".
func faultsInWords(faults []Fault) string {
	if len(faults) == 0 {
		return "no faults"
	}
	kinds := make(map[string]int)
	confirmed := 0
	for _, f := range faults {
		if f.Confirmed {
			confirmed++
			kinds[f.Step.Kind]++
		}
	}
	names := make([]string, 0, len(kinds))
	for k := range kinds {
		names = append(names, k)
	}
	sort.Strings(names)
	parts := make([]string, len(names))
	for i, k := range names {
		parts[i] = fmt.Sprintf("%d %s", kinds[k], k)
	}
	text := Plural(confirmed, "confirmed fault")
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	if idle := len(faults) - confirmed; idle > 0 {
		text += fmt.Sprintf("; %d more unconfirmed", idle)
	}
	return text
}
