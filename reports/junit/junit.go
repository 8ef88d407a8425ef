// Package junit writes junit.xml, the file in which continuous integration reads what a
// test found. It keeps to what the schemas of Jenkins and of Maven Surefire have in common:
// every suite counts what it skipped, times have three decimals, timestamps whole seconds.
//
// Texts are written as they are: whoever fills in a Case makes them fit to be shown.
package junit

import (
	"encoding/xml"
	"fmt"
	"time"
)

// Suites is a whole file.
type Suites struct {
	XMLName  xml.Name `xml:"testsuites"`
	Name     string   `xml:"name,attr"`
	Tests    int      `xml:"tests,attr"`
	Failures int      `xml:"failures,attr"`
	Errors   int      `xml:"errors,attr"`
	Time     Seconds  `xml:"time,attr"`
	Suites   []Suite  `xml:"testsuite"`
}

// Suite is a group of cases. Write counts them; Time is the caller's, since cases may
// overlap in time.
type Suite struct {
	Name       string     `xml:"name,attr"`
	Tests      int        `xml:"tests,attr"`
	Failures   int        `xml:"failures,attr"`
	Errors     int        `xml:"errors,attr"`
	Skipped    int        `xml:"skipped,attr"`
	Time       Seconds    `xml:"time,attr"`
	Timestamp  string     `xml:"timestamp,attr,omitempty"` // see Timestamp
	Properties []Property `xml:"properties>property,omitempty"`
	Cases      []Case     `xml:"testcase"`
}

// Property is a named value of a suite.
type Property struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

// Case is one test. It passed if Failure, Skipped and Error are nil; at most one is not.
type Case struct {
	Class   string   `xml:"classname,attr"`
	Name    string   `xml:"name,attr"`
	Time    Seconds  `xml:"time,attr"`
	Failure *Trouble `xml:"failure"`
	Skipped *Skip    `xml:"skipped"`
	Error   *Trouble `xml:"error"`
	Out     string   `xml:"system-out,omitempty"`
}

// Trouble is why a case failed, or why nobody knows.
type Trouble struct {
	Type    string `xml:"type,attr"`
	Message string `xml:"message,attr"` // one line
	Text    string `xml:",cdata"`
}

// Skip is why a case tells nothing.
type Skip struct {
	Message string `xml:"message,attr"`
}

// Seconds is a length of time, written with three decimals.
type Seconds float64

// MarshalText writes the form that both schemas accept.
func (s Seconds) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%.3f", float64(s)), nil }

// Timestamp is a time in UTC as the schemas want it: without a zone and without fractions
// of a second.
func Timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05") }

// Write counts the cases and returns the file's content.
func Write(name string, suites ...Suite) ([]byte, error) {
	all := Suites{Name: name, Suites: suites}
	for i := range all.Suites {
		s := &all.Suites[i]
		s.Tests, s.Failures, s.Errors, s.Skipped = len(s.Cases), 0, 0, 0
		for _, c := range s.Cases {
			switch {
			case c.Failure != nil:
				s.Failures++
			case c.Error != nil:
				s.Errors++
			case c.Skipped != nil:
				s.Skipped++
			}
		}
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		all.Time += s.Time
	}
	out, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write a JUnit report: %w", err)
	}
	return append([]byte(xml.Header), append(out, '\n')...), nil
}
