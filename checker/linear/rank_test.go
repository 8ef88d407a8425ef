package linear

import (
	"testing"

	"nemesis/history"
)

// A fault counts as in force until it was healed, or something else was seen to have undone it.
func TestFaultsThatSomethingElseUndidAreOverThen(t *testing.T) {
	stage := func(id int, stage history.Stage, at, ended int64) history.Event {
		return history.Event{Type: history.FaultChange, Time: at, Fault: &history.Fault{ID: id, Stage: stage, Ended: ended}}
	}
	spans := faultSpans([]history.Event{
		stage(1, history.Inject, 10*s, 0), stage(1, history.Heal, 20*s, 0), stage(1, history.Healed, 21*s, 0),
		stage(2, history.Inject, 30*s, 0), stage(2, history.Heal, 40*s, 34*s), stage(2, history.Healed, 41*s, 34*s),
	})
	for at, want := range map[int64]bool{9: false, 10: true, 21: true, 22: false, 30: true, 34: true, 35: false, 41: false} {
		if got := spans.cover(at * s); got != want {
			t.Errorf("at %d s a fault is in force: %v", at, got)
		}
	}
}
