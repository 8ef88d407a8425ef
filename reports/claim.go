package reports

import (
	"strings"

	"nemesis/history"
	"nemesis/reports/visible"
)

// What the system was held to: its claim, and who made it.

// heldTo names the model of the claim and whose it is: "linearizable, asked for by you;
// documented is linearizable-writes". It is "" where no model is claimed or known.
func (r *Run) heldTo() string {
	c := r.Verdict.Claim
	if c.Model == "" {
		return ""
	}
	text := string(c.Model) + ", " + string(c.Origin)
	if c.Origin == history.AskedFor && c.Documented != "" {
		text += "; documented is " + string(c.Documented)
	}
	return visible.Text(text)
}

// claimed are the sentences of the documentation, with where they stand.
func (r *Run) claimed() []string {
	var all []string
	for _, s := range r.Verdict.Claim.SourcesFor(r.Plan.Workload) {
		text := s.Sentence
		if s.Address != "" {
			text += " (" + s.Address + ")"
		}
		all = append(all, visible.Text(text))
	}
	return all
}

// claimText is both in a line, for terminals.
func (r *Run) claimText() string {
	parts := r.claimed()
	if held := r.heldTo(); held != "" {
		parts = append([]string{held + "."}, parts...)
	}
	return strings.Join(parts, " ")
}
