package defects

import (
	"context"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
)

func found(name string, returned ...int64) checker.Result {
	r := checker.Result{Checker: name, Outcome: checker.Violation}
	for _, at := range returned {
		r.Anomalies = append(r.Anomalies, checker.Anomaly{Core: []history.Operation{{Return: 1}, {Return: at}, {Return: history.Never}}})
	}
	return r
}

func TestOnlyTheRightCheckerCounts(t *testing.T) {
	for _, c := range []struct {
		name    string
		must    string
		results []checker.Result
		by      string
		right   bool
		after   time.Duration
	}{
		{"the one that must", "linearizable", []checker.Result{found("linearizable", 5e9, 3e9)}, "linearizable", true, 3 * time.Second},
		{"another", "append", []checker.Result{found("liveness", 7e9)}, "liveness", false, 7 * time.Second},
		{"both", "counter", []checker.Result{found("liveness", 7e9), found("linearizable", 9e9)}, "liveness linearizable", true, 7 * time.Second},
		{"one without operations", "liveness", []checker.Result{{Checker: "liveness", Outcome: checker.Violation, Anomalies: []checker.Anomaly{{}}}}, "liveness", true, 0},
		{"one that found nothing", "linearizable", []checker.Result{{Checker: "linearizable", Outcome: checker.Valid}, found("stats", 1)}, "stats", false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := caughtBy(checker.Verdict{Results: c.results}, Defect{Checkers: []string{c.must}})
			if by := strings.Join(got.by, " "); by != c.by || got.right != c.right || got.after != c.after {
				t.Errorf("by %s after %s, rightly %v; want by %s after %s, rightly %v", by, got.after, got.right, c.by, c.after, c.right)
			}
		})
	}
}

func TestSimulatedTriesAreCounted(t *testing.T) {
	cfg := Config{Seeds: 3, Budget: time.Second, Ways: []Way{Simulated}, Defects: []Defect{{ID: "R01"}, {ID: "R28"}},
		Simulate: func(_ context.Context, id string, seed uint64, _ time.Duration) (string, bool) {
			return map[uint64]string{1: "reads", 3: "agreement"}[seed], id == "R01"
		}}
	var rows []string
	if err := Run(t.Context(), cfg, func(r Row) { rows = append(rows, r.String()) }); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(rows, "\n")
	want := "R01     simulated      2 /  2 /  3         0.0s  agreement, reads\nR28     simulated  not tried: it is not in the pure core"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestEveryDefectOfTheTableHasAFaultOrAReason: cmd/nemesis tests that the table has every defect.
func TestEveryDefectOfTheTableHasAFaultOrAReason(t *testing.T) {
	for id, r := range recipes() {
		if len(r.load) == 0 || (len(r.faults) == 0) == (r.lacks == "") {
			t.Errorf("%s: load %q, faults %q, lacks %q", id, r.load, r.faults, r.lacks)
		}
	}
}

func TestConfigurationsThatCannotBeAreRefused(t *testing.T) {
	for want, cfg := range map[string]Config{
		"try defects: 0 seeds; give from 1 to 1000":                                {Budget: time.Minute},
		"try defects: a budget of 0s; give from 1s to 24h":                         {Seeds: 1},
		`try defects: there is no way "luck"; use simulated, minimal, none or mix`: {Seeds: 1, Budget: time.Minute, Ways: []Way{"luck"}},
	} {
		if err := Run(t.Context(), cfg, nil); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
