// Package junittest holds JUnit files against the schemas of those who read them.
//
// The schemas are written from the public rules of Jenkins (junit-10.xsd of its xUnit
// plugin) and Maven Surefire (surefire-test-report.xsd), with these differences. Surefire
// reports one suite a file, so its rules are applied to each suite; its suite may have one
// more attribute, timestamp, which other readers use. A case must have a class name, without
// which Jenkins puts it apart. Counts must be numbers, and must be right.
package junittest

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// element is what a schema says of an element: its attributes, and its children.
type element struct {
	must, may []string
	children  []string
	// ordered: the children come in the order of the list, those in once at most once.
	ordered bool
	once    []string
	text    bool
}

// schema are the elements that a file may have.
type schema struct {
	name     string
	root     string // the outermost element that the schema knows
	elements map[string]element
}

var (
	trouble  = element{may: []string{"message", "type"}, text: true}
	typed    = element{must: []string{"type"}, may: []string{"message"}, text: true}
	words    = element{text: true}
	property = element{must: []string{"name", "value"}}
	list     = element{children: []string{"property"}}
)

var jenkins = schema{name: "Jenkins", root: "testsuites", elements: map[string]element{
	"testsuites": {may: []string{"name", "time", "tests", "failures", "errors"}, children: []string{"testsuite"}},
	"testsuite": {must: []string{"name", "tests", "failures", "errors"},
		may:      []string{"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
		children: []string{"testsuite", "properties", "testcase", "system-out", "system-err"}},
	"properties": list,
	"property":   property,
	"testcase": {must: []string{"name", "classname"}, may: []string{"time", "group"},
		children: []string{"skipped", "error", "failure", "system-out", "system-err"}},
	"skipped": trouble, "error": trouble, "failure": trouble,
	"system-out": words, "system-err": words,
}}

var surefire = schema{name: "Maven Surefire", root: "testsuite", elements: map[string]element{
	"testsuite": {must: []string{"name", "tests", "errors", "skipped", "failures"}, may: []string{"time", "group", "timestamp"},
		children: []string{"properties", "testcase"}, ordered: true},
	"properties": list,
	"property":   property,
	"testcase": {must: []string{"name", "classname", "time"}, may: []string{"group"},
		children: []string{"failure", "skipped", "error", "system-out", "system-err"}, ordered: true,
		once: []string{"skipped", "error", "system-out", "system-err"}},
	"skipped": {may: []string{"message"}, text: true}, "error": typed, "failure": typed,
	"system-out": words, "system-err": words,
}}

var seconds = regexp.MustCompile(`^[0-9]+\.[0-9]{3}$`)

// Check fails the test unless a file is valid under every schema.
func Check(t *testing.T, text []byte) {
	t.Helper()
	if err := Validate(text); err != nil {
		t.Errorf("%v:\n%s", err, text)
	}
}

// Validate says what is wrong with a file under one of the schemas, or with its numbers.
func Validate(text []byte) error {
	root, err := read(text)
	if err != nil {
		return err
	}
	if root.name != "testsuites" {
		return fmt.Errorf("the outermost element is %s", root.name)
	}
	for _, s := range []schema{jenkins, surefire} {
		if err := s.find(root); err != nil {
			return fmt.Errorf("under the schema of %s: %w", s.name, err)
		}
	}
	return root.numbers()
}

// node is an element of a file.
type node struct {
	name       string
	attributes map[string]string
	children   []*node
	text       bool
}

func read(text []byte) (*node, error) {
	top := &node{}
	open := []*node{top}
	decoder := xml.NewDecoder(strings.NewReader(string(text)))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		in := open[len(open)-1]
		switch e := token.(type) {
		case xml.StartElement:
			n := &node{name: e.Name.Local, attributes: map[string]string{}}
			for _, a := range e.Attr {
				n.attributes[a.Name.Local] = a.Value
			}
			in.children = append(in.children, n)
			open = append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			in.text = in.text || strings.TrimSpace(string(e)) != ""
		}
	}
	if len(top.children) != 1 {
		return nil, fmt.Errorf("there are %d outermost elements", len(top.children))
	}
	return top.children[0], nil
}

// find applies the schema to each outermost element that it knows.
func (s schema) find(n *node) error {
	if n.name == s.root {
		return s.check(n)
	}
	for _, c := range n.children {
		if err := s.find(c); err != nil {
			return err
		}
	}
	return nil
}

func (s schema) check(n *node) error {
	rule, known := s.elements[n.name]
	if !known {
		return fmt.Errorf("there is no element %s", n.name)
	}
	for _, must := range rule.must {
		if n.attributes[must] == "" {
			return fmt.Errorf("%s has no %s", n.name, must)
		}
	}
	for name := range n.attributes {
		if !slices.Contains(rule.must, name) && !slices.Contains(rule.may, name) {
			return fmt.Errorf("%s has an attribute %s", n.name, name)
		}
	}
	if n.text && !rule.text {
		return fmt.Errorf("%s holds text", n.name)
	}
	last, count := 0, map[string]int{}
	for _, c := range n.children {
		at := slices.Index(rule.children, c.name)
		if count[c.name]++; at < 0 || rule.ordered && at < last || count[c.name] > 1 && slices.Contains(rule.once, c.name) {
			return fmt.Errorf("%s is out of place in %s", c.name, n.name)
		}
		last = at
		if err := s.check(c); err != nil {
			return err
		}
	}
	return nil
}

// counters are the attributes that count elements.
var counters = map[string]string{"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}

// numbers checks what schemas call strings: times, timestamps and counts.
func (n *node) numbers() error {
	for name, value := range n.attributes {
		switch counted, isCount := counters[name]; {
		case isCount:
			if told, err := strconv.Atoi(value); err != nil || told != n.count(counted) {
				return fmt.Errorf("%s of %s is %q, but there are %d", name, n.name, value, n.count(counted))
			}
		case name == "time" && !seconds.MatchString(value):
			return fmt.Errorf("the time of %s is %q", n.name, value)
		case name == "timestamp":
			if t, err := time.Parse("2006-01-02T15:04:05", value); err != nil || t.Format("2006-01-02T15:04:05") != value {
				return fmt.Errorf("the timestamp of %s is %q", n.name, value)
			}
		}
	}
	for _, c := range n.children {
		if err := c.numbers(); err != nil {
			return err
		}
	}
	return nil
}

// count is how many elements of a name there are in n, at any depth.
func (n *node) count(name string) int {
	found := 0
	for _, c := range n.children {
		if c.name == name {
			found++
		}
		found += c.count(name)
	}
	return found
}
