package executables_test

import (
	"context"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/executables"
	"nemesis/history"
)

func ran(name string, end history.ExitStatus) history.Operation {
	return history.Operation{F: history.FRun, Key: name, Type: history.OK, Output: end.Encode(), Call: 1, Return: 2, End: 2}
}

func TestExitStatusesMakeTheFindings(t *testing.T) {
	gaveUp := history.Operation{F: history.FRun, Key: "finally_count", Type: history.Info, Call: 1, Return: history.Never}
	other := history.Operation{F: "read", Type: history.OK}
	for name, test := range map[string]struct {
		ops      []history.Operation
		outcome  checker.Outcome
		findings int
		want     string
	}{
		"all well":         {[]history.Operation{ran("parallel_driver_a", history.ExitStatus{}), ran("finally_count", history.ExitStatus{}), other}, checker.Valid, 0, "2 runs of executables found nothing wrong"},
		"one found":        {[]history.Operation{ran("finally_count", history.ExitStatus{Status: 1, Said: "3 are lost"})}, checker.Violation, 1, "finally_count"},
		"each once":        {[]history.Operation{ran("parallel_driver_a", history.ExitStatus{Status: 1}), ran("parallel_driver_a", history.ExitStatus{Status: 2}), ran("finally_count", history.ExitStatus{Status: 3})}, checker.Violation, 2, "2 executables"},
		"no answer":        {[]history.Operation{ran("parallel_driver_a", history.ExitStatus{}), gaveUp}, checker.Unknown, 0, "finally_count came to no answer"},
		"found, no answer": {[]history.Operation{ran("parallel_driver_a", history.ExitStatus{Status: 9}), gaveUp}, checker.Violation, 1, ""},
		"an answer late":   {[]history.Operation{gaveUp, ran("finally_count", history.ExitStatus{})}, checker.Valid, 0, ""},
		"damaged":          {[]history.Operation{{F: history.FRun, Key: "x", Type: history.OK, Output: []byte("[1]")}}, checker.Harness, 0, "read operation 0"},
	} {
		r := executables.Checker([]string{"finally_count"}).Check(context.Background(), &history.Log{Operations: test.ops}, checker.Budget{})
		if r.Outcome != test.outcome || len(r.Anomalies) != test.findings || !strings.Contains(r.Summary, test.want) {
			t.Errorf("%s: %s, %d findings, %s", name, r.Outcome, len(r.Anomalies), r.Summary)
		}
		if name == "one found" {
			if a := r.Anomalies[0]; !strings.Contains(a.Sentence, "finally_count ended with exit status 1") || !strings.Contains(a.Sentence, "3 are lost") {
				t.Errorf("the sentence is %s", a.Sentence)
			}
			if got := checker.Against(history.Claim{}, r); got.Outcome != checker.Violation {
				t.Errorf("without a claim it is %s", got.Outcome)
			}
		}
	}
}
