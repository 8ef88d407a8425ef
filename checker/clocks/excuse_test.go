package clocks

import (
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

// TestStaleReadsUnderWrongClocksAreExcused: only where the claim rests on clocks, only near a clock beyond its bounds, and only
// what breaks a consistency model. The clock stands still from 10 s to 21 s.
func TestStaleReadsUnderWrongClocksAreExcused(t *testing.T) {
	rests := history.Claim{Clocked: true, Bounds: history.Bounds{ClockRate: 0.05, ClockOffset: -1}, Assumptions: []history.Assumption{{Name: history.ClockError}}}
	independent := rests
	independent.Clocked = false
	log := &history.Log{Events: life(1, &history.ClockChange{Of: "monotonic", Rate: 0}, "")}
	for _, c := range []struct {
		name   string
		claim  history.Claim
		at     int64
		breaks history.Model
		want   bool
	}{
		{"during", rests, 15 * second, history.Linearizable, true},
		{"a lease later", rests, 22 * second, history.Linearizable, true},
		{"long after", rests, 30 * second, history.Linearizable, false},
		{"before", rests, 5 * second, history.Linearizable, false},
		{"of a claim without clocks", independent, 15 * second, history.Linearizable, false},
		{"of liveness", rests, 15 * second, history.BoundedRecovery, false},
	} {
		results := []checker.Result{{Anomalies: []checker.Anomaly{{
			Breaks: []history.Model{c.breaks}, Core: []history.Operation{{Type: history.OK, Call: c.at, Return: c.at + second/10}},
		}}}}
		Excuse(c.claim, history.Duration(second), log, results)
		if got := results[0].Anomalies[0].Beyond != nil; got != c.want {
			t.Errorf("%s: excused: %v, want %v", c.name, got, c.want)
		}
	}
}
