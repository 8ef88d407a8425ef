package campaign

import (
	"fmt"
	"strings"

	"nemesis/checker"
	"nemesis/reports/visible"
)

// maxSummary is the most bytes of summary.md: GitHub refuses a step summary of more than
// 1 MiB as a whole.
const maxSummary = 900_000

// Summary is summary.md: what a person wants to know in the morning, worst first. It is
// never longer than 900 KB; what is left out is counted.
func (n Night) Summary() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s %s: %s\n\n%s\n", mark(n.Outcome), markdown(n.Campaign+" "+n.Night), n.Outcome, markdown(n.Sentence))
	list := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n## %s\n\n", title)
		for i, line := range lines {
			// A tenth for each list leaves room for the table.
			if b.Len() > maxSummary/2 {
				fmt.Fprintf(&b, "- … and %d more\n", len(lines)-i)
				return
			}
			fmt.Fprintf(&b, "- %s\n", line)
		}
	}
	each := func(texts []string) (lines []string) {
		for _, text := range texts {
			lines = append(lines, markdown(text))
		}
		return lines
	}
	list("Why it is red", each(n.Reasons))
	var findings, canaries, alarms []string
	for _, f := range n.Findings {
		line := fmt.Sprintf("`%s` in %s, first seen %s", code(f.Fingerprint), checker.Plural(f.Count, "run"), markdown(f.First))
		if f.Repeats > 0 {
			line += ", repeated " + Rate{f.Repeated, f.Repeats}.String()
		}
		if f.Issue != "" {
			line += ", known: " + markdown(f.Issue)
		}
		if f.Dir != "" {
			line += fmt.Sprintf("; `nemesis replay %s`", code(f.Dir))
		}
		findings = append(findings, line+"  \n  "+markdown(f.Claim))
	}
	list("Findings", findings)
	for _, c := range n.Canaries {
		state := "as expected"
		if !c.Passed {
			state = "**FAILED**"
		}
		canaries = append(canaries, fmt.Sprintf("%s (%s): %s; %s", markdown(c.Name), c.Expect, state, markdown(c.Sentence)))
	}
	list("Canaries", canaries)
	for _, a := range n.Alarms {
		alarms = append(alarms, markdown(a.Text))
	}
	list("Worse than usual", alarms)
	list("Also", each(n.Remarks))

	fmt.Fprintf(&b, "\n## Cells\n\n| cell | state | runs | ops/s | p99 | longest outage | why |\n|---|---|---|---|---|---|---|\n")
	for i, c := range n.Cells {
		row := fmt.Sprintf("| %s | %s | %d | %.0f | %s | %s | %s |\n", markdown(c.Name), c.State, c.Row.Runs,
			c.Row.PerSecond, figure(c.Row.P99), figure(c.Row.Outage), markdown(c.Why))
		if b.Len()+len(row) > maxSummary-200 {
			fmt.Fprintf(&b, "\n%d more cells do not fit here; results.jsonl has them.\n", len(n.Cells)-i)
			break
		}
		b.WriteString(row)
	}
	return []byte(b.String())
}

// figure is a length of time, if there is one.
func figure(ns float64) string {
	if ns == 0 {
		return "–"
	}
	return checker.Span(int64(ns))
}

func mark(o checker.Outcome) string {
	if o == checker.Valid {
		return "✅"
	}
	return "❌"
}

// markdown is foreign text that stays text: one line, cut, nothing in it has a meaning.
func markdown(s string) string {
	return strings.NewReplacer(`\`, `\\`, "`", "\\`", "|", `\|`, "<", "&lt;", "&", "&amp;", "*", `\*`, "_", `\_`,
		"[", `\[`, "]", `\]`, "#", `\#`, "@", "@\u200b", "!", `\!`, "~", `\~`, "://", "&#58;//", "www.", "www&#46;").Replace(shown(s, 600))
}

// code is foreign text between backquotes.
func code(s string) string { return strings.ReplaceAll(visible.Cap(s, 300), "`", "'") }
