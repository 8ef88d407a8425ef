package campaign

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/reports/visible"
)

// Night is what a campaign says in the end: night.json, and what all outputs are made of.
type Night struct {
	Schema   int       `json:"schema"`
	Campaign string    `json:"campaign"`
	Night    string    `json:"night"`
	Shard    Shard     `json:"shard"`
	Subject  string    `json:"subject,omitempty"`
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"`
	Nemesis  string    `json:"nemesis"`

	// Outcome is valid only for a night that is green: everything ran that had to, canaries
	// included, and nothing was found.
	Outcome  checker.Outcome `json:"verdict"`
	Sentence string          `json:"sentence"`
	// Reasons say why the night is red, what is wrong with the tester first.
	Reasons []string `json:"reasons,omitempty"`
	// Remarks are what else a reader must know; they turn nothing red.
	Remarks []string `json:"remarks,omitempty"`

	Canaries []CanaryState  `json:"canaries"`
	Cells    []CellState    `json:"cells"`
	Findings []FindingState `json:"findings,omitempty"`
	Alarms   []Alarm        `json:"alarms,omitempty"`
	// Runs counts what ran but canaries and re-checks, by verdict.
	Runs map[checker.Outcome]int `json:"runs"`
	// Rechecked is how many stored histories were judged again.
	Rechecked int `json:"rechecked"`

	results []Result
	past    []Past

	blames []blame
}

// NightSchema is the version of night.json.
const NightSchema = 1

// States of cells beside the verdicts.
const (
	Quarantined checker.Outcome = "quarantined" // only known findings
	LeftOut     checker.Outcome = "left out"    // by a rule
	NotRun      checker.Outcome = "not run"     // for lack of time
)

// CellState is how a cell fared tonight.
type CellState struct {
	CellPlan
	// State is the worst that its runs prove, or one of the states above.
	State checker.Outcome `json:"state"`
	// Why is one sentence; the reason for whatever is not valid.
	Why string `json:"why,omitempty"`
	Row Row    `json:"row"`
	// Dir is the run that Why is about.
	Dir string `json:"dir,omitempty"`
}

// blame is a reason to be red.
type blame struct {
	outcome checker.Outcome
	text    string
}

func (n *Night) blame(o checker.Outcome, format string, args ...any) {
	n.blames = append(n.blames, blame{o, visible.Text(fmt.Sprintf(format, args...))})
}

// stop says that a night ended before its work was done, and judges anew.
func (n *Night) stop(why string) {
	n.blame(checker.Harness, "%s%s", stoppedReason, why)
	n.conclude()
}

// stoppedReason begins the reason of a night that was stopped.
const stoppedReason = "the night was "

// Judge makes of a night's results what it says. It is a pure function. The worst that is
// certain wins, in the order of a run's verdict:
//
//	violation > exceeded > harness > unknown > vacuous > valid
//
// A canary that failed is harness, since it proves that the tester does not work; it comes
// first among the reasons whatever else there is. Runs that prove nothing are tolerated up to a
// share, but not all runs of a cell, and never those of all cells.
//
// A shard answers for its own cells and canaries only.
func Judge(m Manifest, results []Result, archive *Archive, now time.Time) Night {
	m = m.own()
	n := Night{
		Schema: NightSchema, Campaign: m.Campaign, Night: m.Night, Shard: m.Shard, Subject: m.Subject,
		Began: m.Began, Ended: now, Nemesis: m.Nemesis, Runs: map[checker.Outcome]int{},
		results: inOrder(results), past: archive.before(m.Night),
	}
	n.canaries(m)
	n.rechecks(m)
	n.findings(m, archive)
	n.cells(m)
	n.shares(m)
	n.quarantines(m)
	n.trend(m)
	n.duties(m)
	n.conclude()
	return n
}

// own is the manifest without what other shards do.
func (m Manifest) own() Manifest {
	if m.Shard == Whole {
		return m
	}
	m.Cells = slices.DeleteFunc(slices.Clone(m.Cells), func(c CellPlan) bool { return c.Shard != m.Shard.Number })
	m.Canaries = slices.DeleteFunc(slices.Clone(m.Canaries), func(w WatchPlan) bool { return w.Shard != m.Shard.Number })
	return m
}

