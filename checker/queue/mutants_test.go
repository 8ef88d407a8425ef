package queue

import (
	"testing"

	"nemesis/checker/internal/mutants"
)

// Each rule, slightly wrong, must be noticed by the stories or by the search for an order.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	all.In("queue.go",
		[3]string{"refused enqueues count", "put.Type != history.Fail && put.Call", "put.Call"},
		[3]string{"elements may come early", "&& put.Call <= got.Return", ""},
		[3]string{"equal times are in order", "put.Call <= got.Return", "put.Call < got.Return"},
		[3]string{"two are one", "len(e.dequeued) > possible:", "len(e.dequeued) > possible+1:"},
		[3]string{"unknown enqueues are refused", "case history.Info:\n\t\t\t\tpossible++", "case history.Info:"},
		[3]string{"nothing is ever lost", "put.Return < a.empty.Call", "false"},
		[3]string{"what is under way is lost", "put.Return < a.empty.Call", "put.Call < a.empty.Return"},
		[3]string{"unknown dequeues take nothing", "excused++", "excused += 0"},
		[3]string{"late unknown dequeues took something", "o.Call <= a.empty.Return", "o.Call >= 0"},
		[3]string{"the first empty dequeue counts", "o.Call > a.empty.Call", "o.Call < a.empty.Call"},
		[3]string{"unknown dequeues excuse everything", "lost := len(missing) - excused; lost > 0", "lost := len(missing); lost > 0 && excused == 0"},
		[3]string{"drained queues may keep something", "return a.Drained ||", "return"})
	mutants.Hunt(t, mutants.StoriesAndSeeds, all)
}
