package campaign

import (
	"fmt"
	"slices"
	"strings"

	"nemesis/checker"
	"nemesis/reports/visible"
)

// CanaryState is how a canary fared.
type CanaryState struct {
	Name     string          `json:"name"`
	System   string          `json:"system"`
	Expect   checker.Outcome `json:"expect"`
	Passed   bool            `json:"passed"`
	Sentence string          `json:"sentence"`
	Dir      string          `json:"dir,omitempty"`
}

// canaries are judged by what they show about the tester.
func (n *Night) canaries(m Manifest) {
	for _, w := range m.Canaries {
		var runs []Result
		for _, r := range n.results {
			if r.Kind == Canary && r.Cell == w.Name {
				runs = append(runs, r)
			}
		}
		state := judgeCanary(w, runs)
		n.Canaries = append(n.Canaries, state)
		if !state.Passed {
			n.blame(checker.Harness, "%scanary %s: %s", testerAtFault, strings.TrimPrefix(w.Name, "canary/"), state.Sentence)
		}
	}
}

func judgeCanary(w WatchPlan, runs []Result) CanaryState {
	s := CanaryState{Name: w.Name, System: w.System, Expect: w.Expect}
	wrong := func(r Result, why string) CanaryState {
		s.Sentence, s.Dir = why, r.Dir
		return s
	}
	if len(runs) == 0 {
		s.Sentence = "it was not run"
		return s
	}
	last := runs[len(runs)-1]
	if w.Expect == checker.Valid {
		for _, r := range runs {
			if r.Verdict == checker.Violation {
				return wrong(r, "a system that is correct was called broken: "+r.Sentence)
			}
			if r.Verdict != checker.Valid {
				return wrong(r, fmt.Sprintf("it ended in %s: %s", r.Verdict, r.Sentence))
			}
		}
		if len(runs) < w.Tries {
			return wrong(last, fmt.Sprintf("only %d of its %d runs were made", len(runs), w.Tries))
		}
		s.Passed, s.Dir = true, last.Dir
		s.Sentence = "clean, as it must be: " + last.Sentence
		return s
	}
	var other []string
	for _, r := range runs {
		if r.finds(w.Finds) {
			s.Passed, s.Dir = true, r.Dir
			s.Sentence = fmt.Sprintf("caught in try %d: %s", r.Try, r.Sentence)
			return s
		}
		told := string(r.Verdict)
		for _, f := range r.Findings {
			told += " " + f.Fingerprint
		}
		other = append(other, told)
	}
	what := "a violation"
	if w.Finds != "" {
		what = w.Finds
	}
	return wrong(last, fmt.Sprintf("%s must be found and was not in %s (%s)", what, checker.Plural(len(runs), "run"), strings.Join(other, ", ")))
}

// rechecks compares old verdicts with those of tonight's checkers.
func (n *Night) rechecks(m Manifest) {
	for _, r := range n.results {
		if r.Kind != Recheck {
			continue
		}
		n.Rechecked++
		if r.Verdict == r.Was {
			continue
		}
		noted := slices.IndexFunc(m.Notes, func(note Note) bool { return note.Run == r.Of && note.Verdict == r.Verdict })
		if noted >= 0 {
			n.Remarks = append(n.Remarks, visible.Text(fmt.Sprintf("stored history %s is %s now and was %s, which is noted: %s", r.Of, r.Verdict, r.Was, m.Notes[noted].Why)))
			continue
		}
		n.blame(checker.Harness, "%sstored history %s of %s was %s and is judged %s now: %s; if that is right, add a note", testerAtFault, r.Of, r.Cell, r.Was, r.Verdict, r.Sentence)
	}
}
