package reports

import (
	"strings"

	"nemesis/checker"
	"nemesis/reports/visible"
)

// Foreign is the answer about a history that another tester recorded, in the words
// of Run.Text and in lines of at most width characters (0 means 100): the verdict,
// each finding with its proof, and what the checkers say. Nothing is known of
// nodes, faults and plan, so nothing is said of them.
func Foreign(name string, v checker.Verdict, width int) string {
	if width == 0 {
		width = 100
	}
	r := &Run{Verdict: v}
	t := &text{width: max(width, 40)}
	t.line("", "%s  %s", word(v.Outcome), visible.Text(name))
	t.line("", "%s", visible.Text(v.Sentence))
	for _, reason := range r.reasons() {
		t.line("- ", "%s", reason)
	}
	r.findingsText(t)
	r.checksText(t)
	return strings.TrimSuffix(t.b.String(), "\n")
}
