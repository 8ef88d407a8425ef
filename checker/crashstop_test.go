package checker

import (
	"testing"

	"nemesis/history"
)

func TestAServerStartedAgainIsBeyondCrashStop(t *testing.T) {
	exit := func(node string, at int64) history.Event {
		return history.Event{Time: at, Type: history.ServerExit, Node: node, Exit: &history.Exit{}}
	}
	healed := func(node string, at int64, skipped bool) history.Event {
		return history.Event{Time: at, Type: history.FaultChange, Fault: &history.Fault{Stage: history.Healed, Nodes: []string{node}, Skipped: skipped}}
	}
	settle := history.Event{Time: 9e9, Type: history.PhaseChange, Message: history.PhaseSettle}
	for name, c := range map[string]struct {
		events []history.Event
		why    string
	}{
		"nobody ends":                     {[]history.Event{healed("n1", 2e9, false), settle}, ""},
		"ends after everything":           {[]history.Event{settle, exit("n1", 9e9)}, ""},
		"stays down":                      {[]history.Event{exit("n1", 1e9), healed("n2", 2e9, false)}, ""},
		"a fault that was not to be seen": {[]history.Event{exit("n1", 1e9), healed("n1", 2e9, true)}, ""},
		"a fault that is healed":          {[]history.Event{exit("n1", 1e9), healed("n1", 2e9, false)}, "the server on n1 ended at 1.000 s and was started again by 2.000 s"},
		"in the end":                      {[]history.Event{exit("n2", 2e9), exit("n1", 1e9), settle}, "the server on n1 ended at 1.000 s and was started again by 9.000 s"},
	} {
		t.Run(name, func(t *testing.T) {
			results := []Result{{Anomalies: []Anomaly{
				{Core: []history.Operation{{Call: 1e8, Return: 2e8}, {Call: 3e8, Return: history.Never}}}, // over before anything
				{Core: []history.Operation{{Call: 1e8, Return: 2e8}, {Call: 3e8, Return: 5e9}}},
				{},
			}}}
			BeyondRestarts(history.Claim{Assumptions: []history.Assumption{{Name: history.CrashStop}}}, results, &history.Log{Events: c.events})
			found := results[0].Anomalies
			if found[0].Beyond != nil {
				t.Errorf("what was over before is beyond: %+v", found[0].Beyond)
			}
			for _, a := range found[1:] {
				if (a.Beyond != nil) != (c.why != "") || a.Beyond != nil && (a.Beyond.Why != c.why || a.Beyond.Assumption != history.CrashStop) {
					t.Errorf("got %+v", a.Beyond)
				}
			}
			found[1].Beyond, found[2].Beyond = nil, nil
			BeyondRestarts(history.Claim{}, results, &history.Log{Events: c.events})
			if found[1].Beyond != nil {
				t.Error("beyond what nobody assumes")
			}
		})
	}
}
