package history

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStepsOfOldPlansAreReadAsParameters(t *testing.T) {
	for name, tc := range map[string]struct{ old, params, said string }{
		"a clock set back by a multiple": {
			old:    `{"id":3,"kind":"clock-step","target":"one","clock":{"of":"wall","jump":"-8s","rate":1},"said":"2lease"}`,
			params: `{"of":"wall","jump":"-8s","rate":1,"said":"2lease"}`,
		},
		"a strobing clock": {
			old:    `{"kind":"clock-strobe","period":"50ms","clock":{"of":"wall","jump":"1s","rate":1}}`,
			params: `{"of":"wall","jump":"1s","rate":1,"period":"50ms"}`,
		},
		"packets":                    {old: `{"kind":"packet","packets":{"loss":0.1}}`, params: `{"loss":0.1}`},
		"a flapping partition":       {old: `{"kind":"partition","shape":"flapping","period":"1s","said":"2lease"}`, params: `{"period":"1s"}`, said: "2lease"},
		"a kind without":             {old: `{"kind":"kill","said":"1.5lease"}`, said: "1.5lease"},
		"the new form, indented":     {old: "{\"kind\":\"packet\",\"params\":{\n  \"loss\": 0.1\n}}", params: `{"loss":0.1}`},
		"a kind that is not known":   {old: `{"kind":"flood","params":{"of":"water"}}`, params: `{"of":"water"}`},
		"a clock that stands still":  {old: `{"kind":"clock-freeze","clock":{"of":"both","rate":0}}`, params: `{"of":"both","rate":0}`},
		"a machine's clock set back": {old: `{"kind":"clock-step","clock":{"of":"wall","jump":"-1h0m0s","rate":1,"machine":true}}`, params: `{"of":"wall","jump":"-1h0m0s","rate":1,"machine":true}`},
	} {
		t.Run(name, func(t *testing.T) {
			var step Step
			if err := json.Unmarshal([]byte(tc.old), &step); err != nil {
				t.Fatal(err)
			}
			if string(step.Params) != tc.params || step.Said != tc.said {
				t.Errorf("got %s, said %q", step.Params, step.Said)
			}
			text, err := json.Marshal(step)
			if err != nil {
				t.Fatal(err)
			}
			var back Step
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(step, back); diff != "" {
				t.Errorf("written and read again (-first +again):\n%s", diff)
			}
		})
	}
	var step Step
	if err := json.Unmarshal([]byte(`{"id":4,"kind":"kill","target":"one","nodes":["n1"],"at":"2s","hold":"3s"}`), &step); err != nil || step.ID != 4 || step.Hold == 0 || len(step.Nodes) != 1 {
		t.Errorf("got %+v, %v", step, err)
	}
}

func TestOldHistoriesTellInWordsThatAFaultWasSkipped(t *testing.T) {
	for text, want := range map[string]Fault{
		`{"id":1,"stage":"inject","error":"not injected: nobody leads"}`:     {ID: 1, Stage: Inject, Skipped: true, Error: "nobody leads"},
		`{"id":1,"stage":"inject","skipped":true,"error":"not injected: x"}`: {ID: 1, Stage: Inject, Skipped: true, Error: "not injected: x"},
		`{"id":1,"stage":"healed","error":"not injected: nobody leads"}`:     {ID: 1, Stage: Healed, Error: "not injected: nobody leads"},
	} {
		var got Fault
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestOldHistoriesTellInANoteThatTheUserEndedTheRun(t *testing.T) {
	for text, want := range map[string]Type{
		`{"index":3,"time":4400000000,"type":"note","process":0,"message":"interrupted after 4.4 s"}`:        Interrupt,
		`{"index":3,"time":4400000000,"type":"note","process":0,"message":"n1 was interrupted after 4.4 s"}`: Note,
		`{"index":3,"time":4400000000,"type":"interrupt","process":0,"message":"interrupted after 4.4 s"}`:   Interrupt,
		`{ "index":3, "type":"note", "message":"interrupted after 4.4 s"}`:                                   Interrupt,
	} {
		var ev Event
		if err := newParser().event([]byte(text), &ev); err != nil {
			t.Fatal(err)
		}
		if ev.Type != want {
			t.Errorf("%s is read as %s, not %s", text, ev.Type, want)
		}
	}
}

// What rules there are now is no matter of a plan that is older than claims: it is held to those of its time.
func TestPlansWithoutAClaimAreHeldToTheRulesOfTheirTime(t *testing.T) {
	plan, err := readPlan([]byte(`{"schema":1,"bounds":{"recovery":"5s"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Model{MutualExclusion, LeaseDuration, LeaseEnd, FencingTokens, Fencing, LeaseReads, BelievedExclusion, SingleOwner}
	if diff := cmp.Diff(want, plan.Claim.Rules); diff != "" || plan.Claim.Origin != Unrecorded {
		t.Errorf("origin %q, rules (-want +got):\n%s", plan.Claim.Origin, diff)
	}
}
