package lease

import (
	"fmt"

	"nemesis/checker"
)

// Details is the form of Result.Details: what the run put to the test, counted over all
// resources, and what is told beside the verdict.
type Details struct {
	Resources int `json:"resources"`
	// Grants are acknowledged acquires, Refused those and others that found another
	// holder, Rejected guarded writes that were refused because of their token.
	Grants   int `json:"grants"`
	Refused  int `json:"refused"`
	Rejected int `json:"rejected"`
	Renewals int `json:"renewals"`
	// Looks are answers to the question who holds it.
	Looks int `json:"looks"`
	// Handovers are grants that followed one of another holder. Contested are grants
	// that were asked for while another held the resource.
	Handovers int `json:"handovers"`
	Contested int `json:"contested"`
	// Expiries are grants that were over and that nobody had given up.
	Expiries int `json:"expiries"`
	// LongestHold is the longest time for which one grant was certainly held, in ns.
	LongestHold int64 `json:"longestHold"`
	// Stalest is the largest lower bound of a stale read's staleness, in ns.
	Stalest int64 `json:"stalest,omitempty"`
	// Overlaps counts pairs of clients that believed to hold one resource at one
	// moment; LongestOverlap is in ns, and Believed the first of them with its proof.
	// Unless Options.ClaimExclusion is set they break no promise.
	Overlaps       int              `json:"overlaps"`
	LongestOverlap int64            `json:"longestOverlap,omitempty"`
	Believed       *checker.Anomaly `json:"believed,omitempty"`
	// Exceeded counts anomalies by class that overlap a time of clocks beyond their
	// bounds, beside a violation.
	Exceeded string `json:"exceeded,omitempty"`
	// Rate is the clock error that was allowed for, as a share.
	Rate float64 `json:"rate"`
}

// cover counts what one resource's history puts to the test.
func (j *judge) cover(d *Details) {
	d.Resources++
	d.Grants += len(j.grants)
	order := j.byReturn()
	over := make([]bool, len(j.grants)) // it is known to have ended
	for _, e := range j.endings {
		j.pace.Step()
		over[e.grant] = true
	}
	for n, i := range order {
		j.pace.Step()
		g := &j.grants[i]
		d.LongestHold = max(d.LongestHold, g.until-g.ret)
		if n == 0 {
			continue
		}
		before := &j.grants[order[n-1]]
		if before.holder == g.holder {
			continue
		}
		d.Handovers++
		over[order[n-1]] = true
		if before.until > g.call {
			d.Contested++
		}
	}
	for i := range j.grants {
		j.pace.Step()
		if over[i] && !j.grants[i].givenUp {
			d.Expiries++
		}
	}
}

// tested reports whether the run can have shown anything: somebody had to wait for a
// holder, or a hold ended by itself.
func (d *Details) tested() bool {
	return d.Grants > 0 && d.Contested+d.Refused+d.Rejected+d.Expiries > 0
}

// summary is the coverage in one sentence without its end.
func (d *Details) summary() string {
	text := fmt.Sprintf("%s of %s, %s (%d contested), %d expired, %s refused, %s, longest hold %s",
		checker.Plural(d.Grants, "grant"), checker.Plural(d.Resources, "resource"), checker.Plural(d.Handovers, "hand-over"), d.Contested,
		d.Expiries, checker.Plural(d.Refused, "attempt"), checker.Plural(d.Renewals, "renewal"), checker.Span(d.LongestHold))
	if d.Overlaps > 0 {
		text += fmt.Sprintf("; %d times two clients believed to hold the same, for %s at most", d.Overlaps, checker.Span(d.LongestOverlap))
	}
	return text
}
