package serverlog

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/checker/internal/mutants"
	"nemesis/history"
)

const s = int64(1e9)

func says(node, class string) history.Event {
	return history.Event{Type: history.ServerComplaint, Node: node, Log: &history.LogLine{
		Server: "db", File: "db.log", Line: 7, Class: class, Text: "panic: \x1b[31mboom", Then: []string{"", "goroutine 1 [running]:"}, Stamp: "2026-11-29 10:00:00", Count: 3}}
}

func fault(kind, node string, stage history.Stage, skipped bool) history.Event {
	return history.Event{Type: history.FaultChange, Fault: &history.Fault{ID: 1, Kind: kind, Nodes: []string{node}, Stage: stage, Skipped: skipped}}
}

func exit(node, server string, expected bool) history.Event {
	return history.Event{Type: history.ServerExit, Node: node, Exit: &history.Exit{Server: server, Code: 2, Expected: expected}}
}

var stories = map[string]struct {
	events  []history.Event
	classes string // in their order
	proof   string // a part of the first one's
}{
	"nothing happened":                           {},
	"a server ended and said nothing":            {events: []history.Event{exit("n1", "db", false)}},
	"a panic":                                    {[]history.Event{says("n1", Panic)}, "panic×1", "line 7 of nodes/n1/db.log, at or after 2026-11-29 10:00:00 by its own clock"},
	"two servers panicked":                       {[]history.Event{says("n2", Panic), says("n1", Panic)}, "panic×2", "nodes/n1/db.log"},
	"the worst comes first":                      {[]history.Event{says("n1", UncaughtException), says("n1", Panic), says("n1", Corruption)}, "corruption×1 panic×1 uncaught-exception×1", ""},
	"a node without memory":                      {events: []history.Event{says("n1", OutOfMemory)}},
	"a panic for lack of space":                  {events: []history.Event{{Type: history.ServerComplaint, Node: "n1", Log: &history.LogLine{Class: Panic, Text: `{"level":"panic","error":"No space left on device"}`}}}},
	"a panic whose stack tells of a lack":        {events: []history.Event{{Type: history.ServerComplaint, Node: "n1", Log: &history.LogLine{Class: Panic, Text: "panic: x", Then: []string{"open: too many open files"}}}}},
	"a class of the system's own":                {[]history.Event{says("n1", Panic), says("n1", "split-brain")}, "split-brain×1 panic×1", ""},
	"a panic after a kill":                       {[]history.Event{fault("kill", "n1", history.Inject, false), exit("n1", "db", true), says("n1", Panic)}, "panic×1", "3 messages of this class"},
	"a panic under a partition":                  {[]history.Event{fault("partition", "n1", history.Inject, false), says("n1", Panic)}, "panic×1", ""},
	"the server ended by itself":                 {[]history.Event{exit("n1", "db", false), says("n1", Panic)}, "panic×1", "db on n1 ended by itself at 1.000 s, with status 2."},
	"a panic on a disk with a fault":             {events: []history.Event{fault("disk-error", "n1", history.Inject, false), says("n1", Panic)}},
	"a panic on another disk":                    {[]history.Event{fault("disk-error", "n2", history.Inject, false), says("n1", Panic)}, "panic×1", ""},
	"a panic on a disk whose fault was left out": {[]history.Event{fault("disk-error", "n1", history.Inject, true), says("n1", Panic)}, "panic×1", ""},
	"a panic before the fault was written down":  {events: []history.Event{says("n1", Panic), fault("disk-error", "n1", history.Inject, false)}},
	"an event that says nothing":                 {events: []history.Event{{Type: history.ServerComplaint, Node: "n1"}}},
	"a panic of a server of which nobody knows":  {[]history.Event{{Type: history.ServerComplaint, Node: "n1", Log: &history.LogLine{File: "x.log", Line: 1, Class: Panic, Text: "panic: x", Count: 1}}}, "panic×1", "line 1 of nodes/n1/x.log."},
}

