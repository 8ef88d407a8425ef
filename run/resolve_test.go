package run

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemesis/clients"
	"nemesis/history"
)

func asked(seed int64) Options {
	return Options{
		System: "etcd", Spec: "local:5", Nodes: []string{"n1", "n2", "n3", "n4", "n5"},
		Settings: Settings{"seed": strconv.FormatInt(seed, 10)},
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

func TestSlowNodesAreWaitedForAsMuchLonger(t *testing.T) {
	opt := asked(7)
	opt.Settings["slow-nodes"], opt.Settings["workload"] = "5", "lease"
	plan, err := Resolve(opt)
	if err != nil {
		t.Fatal(err)
	}
	if o := plan.System.Options; o["election"] != "5s" || o["heartbeat"] != "500ms" || o["snapshot-count"] != "10000" {
		t.Errorf("servers wait as %v say", o)
	}
	if plan.OpTimeout != history.Duration(25*time.Second) || plan.FaultInterval != history.Duration(25*time.Second) || plan.Workload.TTL != history.Duration(20*time.Second) {
		t.Errorf("clients wait %s, faults come each %s, leases last %s", plan.OpTimeout, plan.FaultInterval, plan.Workload.TTL)
	}
	if got := plan.Patience(time.Second); got != 5*time.Second {
		t.Errorf("nemesis waits %s in place of a second", got)
	}
	if text := Describe(plan); !strings.Contains(text, "n5, 5 times slower than usual") {
		t.Errorf("the plan does not say so: %s", text)
	}

	opt.Settings["set.election"], opt.Settings["op-timeout"] = "3s", "1s"
	if plan, err = Resolve(opt); err != nil || plan.System.Options["election"] != "3s" || plan.OpTimeout != history.Duration(time.Second) {
		t.Errorf("what was asked for did not count: %v, %s, %v", plan.System.Options, plan.OpTimeout, err)
	}
	for _, bad := range []string{"0.5", "-1", "101", "NaN"} {
		opt.Settings["slow-nodes"] = bad
		if _, err := Resolve(opt); err == nil || !strings.Contains(err.Error(), "--slow-nodes") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestSeedIsDrawnAndRecordedWhenNoneIsGiven(t *testing.T) {
	opt := asked(0)
	delete(opt.Settings, "seed")
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
	opt.Settings["seed"] = strconv.FormatInt(a.Seed, 10)
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

func TestFaultsStrikeAsTheUserAsked(t *testing.T) {
	opt := asked(7)
	opt.Settings = opt.Settings.With(Settings{"faults": "clock-drift,pause", "fault-target": "leader,one", "fault-hold": "6s,7s", "clock-change": "monotonic:x0.5,both:x2"})
	plan, err := Resolve(opt)
	if err != nil {
		t.Fatal(err)
	}
	if plan.FaultInterval != history.Duration(8750*time.Millisecond) { // wide enough for 7s
		t.Errorf("the plan says one fault about every %s", plan.FaultInterval)
	}
	if len(plan.Schedule) < 4 {
		t.Fatalf("%d faults in a minute:\n%s", len(plan.Schedule), Describe(plan))
	}
	for _, step := range plan.Schedule {
		hold := time.Duration(step.Hold)
		if step.Target != "leader" && step.Target != "one" || hold != 6*time.Second && hold != 7*time.Second ||
			step.Kind == "clock-drift" && !strings.Contains(string(step.Params), `"rate":0.5`) && !strings.Contains(string(step.Params), `"rate":2`) {
			t.Errorf("drew %+v", step)
		}
	}
	for want, said := range map[string]Settings{
		"read --fault-target: \"king\" is no target":                               {"fault-target": "king"},
		"read --fault-hold: \"2lease\" says nothing here":                          {"fault-hold": "2lease"},
		"read --clock-change: \"wall\" is not a change such as":                    {"clock-change": "wall"},
		"schedule faults: on 5 nodes a kill cannot be aimed at half":               {"fault-target": "half"},
		"schedule faults: no fault of this run does --clock-change wall:+2s":       {"clock-change": "wall:+2s"},
		"read --packets: \"fog\"":                                                  {"packets": "fog"},
		"read --clocks machine: local nodes share the clock of this machine":       {"clocks": "machine"},
		"schedule faults: no node plays holder where there are no leases":          {"fault-target": "holder"},
		"schedule faults: --clocks is shadow or machine":                           {"clocks": "sun"},
		"schedule faults: a fault of 2m0s does not fit into a run of 1m0s":         {"fault-hold": "2m"},
		"schedule faults: --fault-hold says how faults strike, and there are none": {"faults": "none", "fault-hold": "6s"},
	} {
		opt := asked(7)
		opt.Settings = opt.Settings.With(Settings{"faults": "kill"}).With(said)
		_, err := Resolve(opt)
		var usage *UsageError
		if !errors.As(err, &usage) || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got  %v\nwant %s…", err, want)
		}
	}
}

// TestEverySystemChecksItsOptions: a value that cannot be right is a mistake of the user's, and not found out when servers are prepared.
func TestEverySystemChecksItsOptions(t *testing.T) {
	for _, s := range Systems() {
		checked, is := s.(clients.Checked)
		if !is {
			t.Errorf("%s cannot say what is wrong with a plan", s.Name())
			continue
		}
		plan := history.Plan{System: history.System{Options: map[string]string{"no such option": "1"}}}
		if err := checked.Check(plan); err == nil {
			t.Errorf("%s has an option that there is not", s.Name())
		}
	}
}
