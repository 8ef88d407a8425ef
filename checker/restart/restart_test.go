package restart

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/checker/internal/mutants"
	"nemesis/history"
)

const (
	s     = int64(1e9)
	bound = history.Duration(15 * s)
)

// The events of a run, each a second after the one before.
var (
	injected  = stage(1, history.Inject, false)
	healed    = stage(1, history.Healed, false) // although nothing showed that the server recovered
	skipped   = stage(2, history.Inject, true)
	trouble   = history.Event{Type: history.Trouble, Node: "n2", Message: "the agent on n2 is lost"}
	stayed    = restart("n1", history.RestartAttempts)
	cutShort  = restart("n1", history.RestartAttempts-1)
	otherDown = restart("n3", history.RestartAttempts)
)

func stage(id int, stage history.Stage, skipped bool) history.Event {
	return history.Event{Type: history.FaultChange, Fault: &history.Fault{ID: id, Kind: "kill", Nodes: []string{"n1"}, Stage: stage, Skipped: skipped}}
}

func restart(node string, attempts int) history.Event {
	return history.Event{Type: history.RestartFailed, Node: node, Restart: &history.Restart{
		Server: "db", Role: "db", Attempts: attempts, Code: 7, LastWords: "the log is \x1b[31mtorn",
	}}
}

// unready is a server that ran for so long in vain.
func unready(waited history.Duration) history.Event {
	return history.Event{Type: history.RestartFailed, Node: "n2", Restart: &history.Restart{
		Server: "db", Role: "db", Waited: waited, Unready: "has no leader", LastWords: "election lost",
	}}
}

// stalled is nemesis that stood still for so long.
func stalled(length history.Duration) history.Event {
	return history.Event{Type: history.Stall, Value: strconv.AppendInt(nil, int64(length), 10)}
}

var stories = map[string]struct {
	events []history.Event
	down   int  // servers that are accused
	silent bool // some ran in vain, and nobody is accused of it
}{
	"nothing happened":                                 {},
	"every server came up":                             {events: []history.Event{injected, healed}},
	"a server stays down after its fault":              {events: []history.Event{injected, healed, stayed}, down: 1},
	"two servers stay down":                            {events: []history.Event{injected, healed, stayed, otherDown}, down: 2},
	"a server stays down without a fault":              {events: []history.Event{stayed}, down: 1},
	"a fault that was not injected holds nothing down": {events: []history.Event{skipped, stayed}, down: 1},
	"the fault was never healed":                       {events: []history.Event{injected, stayed}},
	"another fault was never healed":                   {events: []history.Event{injected, healed, stage(3, history.Active, false), stayed}},
	"nemesis had a trouble before":                     {events: []history.Event{injected, healed, trouble, stayed}},
	"nemesis had a trouble afterwards":                 {events: []history.Event{injected, healed, stayed, trouble}, down: 1},
	"it was not started as often as it should be":      {events: []history.Event{injected, healed, cutShort}},
	"a server runs and does not serve":                 {events: []history.Event{injected, healed, unready(bound)}, down: 1},
	"one runs in vain, and one stays down":             {events: []history.Event{injected, healed, unready(bound), stayed}, down: 2},
	"it had less time than was promised":               {events: []history.Event{injected, healed, unready(bound - 1)}, silent: true},
	"nemesis stood still meanwhile":                    {events: []history.Event{injected, healed, stalled(history.Duration(s)), unready(bound)}, silent: true},
	"it runs in vain under a fault":                    {events: []history.Event{injected, unready(bound)}},
	"nemesis had a trouble, and it runs in vain":       {events: []history.Event{injected, healed, trouble, unready(bound)}},
	"an event that says nothing":                       {events: []history.Event{{Type: history.RestartFailed, Node: "n1"}}},
}

// told is what is wrong with the answer to a story, nil for nothing.
func told(name string) error {
	story := stories[name]
	var log history.Log
	for i, ev := range story.events {
		ev.Index, ev.Time = int64(i), int64(i+1)*s
		log.Events, log.End = append(log.Events, ev), ev.Time
	}
	r := Checker(time.Duration(bound)).Check(context.Background(), &log, checker.Budget{})
	down := 0
	for _, f := range r.Anomalies {
		down += f.Count
	}
	want := checker.Valid
	if story.silent {
		want = checker.Unknown
	}
	if story.down > 0 {
		want = checker.Violation
	}
	if down != story.down || r.Outcome != want {
		return fmt.Errorf("%s: %s with %d servers, want %s with %d: %s", name, r.Outcome, down, want, story.down, r.Summary)
	}
	return nil
}

