package checker

import (
	"testing"

	"nemesis/history"
)

func TestWhatADiskLiedAboutIsBeyondAnHonestOne(t *testing.T) {
	stage := func(kind string, stage history.Stage, at int64, confirmed bool) history.Event {
		return history.Event{Time: at, Type: history.FaultChange, Fault: &history.Fault{ID: 1, Kind: kind, Stage: stage, Confirmed: confirmed, Description: "strike the disk of the server on n1: syncs succeed and save nothing"}}
	}
	lied := "a disk did not do what it said from 1.000 s on: strike the disk of the server on n1: syncs succeed and save nothing"
	for name, c := range map[string]struct {
		events []history.Event
		why    string
	}{
		"no fault":         {nil, ""},
		"an honest disk":   {[]history.Event{stage("disk", history.Inject, 1e9, false), stage("disk", history.Active, 2e9, true)}, ""},
		"a power loss":     {[]history.Event{stage("power-loss", history.Inject, 1e9, false), stage("power-loss", history.Active, 2e9, true)}, ""},
		"a lie not shown":  {[]history.Event{stage(history.DiskLie, history.Inject, 1e9, false), stage(history.DiskLie, history.Heal, 2e9, false)}, ""},
		"a lie":            {[]history.Event{stage(history.DiskLie, history.Inject, 1e9, false), stage(history.DiskLie, history.Active, 2e9, true)}, lied},
		"a lie shown late": {[]history.Event{stage(history.DiskLie, history.Inject, 1e9, false), stage(history.DiskLie, history.Active, 2e9, false), stage(history.DiskLie, history.Heal, 3e9, true)}, lied},
	} {
		t.Run(name, func(t *testing.T) {
			results := []Result{{Anomalies: []Anomaly{
				{Core: []history.Operation{{Call: 1e8, Return: 2e8}}}, // over before anything
				{Core: []history.Operation{{Call: 1e8, Return: 2e8}, {Call: 3e8, Return: 5e9}}},
				{},
			}}}
			claim := history.Claim{Assumptions: []history.Assumption{{Name: history.FsyncHonoured}}}
			BeyondDisks(claim, results, &history.Log{Events: c.events})
			found := results[0].Anomalies
			if found[0].Beyond != nil {
				t.Errorf("what was over before is beyond: %+v", found[0].Beyond)
			}
			for _, a := range found[1:] {
				if (a.Beyond != nil) != (c.why != "") || a.Beyond != nil && (a.Beyond.Why != c.why || a.Beyond.Assumption != history.FsyncHonoured) {
					t.Errorf("got %+v", a.Beyond)
				}
			}
			found[1].Beyond = nil
			BeyondDisks(history.Claim{}, results, &history.Log{Events: c.events})
			if found[1].Beyond != nil {
				t.Error("beyond what nobody assumes")
			}
		})
	}
}