func (n *Night) conclude() {
	worst := checker.ByPrecedence()
	n.Outcome, n.Reasons = checker.Valid, nil
	for _, o := range slices.Backward(worst) {
		if slices.ContainsFunc(n.blames, func(b blame) bool { return b.outcome == o }) {
			n.Outcome = o
		}
	}
	blames := slices.Clone(n.blames)
	slices.SortStableFunc(blames, func(a, b blame) int { return rankOf(a, worst) - rankOf(b, worst) })
	for _, b := range blames {
		n.Reasons = append(n.Reasons, b.text)
	}
	n.Sentence = n.inOneSentence()
}

// rankOf puts what is wrong with the tester before all else.
func rankOf(b blame, worst []checker.Outcome) int {
	if strings.HasPrefix(b.text, testerAtFault) {
		return -1
	}
	return slices.Index(worst, b.outcome)
}

// testerAtFault begins the reasons that speak against nemesis itself.
const testerAtFault = "the tester is at fault: "

func (n *Night) inOneSentence() string {
	total := 0
	for _, count := range n.Runs {
		total += count
	}
	passed := 0
	for _, c := range n.Canaries {
		if c.Passed {
			passed++
		}
	}
	if n.Outcome == checker.Valid {
		return fmt.Sprintf("No violation found in %s of %s; %d of %d canaries as expected.",
			checker.Plural(total, "run"), checker.Plural(len(n.Cells), "cell"), passed, len(n.Canaries))
	}
	text := strings.TrimSuffix(n.Reasons[0], ".")
	if more := len(n.Reasons) - 1; more > 0 {
		text += fmt.Sprintf("; and %s more", checker.Plural(more, "reason"))
	}
	if word, _, _ := strings.Cut(text, " "); !strings.Contains(word, "/") { // not a fingerprint
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return text + "."
}

// counts tells whether a result is about the system under test.
func (r Result) counts() bool { return r.Kind == Search || r.Kind == Replay || r.Kind == Repeat }

// cells judges every cell by all of its runs.
func (n *Night) cells(m Manifest) {
	covered := 0
	byCell := map[string][]Result{}
	for _, r := range n.results {
		if r.counts() {
			byCell[r.Cell] = append(byCell[r.Cell], r)
		}
	}
	for _, plan := range m.Cells {
		runs := byCell[plan.Name]
		state := CellState{CellPlan: plan, Row: rowOf(plan, runs)}
		state.State, state.Why, state.Dir = n.stateOf(runs, m)
		n.Cells = append(n.Cells, state)
		switch state.State {
		case checker.Valid, checker.Violation, Quarantined, checker.Exceeded:
			covered++
		}
	}
	for _, left := range m.Left {
		n.Cells = append(n.Cells, CellState{
			CellPlan: CellPlan{Name: left.Name, System: left.System, Workload: left.Workload}, State: LeftOut, Why: left.Why})
	}
	n.coverage(m, covered)
}

// coverage blames the night for the cells about which it says nothing.
func (n *Night) coverage(m Manifest, covered int) {
	if len(m.Cells) == 0 || covered > 0 && float64(covered) >= float64(m.Floors.Cells)*float64(len(m.Cells)) {
		return
	}
	for _, o := range []checker.Outcome{checker.Harness, checker.Unknown, checker.Vacuous, NotRun} {
		var names []string
		example := ""
		for _, c := range n.Cells {
			if c.State == o {
				names = append(names, c.Name)
				if example == "" {
					example = strings.TrimSuffix(c.Why, ".")
				}
			}
		}
		if len(names) == 0 {
			continue
		}
		blamed := o
		if o == NotRun {
			blamed = checker.Vacuous
		}
		n.blame(blamed, "the night proves nothing about %d of %d cells, %s: %s (%s)", len(names), len(m.Cells), o, some(names, 5), example)
	}
}

// some is a list with its rest counted.
func some(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// stateOf is the worst that a cell's runs prove. Where one run proves something, those that
// prove nothing only count in the shares.
func (n *Night) stateOf(runs []Result, m Manifest) (state checker.Outcome, why, dir string) {
	if len(runs) == 0 {
		return NotRun, "The time was up before its turn.", ""
	}
	first := func(o checker.Outcome) (Result, bool) {
		i := slices.IndexFunc(runs, func(r Result) bool { return r.Verdict == o })
		if i < 0 {
			return Result{}, false
		}
		return runs[i], true
	}
	var known *Result
	issue := ""
	for _, r := range runs {
		if r.Verdict != checker.Violation {
			continue
		}
		of := make([]string, len(r.Findings))
		for i, f := range r.Findings {
			of[i] = m.quarantine(f.Fingerprint, n.Ended)
		}
		if len(of) == 0 || slices.Contains(of, "") {
			return checker.Violation, r.Sentence, r.Dir
		}
		if known == nil {
			known, issue = &r, of[0]
		}
	}
	if known != nil {
		return Quarantined, "Known, " + issue + ": " + known.Sentence, known.Dir
	}
	for _, o := range []checker.Outcome{checker.Valid, checker.Exceeded, checker.Harness, checker.Unknown, checker.Vacuous} {
		if r, ok := first(o); ok {
			return o, r.Sentence, r.Dir
		}
	}
	return checker.Harness, "Its runs have no verdict that this nemesis knows.", runs[0].Dir
}

// shares blames the night for too many runs that prove nothing.
func (n *Night) shares(m Manifest) {
	total := 0
	for _, r := range n.results {
		if r.counts() {
			n.Runs[r.Verdict]++
			total++
		}
	}
	for _, limit := range []struct {
		outcome checker.Outcome
		share   Share
	}{
		{checker.Exceeded, m.Tolerate.Exceeded}, {checker.Harness, m.Tolerate.Harness},
		{checker.Unknown, m.Tolerate.Unknown}, {checker.Vacuous, m.Tolerate.Vacuous},
	} {
		count := n.Runs[limit.outcome]
		if count == 0 {
			continue
		}
		example := ""
		for _, r := range n.results {
			if r.counts() && r.Verdict == limit.outcome {
				example = r.Cell + ": " + strings.TrimSuffix(r.Sentence, ".")
				break
			}
		}
		if float64(count) > float64(limit.share)*float64(total) {
			n.blame(limit.outcome, "%d of %d runs ended in %s, more than %s; such as %s", count, total, limit.outcome, limit.share, example)
		} else {
			n.Remarks = append(n.Remarks, visible.Text(fmt.Sprintf("%d of %d runs ended in %s, which is tolerated up to %s; such as %s", count, total, limit.outcome, limit.share, example)))
		}
	}
}

// duties tells of replays and re-checks that there was no time for, of what became of the
// replays, and of a night that nothing tested.
func (n *Night) duties(m Manifest) {
	done := map[string]bool{}
	replayed, still := 0, 0
	for _, r := range n.results {
		done[r.ID] = true
		if r.Kind == Replay {
			replayed++
			if r.Verdict == checker.Violation {
				still++
			}
		}
	}
	if replayed > 0 {
		n.Remarks = append(n.Remarks, fmt.Sprintf("%d of %d plans that failed in earlier nights failed again; that the others did not is no proof that they cannot", still, replayed))
	}
	if len(m.Canaries) == 0 && m.Shard == Whole {
		n.Remarks = append(n.Remarks, "there are no canaries: nothing shows that this tester can find what is wrong, or leaves alone what is right")
	}
	for _, pending := range []struct {
		what string
		list []Duty
	}{{"failing seeds were not replayed", m.Replays}, {"stored histories were not judged again", m.Rechecks}} {
		missing := 0
		for _, d := range pending.list {
			if !done[d.ID] {
				missing++
			}
		}
		if missing > 0 {
			n.Remarks = append(n.Remarks, fmt.Sprintf("%d of %d %s: the time was up", missing, len(pending.list), pending.what))
		}
	}
}
