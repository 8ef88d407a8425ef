package stats

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/checker"
	"nemesis/history"
)

const s = int64(1e9)

func op(node, f string, kind history.Type, call, end int64) history.Operation {
	o := history.Operation{Node: node, F: f, Type: kind, Call: call, Return: end, End: end}
	if kind == history.Info {
		o.Return = history.Never
	}
	return o
}

func judge(t *testing.T, c checker.Checker, log *history.Log, details any) checker.Result {
	t.Helper()
	for _, o := range log.Operations {
		log.End = max(log.End, o.End)
	}
	r := c.Check(context.Background(), log, checker.Budget{})
	if err := json.Unmarshal(r.Details, details); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOperationsAreCountedByFunctionAndOutcome(t *testing.T) {
	log := &history.Log{}
	for i := range int64(100) {
		log.Operations = append(log.Operations, op("n1", "read", history.OK, i*1000, i*1000+(i+1)*10))
	}
	timeout := op("n1", "write", history.Info, 5, 6)
	timeout.Error = "deadline exceeded"
	log.Operations = append(log.Operations, timeout, timeout, op("n1", "write", history.OK, 7, 8), op("n1", "write", history.Fail, 7, 8))
	var got Counts
	r := judge(t, Stats(), log, &got)
	if r.Outcome != checker.Valid || r.Summary != "101 ok, 1 fail, 2 info" {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
	want := Counts{Total: Count{101, 1, 2}, Functions: []Function{
		{F: "read", Count: Count{OK: 100}, Latency: Latency{501, 951, 991, 1003}},
		{F: "write", Count: Count{1, 1, 2}, Latency: Latency{1, 1, 1, 1}, Errors: []Error{{"deadline exceeded", 2}}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAFunctionThatNeverSucceedsMakesTheRunVacuous(t *testing.T) {
	log := &history.Log{Operations: []history.Operation{op("n1", "read", history.OK, 0, 1)}}
	for range MinAttempts - 1 {
		log.Operations = append(log.Operations, op("n1", "cas", history.Fail, 0, 1))
	}
	if r := judge(t, Stats(), log, &Counts{}); r.Outcome != checker.Valid {
		t.Errorf("after a few attempts: judged %s: %s", r.Outcome, r.Summary)
	}
	log.Operations = append(log.Operations, op("n1", "cas", history.Info, 0, 1))
	if r := judge(t, Stats(), log, &Counts{}); r.Outcome != checker.Vacuous || r.Summary != "none of 10 cas operations succeeded" {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
}

func TestNothingAtAllIsVacuous(t *testing.T) {
	for _, c := range []checker.Checker{Stats(), Availability()} {
		if r := c.Check(context.Background(), &history.Log{}, checker.Budget{}); r.Outcome != checker.Vacuous || r.Summary != "no operation succeeded" {
			t.Errorf("%s judged %s: %s", c.Name(), r.Outcome, r.Summary)
		}
	}
}

// TestAvailabilityUnderAPartition: n1 is cut off from 10 s to 15 s and answers again 0.4 s
// after the heal; n2 serves all the time.
func TestAvailabilityUnderAPartition(t *testing.T) {
	log := &history.Log{}
	for at := int64(0); at < 20; at++ {
		for part := range int64(4) {
			call := at*s + part*s/4
			log.Operations = append(log.Operations, op("n2", "read", history.OK, call, call+s/10))
		}
		if at <= 9 || at >= 16 {
			log.Operations = append(log.Operations, op("n1", "read", history.OK, at*s, at*s+s/10), op("n1", "read", history.OK, at*s+s/2, at*s+s/2+s/10))
		} else if at < 15 {
			log.Operations = append(log.Operations, op("n1", "read", history.Fail, at*s, at*s+s))
		}
	}
	log.Operations = append(log.Operations, op("n1", "read", history.OK, 15*s+s/10, 15*s+4*s/10), op("n1", "read", history.OK, 15*s+5*s/10, 15*s+8*s/10))
	fault := func(stage history.Stage, at int64) history.Event {
		return history.Event{Type: history.FaultChange, Time: at, Fault: &history.Fault{ID: 1, Stage: stage, Kind: "partition", Shape: "one"}}
	}
	log.Events = []history.Event{fault(history.Inject, 10*s), fault(history.Active, 10*s), fault(history.Heal, 15*s), fault(history.Healed, 15*s)}
	sortByCall(log)
	var got Unavailability
	r := judge(t, Availability(), log, &got)
	if want := "some operation succeeded at all times; after a heal the first success took at most 100.0 ms"; r.Outcome != checker.Valid || r.Summary != want {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
	window := Window{From: 9*s + 6*s/10, To: 15*s + 4*s/10, Attempts: 5, SureFrom: 10 * s, SureTo: 15 * s}
	want := Unavailability{
		Overall: Windows{OK: 80 + 28 + 2},
		Nodes: []Windows{
			{Node: "n1", OK: 30, Windows: []Window{window}, Total: window.To - window.From, Longest: window.To - window.From},
			{Node: "n2", OK: 80},
		},
		Recoveries: []Recovery{{Fault: 1, Kind: "partition", Shape: "one", Healed: 15 * s, Until: 19*s + 85*s/100, Overall: s / 10,
			Nodes: []NodeRecovery{{"n1", 4 * s / 10}, {"n2", s / 10}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func sortByCall(log *history.Log) {
	for i := range log.Operations {
		for j := i; j > 0 && log.Operations[j].Call < log.Operations[j-1].Call; j-- {
			log.Operations[j], log.Operations[j-1] = log.Operations[j-1], log.Operations[j]
		}
	}
}

func TestSystemThatNeverRecovers(t *testing.T) {
	log := &history.Log{
		Operations: []history.Operation{op("n1", "write", history.OK, 0, s), op("n1", "write", history.Info, 2*s, 12*s)},
		Events: []history.Event{
			{Type: history.FaultChange, Time: 3 * s, Fault: &history.Fault{ID: 1, Stage: history.Inject}},
			{Type: history.FaultChange, Time: 4 * s, Fault: &history.Fault{ID: 1, Stage: history.Healed}},
		},
	}
	var got Unavailability
	r := judge(t, Availability(), log, &got)
	want := Windows{OK: 1, Windows: []Window{{From: 0, To: s}, {From: s, To: 12 * s, Attempts: 1, Open: true, SureFrom: 2 * s, SureTo: 12 * s}}, Total: 12 * s, Longest: 11 * s}
	if diff := cmp.Diff(want, got.Overall); diff != "" {
		t.Error(diff)
	}
	if got.Recoveries[0].Overall != -1 || !strings.Contains(r.Summary, "after 1 heal nothing succeeded before the next fault or the end") {
		t.Errorf("recovery %d: %s", got.Recoveries[0].Overall, r.Summary)
	}
}

func TestHeldLockIsNoOutage(t *testing.T) {
	log := &history.Log{Operations: []history.Operation{op("n1", "acquire", history.OK, 0, s/10)}}
	for at := int64(1); at < 20; at++ {
		refused := op("n1", "acquire", history.Fail, at*s, at*s+s/10)
		refused.Output = json.RawMessage(`{"held":true}`)
		log.Operations = append(log.Operations, refused)
	}
	var got Unavailability
	if r := judge(t, Availability(), log, &got); len(got.Overall.Windows) > 0 {
		t.Errorf("%s", r.Summary)
	}
	for i := range log.Operations {
		log.Operations[i].Output = json.RawMessage("null")
	}
	if judge(t, Availability(), log, &got); len(got.Overall.Windows) != 1 {
		t.Errorf("%d windows, although nobody was told why", len(got.Overall.Windows))
	}
}

func TestIdleWorkloadIsNoOutage(t *testing.T) {
	log := &history.Log{Operations: []history.Operation{op("n1", "read", history.OK, 0, s/10), op("n1", "read", history.OK, 60*s, 60*s+s/10)}}
	var got Unavailability
	judge(t, Availability(), log, &got)
	if len(got.Overall.Windows) != 0 {
		t.Errorf("%+v", got.Overall.Windows)
	}
}

func TestARecoveryIsJudgedUntilTheNextFault(t *testing.T) {
	log := &history.Log{
		Operations: []history.Operation{op("n1", "read", history.OK, 0, s), op("n1", "read", history.OK, 2*s, 9*s)},
		Events: []history.Event{
			{Type: history.FaultChange, Time: 3 * s, Fault: &history.Fault{ID: 1, Stage: history.Healed}},
			{Type: history.FaultChange, Time: 5 * s, Fault: &history.Fault{ID: 2, Stage: history.Inject}},
			{Type: history.FaultChange, Time: 8 * s, Fault: &history.Fault{ID: 2, Stage: history.Healed}},
		},
	}
	var got Unavailability
	judge(t, Availability(), log, &got)
	if a, b := got.Recoveries[0].Overall, got.Recoveries[1].Overall; a != -1 || b != s {
		t.Errorf("recoveries %d and %d", a, b)
	}
}

// What nemesis itself could not ask is no figure of the system.
func TestFailuresOfTheControlSideAreNoOutage(t *testing.T) {
	log := &history.Log{Operations: []history.Operation{op("n1", "read", history.OK, 0, s/10), op("n1", "read", history.OK, 20*s, 20*s+s/10)}}
	for at := int64(2); at < 20; at++ {
		log.Operations = append(log.Operations, op("n1", "read", history.Fail, at*s, at*s+s/10), op("n1", "write", history.Fail, at*s, at*s+s/10))
	}
	sortByCall(log)
	log.Events = []history.Event{
		{Type: history.FaultChange, Time: s, Fault: &history.Fault{ID: 1, Stage: history.Inject, Kind: "kill"}},
		{Type: history.FaultChange, Time: 4 * s, Fault: &history.Fault{ID: 1, Stage: history.Healed, Kind: "kill"}},
	}
	var got Unavailability
	judge(t, Availability(), log, &got)
	if len(got.Overall.Windows) != 1 || len(got.Recoveries) != 1 || got.Unclear != 0 {
		t.Errorf("the system was silent: %+v", got)
	}
	var counted Counts
	if r := judge(t, Stats(), log, &counted); r.Outcome != checker.Vacuous {
		t.Errorf("no write succeeded, and it is %s", r.Outcome)
	}
	for i := range log.Operations {
		if o := &log.Operations[i]; o.Type == history.Fail {
			o.Cause = history.ControlSide
		}
	}
	got = Unavailability{}
	r := judge(t, Availability(), log, &got)
	if len(got.Overall.Windows) != 0 || len(got.Recoveries) != 0 || got.Unclear != 1 {
		t.Errorf("nemesis was silent: %+v", got)
	}
	if want := "some operation succeeded at all times"; r.Summary != want {
		t.Errorf("it says %q", r.Summary)
	}
	if r := judge(t, Stats(), log, &counted); r.Outcome != checker.Valid || counted.Total.Fail != 36 {
		t.Errorf("nothing was asked in vain, and it is %s: %s", r.Outcome, r.Summary)
	}
}
