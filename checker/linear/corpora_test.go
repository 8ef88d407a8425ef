package linear

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/internal/corpora"
	"nemesis/checker/linear/models"
	"nemesis/history/foreign"
)

// etcdLogs are Porcupine's etcd histories that have a linear order; all others
// have none, but 95, in which the cluster never started.
var etcdLogs = map[int]bool{2: true, 5: true, 7: true, 18: true, 25: true, 31: true, 38: true, 45: true, 48: true,
	49: true, 51: true, 53: true, 56: true, 67: true, 75: true, 76: true, 80: true, 87: true, 92: true, 98: true,
	100: true, 101: true, 102: true}

// mostOfCorpora is how many operations the largest core of these histories may have.
const mostOfCorpora = 12

// judgeForeign has a foreign history judged, and holds the verdict to the known one. Every
// violation must be confirmed by Porcupine, and told by a core that can be read.
func judgeForeign(t *testing.T, path string, format foreign.Format, kind string, opt models.Options, valid bool) checker.Result {
	t.Helper()
	h, err := foreign.Load(context.Background(), path, foreign.Options{Format: format})
	if err != nil {
		t.Fatal(err)
	}
	k, err := models.Find(kind)
	if err != nil {
		t.Fatal(err)
	}
	result := Checker(k, opt).Check(context.Background(), h.Log, checker.Budget{})
	want := checker.Violation
	if valid {
		want = checker.Valid
	}
	if result.Outcome != want {
		t.Errorf("%s was judged %s (%s), known to be %s", filepath.Base(path), result.Outcome, result.Summary, want)
	}
	var d Details
	if err := json.Unmarshal(result.Details, &d); err != nil {
		t.Error(err)
	}
	if d.Unconfirmed > 0 {
		t.Errorf("%s: the second opinion ran out of steps", filepath.Base(path))
	}
	for _, f := range result.Anomalies {
		if len(f.Core) > mostOfCorpora {
			t.Errorf("%s: a core of %d operations", filepath.Base(path), len(f.Core))
		}
	}
	return result
}

// The verdicts are the same whether failed compare-and-sets are used as observations,
// as in Porcupine's own model for these logs, or not at all.
func TestKnownVerdictsOfEtcdLogs(t *testing.T) {
	folder := corpora.Path(t, 2, "porcupine-etcd")
	judged := 0
	for n := range 103 {
		if n == 95 {
			continue
		}
		path := fmt.Sprintf("%s/etcd_%03d.log", folder, n)
		judgeForeign(t, path, foreign.JepsenLog, "cas-register", models.Options{}, etcdLogs[n])
		judgeForeign(t, path, foreign.JepsenLog, "cas-register", models.Options{ObserveFailures: true}, etcdLogs[n])
		judged++
	}
	t.Logf("%d logs", judged)
}

func TestKnownVerdictsOfKeyValueHistories(t *testing.T) {
	folder := corpora.Path(t, 2, "porcupine-kv")
	for _, clients := range []string{"01", "10", "50"} {
		for _, verdict := range []string{"ok", "bad"} {
			r := judgeForeign(t, fmt.Sprintf("%s/c%s-%s.txt", folder, clients, verdict), foreign.PorcupineKV, "kv", models.Options{}, verdict == "ok")
			for _, f := range r.Anomalies {
				t.Logf("c%s-%s: %s (%d operations)", clients, verdict, f.Sentence, len(f.Core))
			}
		}
	}
}

func TestKnownVerdictsOfKnossosHistories(t *testing.T) {
	folder := corpora.Path(t, 2, "knossos-cas")
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	// The position of the event that cannot be explained, where Knossos gives it.
	culprit := map[string]int64{"bad-bad-analysis.edn": 14, "bad-cas-failure.edn": 491, "bad-immediate-failure.edn": 3}
	opt := models.Options{Init: json.RawMessage("0"), NilReads: true}
	for _, e := range entries {
		bad := strings.HasPrefix(e.Name(), "bad")
		r := judgeForeign(t, folder+"/"+e.Name(), foreign.JepsenEDN, "cas-register", opt, !bad)
		if index, known := culprit[e.Name()]; known && len(r.Anomalies) > 0 {
			f := r.Anomalies[0]
			if f.Unexplained < 0 || f.Core[f.Unexplained].Completion != index {
				t.Errorf("%s: operation %d of core %v cannot be explained, known to be the one that ends at %d", e.Name(), f.Unexplained, f.Core, index)
			}
		}
	}
	t.Logf("%d histories", len(entries))
}
