package reports

import (
	"fmt"
	"slices"
	"strings"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
)

// Text is the run's answer for a terminal, an issue or a CI log, in lines of at
// most width characters (at least 40; 0 means 100): the verdict, each finding
// with its proof, what the faults really did, what each checker says, and what to
// type to have it again. It needs Dir, Plan and Verdict only, and does not end in
// a line feed. The page's "Copy as text" and the body of a JUnit failure are this
// same text, so they cannot tell different stories. Foreign strings are made visible.
func (r *Run) Text(width int) string {
	v := r.Verdict
	if width == 0 {
		width = 100
	}
	t := &text{width: max(width, 40)}
	t.line("", "%s  %s", word(v.Outcome), r.subject())
	t.line("", "%s", visible.Text(v.Sentence))
	for _, note := range v.Notes {
		t.line("", "%s", visible.Text(note))
	}
	if o := r.options(); o != "" {
		t.line("", "Options: %s", o)
	}
	for _, reason := range r.reasons() {
		t.line("- ", "%s", reason)
	}
	r.findingsText(t)
	r.allowedText(t)
	if b := r.believed(); b != nil {
		t.blank()
		t.line("", "Beside the verdict: %s", b.Words)
	}
	if len(v.Faults) > 0 {
		t.blank()
		t.line("", "Faults: %s", r.faultSentence())
		r.faultLines(t)
	}
	if missed := r.missed(); missed != "" {
		t.line("", "Coverage: %s", missed)
	}
	r.checksText(t)
	t.blank()
	for _, c := range r.commands() {
		fmt.Fprintf(&t.b, "%-15s %s\n", c.Name+":", c.Line) // whole, to be copied
	}
	return strings.TrimSuffix(t.b.String(), "\n")
}

// findingsText tells the first findings, and how many there are besides.
func (r *Run) findingsText(t *text) {
	findings := r.findings()
	for i := range findings[:min(len(findings), textFindings)] {
		t.blank()
		r.findingText(t, i, len(findings))
	}
	if n := len(findings) - textFindings; n > 0 {
		t.blank()
		t.line("", "and %s, in %s", count(n, "further finding"), history.VerdictFile)
	}
}

// checksText tells what each checker says.
func (r *Run) checksText(t *text) {
	if len(r.Verdict.Results) == 0 {
		return
	}
	t.blank()
	t.line("", "Checks:")
	for _, c := range r.Verdict.Results {
		t.line("  ", "%s %s: %s (%s, %s)", word(c.Outcome), visible.Text(c.Checker), visible.Text(c.Summary), count(c.Operations, "operation"), formatDuration(c.Took))
	}
}

// reasons are the verdict's, without those that its sentence says already.
func (r *Run) reasons() []string {
	v := r.Verdict
	var out []string
	for _, s := range append(append([]string(nil), v.Reasons...), v.Truncated) {
		s = strings.TrimSuffix(s, ".")
		if s != "" && !strings.Contains(v.Sentence, s) && !slices.Contains(out, visible.Text(s)) {
			out = append(out, visible.Text(s))
		}
	}
	return out
}

// Most of each list that a text spells out: a screen or two.
const (
	textFindings  = 5
	textFaults    = 30
	textMeanwhile = 4
)

func (r *Run) findingText(t *text, i, of int) {
	f := r.findings()[i]
	head := fmt.Sprintf("Finding %d of %d: %s", i+1, of, visible.Text(f.Class))
	if f.Key != "" {
		head += ", key " + visible.Cap(f.Key, shortValue)
	}
	if f.Count > 1 {
		head += fmt.Sprintf(" (one of %s like it)", number(f.Count))
	}
	t.line("", "%s", head)
	if i > 0 || f.Sentence != r.Verdict.Sentence {
		t.line("  ", "%s", visible.Text(f.Sentence))
	}
	if len(f.Start) > 0 {
		t.line("  ", "All that was possible before these: %s", start(f))
	}
	if aboutHolders(f) {
		leaseTimelineLines(t, f, r.Verdict.Faults)
	} else {
		operationLines(t, f)
	}
	if len(f.Proof) > 0 {
		t.line("  ", "Why:")
		for i, step := range f.Proof {
			t.line("     ", "%d. %s%s", i+1, visible.Text(step.Text), refs(step.Core, len(f.Core)))
		}
	}
	if f.State != "" {
		t.line("  ", "Last state that explains everything before: %s", visible.Cap(f.State, longValue))
	}
	from, to := window(f.Core)
	if len(f.Core) > 0 && r.Plan.Schema > 0 { // without a plan, nobody knows the faults
		t.line("  ", "Meanwhile: %s", meanwhile(r.Verdict.Faults, from, to))
	}
	if f.Rule != "" {
		t.line("  ", "Rule broken: %s", visible.Text(f.Rule))
	}
	if claim := r.claimText(f); claim != "" {
		t.line("  ", "The system claims: %s", claim)
	}
}

// operationLines are the operations of a core, numbered as the proof refers to them.
func operationLines(t *text, f checker.Anomaly) {
	when, who := 0, 0
	for _, op := range f.Core {
		when, who = max(when, len([]rune(interval(op)))), max(who, len([]rune(client(op))))
	}
	for i, op := range f.Core {
		mark := "  "
		if i == f.Unexplained {
			mark = "> "
		}
		s := fmt.Sprintf("%s%-3d%-*s  %-*s  %s", mark, i+1, when, interval(op), who, client(op), operationText(op, longValue))
		if op.Type != "ok" {
			s += "  (" + ending(op) + ")"
		}
		if i == f.Unexplained {
			s += "  <- " + blame(f)
		}
		t.line("    ", "%s", s)
	}
}

