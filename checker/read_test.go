package checker

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"nemesis/history"
)

// A verdict that nemesis wrote when claims stood in the systems' code.
const verdictOfSchema1 = `{"schema":1,"verdict":"violation","sentence":"Client 12 read 7.","results":[{"checker":"linearizable","outcome":"violation",
"summary":"1 key without a linear order (k17)","findings":[{"class":"non-linearizable","claim":"Client 12 read 7.","rule":"Linearizability","key":"k17",
"core":[],"unexplained":-1,"proof":[],"count":1}],"operations":3,"took":1}],"assumptions":[{"name":"members never lie","text":"","exceeded":false}],
"promise":"etcd documents serializable reads as possibly stale.","ok":100,"fail":0,"info":0,"start":"2026-01-02T15:04:05Z","version":"v0.1.0"}`

func TestVerdictOfSchema1IsRead(t *testing.T) {
	dir := history.Dir(t.TempDir())
	if _, err := ReadVerdict(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a verdict: %v", err)
	}
	if err := dir.WriteFile(history.VerdictFile, []byte(verdictOfSchema1)); err != nil {
		t.Fatal(err)
	}
	v, err := ReadVerdict(dir)
	if err != nil {
		t.Fatal(err)
	}
	sources := v.Claim.SourcesFor(history.Workload{})
	if v.Schema != VerdictSchema || v.Outcome != Violation || len(v.Results) != 1 || v.Results[0].Anomalies[0].Key != "k17" || len(v.Assumptions) != 1 ||
		v.Claim.Origin != history.Unrecorded || len(sources) != 1 || sources[0].Sentence != "etcd documents serializable reads as possibly stale." {
		t.Errorf("read %+v", v)
	}
	if !v.Claim.Broken(v.Results[0].Anomalies[0].Breaks) {
		t.Error("what was a violation is none any more")
	}
}

func TestVerdictThatCannotBeReadSaysWhatToDo(t *testing.T) {
	dir := history.Dir(t.TempDir())
	for text, says := range map[string]string{
		`{"schema":99}`: "its schema is 99, this nemesis reads 1 to 2; run nemesis check to write it anew",
		`{"schema":0}`:  "its schema is 0",
		`{`:             "unexpected end of JSON input",
	} {
		if err := dir.WriteFile(history.VerdictFile, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadVerdict(dir); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
