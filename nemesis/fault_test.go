package nemesis

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes"
	"nemesis/nodes/agent"
)

func TestReadingTheFaultsFlag(t *testing.T) {
	for spec, want := range map[string][]string{
		"partition,kill,pause": {"partition", "kill", "pause"},
		" pause , partition ":  {"partition", "pause"},
		"kill,kill":            {"kill"},
		"all":                  {"partition", "kill", "stop", "pause", "clock-step", "clock-drift", "clock-freeze", "clock-strobe"},
		"power-off,all":        {"partition", "kill", "stop", "pause", "clock-step", "clock-drift", "clock-freeze", "clock-strobe", "power-off"},
		"clock,kill":           {"kill", "clock-step", "clock-drift", "clock-freeze", "clock-strobe"},
		"none":                 nil,
	} {
		got, err := Parse(spec)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", spec, got, err)
		}
	}
	for spec, want := range map[string]string{
		"":               `read faults "": find fault "": there is no such fault; choose from partition, kill, stop, pause, clock-step, clock-drift, clock-freeze, clock-strobe, packet, power-off, power-cycle, or clock for all clock faults, or all, or none`,
		"kill,":          `read faults "kill,": find fault "": there is no such fault; choose from partition, kill, stop, pause, clock-step, clock-drift, clock-freeze, clock-strobe, packet, power-off, power-cycle, or clock for all clock faults, or all, or none`,
		"partition,fire": `read faults "partition,fire": find fault "fire": there is no such fault; choose from partition, kill, stop, pause, clock-step, clock-drift, clock-freeze, clock-strobe, packet, power-off, power-cycle, or clock for all clock faults, or all, or none`,
		"all,fire":       `read faults "all,fire": find fault "fire": there is no such fault; choose from partition, kill, stop, pause, clock-step, clock-drift, clock-freeze, clock-strobe, packet, power-off, power-cycle, or clock for all clock faults, or all, or none`,
		"kill,none":      `read faults "kill,none": "none" stands alone; leave the rest out`,
	} {
		if got, err := Parse(spec); err == nil || err.Error() != want {
			t.Errorf("%q gave %v and\n     %v\nwant %s", spec, got, err, want)
		}
	}
}

// three nodes, the first two with IPv6 as well.
func three() Live {
	addr := netip.MustParseAddr
	return Live{
		Nodes: []nodes.Node{
			{Name: "n1", Address: addr("10.0.0.1"), Others: []netip.Addr{addr("fd00::1")}},
			{Name: "n2", Address: addr("10.0.0.2"), Others: []netip.Addr{addr("fd00::2")}},
			{Name: "n3", Address: addr("10.0.0.3")},
		},
		Roles:   map[string]string{"leader": "n2", "holder": "n3", "grantor": "n1"},
		Process: func(node string) string { return "db-" + node },
	}
}

// plainly lists effects by value, so that they can be compared.
func plainly(todo map[string][]agent.Effect) map[string][]any {
	out := map[string][]any{}
	for node, list := range todo {
		for _, e := range list {
			switch e := e.(type) {
			case *effects.Drop:
				peers := []string{}
				for _, p := range e.Peers {
					peers = append(peers, p.String())
				}
				out[node] = append(out[node], []any{e.ID, peers, e.In, e.Out})
			case *effects.Netem:
				peers := []string{}
				for _, p := range e.Peers {
					peers = append(peers, p.String())
				}
				out[node] = append(out[node], []any{e.ID, peers, e.Change})
			case *effects.Kill:
				out[node] = append(out[node], *e)
			case *effects.Stop:
				out[node] = append(out[node], *e)
			case *effects.Pause:
				out[node] = append(out[node], *e)
			case *effects.Shadow:
				out[node] = append(out[node], *e)
			case *effects.Machine:
				out[node] = append(out[node], *e)
			}
		}
	}
	return out
}

