package run

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemesis/history"
)

func asked(seed int64) Options {
	return Options{
		System: "etcd", Spec: "local:5", Nodes: []string{"n1", "n2", "n3", "n4", "n5"},
		Workload: "register", Concurrency: "2n", Faults: "partition,kill,pause",
		FaultInterval: 5 * time.Second, TimeLimit: time.Minute, OpTimeout: 5 * time.Second,
		Seed: &seed, CheckerTime: time.Minute, CheckerMemory: "1GiB",
	}
}

func TestSameSeedGivesTheSamePlanByteForByte(t *testing.T) {
	text := func(seed int64) string {
		plan, err := Resolve(asked(seed))
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + Describe(plan)
	}
	if diff := cmp.Diff(text(7), text(7)); diff != "" {
		t.Error(diff)
	}
	if text(7) == text(8) {
		t.Error("seeds 7 and 8 give the same plan")
	}
}

func TestSeedIsDrawnAndRecordedWhenNoneIsGiven(t *testing.T) {
	opt := asked(0)
	opt.Seed = nil
	a, err := Resolve(opt)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Resolve(opt)
	if err != nil {
		t.Fatal(err)
	}
	if a.Seed == b.Seed || a.Seed < 0 {
		t.Errorf("drew seeds %d and %d", a.Seed, b.Seed)
	}
	opt.Seed = &a.Seed
	again, err := Resolve(opt)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, again); diff != "" {
		t.Errorf("the printed seed does not give the plan again:\n%s", diff)
	}
}

func TestPlanSurvivesItsJSON(t *testing.T) {
	plan, err := Resolve(asked(7))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(plan)
	if err != nil {
		t.Fatal(err)
	}
	var back history.Plan
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plan, back); diff != "" {
		t.Error(diff)
	}
}

func TestConcurrency(t *testing.T) {
	for text, want := range map[string]int{"10": 10, "n": 5, "2n": 10, "1": 1, "0": 0, "-2n": 0, "": 0, "2m": 0, "999999999n": 0} {
		got, err := parseConcurrency(text, 5)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q with five nodes: %d, %v", text, got, err)
		}
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]int64{"1GiB": 1 << 30, "512MiB": 512 << 20, "64KB": 64000, "1.5 KiB": 1536, "77": 77, "9B": 9,
		"": 0, "GiB": 0, "-1MiB": 0, "1e400": 0, "NaN": 0, "1PiB": 0} {
		got, err := ParseBytes(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func TestReplayMovesToOtherNodes(t *testing.T) {
	plan, err := Resolve(asked(7))
	if err != nil {
		t.Fatal(err)
	}
	before, _ := json.Marshal(plan)
	moved, err := OnNodes(plan, "a,b,c,d,e", []string{"a", "b", "c", "d", "e"})
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := json.Marshal(plan); string(before) != string(after) {
		t.Error("moving changed the plan it was made from")
	}
	for i, step := range moved.Schedule {
		for n, name := range step.Nodes {
			if want := string('a' + plan.Schedule[i].Nodes[n][1] - '1'); name != want {
				t.Errorf("step %d: %s became %s", step.ID, plan.Schedule[i].Nodes[n], name)
			}
		}
	}
	_, err = OnNodes(plan, "a", []string{"a"})
	var usage *UsageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "needs 5 nodes") {
		t.Error(err)
	}
}
