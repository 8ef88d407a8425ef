package linear

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/internal/corpora"
	"nemesis/history"
)

// etcdLogs are Porcupine's etcd histories that have a linear order; all others
// have none, but 95, in which the cluster never started.
var etcdLogs = map[int]bool{2: true, 5: true, 7: true, 18: true, 25: true, 31: true, 38: true, 45: true, 48: true,
	49: true, 51: true, 53: true, 56: true, 67: true, 75: true, 76: true, 80: true, 87: true, 92: true, 98: true,
	100: true, 101: true, 102: true}

var logLine = regexp.MustCompile(`^INFO\s+jepsen\.util - (\d+)\t:(invoke|ok|fail|info)\t:(read|write|cas)\t(.*)$`)

func etcdLog(t testing.TB, path string) []history.Operation {
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var events []corpora.Event
	for i, line := range strings.Split(string(raw), "\n") {
		m := logLine.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		ev := corpora.Event{Type: history.Type(m[2]), F: m[3], Index: int64(i)}
		if _, err := fmt.Sscan(m[1], &ev.Process); err != nil {
			t.Fatal(err)
		}
		if forms, err := corpora.EDN(m[4]); err == nil && len(forms) > 0 {
			ev.Value = forms[0]
		}
		// A read that timed out is logged as failed; either way it tells nothing.
		events = append(events, ev)
	}
	return corpora.Operations(t, events, func(ev corpora.Event) (string, string, json.RawMessage) {
		if ev.Type != history.Invoke && ev.Type != history.OK {
			return ev.F, "", nil
		}
		return ev.F, "", corpora.JSON(ev.Value)
	})
}

func TestKnownVerdictsOfEtcdLogs(t *testing.T) {
	folder := corpora.Path(t, 2, "porcupine-etcd")
	judged := 0
	for n := range 103 {
		if n == 95 {
			continue
		}
		path := fmt.Sprintf("%s/etcd_%03d.log", folder, n)
		r := Register().Check(context.Background(), &history.Log{Operations: etcdLog(t, path)}, checker.Budget{})
		want := checker.Violation
		if etcdLogs[n] {
			want = checker.Valid
		}
		if r.Outcome != want {
			t.Errorf("log %d was judged %s (%s), known to be %s", n, r.Outcome, r.Summary, want)
		}
		judged++
	}
	t.Logf("%d logs", judged)
}

// knossos reads a history of a register that is 0 at first and in which a read of
// nil is one that tells nothing.
func knossos(t testing.TB, path string) []history.Operation {
	ops := corpora.Operations(t, corpora.Events(t, path), func(ev corpora.Event) (string, string, json.RawMessage) {
		return ev.F, "", corpora.JSON(ev.Value)
	})
	first := history.Operation{Process: -1, F: "write", Type: history.OK, Input: json.RawMessage("0"), Call: -2, Return: -1, End: -1}
	judged := []history.Operation{first}
	for _, o := range ops {
		if o.F == "read" && o.Type == history.OK && string(o.Output) == "null" {
			continue
		}
		judged = append(judged, o)
	}
	return judged
}

func TestKnownVerdictsOfKnossosHistories(t *testing.T) {
	folder := corpora.Path(t, 2, "knossos-cas")
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	// The position of the event that cannot be explained, where Knossos gives it.
	culprit := map[string]int64{"bad-bad-analysis.edn": 14, "bad-cas-failure.edn": 491, "bad-immediate-failure.edn": 3}
	for _, e := range entries {
		ops := knossos(t, folder+"/"+e.Name())
		r := Register().Check(context.Background(), &history.Log{Operations: ops}, checker.Budget{})
		want := checker.Valid
		if strings.HasPrefix(e.Name(), "bad") {
			want = checker.Violation
		}
		if r.Outcome != want {
			t.Errorf("%s was judged %s (%s)", e.Name(), r.Outcome, r.Summary)
			continue
		}
		if index, known := culprit[e.Name()]; known {
			f := r.Findings[0]
			if f.Unexplained < 0 || f.Core[f.Unexplained].Completion != index {
				t.Errorf("%s: operation %d of core %v cannot be explained, known to be the one that ends at %d", e.Name(), f.Unexplained, f.Core, index)
			}
		}
	}
	t.Logf("%d histories", len(entries))
}
