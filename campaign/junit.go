package campaign

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/reports/junit"
	"nemesis/reports/visible"
)

// JUnit is junit.xml: a suite for each system, with a case for each cell, and a suite of
// our own, with a case for each canary and one for the night. Names stay from night to night.
// A violation is a failure; what keeps us from knowing is an error; quarantined cells, those
// that rules leave out, and those beyond an assumption are skipped, with the reason. The
// night's own case is an error whenever the night is red for anything that is not a failure of
// a cell, so that a red night is never shown as green.
func (n Night) JUnit() ([]byte, error) {
	byName := map[string]*junit.Suite{}
	var names []string
	suite := func(name string) *junit.Suite {
		if byName[name] == nil {
			byName[name] = &junit.Suite{Name: visible.Text(name), Timestamp: junit.Timestamp(n.Began)}
			names = append(names, name)
		}
		return byName[name]
	}
	found := map[string][]FindingState{}
	for _, f := range n.Findings {
		for _, cell := range f.Cells {
			found[cell] = append(found[cell], f)
		}
	}
	for _, c := range n.Cells {
		add(suite(c.System), c.junit(found[c.Name]), c.Row.Took*float64(c.Row.Runs))
	}
	slices.Sort(names)
	own := suite("nemesis")
	for _, c := range n.Canaries {
		one := junit.Case{Class: "nemesis.canary", Name: visible.Text(c.Name)}
		if !c.Passed {
			one.Error = trouble(string(checker.Harness), c.Sentence, "")
		}
		add(own, one, n.took(c.Name))
	}
	night := junit.Case{Class: "nemesis.night", Name: visible.Text(n.Campaign)}
	if len(n.Reasons) > 0 && (n.Outcome != checker.Violation || slices.ContainsFunc(n.blames, func(b blame) bool { return b.outcome != checker.Violation })) {
		night.Error = trouble(string(n.Outcome), n.Sentence, strings.Join(n.Reasons, "\n"))
	}
	add(own, night, 0)
	for _, p := range []junit.Property{
		{Name: "night", Value: n.Night}, {Name: "shard", Value: n.Shard.String()}, {Name: "verdict", Value: string(n.Outcome)},
		{Name: "subject", Value: n.Subject}, {Name: "nemesis", Value: n.Nemesis},
	} {
		if p.Value != "" {
			own.Properties = append(own.Properties, junit.Property{Name: p.Name, Value: visible.Text(p.Value)})
		}
	}
	var suites []junit.Suite
	for _, name := range names {
		suites = append(suites, *byName[name])
	}
	return junit.Write(visible.Text(n.Campaign), suites...)
}

// add adds a case and the seconds that it took.
func add(s *junit.Suite, c junit.Case, seconds float64) {
	c.Time = junit.Seconds(seconds)
	s.Time += c.Time
	s.Cases = append(s.Cases, c)
}

// took is the seconds of all runs of a cell.
func (n Night) took(cell string) float64 {
	var sum time.Duration
	for _, r := range n.results {
		if r.Cell == cell {
			sum += time.Duration(r.Took)
		}
	}
	return sum.Seconds()
}

// junit is the case of a cell; found are its findings.
func (c CellState) junit(found []FindingState) junit.Case {
	one := junit.Case{Class: visible.Text(c.System + "." + c.Workload), Name: visible.Text(c.Name)}
	why := visible.Text(c.Why)
	switch c.State {
	case checker.Valid:
	case checker.Violation:
		var text strings.Builder
		kind := string(checker.Violation)
		for _, f := range found {
			if f.Issue == "" {
				if text.Len() == 0 {
					kind = f.Fingerprint
				}
				fmt.Fprintf(&text, "%s\n%s\n", visible.Text(f.Fingerprint), visible.Text(f.Claim))
			}
		}
		one.Failure = trouble(kind, c.Why, text.String())
	case Quarantined, LeftOut, checker.Exceeded:
		one.Skipped = &junit.Skip{Message: string(c.State) + ": " + why}
	case NotRun:
		one.Skipped = &junit.Skip{Message: why} // the night's case is an error when there are too many
	default:
		one.Error = trouble(string(c.State), c.Why, "")
	}
	if c.Dir != "" {
		one.Out = visible.Text("nemesis replay " + c.Dir)
	}
	return one
}

func trouble(kind, message, text string) *junit.Trouble {
	return &junit.Trouble{Type: visible.Text(kind), Message: shown(message, 2000), Text: visible.Block(text)}
}