func TestOnlyServersThatNothingHoldsDownAreAccused(t *testing.T) {
	for name := range stories {
		if err := told(name); err != nil {
			t.Error(err)
		}
	}
}

func TestAnAnomalyQuotesTheServersLastWords(t *testing.T) {
	log := &history.Log{Events: []history.Event{stayed}, End: s}
	r := Checker(time.Duration(bound)).Check(t.Context(), log, checker.Budget{})
	f := r.Anomalies[0]
	var proof []string
	for _, step := range f.Proof {
		proof = append(proof, step.Text)
	}
	for got, want := range map[string]string{
		f.Class:           "does-not-restart",
		f.Sentence:        "The server db on n1 did not come up again after everything had been healed, although it was started 3 times.",
		f.Rule:            "A server that nothing holds down comes up when it is started, at the latest when it is started for the third time.",
		proof[1]:          "db on n1 was started 3 times and ended each time, the last time with status 7, by 0.000 s.",
		proof[2]:          `Its log says: the log is \x1b[31mtorn`,
		r.Summary:         "1 × does-not-restart",
		string(r.Outcome): "violation",
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	signalled := restart("n1", 3)
	signalled.Restart.Signal, signalled.Restart.LastWords = "SIGABRT", ""
	if text := fmt.Sprint(notRestarted(&signalled).Proof); !strings.Contains(text, "the last time by SIGABRT") || !strings.Contains(text, "Its log says nothing.") {
		t.Errorf("got %s", text)
	}
}

func TestAServerThatRunsInVainIsToldWithWhatItLacked(t *testing.T) {
	ev := unready(bound)
	ev.Time = 90 * s
	log := &history.Log{Events: []history.Event{ev}, End: 90 * s}
	f := Checker(time.Duration(bound)).Check(t.Context(), log, checker.Budget{}).Anomalies[0]
	for got, want := range map[string]string{
		f.Class:         "does-not-serve",
		f.Sentence:      "The server db on n2 ran and did not serve for 15.0 s after everything had been healed; promised are 15.0 s.",
		f.Proof[1].Text: "At 90.000 s db on n2 still did not serve: it runs and has no leader.",
		f.Proof[2].Text: "Its log says: election lost",
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	// Without a promise nobody knows.
	if r := Checker(0).Check(t.Context(), log, checker.Budget{}); r.Outcome != checker.Unknown || !strings.Contains(r.Summary, "1 server ran and did not serve") {
		t.Errorf("got %s: %s", r.Outcome, r.Summary)
	}
}

func TestImpossibleHistoryIsHarness(t *testing.T) {
	log := &history.Log{Operations: []history.Operation{{Process: 1, Call: 5, Return: 3, End: 3, Type: history.OK}}}
	if r := Checker(time.Duration(bound)).Check(t.Context(), log, checker.Budget{}); r.Outcome != checker.Harness {
		t.Errorf("got %s: %s", r.Outcome, r.Summary)
	}
}

// Each rule, slightly wrong, must be noticed by the stories.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	all.In("restart.go",
		[3]string{"a fault is over when its heal begins to be told", "ev.Fault.Stage != history.Healed", "ev.Fault.Stage == history.Inject"},
		[3]string{"what was skipped is in force", "ev.Fault != nil && !ev.Fault.Skipped", "ev.Fault != nil"},
		[3]string{"troubles do not count", "troubled = true", "troubled = false"},
		[3]string{"faults in force do not count", "troubled || anyOf(inForce)", "troubled"},
		[3]string{"attempts are not counted", "ev.Restart.Attempts < history.RestartAttempts", "ev.Restart.Attempts < 1"},
		[3]string{"nobody is accused", "found.Add(NotRestarted, ", "(func(string, func() checker.Anomaly) {})(NotRestarted, "},
		[3]string{"a server has less time than was promised", "waited < history.Duration(j.recovery)", "false"},
		[3]string{"standing still does not count", "ev.Restart.Waited - history.Duration(checker.GapsOf(log).Within(began, ev.Time))", "ev.Restart.Waited + 0*history.Duration(checker.GapsOf(log).Within(began, ev.Time))"},
		[3]string{"nobody is accused of silence", "found.Add(NotServing, ", "(func(string, func() checker.Anomaly) {})(NotServing, "})
	mutants.Hunt(t, `func Caught(string) error {
	for name := range stories {
		if err := told(name); err != nil {
			return err
		}
	}
	return nil
}
`, all)
}
