package hostile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"nemesis/checker"
	"nemesis/checker/internal/mutants"
	"nemesis/history"
)

func fault(id int, kind, node string, stage history.Stage, confirmed bool) history.Event {
	return history.Event{Type: history.FaultChange, Fault: &history.Fault{ID: id, Kind: kind, Nodes: []string{node}, Stage: stage, Confirmed: confirmed, Description: kind}}
}

func exit(node, signal string, expected bool) history.Event {
	return history.Event{Type: history.ServerExit, Node: node, Exit: &history.Exit{Server: "db", Code: 2, Signal: signal, Expected: expected}}
}

var (
	sent      = fault(1, "bytes", "n1", history.Inject, false)
	acts      = fault(1, "bytes", "n1", history.Active, true)
	unseen    = fault(1, "bytes", "n1", history.Active, false)
	over      = fault(1, "bytes", "n1", history.Healed, true)
	starved   = fault(2, "memory-limit", "n1", history.Inject, false)
	fed       = fault(2, "memory-limit", "n1", history.Healed, true)
	elsewhere = fault(2, "memory-limit", "n2", history.Inject, false)
	ended     = exit("n1", "", false)
)

// stories are events a tenth of a second apart, and how many exits are accused.
var stories = map[string]struct {
	events []history.Event
	want   int
}{
	"nothing happened":                          {nil, 0},
	"the server lives":                          {[]history.Event{sent, acts, over}, 0},
	"it ends":                                   {[]history.Event{sent, acts, ended, over}, 1},
	"it ends and nobody saw the heal":           {[]history.Event{sent, acts, ended}, 1},
	"it ends before a look shows the input":     {[]history.Event{sent, ended, acts, over}, 1},
	"it ends soon after":                        {[]history.Event{sent, acts, over, ended}, 1},
	"it ends long after":                        {append([]history.Event{sent, acts, over}, append(make([]history.Event, 12), ended)...), 0},
	"it ended before":                           {[]history.Event{ended, sent, acts, over}, 0},
	"nothing shows that anything was sent":      {[]history.Event{sent, unseen, ended, over}, 0},
	"another node's server ends":                {[]history.Event{sent, acts, exit("n2", "", false), over}, 0},
	"nemesis ends it":                           {[]history.Event{sent, acts, exit("n1", "SIGKILL", true), exit("n1", "", true), over}, 0},
	"the kernel kills it":                       {[]history.Event{sent, acts, exit("n1", "SIGKILL", false), over}, 0},
	"it ends by a signal of its own":            {[]history.Event{sent, acts, exit("n1", "SIGABRT", false), over}, 1},
	"it ends and has too little memory":         {[]history.Event{starved, sent, acts, ended, over, fed}, 0},
	"it ends and just had too little memory":    {[]history.Event{starved, sent, acts, fed, ended, over}, 0},
	"it ends and another has too little memory": {[]history.Event{elsewhere, sent, acts, ended, over}, 1},
	"it ends and gets too little memory later":  {[]history.Event{sent, acts, ended, starved, over, fed}, 1},
	"the fault was not injected": {[]history.Event{{Type: history.FaultChange, Fault: &history.Fault{
		ID: 1, Kind: "bytes", Nodes: []string{"n1"}, Stage: history.Active, Skipped: true, Confirmed: true}}, ended}, 0},
	"it ends twice": {[]history.Event{sent, acts, ended, ended, over}, 2},
}

func logOf(events []history.Event) *history.Log {
	log := &history.Log{End: int64(len(events)+1) * 1e8}
	for i, ev := range events {
		if ev.Type == "" {
			continue
		}
		ev.Time = int64(i+1) * 1e8
		log.Events = append(log.Events, ev)
	}
	return log
}

func told(name string) error {
	r := Checker().Check(context.Background(), logOf(stories[name].events), checker.Budget{})
	found := 0
	for _, a := range r.Anomalies {
		found += max(a.Count, 1)
	}
	want := checker.Valid
	if stories[name].want > 0 {
		want = checker.Violation
	}
	if r.Outcome != want || found != stories[name].want {
		return fmt.Errorf("%s: %s with %d found, want %s with %d: %s", name, r.Outcome, found, want, stories[name].want, r.Summary)
	}
	return nil
}

