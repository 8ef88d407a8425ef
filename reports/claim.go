package reports

import (
	"fmt"
	"slices"
	"strings"

	"nemesis/checker"
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
	return sentences(r.Verdict.Claim.SourcesFor(r.Plan.Workload))
}

func sentences(sources []history.Source) []string {
	var all []string
	for _, s := range sources {
		text := s.Sentence
		if s.Address != "" {
			text += " (" + s.Address + ")"
		}
		all = append(all, visible.Text(text))
	}
	return all
}

// heldToBy names what a finding breaks of the claim where that is a rule of leases and the
// like; else it is heldTo.
func (r *Run) heldToBy(f checker.Anomaly) string {
	c := r.Verdict.Claim
	for _, m := range f.Breaks {
		if slices.Contains(c.Rules, m) {
			origin := c.Origin
			if origin == history.AskedFor { // of the model alone
				origin = history.Documented
			}
			return visible.Text(string(m) + ", " + string(origin))
		}
	}
	return r.heldTo()
}

// claimText is what a finding breaks and the documentation's sentences, in a line.
func (r *Run) claimText(f checker.Anomaly) string {
	parts := sentences(r.Verdict.Claim.SourcesOf(r.Plan.Workload, f.Breaks))
	if held := r.heldToBy(f); held != "" {
		parts = append([]string{held + "."}, parts...)
	}
	return strings.Join(parts, " ")
}

// allowed is an anomaly that was seen and that the claim does not exclude.
type allowed struct{ Class, Key, Count, Claim, Breaks string }

// allowed are those of all checkers.
func (r *Run) allowed() []allowed {
	var list []allowed
	for _, c := range r.Verdict.Results {
		for _, f := range c.Allowed {
			a := allowed{Class: visible.Text(f.Class), Key: visible.Cap(f.Key, shortValue), Claim: visible.Text(f.Sentence), Breaks: visible.Text(history.Names(f.Breaks))}
			if f.Count > 1 {
				a.Count = fmt.Sprintf("one of %s like it", number(f.Count))
			}
			list = append(list, a)
		}
	}
	return list
}

// allowedText tells them on a terminal.
func (r *Run) allowedText(t *text) {
	list := r.allowed()
	if len(list) == 0 {
		return
	}
	t.blank()
	held := r.heldTo()
	if held == "" {
		held = "nothing of the kind"
	}
	t.line("", "Seen, and allowed by the claim (%s):", held)
	for i, a := range list {
		if i == textFindings {
			t.line("  ", "and %s, in %s", count(len(list)-i, "further one"), history.VerdictFile)
			break
		}
		head := a.Class
		if a.Key != "" {
			head += ", key " + a.Key
		}
		if a.Count != "" {
			head += " (" + a.Count + ")"
		}
		t.line("  ", "%s: %s It breaks %s.", head, a.Claim, a.Breaks)
	}
}
