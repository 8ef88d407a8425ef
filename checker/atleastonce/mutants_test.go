package atleastonce

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule, slightly wrong, must be noticed by the stories or by the search.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	all.In("atleastonce.go",
		[3]string{"refused writes count", "case op.Type == history.Fail:", "case op.Type == history.Fail && op.F != history.FWrite:"},
		[3]string{"a compare-and-set writes nothing", "case history.FCAS:\n\t\tboth", "case \"\":\n\t\tboth"},
		[3]string{"nothing is never written", "case !unwritten:", "case !unwritten && r.value != \"\":"},
		[3]string{"equal times are in order", "o.seen.Return < r.Call", "o.seen.Return <= r.Call"},
		[3]string{"a value may be written later", "w == nil || r.Return < w.Call", "w == nil"},
		[3]string{"the last to return counts", "op.Return < o.seen.Return", "op.Return > o.seen.Return"},
		[3]string{"the latest write counts", "op.Call < had.Call", "op.Call > had.Call"},
		[3]string{"two may share a count", "o.increments[i-1].value == g.value", "false"},
		[3]string{"counts may go back", "latest != nil && g.Return < latest.Call", "false"},
		[3]string{"late increments fill gaps", "o.unknown[k].Call > g.Return", "false"},
		[3]string{"one repetition is none", "missing-int64(possible) > repeated", "missing-int64(possible) > repeated+1"})
	mutants.Hunt(t, mutants.StoriesAndSeeds, all)
}
