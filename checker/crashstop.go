package checker

import (
	"fmt"
	"maps"
	"slices"

	"nemesis/history"
)

// MarkRestarts marks the assumption of a claim that servers which ended do not come back, if one was started again: by a
// fault that was healed, or when everything had been. What is found then is beyond the claim.
func MarkRestarts(assumptions []Assumption, log *history.Log) {
	for i := range assumptions {
		if a := &assumptions[i]; a.Name == history.CrashStop {
			if why := restarted(log); why != "" {
				a.Exceeded, a.Why = true, why
			}
		}
	}
}

// restarted tells of the first server that ended and was started again, "" if there is none.
func restarted(log *history.Log) string {
	ended := map[string]int64{} // node to when its server first ended
	for _, ev := range log.Events {
		switch {
		case ev.Type == history.ServerExit:
			if _, before := ended[ev.Node]; !before {
				ended[ev.Node] = ev.Time
			}
		case ev.Type == history.PhaseChange && ev.Message == history.PhaseSettle && len(ended) > 0:
			node := slices.Min(slices.Collect(maps.Keys(ended)))
			return again(node, ended[node], ev.Time)
		case ev.Type == history.FaultChange && ev.Fault != nil && ev.Fault.Stage == history.Healed && !ev.Fault.Skipped:
			for _, node := range ev.Fault.Nodes {
				if at, is := ended[node]; is {
					return again(node, at, ev.Time)
				}
			}
		}
	}
	return ""
}

func again(node string, ended, began int64) string {
	return fmt.Sprintf("the server on %s ended at %s and was started again by %s", Show(node), Moment(ended), Moment(began))
}
