package reports

import (
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/reports/junit"
	"nemesis/reports/visible"
)

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
	suite := junit.Suite{Name: visible.Text(p.System.Name), Time: junit.Seconds(float64(took) / 1e9)}
	if start, err := time.Parse(time.RFC3339Nano, v.Start); err == nil {
		suite.Timestamp = junit.Timestamp(start)
	}
	property := func(name, value string) {
		if value != "" {
			suite.Properties = append(suite.Properties, junit.Property{Name: visible.Text(name), Value: visible.Text(value)})
		}
	}
	property("seed", fmt.Sprint(p.Seed))
	property("verdict", string(v.Outcome))
	property("version", p.System.Version)
	for _, name := range optionNames(p.System) {
		property("option."+name, p.System.Options[name])
	}
	property("nodes", strings.Join(p.Cluster.Nodes, " "))
	property("host", v.Host)
	property("claim", r.heldTo())
	for _, a := range r.allowed() {
		property("allowed."+a.Class, a.Claim)
	}
	property("nemesis", v.Version)
	property("report", filepath.Join(r.Dir, history.ReportFile))
	property("replay", r.commands()[0].Line)

	class := visible.Text(p.System.Name + "." + p.Workload.Name)
	whole := junit.Case{Class: class, Name: r.caseName(), Time: suite.Time}
	judgeCase(&whole, v.Outcome, r.kind(), visible.Text(v.Sentence), r.Text(100))
	suite.Cases = append(suite.Cases, whole)
	for _, c := range v.Results {
		one := junit.Case{Class: class, Name: whole.Name + ": " + visible.Text(c.Checker), Time: junit.Seconds(float64(c.Took) / 1e9)}
		kind := string(c.Outcome)
		var text strings.Builder
		for _, f := range c.Anomalies {
			kind = c.Anomalies[0].Class
			fmt.Fprintln(&text, visible.Text(f.Sentence))
		}
		judgeCase(&one, c.Outcome, kind, visible.Text(c.Summary), text.String())
		suite.Cases = append(suite.Cases, one)
	}
	return junit.Write("nemesis", suite)
}

// judgeCase fills in how a case ended.
func judgeCase(c *junit.Case, o checker.Outcome, kind, message, text string) {
	if o == checker.Valid {
		return
	}
	t := &junit.Trouble{Type: visible.Text(kind), Message: message, Text: text}
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