func TestStories(t *testing.T) {
	for name := range stories {
		if err := told(name); err != nil {
			t.Error(err)
		}
	}
}

// The same rules, said as slowly as they read: for each exit, every fault of the history is looked
// for from the beginning.
func accused(log *history.Log) (n int) {
	for i, ev := range log.Events {
		if ev.Type != history.ServerExit || ev.Exit.Expected || ev.Exit.Signal == "SIGKILL" {
			continue
		}
		input, others := false, false
		for id := range 4 {
			kind, begun, shown, over := "", false, false, int64(-1)
			for k, e := range log.Events {
				if e.Type != history.FaultChange || e.Fault.ID != id || e.Fault.Nodes[0] != ev.Node {
					continue
				}
				kind = e.Fault.Kind
				begun = begun || k < i
				shown = shown || e.Fault.Confirmed && e.Fault.Stage != history.Healed && e.Fault.Stage != history.Inject
				if e.Fault.Stage == history.Healed {
					over = e.Time
				}
			}
			if !begun || over >= 0 && over+1e9 < ev.Time {
				continue
			}
			input = input || kind == "bytes" && shown
			others = others || kind != "bytes"
		}
		if input && !others {
			n++
		}
	}
	return n
}

func TestRandomHistoriesAgreeWithTheSlowRules(t *testing.T) {
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		stages := []history.Stage{history.Inject, history.Active, history.Heal, history.Healed}
		at := map[int]int{}
		kinds := map[int]string{}
		nodes := map[int]string{}
		var events []history.Event
		for range rng.IntN(25) {
			if rng.IntN(3) == 0 {
				events = append(events, exit([]string{"n1", "n2"}[rng.IntN(2)], []string{"", "SIGKILL"}[rng.IntN(4)/3], rng.IntN(5) == 0))
				continue
			}
			id := rng.IntN(4)
			if at[id] == 4 {
				continue
			}
			if at[id] == 0 {
				kinds[id], nodes[id] = []string{"bytes", "bytes", "kill"}[rng.IntN(3)], []string{"n1", "n2"}[rng.IntN(2)]
			}
			events = append(events, fault(id, kinds[id], nodes[id], stages[at[id]], rng.IntN(2) == 0))
			at[id]++
		}
		log := logOf(events)
		r := Checker().Check(context.Background(), log, checker.Budget{})
		if r.Outcome == checker.Harness {
			t.Fatal(r.Summary)
		}
		found := 0
		for _, a := range r.Anomalies {
			found += max(a.Count, 1)
		}
		if want := accused(log); found != want {
			t.Fatalf("seed %d: found %d, want %d", seed, found, want)
		}
	}
}

// Each rule, slightly wrong, must be noticed by the stories.
func TestEveryMutantIsCaught(t *testing.T) {
	var all mutants.List
	all.In("hostile.go",
		[3]string{"what was skipped is in force", "ev.Fault != nil && !ev.Fault.Skipped", "ev.Fault != nil"},
		[3]string{"expected exits count", "ev.Exit != nil && !ev.Exit.Expected", "ev.Exit != nil"},
		[3]string{"faults of other nodes count", "!f.nodes[ev.Node] || f.from > ev.Time", "f.from > ev.Time"},
		[3]string{"faults that come later count", "!f.nodes[ev.Node] || f.from > ev.Time", "!f.nodes[ev.Node]"},
		[3]string{"faults last for ever", "case f.confirmed && (f.to == history.Never || f.to+after >= ev.Time)", "case f.confirmed && (f.to == history.Never || f.to+after >= 0)"},
		[3]string{"input that nothing shows counts", "case f.confirmed &&", "case"},
		[3]string{"other faults do not count", "case others || ev.Exit", "case ev.Exit"},
		[3]string{"the kernel's kills count", `case others || ev.Exit.Signal == "SIGKILL" ||`, "case others ||"},
		[3]string{"other faults count only while they last", "others = others || f.to == history.Never || f.to+after >= ev.Time", "others = others || f.to == history.Never || f.to >= ev.Time"})
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