// refs names the operations a step of a proof speaks of, as the list numbers them.
func refs(core []int, of int) string {
	var s []string
	for _, i := range core {
		if i >= 0 && i < of {
			s = append(s, fmt.Sprint(i+1))
		}
	}
	if len(s) == 0 {
		return ""
	}
	return " [" + strings.Join(s, ", ") + "]"
}

// meanwhile says which faults were in force between two moments.
func meanwhile(faults []checker.Fault, from, to int64) string {
	in := during(faults, from, to)
	if len(in) == 0 {
		return "no fault was in force"
	}
	var s []string
	for i, f := range in {
		if i == textMeanwhile {
			s = append(s, fmt.Sprintf("and %s", count(len(in)-i, "further fault")))
			break
		}
		until := "the end"
		if f.Healed >= 0 {
			until = formatTime(f.Healed)
		}
		s = append(s, fmt.Sprintf("%s, %s, from %s to %s", label(f), state(f), formatTime(f.Injected), until))
	}
	return strings.Join(s, "; ")
}

// faultSentence counts what became of the schedule. An unconfirmed fault is
// never among those that count.
func (r *Run) faultSentence() string {
	injected, confirmed, recovered := 0, 0, 0
	for _, f := range r.Verdict.Faults {
		if f.Injected >= 0 {
			injected++
		}
		if f.Injected >= 0 && f.Confirmed {
			confirmed++
		}
		if f.Recovered {
			recovered++
		}
	}
	if len(r.Plan.Schedule) == 0 && len(r.Verdict.Faults) == 0 {
		return "no faults were scheduled"
	}
	return fmt.Sprintf("%d scheduled, %d injected, %d confirmed by evidence, %d seen to heal", max(len(r.Plan.Schedule), len(r.Verdict.Faults)), injected, confirmed, recovered)
}

// faultLines tell each fault; many in a row that were not injected for one reason,
// as after an interruption, share a line.
func (r *Run) faultLines(t *text) {
	faults := r.Verdict.Faults
	for i := 0; i < len(faults); i++ {
		if i >= textFaults {
			t.line("  ", "and %s, in %s", count(len(faults)-i, "further fault"), history.VerdictFile)
			return
		}
		f, last := faults[i], i
		for f.Injected < 0 && last+1 < len(faults) && faults[last+1].Injected < 0 && faults[last+1].Error == f.Error {
			last++
		}
		if last > i+1 {
			t.line("  ", "%d to %d %s", f.Step.ID, faults[last].Step.ID, faultOutcome(f))
			i = last
			continue
		}
		t.line("  ", "%d %s on %s: %s", f.Step.ID, intent(f.Step), nodeList(hit(f)), faultOutcome(f))
	}
}

func faultOutcome(f checker.Fault) string {
	s := state(f)
	if f.Injected < 0 {
		if f.Error != "" {
			s += ": " + visible.Cap(f.Error, 2*longValue)
		}
		return s
	}
	until := ", never healed"
	if f.Healed >= 0 {
		until = "–" + formatTime(f.Healed)
	}
	s += ", " + fmt.Sprintf("%.3f", float64(f.Injected)/1e9) + until
	switch {
	case f.Together > 0:
		s += fmt.Sprintf(", for %.3f s at once with %d", float64(f.Together)/1e9, f.Step.While)
	case f.Step.While != 0:
		s += fmt.Sprintf(", never seen at once with %d", f.Step.While)
	}
	if f.EndedEarly {
		s += " when something else had undone it"
	}
	if f.Recovered {
		s += ", heal confirmed"
	} else {
		s += ", heal unconfirmed"
	}
	if f.Evidence != "" {
		s += "; " + visible.Cap(f.Evidence, 2*longValue)
	}
	if f.Error != "" {
		s += "; " + visible.Cap(f.Error, 2*longValue)
	}
	return s
}

func nodeList(nodes []string) string {
	if len(nodes) == 0 {
		return "no node"
	}
	return visible.Cap(strings.Join(nodes, " "), longValue)
}

// text collects wrapped lines.
type text struct {
	b     strings.Builder
	width int
}

func (t *text) blank() { t.b.WriteByte('\n') }

// line writes one paragraph behind indent; what does not fit continues two
// columns further in.
func (t *text) line(indent, format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	lead := len(s) - len(strings.TrimLeft(s, " "))
	hang := strings.Repeat(" ", len([]rune(indent))+lead+2)
	used := 0
	write := func(w string) {
		t.b.WriteString(w)
		used += len([]rune(w))
	}
	write(indent + s[:lead])
	empty := true
	// Spaces inside a line align columns; only those at a break may go.
	for i, w := range strings.Split(s[lead:], " ") {
		n := len([]rune(w))
		if i > 0 {
			if used+1+n > t.width && !empty {
				t.b.WriteByte('\n')
				used = 0
				write(hang)
				empty = true
			} else {
				write(" ")
			}
		}
		write(w)
		empty = empty && w == ""
	}
	t.b.WriteByte('\n')
}
