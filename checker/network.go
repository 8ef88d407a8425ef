package checker

import (
	"fmt"
	"slices"

	"nemesis/history"
)

// ClaimOf is the claim that a plan's run is held to. Where packets are to be changed together with
// their checksums it assumes that they are not, whether or not it says so: no system that trusts
// TCP promises anything then.
func ClaimOf(plan history.Plan) history.Claim {
	claim := plan.Claim
	damages := slices.ContainsFunc(plan.Schedule, func(s history.Step) bool { return s.Kind == history.PacketDamage })
	if damages && !claim.Assumes(history.NetworkIntegrity) {
		claim.Assumptions = append(slices.Clone(claim.Assumptions), history.Assumption{
			Name: history.NetworkIntegrity, Text: "what a server receives is what another one sent, as TCP promises to programs",
		})
	}
	return claim
}

// BeyondPackets says of each anomaly that it is beyond the assumption of a claim that the network
// changes nothing, if it did (history.PacketDamage). An anomaly of which all was over before the first
// did is not. That a fault of the kind was injected is enough: packets may have been changed
// although nothing showed it.
func BeyondPackets(claim history.Claim, results []Result, log *history.Log) {
	if !claim.Assumes(history.NetworkIntegrity) {
		return
	}
	for _, ev := range log.Events {
		if f := ev.Fault; ev.Type == history.FaultChange && f != nil && f.Kind == history.PacketDamage && !f.Skipped {
			why := fmt.Sprintf("packets arrived with other contents than were sent from %s on: %s", Moment(ev.Time), ShowLine(f.Description))
			beyondFrom(ev.Time, Beyond{Assumption: history.NetworkIntegrity, Why: why}, results)
			return
		}
	}
}
