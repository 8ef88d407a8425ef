package checker

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/history"
)

const second = int64(1e9)

// failedHere is an operation that failed on the control side.
func failedHere(at int64) history.Operation {
	return history.Operation{F: "read", Type: history.Fail, Call: at, Return: at, End: at, Cause: history.ControlSide, Error: "socket: too many open files"}
}

func stalled(from, to int64) history.Event {
	return history.Event{Type: history.Stall, Time: to, Value: json.RawMessage(fmt.Sprint(to - from))}
}

func TestGapsAreWhereNemesisFailedOrStoodStill(t *testing.T) {
	log := &history.Log{
		Operations: []history.Operation{
			{F: "read", Type: history.Fail, Call: second, End: second}, // the system's
			failedHere(10 * second), failedHere(11 * second),
			{F: "release", Type: history.Fail, Call: 30 * second, End: 30 * second, Cause: history.Declined},
			failedHere(40 * second),
		},
		Events: []history.Event{stalled(12*second, 14*second), stalled(20*second, 21*second), {Type: history.Stall, Time: 25 * second, Value: json.RawMessage(`"soon"`)}},
	}
	gaps := GapsOf(log)
	want := Gaps{{9 * second, 14 * second}, {20 * second, 21 * second}, {39 * second, 41 * second}}
	if diff := cmp.Diff(want, gaps); diff != "" {
		t.Error(diff)
	}
	for _, part := range []struct{ from, to, want int64 }{{0, 9, 0}, {0, 50, 8}, {10, 12, 2}, {13, 20, 1}, {13, 40, 3}, {50, 60, 0}} {
		if got := gaps.Within(part.from*second, part.to*second); got != part.want*second {
			t.Errorf("from %d to %d s there are %d ns of gaps, want %d s", part.from, part.to, got, part.want)
		}
	}
}

// A run that nemesis could not carry out accuses nobody of silence, and says why in one line.
func TestARunThatNemesisCouldNotCarryOutIsHarness(t *testing.T) {
	log := func(until int64, events ...history.Event) *history.Log {
		l := &history.Log{End: 60 * second, Events: append(events,
			history.Event{Type: history.PhaseChange, Time: 10 * second, Message: history.PhaseWorkload},
			history.Event{Type: history.PhaseChange, Time: 28 * second, Message: history.PhaseHeal},
			history.Event{Type: history.PhaseChange, Time: 50 * second, Message: history.PhaseFinal},
			history.Event{Type: history.PhaseChange, Time: 52 * second, Message: history.PhaseCollect})}
		for at := 10 * second; at < until; at += second / 2 {
			l.Operations = append(l.Operations, failedHere(at))
		}
		return l
	}
	var busy []history.Event
	for at := 10 * second; at < 30*second; at += second {
		busy = append(busy, stalled(at, at+second*9/10))
	}
	for _, test := range []struct {
		name    string
		log     *history.Log
		outcome Outcome
		says    string
	}{
		{"nothing failed", log(0), Valid, ""},
		{"a few failed", log(14 * second), Valid, "nemesis itself failed: 8 operations failed before anything left the control node (the first: socket: too many open files); silence at that time accuses nobody"},
		{"half the time", log(22 * second), Harness, "nemesis itself failed: 24 operations failed before anything left the control node (the first: socket: too many open files), and silence proves nothing in 12.5 s of the 20.0 s in which clients worked; give it what it lacks, or lower --concurrency"},
		{"a short stop", log(0, stalled(11*second, 15*second)), Valid, ""},
		{"a stop of more than half the time", log(0, stalled(11*second, 29*second)), Harness, "nemesis itself did not run for 17.0 s of the 20.0 s in which clients worked: it was stopped, or its machine was too busy"},
		{"a busy machine", log(0, busy...), Valid, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := Judge([]Result{result("liveness", Valid)}, nil, Facts{OK: 1000, ControlSide: ControlSideOf(test.log)})
			if v.Outcome != test.outcome || strings.Join(v.Reasons, "|") != test.says {
				t.Errorf("got %s, %q", v.Outcome, v.Reasons)
			}
			if (v.ControlSide != nil) != (test.says != "") {
				t.Errorf("the verdict holds %+v", v.ControlSide)
			}
		})
	}
	// What is proved by what was answered stays proved.
	v := Judge([]Result{result("linearizable", Violation)}, nil, Facts{OK: 1000, ControlSide: ControlSideOf(log(30 * second))})
	if v.Outcome != Violation || len(v.Reasons) != 1 {
		t.Errorf("got %s, %q", v.Outcome, v.Reasons)
	}
}
