package listappend

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/checker/internal/corpora"
	"nemesis/history"
)

func load(t *testing.T, elem ...string) *history.Log {
	events := corpora.Events(t, corpora.Path(t, 3, elem...))
	for i := range events {
		if events[i].Process < 0 { // a completion follows its invocation
			events[i].Process = i / 2
		}
	}
	ops := corpora.Operations(t, events, func(ev corpora.Event) (string, string, json.RawMessage) {
		return "txn", "", corpora.JSON(ev.Value)
	})
	if elem[1] == "si-without-g-single.edn" {
		// All its times are 0: the transactions are concurrent.
		for i := range ops {
			ops[i].Call, ops[i].Return, ops[i].End = 0, 0, 0
		}
	}
	return &history.Log{Operations: ops}
}

func TestKnownVerdictsOfListAppendHistories(t *testing.T) {
	for _, c := range []struct {
		file []string
		want checker.Outcome
		one  string // a class that must be among the anomalies
	}{
		{[]string{"elle", "paper-example.edn"}, checker.Violation, "G-single"},
		{[]string{"elle", "si-without-g-single.edn"}, checker.Violation, "G2-item"},
		{[]string{"elle", "huge-scc.edn"}, checker.Violation, "G-single-realtime"},
		{[]string{"jepsen", "list-append-gh-30.edn"}, checker.Violation, "G2-item"},
	} {
		t.Run(c.file[1], func(t *testing.T) {
			start := time.Now()
			r := Append().Check(context.Background(), load(t, c.file...), checker.Budget{})
			t.Logf("%s in %s: %s", r.Outcome, time.Since(start), r.Summary)
			for _, f := range r.Anomalies {
				t.Logf("%s: %s", f.Class, f.Sentence)
				for _, p := range f.Proof {
					t.Log("  ", p.Text, p.Core)
				}
			}
			if r.Outcome != c.want {
				t.Errorf("judged %s, known to be %s", r.Outcome, c.want)
			}
			if c.one == "" {
				return
			}
			for _, f := range r.Anomalies {
				if f.Class == c.one {
					return
				}
			}
			t.Errorf("no anomaly of class %s", c.one)
		})
	}
}
