package checker

import (
	"fmt"
	"maps"
	"slices"

	"nemesis/history"
)

// BeyondRestarts says of each anomaly that it is beyond the assumption of a claim that servers which ended do not come
// back, if one was started again: by a fault that was healed, or when everything had been. An anomaly of which all was over
// before that server ended is not.
func BeyondRestarts(claim history.Claim, results []Result, log *history.Log) {
	if !claim.Assumes(history.CrashStop) {
		return
	}
	if ended, why := restarted(log); why != "" {
		beyondFrom(ended, Beyond{Assumption: history.CrashStop, Why: why}, results)
	}
}

// beyondFrom says of each anomaly that it is beyond an assumption which held until a moment, unless all of it was over by then.
func beyondFrom(at int64, beyond Beyond, results []Result) {
	for _, r := range results {
		for i := range r.Anomalies {
			if a := &r.Anomalies[i]; a.Beyond == nil && !overBy(a.Core, at) {
				a.Beyond = &beyond
			}
		}
	}
}

// overBy says that all operations, of which there are some, ended by then or, of unknown outcome, were called by then.
func overBy(core []history.Operation, at int64) bool {
	for _, o := range core {
		if o.Call > at || o.Return != history.Never && o.Return > at {
			return false
		}
	}
	return len(core) > 0
}

// restarted tells of the first server that ended and was started again, and when it ended; "" if there is none.
func restarted(log *history.Log) (at int64, why string) {
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
	return 0, ""
}

func again(node string, ended, began int64) (int64, string) {
	return ended, fmt.Sprintf("the server on %s ended at %s and was started again by %s", Show(node), Moment(ended), Moment(began))
}
