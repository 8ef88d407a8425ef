package checker

import (
	"fmt"

	"nemesis/history"
)

// BeyondDisks says of each anomaly that it is beyond the assumption of a claim that disks
// keep what was synced, if a disk lied (history.DiskLie), by evidence. An anomaly of which
// all was over before the first did is not.
func BeyondDisks(claim history.Claim, results []Result, log *history.Log) {
	if !claim.Assumes(history.FsyncHonoured) {
		return
	}
	if lied, why := firstLie(log); why != "" {
		beyondFrom(lied, Beyond{Assumption: history.FsyncHonoured, Why: why}, results)
	}
}

// firstLie tells when the first disk began to lie, and how; "" if none did.
func firstLie(log *history.Log) (at int64, why string) {
	began := map[int]int64{}
	for _, ev := range log.Events {
		if ev.Type != history.FaultChange || ev.Fault == nil || ev.Fault.Kind != history.DiskLie || ev.Fault.Skipped {
			continue
		}
		if ev.Fault.Stage == history.Inject {
			began[ev.Fault.ID] = ev.Time
		}
		if ev.Fault.Confirmed && (ev.Fault.Stage == history.Active || ev.Fault.Stage == history.Heal) {
			at, known := began[ev.Fault.ID]
			if !known {
				at = ev.Time
			}
			return at, fmt.Sprintf("a disk did not do what it said from %s on: %s", Moment(at), ShowLine(ev.Fault.Description))
		}
	}
	return 0, ""
}
