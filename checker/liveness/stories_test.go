package liveness

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nemesis/checker"
	"nemesis/history"
)

func TestStories(t *testing.T) {
	// Unless a story says otherwise n1 … n5 serve reads all the time; a story replaces
	// what n1's clients see.
	others := func(w *world, until int64) {
		for _, n := range five[1:] {
			w.works(n, "read", history.OK, 0, until)
		}
	}
	for name, story := range map[string]struct {
		tell    func(w *world)
		options func(*Options)
		outcome checker.Outcome
		want    []string
		summary string
	}{
		"everything works": {
			tell:    func(w *world) { others(w, 30*s); w.works("n1", "read", history.OK, 0, 30*s) },
			outcome: checker.Valid, summary: "final: 6 met, at most 100.0 ms of 10.0 s; availability: 6 met",
		},
		"a node that never comes back after the last heal": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
				w.works("n1", "read", history.Fail, 10*s, 40*s)
			},
			outcome: checker.Violation, want: []string{"never-recovered"}, summary: "1 violated, at most 24.6 s of 10.0 s",
		},
		"the same, but the run ends too soon to tell": {
			tell: func(w *world) {
				others(w, 24*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
				w.works("n1", "read", history.Fail, 10*s, 24*s)
			},
			outcome: checker.Valid, summary: "final: 5 met, 1 inconclusive",
		},
		"a node that comes back late": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
				w.works("n1", "read", history.Fail, 10*s, 28*s)
				w.works("n1", "read", history.OK, 28*s, 40*s)
			},
			outcome: checker.Violation, want: []string{"slow-recovery"},
		},
		"a node that comes back late, after another fault": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
				w.works("n1", "read", history.Fail, 10*s, 32*s)
				w.fault(2, "pause", []string{"n1"}, 24*s, 27*s)
				w.works("n1", "read", history.OK, 32*s, 40*s)
			},
			outcome: checker.Valid, summary: "recovery: 11 met, 1 inconclusive",
		},
		"only writes do not come back": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 40*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
				w.works("n1", "write", history.Info, 3*s, 40*s)
			},
			outcome: checker.Violation, want: []string{"never-recovered"},
		},
		"a compare-and-set that finds another value is an answer": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 40*s)
				for at := int64(0); at < 40*s; at += s {
					w.do("n1", "cas", history.Fail, at, at+s/10).Version = 7
				}
			},
			outcome: checker.Valid,
		},
		"nobody asks": {
			tell: func(w *world) {
				others(w, 60*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
				w.do("n1", "read", history.Fail, 16*s, 17*s)
				w.do("n1", "read", history.Fail, 59*s, 60*s)
			},
			outcome: checker.Valid, summary: "final: 5 met, 1 inconclusive",
		},
		"nemesis stood still": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
				w.works("n1", "read", history.Fail, 15*s, 28*s)
				w.stall(16*s, 20*s)
				w.works("n1", "read", history.OK, 28*s, 40*s)
			},
			outcome: checker.Valid, summary: "inconclusive",
		},
		"a killed server that somebody started before its heal": {
			tell: func(w *world) {
				others(w, 60*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.observed("kill", five[:1], 10*s, 50*s, 11*s, 14*s, 15*s)
				w.works("n1", "read", history.Fail, 15*s, 30*s)
				w.works("n1", "read", history.OK, 30*s, 60*s)
			},
			outcome: checker.Violation, want: []string{"slow-recovery"},
		},
		"one that was down until its heal": {
			tell: func(w *world) {
				others(w, 60*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.observed("kill", five[:1], 10*s, 28*s, 11*s, 28*s, 0)
				w.works("n1", "read", history.Fail, 15*s, 30*s)
				w.works("n1", "read", history.OK, 30*s, 60*s)
			},
			outcome: checker.Valid, summary: "recovery: 6 met",
		},
		"a cut that holds to its heal, while the others are silent": {
			tell: func(w *world) {
				w.works("n2", "read", history.OK, 0, 10*s)
				w.observed("partition", five[:1], 10*s, 40*s, 11*s, 40*s, 0)
				w.works("n2", "read", history.Fail, 10*s, 39*s)
				w.works("n2", "read", history.OK, 40*s, 60*s)
			},
			outcome: checker.Violation, want: []string{"unavailable-without-quorum-loss"},
		},
		"a cut of which a part was gone soon, while the others are silent": {
			tell: func(w *world) {
				w.works("n2", "read", history.OK, 0, 10*s)
				w.observed("partition", five[:1], 10*s, 40*s, 11*s, 14*s, 0)
				w.works("n2", "read", history.Fail, 10*s, 39*s)
				w.works("n2", "read", history.OK, 40*s, 60*s)
			},
			outcome: checker.Valid, summary: "recovery: 2 met",
		},
		"a cut that took long to come into force, while the others are silent": {
			tell: func(w *world) {
				w.works("n2", "read", history.OK, 0, 10*s)
				w.observed("partition", five[:1], 10*s, 40*s, 31*s, 40*s, 0)
				w.works("n2", "read", history.Fail, 10*s, 39*s)
				w.works("n2", "read", history.OK, 40*s, 60*s)
			},
			outcome: checker.Valid, summary: "recovery: 2 met",
		},
		"nemesis had no descriptors for the clients of one node": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 15*s)
				w.ours("n1", "read", history.ControlSide, 20*s, 35*s)
			},
			outcome: checker.Valid, summary: "availability: 6 met",
		},
		"silence while nemesis had no descriptors": {
			tell: func(w *world) {
				others(w, 80*s)
				w.works("n1", "read", history.OK, 0, 15*s)
				w.works("n1", "read", history.Fail, 15*s, 35*s)
				w.ours("n2", "read", history.ControlSide, 18*s, 22*s)
				w.works("n1", "read", history.OK, 35*s, 80*s)
			},
			outcome: checker.Valid, summary: "availability: 6 met",
		},
		"silence for longer than nemesis had no descriptors": {
			tell: func(w *world) {
				others(w, 80*s)
				w.works("n1", "read", history.OK, 0, 15*s)
				w.works("n1", "read", history.Fail, 15*s, 45*s)
				w.ours("n2", "read", history.ControlSide, 18*s, 18*s+s/2)
				w.works("n1", "read", history.OK, 45*s, 80*s)
			},
			outcome: checker.Violation, want: []string{"unavailable-without-quorum-loss"},
		},
		"silence in a run that nemesis could not carry out": {
			tell: func(w *world) {
				others(w, 80*s)
				w.works("n1", "read", history.OK, 0, 15*s)
				w.works("n1", "read", history.Fail, 15*s, 35*s)
				w.works("n1", "read", history.OK, 35*s, 80*s)
				w.ours("n2", "read", history.ControlSide, 36*s, 80*s)
			},
			outcome: checker.Valid, summary: "availability: 6 met",
		},
		"a client that does not ask to give back what it does not hold": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "release", history.OK, 0, 10*s)
				w.ours("n1", "release", history.Declined, 10*s, 40*s)
			},
			outcome: checker.Valid,
		},
		"an agent that took long to tell the time": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
				w.works("n1", "read", history.Fail, 15*s, 26*s)
				w.event(history.Event{Type: history.ClockReading, Node: "n3", Time: 20 * s, Clock: &history.ClockSample{RTT: 2 * s}})
				w.works("n1", "read", history.OK, 26*s, 40*s)
			},
			outcome: checker.Valid,
		},
		"a short stall does not count, but does not excuse everything": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
				w.works("n1", "read", history.Fail, 15*s, 29*s)
				w.stall(16*s, 17*s)
				w.works("n1", "read", history.OK, 29*s, 40*s)
			},
			outcome: checker.Violation, want: []string{"slow-recovery"},
		},
		"the other nodes stop while one is paused": {
			tell: func(w *world) {
				for _, n := range five {
					w.works(n, "read", history.OK, 0, 10*s)
					w.works(n, "read", history.Info, 10*s, 30*s)
					w.works(n, "read", history.OK, 30*s, 40*s)
				}
				w.fault(1, "pause", []string{"n1"}, 10*s, 30*s)
			},
			outcome: checker.Violation, want: []string{"unavailable-without-quorum-loss"},
		},
		"everybody stops while three of five are paused": {
			tell: func(w *world) {
				for _, n := range five {
					w.works(n, "read", history.OK, 0, 10*s)
					w.works(n, "read", history.Info, 10*s, 30*s)
					w.works(n, "read", history.OK, 30*s, 40*s)
				}
				w.fault(1, "pause", five[:3], 10*s, 30*s)
			},
			outcome: checker.Valid,
		},
		"two faults that hit three of five together": {
			tell: func(w *world) {
				for _, n := range five {
					w.works(n, "read", history.OK, 0, 10*s)
					w.works(n, "read", history.Info, 10*s, 30*s)
					w.works(n, "read", history.OK, 30*s, 40*s)
				}
				w.fault(1, "pause", five[:2], 10*s, 30*s)
				w.fault(2, "kill", five[2:3], 10*s, 30*s)
			},
			outcome: checker.Valid,
		},
		"a clock that runs wrong may disturb everybody": {
			tell: func(w *world) {
				for _, n := range five {
					w.works(n, "read", history.OK, 0, 10*s)
					w.works(n, "read", history.Info, 10*s, 30*s)
					w.works(n, "read", history.OK, 30*s, 40*s)
				}
				w.fault(1, "clock-drift", five[:1], 10*s, 30*s)
			},
			outcome: checker.Valid,
		},
		"nobody serves although nothing is hit": {
			tell: func(w *world) {
				for _, n := range five {
					w.works(n, "read", history.OK, 0, 10*s)
					w.works(n, "read", history.Info, 10*s, 30*s)
					w.works(n, "read", history.OK, 30*s, 40*s)
				}
			},
			outcome: checker.Violation, want: []string{"unavailable-without-quorum-loss"},
		},
		"a heal that was never confirmed": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s).Confirmed = false
				w.works("n1", "read", history.Fail, 10*s, 40*s)
			},
			outcome: checker.Valid,
		},
		"a server that crashed by itself": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.event(history.Event{Type: history.ServerExit, Time: 10 * s, Node: "n1", Exit: &history.Exit{Server: "etcd"}})
				w.works("n1", "read", history.Fail, 10*s, 40*s)
			},
			outcome: checker.Valid,
		},
		"a server that stays down after the heal": {
			tell: func(w *world) {
				others(w, 60*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s).Confirmed = false
				w.event(history.Event{Type: history.RestartFailed, Time: 25 * s, Node: "n1", Restart: &history.Restart{Server: "etcd", Attempts: 3}})
				w.phase("final reads", 26*s)
				w.works("n1", "read", history.Fail, 10*s, 60*s)
			},
			outcome: checker.Valid, // another checker tells
		},
		"a run whose harness was lost": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
				w.event(history.Event{Type: history.Trouble, Time: 16 * s, Message: "the agent on n1 is lost"})
				w.works("n1", "read", history.Fail, 10*s, 40*s)
			},
			outcome: checker.Valid,
		},
		"a fault that was not injected": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.works("n1", "read", history.Fail, 10*s, 40*s)
				w.event(history.Event{Type: history.FaultChange, Time: 12 * s, Fault: &history.Fault{ID: 1, Stage: history.Inject, Kind: "kill", Skipped: true, Error: "nobody leads"}})
			},
			outcome: checker.Violation, want: []string{"unavailable-without-quorum-loss"},
		},
		"an operation that its client never gave up": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 40*s)
				w.do("n1", "read", history.Info, 10*s, 17*s)
			},
			outcome: checker.Violation, want: []string{"stuck-operation"},
		},
		"no bound promises nothing": {
			tell: func(w *world) {
				others(w, 40*s)
				w.works("n1", "read", history.OK, 0, 10*s)
				w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
				w.works("n1", "read", history.Fail, 10*s, 40*s)
			},
			options: func(o *Options) { o.Bounds = history.Bounds{} },
			outcome: checker.Valid, summary: "nothing promised",
		},
		"nothing at all": {
			tell:    func(w *world) {},
			outcome: checker.Vacuous, summary: "nothing could be judged",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{}
			story.tell(w)
			options := ten()
			if story.options != nil {
				story.options(&options)
			}
			r, _ := check(w.done(), options)
			if r.Outcome != story.outcome || !strings.Contains(r.Summary, story.summary) {
				t.Errorf("judged %s: %s", r.Outcome, r.Summary)
			}
			if diff := cmp.Diff(story.want, classesOf(r)); diff != "" {
				t.Errorf("%s\n%s", r.Summary, diff)
			}
			wellTold(t, r)
		})
	}
}

