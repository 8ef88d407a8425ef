package uniqueids

import (
	"encoding/json"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

type id struct {
	outcome history.Type
	f, key  string
	value   string
}

func logOf(all []id) *history.Log {
	log := &history.Log{}
	for i, one := range all {
		o := history.Operation{Index: int64(2 * i), Completion: int64(2*i + 1), Process: i, F: one.f, Key: one.key, Type: one.outcome, Call: int64(i), Return: int64(i), Output: json.RawMessage(one.value)}
		if o.Type == history.Info {
			o.Return = history.Never
		}
		log.Operations = append(log.Operations, o)
	}
	return log
}

func TestIdentifiersAreGivenOutOnce(t *testing.T) {
	const ok, fail, info, f = history.OK, history.Fail, history.Info, history.FGenerate
	for name, s := range map[string]struct {
		all  []id
		want checker.Outcome
		text string
	}{
		"all different":      {[]id{{ok, f, "", "1"}, {ok, f, "", "2"}, {ok, f, "", `"1"`}}, checker.Valid, "3 identifiers, each given out once"},
		"one twice":          {[]id{{ok, f, "", "1"}, {ok, f, "", "2"}, {ok, f, "", "1"}}, checker.Violation, "1 × duplicate-id"},
		"three times":        {[]id{{ok, f, "", "1"}, {ok, f, "", "1"}, {ok, f, "", "1"}}, checker.Violation, "2 × duplicate-id"},
		"of two generators":  {[]id{{ok, f, "a", "1"}, {ok, f, "b", "1"}}, checker.Valid, "2 identifiers"},
		"of unknown outcome": {[]id{{ok, f, "", "1"}, {info, f, "", "1"}, {fail, f, "", "1"}}, checker.Valid, "1 identifier, each"},
		"no identifier":      {[]id{{ok, f, "", "null"}}, checker.Harness, "without an identifier"},
		"another operation":  {[]id{{ok, "read", "", "1"}}, checker.Harness, "knows generate only"},
	} {
		r := Checker().Check(t.Context(), logOf(s.all), checker.Budget{})
		if r.Outcome != s.want || !strings.Contains(r.Summary, s.text) {
			t.Errorf("%s: judged %s: %s", name, r.Outcome, r.Summary)
		}
		if r.Outcome == checker.Violation && (len(r.Anomalies[0].Core) != 2 || !strings.HasPrefix(r.Anomalies[0].Sentence, "Clients 0 and ")) {
			t.Errorf("%s: told %q", name, r.Anomalies[0].Sentence)
		}
	}
}
