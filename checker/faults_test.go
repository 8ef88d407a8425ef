package checker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nemesis/history"
)

// A stage of fault 1 at a second of the run.
func stage(second int, stage history.Stage, fill func(*history.Fault)) history.Event {
	fault := &history.Fault{ID: 1, Stage: stage, Kind: "partition", Shape: "one", Target: "leader", Nodes: []string{"n2"}}
	if fill != nil {
		fill(fault)
	}
	return history.Event{Type: history.FaultChange, Time: int64(second) * int64(time.Second), Fault: fault}
}

func packets(node string, n float64, done int64) history.Effect {
	return history.Effect{
		Node: node, Kind: "net.drop", Spec: []byte(`{}`), Done: done,
		Evidence: history.Evidence{Confirmed: n > 0, Summary: "so many", Measures: []history.Measure{{Name: "dropped from n2", Value: n, Unit: "packets"}}},
	}
}

func connections(node string, silent, answered float64) history.Effect {
	return history.Effect{
		Node: node, Kind: "probe.connect",
		Evidence: history.Evidence{Measures: []history.Measure{
			{Name: "timed out", Value: silent, Unit: "connections"}, {Name: "answered", Value: answered, Unit: "connections"},
		}},
	}
}

func TestFaultOfEachStepIsCollected(t *testing.T) {
	plan := history.Step{ID: 1, Kind: "partition", Shape: "one", Target: "leader"}
	inject := stage(5, history.Inject, nil)
	active := stage(6, history.Active, func(f *history.Fault) {
		f.Confirmed = true
		f.Effects = []history.Effect{
			packets("n1", 3, 5_100), packets("n2", 4, 5_400), packets("n3", 0, 5_200),
			{Node: "n4", Kind: "net.drop", Spec: []byte(`{}`), Done: 9_000, Error: "no answer"},
			connections("n1", 1, 0), connections("n2", 2, 0),
		}
		f.Error = "n4: no answer"
	})
	heal := stage(8, history.Heal, func(f *history.Fault) {
		f.Confirmed = true
		f.Effects = []history.Effect{packets("n1", 30, 0), packets("n2", 40, 0), packets("n3", 0, 0)}
		f.Error = "n4: no answer"
	})
	healed := stage(10, history.Healed, func(f *history.Fault) {
		f.Confirmed = true
		f.Effects = []history.Effect{{Node: "n1", Done: 8_100}, {Node: "n2", Done: 8_300}, connections("n1", 0, 1)}
	})
	second := int64(time.Second)
	for name, story := range map[string]struct {
		events []history.Event
		want   Fault
	}{
		"a whole life": {
			events: []history.Event{inject, active, heal, healed},
			want: Fault{
				Nodes: []string{"n2"}, Injected: 5 * second, Healed: 8_300, Confirmed: true, Recovered: true, Spread: 300,
				Evidence: "70 packets dropped on 2 nodes; 3 connections across it timed out", Error: "n4: no answer",
			},
		},
		"evidence that was gone at the last look": {
			events: []history.Event{inject, active, stage(8, history.Heal, nil), healed},
			want: Fault{
				Nodes: []string{"n2"}, Injected: 5 * second, Healed: 8_300, Recovered: true, Spread: 300,
				Evidence: "3 connections across it timed out", Error: "n4: no answer",
			},
		},
		"a fault that something else undid": {
			events: []history.Event{inject, active, stage(9, history.Heal, func(f *history.Fault) {
				f.SeenFrom, f.SeenUntil, f.Ended, f.Error = 6*second, 7*second, 7*second+5, "n2: something else undid it"
			}), stage(10, history.Healed, func(f *history.Fault) {
				f.Confirmed, f.Effects = true, []history.Effect{{Node: "n2", Done: 9 * second}}
			})},
			want: Fault{
				Nodes: []string{"n2"}, Injected: 5 * second, Healed: 7*second + 5, EndedEarly: true, SeenFrom: 6 * second, SeenUntil: 7 * second,
				Recovered: true, Spread: 300, Evidence: "3 connections across it timed out", Error: "n4: no answer; n2: something else undid it",
			},
		},
		"a step whose time never came": {
			want: Fault{Injected: -1, Healed: -1, Evidence: "none", Error: "the run ended before its time came"},
		},
		"a step that could not be injected": {
			events: []history.Event{stage(5, history.Inject, func(f *history.Fault) { f.Skipped, f.Error = true, "no leader within 2s: nobody leads" })},
			want:   Fault{Injected: -1, Healed: -1, Evidence: "none", Error: "no leader within 2s: nobody leads"},
		},
		"a history that ends during the injection": {
			events: []history.Event{inject},
			want: Fault{
				Nodes: []string{"n2"}, Injected: 5 * second, Healed: -1, Evidence: "none",
				Error: "the history ends while it is being injected",
			},
		},
		"a history that ends during the fault": {
			events: []history.Event{inject, active},
			want: Fault{
				Nodes: []string{"n2"}, Injected: 5 * second, Healed: -1, Confirmed: true, Spread: 300,
				Evidence: "7 packets dropped on 2 nodes; 3 connections across it timed out", Error: "n4: no answer; the history ends while it is in force",
			},
		},
		"a history that ends during the heal": {
			events: []history.Event{inject, active, heal},
			want: Fault{
				Nodes: []string{"n2"}, Injected: 5 * second, Healed: -1, Confirmed: true, Spread: 300,
				Evidence: "70 packets dropped on 2 nodes; 3 connections across it timed out", Error: "n4: no answer; the history ends while it is being healed",
			},
		},
		"a server that was killed": {
			events: []history.Event{inject, stage(6, history.Active, nil), stage(8, history.Heal, func(f *history.Fault) {
				f.Confirmed = true
				f.Effects = []history.Effect{{Node: "n2", Kind: "proc.kill", Spec: []byte(`{}`), Evidence: history.Evidence{Summary: "etcd, pid 12, is gone"}}}
			}), stage(9, history.Healed, nil)},
			want: Fault{Nodes: []string{"n2"}, Injected: 5 * second, Healed: 9 * second, Confirmed: true, Evidence: "n2: etcd, pid 12, is gone"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			story.want.Step = plan
			if diff := cmp.Diff([]Fault{story.want}, FaultsOf([]history.Step{plan}, story.events)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAFaultThatIsNotInThePlanIsToldToo(t *testing.T) {
	events := []history.Event{{Type: history.FaultChange}, {Type: history.Note}, stage(5, history.Inject, nil)}
	got := FaultsOf([]history.Step{{ID: 7, Kind: "kill"}}, events)
	if len(got) != 2 || got[0].Injected != -1 || got[1].Step.Kind != "partition" || got[1].Injected < 0 {
		t.Errorf("got %+v", got)
	}
}

func TestHowLongTwoFaultsWereInForceAtOnce(t *testing.T) {
	steps := []history.Step{{ID: 1, Kind: "partition"}, {ID: 2, Kind: "kill", While: 1}, {ID: 3, Kind: "pause"}, {ID: 4, Kind: "kill", While: 3}}
	var events []history.Event
	for _, f := range []struct {
		id          int
		from, until int64
	}{{1, 100, 900}, {2, 300, 950}, {3, 1000, 1500}, {4, 1600, 1700}} {
		for at, stage := range []history.Stage{history.Inject, history.Active, history.Heal} {
			events = append(events, history.Event{Time: f.from + int64(at), Type: history.FaultChange, Fault: &history.Fault{
				ID: f.id, Stage: stage, Confirmed: true, SeenFrom: f.from, SeenUntil: f.until}})
		}
	}
	for i, want := range []int64{0, 600, 0, 0} {
		if got := FaultsOf(steps, events)[i].Together; got != want {
			t.Errorf("fault %d: %d, want %d", i+1, got, want)
		}
	}
}

// What went through an emulator or a switch was not dropped, and is told node by node.
func TestChangedPacketsAreNotToldAsDropped(t *testing.T) {
	effect := func(node, kind, summary, unit string) history.Effect {
		return history.Effect{Node: node, Kind: kind, Evidence: history.Evidence{Summary: summary, Measures: []history.Measure{{Name: "some", Value: 7, Unit: unit}}}}
	}
	got := evidence([]history.Effect{
		effect("n1", "net.drop", "dropped", "packets"), effect("n2", "net.netem", "emulated", "packets"),
		effect("n3", "net.switch", "switched", "packets"), effect("n4", "probe.connections", "half-open", "connections"),
	})
	if want := "7 packets dropped on 1 node; n2: emulated; n3: switched; n4: half-open"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