// told is what is wrong with the answer to a story, nil for nothing.
func told(name string) error {
	story := stories[name]
	var log history.Log
	for i, ev := range story.events {
		ev.Index, ev.Time = int64(i), int64(i+1)*s
		log.Events, log.End = append(log.Events, ev), ev.Time
	}
	r := Checker().Check(context.Background(), &log, checker.Budget{})
	var classes []string
	for _, a := range r.Anomalies {
		classes = append(classes, fmt.Sprintf("%s×%d", a.Class, a.Count))
	}
	want := checker.Valid
	if story.classes != "" {
		want = checker.Violation
	}
	if got := strings.Join(classes, " "); got != story.classes || r.Outcome != want {
		return fmt.Errorf("%s: %s with %q, want %s with %q: %s", name, r.Outcome, got, want, story.classes, r.Summary)
	}
	if story.proof != "" && !strings.Contains(fmt.Sprint(r.Anomalies[0].Proof), story.proof) {
		return fmt.Errorf("%s: the proof lacks %q: %v", name, story.proof, r.Anomalies[0].Proof)
	}
	return nil
}

func TestServersAreAccusedByTheirOwnWords(t *testing.T) {
	for name := range stories {
		if err := told(name); err != nil {
			t.Error(err)
		}
	}
}

func TestAFindingQuotesTheLogAsHostileText(t *testing.T) {
	ev := says("n1", Panic)
	a := anomaly(&ev, nil)
	if want := `The log of db on n1 tells of a panic: panic: \x1b[31mboom`; a.Sentence != want {
		t.Errorf("got  %s\nwant %s", a.Sentence, want)
	}
	if text := fmt.Sprint(a.Proof); !strings.Contains(text, "The log goes on: goroutine 1 [running]:") {
		t.Errorf("the proof is %s", text)
	}
	own := says("n1", "\x1b[2Jown")
	if text := anomaly(&own, nil).Sentence; strings.Contains(text, "\x1b") {
		t.Errorf("a class reaches the terminal: %q", text)
	}
}

// A finding counts against whatever claim, and lies beyond no assumption of it.
func TestFindingsBreakEveryClaim(t *testing.T) {
	log := &history.Log{Events: []history.Event{says("n1", Panic)}, End: s}
	r := Checker().Check(t.Context(), log, checker.Budget{})
	if got := checker.Against(history.Claim{Origin: history.AskedFor, Model: history.Integrity}, r); got.Outcome != checker.Violation {
		t.Errorf("against a weak claim: %s", got.Outcome)
	}
}

func TestImpossibleHistoryIsHarness(t *testing.T) {
	log := &history.Log{Operations: []history.Operation{{Process: 1, Call: 5, Return: 3, End: 3, Type: history.OK}}}
	if r := Checker().Check(t.Context(), log, checker.Budget{}); r.Outcome != checker.Harness {
		t.Errorf("got %s: %s", r.Outcome, r.Summary)
	}
}

// Each rule, slightly wrong, must be noticed by the stories or the messages.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	all.In("serverlog.go",
		[3]string{"faults of disks do not count", "badDisk[node] = true", "badDisk[node] = false"},
		[3]string{"what was skipped was done to the disk", "ev.Fault != nil && !ev.Fault.Skipped", "ev.Fault != nil"},
		[3]string{"every fault is one of disks", "strings.HasPrefix(ev.Fault.Kind, diskFault)", "ev.Fault.Kind != diskFault"},
		[3]string{"nodes are not in order", "cmp.Or(cmp.Compare(a.Node, b.Node)", "cmp.Or(cmp.Compare(b.Node, a.Node)"},
		[3]string{"a server that was killed ended by itself", "ev.Exit != nil && !ev.Exit.Expected", "ev.Exit != nil && ev.Exit.Expected"},
		[3]string{"what a node lacks is the server's fault", " || starved(ev.Log)", ""},
		[3]string{"classes of systems are forgotten", "range append(own, order...)", "range order"})
	all.In("scan.go",
		[3]string{"a message needs no stack", "case p.confirm == nil:", "case true:"},
		[3]string{"a stack is never seen", "case s.confirm.MatchString(text):", "case false:"},
		[3]string{"a stack may be anywhere", "s.number-s.waiting.Line >= confirmWithin", "s.number-s.waiting.Line >= 100*confirmWithin"},
		[3]string{"the ends of lines belong to them", `strings.TrimRight(string(head), "\r\n")`, `strings.TrimRight(string(head), "\n")`},
		[3]string{"the last line needs an end", "if more {", "if more && err == nil {"})
	mutants.Hunt(t, `func Caught(file string) error {
	for name := range stories {
		if err := told(name); err != nil {
			return err
		}
	}
	for name := range messages {
		if err := toldOf(name); err != nil {
			return err
		}
	}
	return nil
}
`, all)
}