// wellTold checks what every anomaly must have.
func wellTold(t *testing.T, r checker.Result) {
	t.Helper()
	for _, f := range r.Anomalies {
		if f.Sentence == "" || f.Rule == "" || len(f.Proof) == 0 || len(f.Core) == 0 || f.Unexplained >= len(f.Core) {
			t.Errorf("badly told: %+v", f)
		}
		for _, step := range f.Proof {
			for _, i := range step.Core {
				if i < 0 || i >= len(f.Core) {
					t.Errorf("a step speaks of operation %d of %d", i, len(f.Core))
				}
			}
		}
		for i := 1; i < len(f.Core); i++ {
			if f.Core[i].Call < f.Core[i-1].Call {
				t.Errorf("the core of %s is not by call", f.Class)
			}
		}
	}
}

func TestPartitions(t *testing.T) {
	both := func(a, b string) []history.Link { return []history.Link{{From: a, To: b}, {From: b, To: a}} }
	for name, story := range map[string]struct {
		fault history.Fault
		want  bool
	}{
		"cut off in both directions":          {history.Fault{Kind: "partition", Shape: "one", Nodes: []string{"n1"}, Links: append(both("n1", "n2"), both("n1", "n3")...)}, true},
		"may not hear":                        {history.Fault{Kind: "partition", Shape: "one-way-in", Nodes: []string{"n1"}, Links: []history.Link{{From: "n2", To: "n1"}}}, false},
		"cut off again and again":             {history.Fault{Kind: "partition", Shape: "flapping", Nodes: []string{"n1"}, Links: both("n1", "n2")}, false},
		"a bridge between two halves":         {history.Fault{Kind: "partition", Shape: "bridge", Nodes: []string{"n4"}, Links: both("n1", "n3")}, false},
		"a partition that does not say whom":  {history.Fault{Kind: "partition", Links: both("n1", "n3")}, false},
		"a fault that nobody knows":           {history.Fault{Kind: "disk", Nodes: []string{"n1"}}, false},
		"a pause of whoever":                  {history.Fault{Kind: "pause"}, false},
		"a server stopped in an orderly way":  {history.Fault{Kind: "stop", Nodes: []string{"n1"}}, true},
		"a partition without any link at all": {history.Fault{Kind: "partition", Nodes: []string{"n1"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isContained(&story.fault); got != story.want {
				t.Errorf("others undisturbed: %v", got)
			}
		})
	}
}

func TestWhatIsMeasured(t *testing.T) {
	w := &world{}
	w.phase(history.PhaseWorkload, 0)
	for _, n := range five[1:] {
		w.works(n, "read", history.OK, 0, 60*s)
	}
	w.works("n1", "read", history.OK, 0, 10*s)
	w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
	w.works("n1", "read", history.Fail, 10*s, 17*s)
	w.works("n1", "read", history.OK, 17*s, 40*s)
	w.fault(2, "kill", []string{"n1"}, 40*s, 45*s)
	w.works("n1", "read", history.Fail, 40*s, 50*s)
	w.fault(3, "pause", []string{"n1"}, 50*s, 52*s)
	w.works("n1", "read", history.OK, 52*s, 60*s)
	w.stall(5*s, 5*s+s/5)
	r, d := check(w.done(), ten())
	if r.Outcome != checker.Valid {
		t.Fatalf("judged %s: %s", r.Outcome, r.Summary)
	}
	want := []Recovery{
		{Fault: 1, Kind: "kill", From: 15 * s, Until: 40 * s, First: s / 10, Complete: 2*s + s/10, Slowest: "read on n1", Stable: 2 * s},
		{Fault: 2, Kind: "kill", From: 45 * s, Until: 50 * s, First: s / 10, Complete: -1, Slowest: "read on n1", Stable: -1},
		{Fault: 3, Kind: "pause", From: 52 * s, Until: w.log.End, First: s / 10, Complete: s / 10, Slowest: "read on n1"},
	}
	if diff := cmp.Diff(want, d.Recoveries); diff != "" {
		t.Error(diff)
	}
	kinds := []KindTimes{
		{Kind: "kill", Times: Times{1, 2*s + s/10, 2*s + s/10, 2*s + s/10, 2*s + s/10}, Unfinished: 1},
		{Kind: "pause", Times: Times{1, s / 10, s / 10, s / 10, s / 10}},
	}
	if diff := cmp.Diff(kinds, d.Kinds); diff != "" {
		t.Error(diff)
	}
	if got := d.Starvations[0]; got.Node != "n1" || got.Waited != 11*s+s/10 {
		t.Errorf("longest wait %+v", got)
	}
	if d.Stalled != s/5 {
		t.Errorf("stalled %d", d.Stalled)
	}
}

func TestAnAnomalyTellsItsNumbers(t *testing.T) {
	w := &world{}
	for _, n := range five[1:] {
		w.works(n, "read", history.OK, 0, 40*s)
	}
	w.works("n1", "read", history.OK, 0, 10*s)
	w.fault(1, "kill", []string{"n1"}, 10*s, 15*s)
	w.works("n1", "read", history.Fail, 15*s, 27*s)
	w.works("n1", "read", history.OK, 27*s, 40*s)
	r, _ := check(w.done(), ten())
	if len(r.Anomalies) != 1 {
		t.Fatal(r.Summary)
	}
	f := r.Anomalies[0]
	var told []string
	for _, step := range f.Proof {
		told = append(told, step.Text)
	}
	for _, want := range []string{
		"No client of n1 got an answer to a read in the 12.1 s after the heal of fault 1 (kill of n1), confirmed at 15.000 s, although all was well.",
		"is answered on every node within 10.0 s.",
		"refused at 15.100 s (connection refused)",
		"18 more operations went the same way.",
		"was answered, at 27.100 s.",
		"Of the 12.1 s until 27.100 s somebody waited 12.1 s; the bound after the heal is 10.0 s.",
	} {
		if text := f.Sentence + f.Rule + strings.Join(told, " "); !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

func TestHostileTextStaysText(t *testing.T) {
	w := &world{}
	for at := int64(0); at < 40*s; at += s / 2 {
		o := w.do("n1\n<b>", "re\x00ad", history.Fail, at, at+s/10)
		o.Error = "\x1b[31m" + strings.Repeat("x", 10000)
		o.Output = json.RawMessage(`null`)
	}
	w.event(history.Event{Type: history.Stall, Time: 1, Value: json.RawMessage(`"soon"`)})
	w.event(history.Event{Type: history.BeliefChange, F: "gone", Value: json.RawMessage(`{`)})
	r, _ := check(w.done(), ten())
	if r.Outcome != checker.Violation {
		t.Fatal(r.Summary)
	}
	for _, f := range r.Anomalies {
		for _, step := range f.Proof {
			if strings.ContainsAny(step.Text, "\n\x1b\x00") || len(step.Text) > 500 {
				t.Errorf("%q", step.Text)
			}
		}
	}
}

func TestAnEndedContextIsUnknown(t *testing.T) {
	w := &world{}
	w.works("n1", "read", history.OK, 0, 10*s)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r := Checker(ten()).Check(ctx, w.done(), checker.Budget{}); r.Outcome != checker.Unknown {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
}

func TestImpossibleHistoryIsHarness(t *testing.T) {
	w := &world{}
	w.do("n1", "read", history.OK, 2*s, s)
	if r := Checker(ten()).Check(context.Background(), w.done(), checker.Budget{}); r.Outcome != checker.Harness {
		t.Errorf("judged %s: %s", r.Outcome, r.Summary)
	}
}

func TestMemoryDoesNotGrowWithTheLengthOfTheRun(t *testing.T) {
	w := &world{}
	w.fault(1, "kill", []string{"n1"}, 0, s)
	w.works("n1", "read", history.OK, 2*s, 4*s)
	w.do("n1", "read", history.OK, history.Never/2, history.Never/2+s)
	if _, d := check(w.done(), ten()); len(d.Recoveries) != 1 || d.Recoveries[0].Stable != 0 {
		t.Errorf("%+v", d.Recoveries)
	}
}
