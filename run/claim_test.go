package run

import (
	"errors"
	"strings"
	"testing"

	"nemesis/history"
	"nemesis/workload"
)

func TestAskedForClaims(t *testing.T) {
	documented := history.Claim{Model: history.StrictSerializableWrites, Origin: history.Documented, Rules: []history.Model{history.MutualExclusion},
		Bounds: history.Bounds{ClockRate: 0.01}, Sources: []history.Source{{Sentence: "Reads may be old."}}}
	for _, test := range []struct{ asked, workload, says string }{
		{"linearizable", "register", ""},
		{"PL-3", "append", ""},
		{"linearizable-writes", "set", ""},
		{"linearisable", "register", `read --claim linearisable: find model "linearisable": there is none of that name; the most similar first, there are linearizable, `},
		{"serializable", "register", "read --claim serializable: the workload register cannot decide that; it decides strict-serializable, linearizable, strict-serializable-writes, linearizable-writes"},
		{"snapshot-isolation", "append", ""},
		{"linearizable", "append", "cannot decide that; it decides strict-serializable, strict-serializable-writes, strong-session-serializable, serializable"},
		{"linearizable", "lease", "read --claim linearizable: the workload lease judges no consistency model; leave it out"},
		{"mutual-exclusion", "register", "there is none of that name"},
	} {
		t.Run(test.asked+" of "+test.workload, func(t *testing.T) {
			work, err := workload.Find(test.workload)
			if err != nil {
				t.Fatal(err)
			}
			got, err := resolveClaim(documented, test.asked, work)
			if test.says != "" {
				var usage *UsageError
				if err == nil || !errors.As(err, &usage) || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "\n") {
					t.Errorf("says %v", err)
				}
				return
			}
			model, _ := history.FindModel(test.asked)
			if err != nil || got.Model != model || got.Origin != history.AskedFor || got.Documented != documented.Model ||
				len(got.Rules) != 1 || got.Bounds != documented.Bounds || len(got.Sources) != 1 {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	if got, err := resolveClaim(documented, "", workload.Workload{}); err != nil || got.Origin != history.Documented || got.Model != documented.Model {
		t.Errorf("got %+v, %v", got, err)
	}
}