func TestWhatAStepDoesOnEachNode(t *testing.T) {
	for name, story := range map[string]struct {
		step  history.Step
		nodes []string
		want  map[string][]any
	}{
		"cutting off the leader, at both ends of every link": {
			step:  history.Step{ID: 3, Kind: "partition", Shape: "one", Target: "leader"},
			nodes: []string{"n2"},
			want: map[string][]any{
				"n1": {[]any{"f3-both", []string{"10.0.0.2", "fd00::2"}, true, true}},
				"n2": {[]any{"f3-both", []string{"10.0.0.1", "fd00::1", "10.0.0.3"}, true, true}},
				"n3": {[]any{"f3-both", []string{"10.0.0.2", "fd00::2"}, true, true}},
			},
		},
		"silencing the leader: it may not send, the others may not hear": {
			step:  history.Step{ID: 3, Kind: "partition", Shape: "one-way-out", Target: "leader"},
			nodes: []string{"n2"},
			want: map[string][]any{
				"n1": {[]any{"f3-in", []string{"10.0.0.2", "fd00::2"}, true, false}},
				"n2": {[]any{"f3-out", []string{"10.0.0.1", "fd00::1", "10.0.0.3"}, false, true}},
				"n3": {[]any{"f3-in", []string{"10.0.0.2", "fd00::2"}, true, false}},
			},
		},
		"links written by hand, all three ways on one node": {
			step: history.Step{ID: 4, Kind: "partition", Shape: "by hand", Links: []history.Link{
				{From: "n1", To: "n2"}, {From: "n2", To: "n1"}, {From: "n1", To: "n3"}, {From: "n3", To: "n2"},
			}},
			want: map[string][]any{
				"n1": {[]any{"f4-both", []string{"10.0.0.2", "fd00::2"}, true, true}, []any{"f4-out", []string{"10.0.0.3"}, false, true}},
				"n2": {[]any{"f4-both", []string{"10.0.0.1", "fd00::1"}, true, true}, []any{"f4-in", []string{"10.0.0.3"}, true, false}},
				"n3": {[]any{"f4-in", []string{"10.0.0.1", "fd00::1"}, true, false}, []any{"f4-out", []string{"10.0.0.2", "fd00::2"}, false, true}},
			},
		},
		"a bad network from the leader to everybody, at one end": {
			step:  history.Step{ID: 8, Kind: "packet", Shape: "one-way-out", Target: "leader", Packets: &history.PacketChange{Loss: 0.1}},
			nodes: []string{"n2"},
			want:  map[string][]any{"n2": {[]any{"f8", []string{"10.0.0.1", "fd00::1", "10.0.0.3"}, history.PacketChange{Loss: 0.1}}}},
		},
		"a bad link, at both ends": {
			step:  history.Step{ID: 8, Kind: "packet", Shape: "link", Target: "leader", Packets: &history.PacketChange{Rate: 1e6}},
			nodes: []string{"n2"},
			want: map[string][]any{
				"n2": {[]any{"f8", []string{"10.0.0.3"}, history.PacketChange{Rate: 1e6}}},
				"n3": {[]any{"f8", []string{"10.0.0.2", "fd00::2"}, history.PacketChange{Rate: 1e6}}},
			},
		},
		"killing the leader": {
			step: history.Step{ID: 5, Kind: "kill", Target: "leader"}, nodes: []string{"n2"},
			want: map[string][]any{"n2": {effects.Kill{ID: "f5", Process: "db-n2"}}},
		},
		"stopping two, with no more grace than half the fault": {
			step:  history.Step{ID: 6, Kind: "stop", Target: "majority", Nodes: []string{"n1", "n3"}, Hold: history.Duration(4 * time.Second)},
			nodes: []string{"n1", "n3"},
			want: map[string][]any{
				"n1": {effects.Stop{ID: "f6", Process: "db-n1", Grace: 2 * time.Second}},
				"n3": {effects.Stop{ID: "f6", Process: "db-n3", Grace: 2 * time.Second}},
			},
		},
		"pausing one that the plan names, whoever leads": {
			step: history.Step{ID: 7, Kind: "pause", Target: "leader", Nodes: []string{"n1"}}, nodes: []string{"n1"},
			want: map[string][]any{"n1": {effects.Pause{ID: "f7", Process: "db-n1"}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			step, todo, err := Resolve(story.step, three())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(story.nodes, step.Nodes); diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(story.want, plainly(todo)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryFormOfEveryFaultResolves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.IntRange(1, 9).Draw(t, "nodes"))
		live := Live{Process: func(string) string { return "db" }}
		for _, a := range w.agents {
			live.Nodes = append(live.Nodes, a.node)
		}
		live.Roles = map[string]string{}
		for _, role := range roles() {
			live.Roles[role.name] = rapid.SampledFrom(live.Nodes).Draw(t, role.name).Name
		}
		rng := dice(rapid.Uint64().Draw(t, "seed"))
		for _, fault := range Faults() {
			for _, form := range fault.fitting(len(live.Nodes), true) {
				drawn := fault.Draw(rng, named(len(live.Nodes)), form)
				if fault.clock {
					change := fault.changes(history.Timing{})[0]
					drawn.Clock, drawn.Period = &change.ClockChange, change.Period
				}
				if fault.packets {
					drawn.Packets = &packetChanges(history.Timing{})[0]
				}
				step, todo, err := Resolve(drawn, live)
				if err != nil || (len(todo) == 0) != fault.power || len(step.Nodes) == 0 {
					t.Fatalf("%s %v: nodes %v, %d with effects, %v", fault.Name, form, step.Nodes, len(todo), err)
				}
				if form.Shape == "minority" && len(step.Nodes) != (len(live.Nodes)-1)/2 {
					t.Fatalf("%s %v puts %v into the minority", fault.Name, form, step.Nodes)
				}
				if who, is := live.Roles[form.Target]; is && !slices.Contains(step.Nodes, who) {
					t.Fatalf("%s %v spares the %s %s: %v", fault.Name, form, form.Target, who, step.Nodes)
				}
				for _, list := range todo {
					for _, e := range list {
						if _, known := effects.Kinds()[e.Kind()]; !known {
							t.Fatalf("%s makes an effect %s, which no agent knows", fault.Name, e.Kind())
						}
					}
				}
			}
		}
	})
}

func TestAReplayCanHitWhoeverLedThen(t *testing.T) {
	plan := []history.Step{
		{ID: 1, Kind: "kill", Target: "one", Nodes: []string{"n1"}},
		{ID: 2, Kind: "partition", Shape: "one-way-out", Target: "leader"},
		{ID: 3, Kind: "pause", Target: "leader"},
	}
	hit := &history.Fault{ID: 2, Stage: history.Active, Nodes: []string{"n3"}, Links: []history.Link{{From: "n3", To: "n1"}}}
	events := []history.Event{
		{Type: history.FaultChange, Fault: hit},
		{Type: history.FaultChange, Fault: &history.Fault{ID: 3, Stage: history.Inject, Error: "not injected: no leader"}},
		{Type: history.Note},
	}
	want := []history.Step{plan[0], plan[1]}
	want[1].Nodes, want[1].Links = hit.Nodes, hit.Links
	if diff := cmp.Diff(want, AsRecorded(plan, events)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatANodeCannotHave(t *testing.T) {
	cannot := map[string]string{effects.DropKind: "packets cannot be dropped: nftables needs root"}
	if err := Able(cannot, []history.Step{{Kind: "kill"}, {Kind: "stop"}, {Kind: "pause"}}); err != nil {
		t.Error(err)
	}
	want := "it cannot have the fault partition: packets cannot be dropped: nftables needs root"
	if err := Able(cannot, []history.Step{{Kind: "kill"}, {Kind: "partition"}}); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	for _, fault := range Faults() {
		if err := Able(map[string]string{fault.needs: "no"}, []history.Step{{Kind: fault.Name}}); err == nil || (effects.Kinds()[fault.needs] == nil) != fault.power {
			t.Errorf("%s needs %q, which is no effect", fault.Name, fault.needs)
		}
	}
}
