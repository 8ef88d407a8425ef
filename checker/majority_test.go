package checker

import (
	"testing"

	"nemesis/history"
)

func TestFaultsBeyondAMajorityAreSaid(t *testing.T) {
	majority := history.Claim{Assumptions: []history.Assumption{{Name: history.MajorityConnected}}}
	of := func(id, while int, kind string, nodes ...string) Fault {
		return Fault{Step: history.Step{ID: id, Kind: kind, While: while}, Nodes: nodes}
	}
	skipped := of(4, 0, "kill", "n1", "n2", "n3")
	skipped.Injected = -1
	for name, c := range map[string]struct {
		claim  history.Claim
		faults []Fault
		want   string
	}{
		"a minority":    {majority, []Fault{of(1, 0, "kill", "n1"), of(2, 0, "kill", "n2")}, ""},
		"a majority":    {majority, []Fault{of(1, 0, "pause", "n1", "n3")}, "Fault 1 left no majority of the nodes untouched: while it was in force the run is judged for safety only, not for availability."},
		"two at once":   {majority, []Fault{of(1, 0, "partition", "n1"), of(2, 1, "kill", "n2"), of(3, 0, "stop", "n1", "n2", "n3")}, "Faults 2 and 3 left no majority of the nodes untouched: while they were in force the run is judged for safety only, not for availability."},
		"without power": {majority, []Fault{of(1, 0, "power-loss", "n1", "n2")}, "Fault 1 left no majority of the nodes untouched: while it was in force the run is judged for safety only, not for availability."},
		"the same node": {majority, []Fault{of(1, 0, "pause", "n1"), of(2, 1, "pause", "n1")}, ""},
		"clocks":        {majority, []Fault{of(1, 0, "clock-step", "n1", "n2", "n3")}, ""},
		"not injected":  {majority, []Fault{skipped}, ""},
		"another claim": {history.Claim{}, []Fault{of(1, 0, "kill", "n1", "n2", "n3")}, ""},
	} {
		if got := BeyondMajority(c.claim, c.faults, 3); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
