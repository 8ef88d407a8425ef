package checker

import (
	"testing"

	"nemesis/history"
)

func TestWhatComesOfChangedPacketsIsBeyondEveryClaim(t *testing.T) {
	stage := func(kind string, skipped bool) []history.Event {
		return []history.Event{{Time: 1e9, Type: history.FaultChange, Fault: &history.Fault{ID: 1, Kind: kind, Stage: history.Inject, Skipped: skipped, Description: "damage packets between all nodes: 5 % with changed contents"}}}
	}
	for name, c := range map[string]struct {
		kind    string
		skipped bool
		beyond  bool
	}{
		"changed packets":  {history.PacketDamage, false, true},
		"not injected":     {history.PacketDamage, true, false},
		"a bad network":    {"packet", false, false},
		"a disk that lies": {history.DiskLie, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			plan := history.Plan{Schedule: []history.Step{{Kind: c.kind}}, Claim: history.Claim{Origin: history.Documented, Model: history.Linearizable}}
			claim := ClaimOf(plan)
			result := Result{Outcome: Violation, Anomalies: []Anomaly{
				{Breaks: []history.Model{history.Linearizable}, Core: []history.Operation{{Call: 1e8, Return: 2e8}}}, // over before
				{Breaks: []history.Model{history.Linearizable}, Core: []history.Operation{{Call: 1e8, Return: 5e9}}},
			}}
			results := []Result{result}
			BeyondPackets(claim, results, &history.Log{Events: stage(c.kind, c.skipped)})
			found := results[0].Anomalies
			if found[0].Beyond != nil || (found[1].Beyond != nil) != c.beyond {
				t.Errorf("got %+v and %+v", found[0].Beyond, found[1].Beyond)
			}
			if c.beyond {
				if want := "packets arrived with other contents than were sent from 1.000 s on: damage packets between all nodes: 5 % with changed contents"; found[1].Beyond.Why != want {
					t.Errorf("got %q", found[1].Beyond.Why)
				}
				results[0].Anomalies = found[1:]
				if got := Against(claim, results[0]).Outcome; got != Exceeded {
					t.Errorf("alone it is %s", got)
				}
			}
		})
	}
}
