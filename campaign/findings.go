package campaign

import (
	"slices"
	"strings"
	"time"

	"nemesis/checker"
)

// FindingState is one fingerprint of tonight.
type FindingState struct {
	Finding
	Cells []string `json:"cells"`
	// Count is the runs that showed it; Repeated of Repeats tell its rate.
	Count    int `json:"count"`
	Repeats  int `json:"repeats"`
	Repeated int `json:"repeated"`
	// First is the night in which it was first seen.
	First string `json:"first"`
	// Issue is that of its quarantine; "" when it is not in one that is in force.
	Issue string `json:"issue,omitempty"`
	Run   string `json:"run"`
	Seed  int64  `json:"seed"`
	Dir   string `json:"dir,omitempty"`
}

// findings gathers tonight's by fingerprint.
func (n *Night) findings(m Manifest, archive *Archive) {
	at := map[string]int{}
	for _, r := range n.results {
		if !r.counts() {
			continue
		}
		if r.Verdict == checker.Violation && len(r.Findings) == 0 && r.Kind != Repeat {
			n.blame(checker.Violation, "%s in %s, of which no anomaly is told: %s", checker.Violation, r.Cell, r.Sentence)
		}
		for _, f := range r.Findings {
			i, known := at[f.Fingerprint]
			if !known {
				i = len(n.Findings)
				at[f.Fingerprint] = i
				n.Findings = append(n.Findings, FindingState{
					Finding: f, First: archive.firstSeen(f.Fingerprint, m.Night), Issue: m.quarantine(f.Fingerprint, n.Ended),
					Run: r.ID, Seed: r.Seed, Dir: r.Dir,
				})
			}
			state := &n.Findings[i]
			state.Count++
			if !slices.Contains(state.Cells, r.Cell) {
				state.Cells = append(state.Cells, r.Cell)
			}
		}
	}
	repeats := map[string][]Result{}
	for _, r := range n.results {
		if r.Kind == Repeat && (conclusive(r.Verdict) || r.Verdict == checker.Exceeded) {
			repeats[r.Of] = append(repeats[r.Of], r)
		}
	}
	for i := range n.Findings {
		f := &n.Findings[i]
		for _, r := range repeats[f.Run] {
			f.Repeats++
			if r.finds(anomaly(f.Fingerprint)) { // in whatever shape
				f.Repeated++
			}
		}
		if f.Issue == "" {
			n.blame(checker.Violation, "%s: %s", f.Fingerprint, f.Claim)
		}
	}
}

// quarantine is the issue of a finding whose quarantine is in force.
func (m Manifest) quarantine(fingerprint string, now time.Time) string {
	for _, k := range m.Known {
		if sameFinding(fingerprint, k.Finding) && !k.expired(now) {
			return k.Issue
		}
	}
	return ""
}

// expired: the last day of the quarantine is over, in UTC.
func (k Known) expired(now time.Time) bool { return !now.Before(k.Until.AddDate(0, 0, 1)) }

// quarantines end on their day, and when the failure does.
func (n *Night) quarantines(m Manifest) {
	for _, k := range m.Known {
		if k.expired(n.Ended) {
			n.blame(checker.Harness, "the quarantine of %s (%s) ended on %s; mend it, or decide anew how long it may stay", k.Finding, k.Issue, k.Until.Format(time.DateOnly))
			continue
		}
		if m.Shard != Whole {
			continue // it may have come in another one
		}
		if runs, limit := n.quiet(k), k.limit(); runs >= limit {
			n.blame(checker.Harness, "the known finding %s (%s) has not come in %s where it was seen; close the issue and remove the quarantine", k.Finding, k.Issue, checker.Plural(runs, "run"))
		}
	}
}

func (k Known) limit() int {
	if k.Quiet > 0 {
		return k.Quiet
	}
	return 20
}

// quiet is how many conclusive runs have gone without a known finding in the cells where
// it was seen, or in all of its system when it never was.
func (n *Night) quiet(k Known) int {
	if slices.ContainsFunc(n.Findings, func(f FindingState) bool { return sameFinding(f.Fingerprint, k.Finding) }) {
		return 0
	}
	shows := func(row Row) bool {
		for fingerprint := range row.Findings {
			if sameFinding(fingerprint, k.Finding) {
				return true
			}
		}
		return false
	}
	last, cells := -1, map[string]bool{}
	for i, past := range n.past {
		for _, row := range past.Rows {
			if shows(row) {
				last = i
				cells[row.Cell] = true
			}
		}
	}
	system, _, _ := strings.Cut(k.Finding, "/")
	about := func(row Row) bool { return cells[row.Cell] || len(cells) == 0 && word(row.System) == system }
	runs := 0
	for _, past := range n.past[last+1:] {
		for _, row := range past.Rows {
			if about(row) {
				runs += row.Conclusive
			}
		}
	}
	for _, c := range n.Cells {
		if about(c.Row) {
			runs += c.Row.Conclusive
		}
	}
	return runs
}
