package junit_test

import (
	"strings"
	"testing"
	"time"

	"nemesis/reports/junit"
	"nemesis/reports/junit/junittest"
)

func example(t *testing.T) []byte {
	t.Helper()
	text, err := junit.Write("nightly",
		junit.Suite{Name: "etcd", Time: 3.5, Timestamp: junit.Timestamp(time.Date(2026, 11, 22, 2, 0, 0, 123e6, time.UTC)),
			Properties: []junit.Property{{Name: "seed", Value: "7"}},
			Cases: []junit.Case{
				{Class: "etcd.register", Name: "passes", Time: 1},
				{Class: "etcd.register", Name: "fails", Failure: &junit.Trouble{Message: "stale", Type: "stale-read", Text: "a <b> ]]> c"}, Out: "nemesis replay x"},
				{Class: "etcd.register", Name: "nobody knows", Error: &junit.Trouble{Message: "no time", Type: "unknown"}},
				{Class: "etcd.register", Name: "left out", Skipped: &junit.Skip{Message: "quarantined"}},
			}},
		junit.Suite{Name: "nemesis"},
	)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestFileIsValidUnderTheSchemasOfItsReaders(t *testing.T) {
	text := example(t)
	junittest.Check(t, text)
	for _, want := range []string{
		`<testsuites name="nightly" tests="4" failures="1" errors="1" time="3.500">`,
		`<testsuite name="etcd" tests="4" failures="1" errors="1" skipped="1" time="3.500" timestamp="2026-11-22T02:00:00">`,
		`<testsuite name="nemesis" tests="0" failures="0" errors="0" skipped="0" time="0.000">`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// The schemas must refuse what their readers refuse, or they show nothing.
func TestValidationRefusesWhatIsWrong(t *testing.T) {
	good := string(example(t))
	for _, change := range [][2]string{
		{"<testcase ", "<testcases "},
		{`classname=`, `class=`},
		{`tests="4"`, `tests="5"`},
		{` skipped="1"`, ``},
		{` skipped="1"`, ` skipped="0"`},
		{`time="3.500"`, `time="soon"`},
		{`time="1.000"`, `time="1.0000"`},
		{`T02:00:00"`, `T02:00:00.123"`},
		{`T02:00:00"`, `T02:00:00Z"`},
		{` type="stale-read"`, ``},
		{`<testsuites `, `<testsuites skipped="1" `},
		{`name="etcd"`, `hostname="laptop" name="etcd"`},
		{`<properties>`, `said <properties>`},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Errorf("%s is not in the file", change[0])
		}
		if junittest.Validate([]byte(bad)) == nil {
			t.Errorf("%q for %q passes", change[1], change[0])
		}
	}
}
