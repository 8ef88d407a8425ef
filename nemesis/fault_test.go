package nemesis

import (
	"net/netip"
	"slices"
	"strings"
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
		"all":                  general(),
		"power-off,all":        general("power-off"),
		"clock,kill":           {"kill", "clock-step", "clock-drift", "clock-freeze", "clock-strobe"},
		"none":                 nil,
	} {
		got, err := Parse(spec)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", spec, got, err)
		}
	}
	exist := "there is no such fault; choose from " + strings.Join(kinds(), ", ")
	more := exist + ", or clock for all clock faults, or all, or none"
	for spec, want := range map[string]string{
		"":               `read faults "": find fault "": ` + more,
		"kill,":          `read faults "kill,": find fault "": ` + more,
		"partition,fire": `read faults "partition,fire": find fault "fire": ` + more,
		"all,fire":       `read faults "all,fire": find fault "fire": ` + more,
		"kill,none":      `read faults "kill,none": "none" stands alone; leave the rest out`,
	} {
		if got, err := Parse(spec); err == nil || err.Error() != want {
			t.Errorf("%q gave %v and\n     %v\nwant %s", spec, got, err, want)
		}
	}
}

// kinds are the names of all faults, in table order.
func kinds() []string {
	var names []string
	for _, f := range Faults() {
		names = append(names, f.Info().Name)
	}
	return names
}

// general are those that any cluster can have, and of others the given.
func general(special ...string) []string {
	var names []string
	for _, f := range Faults() {
		if info := f.Info(); info.Special == "" || slices.Contains(special, info.Name) {
			names = append(names, info.Name)
		}
	}
	return names
}

// three nodes, the first two with IPv6 as well.
func three() Live {
	addr := netip.MustParseAddr
	return Live{
		Config: Config{
			Machines: []Agent{
				&fakeAgent{node: nodes.Node{Name: "n1", Address: addr("10.0.0.1"), Others: []netip.Addr{addr("fd00::1")}}},
				&fakeAgent{node: nodes.Node{Name: "n2", Address: addr("10.0.0.2"), Others: []netip.Addr{addr("fd00::2")}}},
				&fakeAgent{node: nodes.Node{Name: "n3", Address: addr("10.0.0.3")}},
			},
			Servers: func(node, _ string) []string { return []string{"db-" + node} },
		},
		Roles: map[string]string{"leader": "n2", "holder": "n3", "grantor": "n1"},
	}
}

// plainly lists effects by value, so that they can be compared.
func plainly(bound Binding) map[string][]any {
	out := map[string][]any{}
	for _, a := range bound.Actions {
		node, e := a.Effect().Node, effectOf(a)
		{
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

// effectOf is what an action does by an agent; nil for one that is done without.
func effectOf(a Action) agent.Effect {
	switch a := a.(type) {
	case *agentAction:
		return a.effect
	case *serverAction:
		return a.effect
	case *filterAction:
		return a.effect
	case *halfOpenAction:
		return a.effect
	case *resetAction:
		return a.effect
	}
	return nil
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
			step:  with(history.Step{ID: 8, Kind: "packet", Shape: "one-way-out", Target: "leader"}, history.PacketChange{Loss: 0.1}),
			nodes: []string{"n2"},
			want:  map[string][]any{"n2": {[]any{"f8", []string{"10.0.0.1", "fd00::1", "10.0.0.3"}, history.PacketChange{Loss: 0.1}}}},
		},
		"a bad link, at both ends": {
			step:  with(history.Step{ID: 8, Kind: "packet", Shape: "link", Target: "leader"}, history.PacketChange{Rate: 1e6}),
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
			step, bound, err := Resolve(story.step, three())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(story.nodes, step.Nodes); diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(story.want, plainly(bound)); diff != "" {
				t.Errorf("effects (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryFormOfEveryFaultResolves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.IntRange(1, 9).Draw(t, "nodes"))
		p := &plugs{world: w}
		live := Live{Config: p.power(w.injector()).Config, Roles: map[string]string{}}
		live.Ports = func(string, string) []uint16 { return []uint16{2379, 2380} }
		names := named(len(live.Machines))
		for _, role := range roles() {
			live.Roles[role.name] = rapid.SampledFrom(names).Draw(t, role.name)
		}
		rng := dice(rapid.Uint64().Draw(t, "seed"))
		for _, fault := range Faults() {
			name := fault.Info().Name
			dealer, err := fault.Parameters(rng, Options{Faults: []string{name}, Nodes: names})
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range fitting(fault, len(names), Options{Leases: true}) {
				drawn := Draw(fault, rng, names, form)
				drawn.Hold = history.Duration(3 * time.Second)
				if err := (&cards{fault: fault, parameters: dealer}).dealParameters(&drawn); err != nil {
					t.Fatal(err)
				}
				step, bound, err := Resolve(drawn, live)
				if err != nil || len(bound.Actions) == 0 || len(step.Nodes) == 0 {
					t.Fatalf("%s %v: nodes %v, %d actions, %v", name, form, step.Nodes, len(bound.Actions), err)
				}
				if form.Shape == "minority" && len(step.Nodes) != (len(names)-1)/2 {
					t.Fatalf("%s %v puts %v into the minority", name, form, step.Nodes)
				}
				if who, is := live.Roles[form.Target]; is && !slices.Contains(step.Nodes, who) {
					t.Fatalf("%s %v spares the %s %s: %v", name, form, form.Target, who, step.Nodes)
				}
				for _, a := range bound.Actions {
					e := effectOf(a)
					if e == nil {
						if !fault.Needs(step).Power && a.Effect().Kind != effects.OutsideBytesKind {
							t.Fatalf("%s has an action %s that no agent does", name, a.Effect().Kind)
						}
						continue
					}
					if _, known := effects.Kinds()[e.Kind()]; !known {
						t.Fatalf("%s makes an effect %s, which no agent knows", name, e.Kind())
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
		{Type: history.FaultChange, Fault: &history.Fault{ID: 3, Stage: history.Inject, Skipped: true, Error: "no leader"}},
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
		step := history.Step{Kind: fault.Info().Name}
		needs := fault.Needs(step)
		need := needs.Effect
		if needs.Power {
			need = PowerKind
		}
		cannot := map[string]string{need: "no"}
		if needs.Or != "" {
			cannot[needs.Or] = "no"
		}
		if err := Able(cannot, []history.Step{step}); err == nil || (effects.Kinds()[need] == nil) != needs.Power {
			t.Errorf("%s needs %q, which is no effect", step.Kind, need)
		}
	}
}
