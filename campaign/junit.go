package campaign

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/reports/visible"
)

type junitSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	junitCounts
	Suites []junitSuite `xml:"testsuite"`
}

type junitCounts struct {
	Tests    int    `xml:"tests,attr"`
	Failures int    `xml:"failures,attr"`
	Errors   int    `xml:"errors,attr"`
	Skipped  int    `xml:"skipped,attr"`
	Time     string `xml:"time,attr"`
}

type junitSuite struct {
	Name string `xml:"name,attr"`
	junitCounts
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property,omitempty"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"`
	Skipped *junitSkip    `xml:"skipped"`
	Error   *junitTrouble `xml:"error"`
	Failure *junitTrouble `xml:"failure"`
	Out     string        `xml:"system-out,omitempty"`
}

type junitSkip struct {
	Message string `xml:"message,attr"`
}

type junitTrouble struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit is junit.xml: a suite for each system, with a case for each cell, and a suite of
// our own, with a case for each canary and one for the night. Names stay from night to night.
// A violation is a failure; what keeps us from knowing is an error; quarantined cells, those
// that rules leave out, and those beyond an assumption are skipped, with the reason. The
// night's own case is an error whenever the night is red for anything that is not a failure of
// a cell, so that a red night is never shown as green.
func (n Night) JUnit() ([]byte, error) {
	byName := map[string]*junitSuite{}
	var names []string
	suite := func(name string) *junitSuite {
		if byName[name] == nil {
			byName[name] = &junitSuite{Name: visible.Text(name), Timestamp: n.Began.UTC().Format("2006-01-02T15:04:05")}
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
		suite(c.System).add(c.junit(found[c.Name]), c.Row.Took*float64(c.Row.Runs))
	}
	slices.Sort(names)
	own := suite("nemesis")
	for _, c := range n.Canaries {
		one := junitCase{Class: "nemesis.canary", Name: visible.Text(c.Name)}
		if !c.Passed {
			one.Error = trouble(string(checker.Harness), c.Sentence, "")
		}
		own.add(one, n.took(c.Name))
	}
	night := junitCase{Class: "nemesis.night", Name: visible.Text(n.Campaign)}
	if len(n.Reasons) > 0 && (n.Outcome != checker.Violation || slices.ContainsFunc(n.blames, func(b blame) bool { return b.outcome != checker.Violation })) {
		night.Error = trouble(string(n.Outcome), n.Sentence, strings.Join(n.Reasons, "\n"))
	}
	own.add(night, 0)
	for _, p := range []junitProperty{{"night", n.Night}, {"shard", n.Shard.String()}, {"verdict", string(n.Outcome)}, {"subject", n.Subject}, {"nemesis", n.Nemesis}} {
		if p.Value != "" {
			own.Properties = append(own.Properties, junitProperty{p.Name, visible.Text(p.Value)})
		}
	}

	all := junitSuites{Name: visible.Text(n.Campaign)}
	total := 0.0
	for _, name := range names {
		s := byName[name]
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		all.Skipped += s.Skipped
		var t float64
		fmt.Sscanf(s.Time, "%f", &t)
		total += t
		all.Suites = append(all.Suites, *s)
	}
	all.Time = fmt.Sprintf("%.3f", total)
	out, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", JUnitFile, err)
	}
	return append([]byte(xml.Header), append(out, '\n')...), nil
}

func (s *junitSuite) add(c junitCase, seconds float64) {
	c.Time = fmt.Sprintf("%.3f", seconds)
	var before float64
	fmt.Sscanf(s.Time, "%f", &before)
	s.Time = fmt.Sprintf("%.3f", before+seconds)
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
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
func (c CellState) junit(found []FindingState) junitCase {
	one := junitCase{Class: visible.Text(c.System + "." + c.Workload), Name: visible.Text(c.Name)}
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
		one.Skipped = &junitSkip{Message: string(c.State) + ": " + why}
	case NotRun:
		one.Skipped = &junitSkip{Message: why} // the night's case is an error when there are too many
	default:
		one.Error = trouble(string(c.State), c.Why, "")
	}
	if c.Dir != "" {
		one.Out = visible.Text("nemesis replay " + c.Dir)
	}
	return one
}

func trouble(kind, message, text string) *junitTrouble {
	return &junitTrouble{Type: visible.Text(kind), Message: shown(message, 2000), Text: visible.Block(text)}
}
