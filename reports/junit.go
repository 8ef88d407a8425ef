package reports

import (
	"encoding/xml"
	"fmt"
	"path/filepath"
	"sort"
	"strings"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/visible"
)

type junitSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	junitCounts
	Suite junitSuite `xml:"testsuite"`
}

type junitCounts struct {
	Tests    int    `xml:"tests,attr"`
	Failures int    `xml:"failures,attr"`
	Errors   int    `xml:"errors,attr"`
	Time     string `xml:"time,attr"`
}

type junitSuite struct {
	Name string `xml:"name,attr"`
	junitCounts
	Timestamp  string          `xml:"timestamp,attr,omitempty"`
	Hostname   string          `xml:"hostname,attr,omitempty"`
	Properties []junitProperty `xml:"properties>property"`
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
	Failure *junitTrouble `xml:"failure"`
	Error   *junitTrouble `xml:"error"`
}

type junitTrouble struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"`
	Text    string `xml:",cdata"`
}

// JUnit is junit.xml: one suite, the system; one test for the whole run, whose
// name stays the same from seed to seed, and one for every checker. Only a
// violation is a failure. Whatever else is not valid is an error: a CI that
// shows errors and failures alike must never show a run that proves nothing as
// green.
func (r *Run) JUnit() ([]byte, error) {
	v, p := r.Verdict, r.Plan
	took := int64(p.TimeLimit)
	if r.Log != nil {
		took = r.Log.End
	}
	suite := junitSuite{Name: visible.Text(p.System.Name), Timestamp: visible.Text(strings.TrimSuffix(v.Start, "Z")), Hostname: visible.Text(v.Host)}
	property := func(name, value string) {
		if value != "" {
			suite.Properties = append(suite.Properties, junitProperty{visible.Text(name), visible.Text(value)})
		}
	}
	property("seed", fmt.Sprint(p.Seed))
	property("verdict", string(v.Outcome))
	property("version", p.System.Version)
	for _, name := range optionNames(p.System) {
		property("option."+name, p.System.Options[name])
	}
	property("nodes", strings.Join(p.Cluster.Nodes, " "))
	property("nemesis", v.Version)
	property("report", filepath.Join(r.Dir, history.ReportFile))
	property("replay", r.commands()[0].Line)

	class := visible.Text(p.System.Name + "." + p.Workload.Name)
	whole := junitCase{Class: class, Name: r.caseName(), Time: seconds(took)}
	whole.judge(v.Outcome, r.kind(), visible.Text(v.Sentence), r.Text(100))
	suite.Cases = append(suite.Cases, whole)
	for _, c := range v.Results {
		one := junitCase{Class: class, Name: whole.Name + ": " + visible.Text(c.Checker), Time: seconds(c.Took)}
		kind := string(c.Outcome)
		var text strings.Builder
		for _, f := range c.Findings {
			kind = c.Findings[0].Class
			fmt.Fprintln(&text, visible.Text(f.Claim))
		}
		one.judge(c.Outcome, kind, visible.Text(c.Summary), text.String())
		suite.Cases = append(suite.Cases, one)
	}
	suite.Tests, suite.Time = len(suite.Cases), seconds(took)
	for _, c := range suite.Cases {
		if c.Failure != nil {
			suite.Failures++
		}
		if c.Error != nil {
			suite.Errors++
		}
	}
	out, err := xml.MarshalIndent(junitSuites{Name: "nemesis", junitCounts: suite.junitCounts, Suite: suite}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", history.JUnitFile, err)
	}
	return append([]byte(xml.Header), append(out, '\n')...), nil
}

func (c *junitCase) judge(o checker.Outcome, kind, message, text string) {
	if o == checker.Valid {
		return
	}
	t := &junitTrouble{Type: visible.Text(kind), Message: message, Text: text}
	if o == checker.Violation {
		c.Failure = t
	} else {
		c.Error = t
	}
}

// kind is the class of the worst finding, or the verdict when there is none.
func (r *Run) kind() string {
	if f := r.findings(); len(f) > 0 {
		return f[0].Class
	}
	return string(r.Verdict.Outcome)
}

// caseName says what is tested, not how it went: "register with kill, partition".
func (r *Run) caseName() string {
	s := r.Plan.Workload.Name
	for i, name := range optionNames(r.Plan.System) {
		if i == 0 {
			s += ","
		}
		s += " " + name + "=" + r.Plan.System.Options[name]
	}
	faults := strings.Join(r.Plan.Faults, ", ")
	if faults == "" {
		faults = "no faults"
	}
	return visible.Text(s + " with " + faults)
}

func optionNames(s history.System) []string {
	var names []string
	for name := range s.Options {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func seconds(ns int64) string { return fmt.Sprintf("%.3f", float64(ns)/1e9) }
