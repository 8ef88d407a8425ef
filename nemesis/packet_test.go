package nemesis

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes"
)

func TestReadingThePacketsFlag(t *testing.T) {
	timing := history.Timing{Election: history.Duration(time.Second)}
	ms := history.Duration(time.Millisecond)
	for spec, want := range map[string][]history.PacketChange{
		"":                              nil,
		"delay:100ms":                   {{Delay: 100 * ms}},
		"delay:0.5election/10ms/pareto": {{Delay: 500 * ms, Jitter: 10 * ms, Spread: "pareto"}},
		"loss:10%, loss:12.5%/4":        {{Loss: 0.1}, {Loss: 0.125, Burst: 4}},
		"delay:50ms+reorder:25%+duplicate:5%+corrupt:2%+rate:1.5mbit": {{Delay: 50 * ms, Reorder: 0.25, Duplicate: 0.05, Corrupt: 0.02, Rate: 1_500_000}},
		"rate:64kbit,rate:1gbit": {{Rate: 64_000}, {Rate: 1_000_000_000}},
	} {
		got, err := ParsePackets(spec, timing)
		if err != nil {
			t.Errorf("%q: %v", spec, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", spec, diff)
		}
	}
	for spec, want := range map[string]string{
		"lag:3s":                `"lag:3s": "lag" is nothing that happens to packets; give some of delay:100ms/20ms/normal, loss:10%/4, duplicate:5%, reorder:25%, corrupt:2%, rate:1mbit, joined by +`,
		"delay:fast":            `"delay:fast": "fast" is neither a time such as 6s nor a multiple of a timeout such as 1.5lease or 0.5election`,
		"delay:1s/1ms/wide":     `"delay:1s/1ms/wide": delays are spread evenly, normal or pareto, not "wide"`,
		"delay:1s/1ms/pareto/x": `"delay:1s/1ms/pareto/x": delay takes no "x"`,
		"loss:10":               `"loss:10": "10" is not a share of packets such as 10%`,
		"loss:101%":             `"loss:101%": "101%" is not a share of packets such as 10%`,
		"loss:10%/many":         `"loss:10%/many": "many" is not a number of packets`,
		"duplicate:5%/2":        `"duplicate:5%/2": duplicate takes no "2"`,
		"reorder:5%":            `"reorder:5%": packets are reordered by letting some overtake delayed ones: give a delay too`,
		"rate:fast":             `"rate:fast": "fast" is not bits per second such as 64kbit, 1mbit or 1gbit`,
		"rate:1kbit":            `"rate:1kbit": a rate of 1000 bits per second is less than 8000`,
		"loss:5%,":              `"": "" is nothing that happens to packets; give some of ` + packetExamples,
	} {
		if _, err := ParsePackets(spec, timing); err == nil || err.Error() != "read --packets: "+want {
			t.Errorf("%q gave %v\nwant read --packets: %s", spec, err, want)
		}
	}
}

// What the fault draws by itself can be done, and every kind of change comes up.
func TestPacketFaultsDrawEveryKindOfChange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timing := history.Timing{Election: history.Duration(rapid.Int64Range(0, int64(2*time.Minute)).Draw(t, "election"))}
		steps, err := Schedule(dice(rapid.Uint64().Draw(t, "seed")), Options{Faults: []string{"packet"}, Nodes: named(5), TimeLimit: 2 * time.Minute, Timing: timing})
		if err != nil {
			t.Fatal(err)
		}
		var all history.PacketChange
		bursts := false
		for _, step := range steps {
			c := packetsOf(t, step)
			if err := effects.PacketsCan(c); err != nil {
				t.Fatal(err)
			}
			all.Delay, all.Jitter = max(all.Delay, c.Delay), max(all.Jitter, c.Jitter)
			all.Loss, all.Duplicate, all.Reorder = max(all.Loss, c.Loss), max(all.Duplicate, c.Duplicate), max(all.Reorder, c.Reorder)
			all.Corrupt, all.Rate = max(all.Corrupt, c.Corrupt), max(all.Rate, c.Rate)
			bursts = bursts || c.Burst > 1
		}
		if all.Delay == 0 || all.Jitter == 0 || all.Loss == 0 || all.Duplicate == 0 || all.Reorder == 0 || all.Corrupt == 0 || all.Rate == 0 || !bursts {
			t.Fatalf("%d faults do no more than %+v, bursts %v", len(steps), all, bursts)
		}
	})
}

func TestPacketFaultsDoWhatTheyAreAskedTo(t *testing.T) {
	opt := Options{Faults: []string{"packet", "kill"}, Nodes: named(3), TimeLimit: time.Minute, Settings: map[string]string{"packets": "loss:50%"}}
	steps, err := Schedule(dice(1), opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		if (step.Params != nil) != (step.Kind == "packet") || step.Params != nil && packetsOf(t, step) != (history.PacketChange{Loss: 0.5}) {
			t.Errorf("%s has %s", step.Kind, step.Params)
		}
	}
	opt.Faults = []string{"kill"}
	want := "schedule faults: no fault of this run changes packets as --packets says; add packet to --faults"
	if _, err := Schedule(dice(1), opt); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func packetsOf(t interface{ Fatal(...any) }, step history.Step) history.PacketChange {
	change, err := parametersOf[history.PacketChange](step)
	if err != nil {
		t.Fatal(err)
	}
	return change
}

func TestPacketStepsThatCannotBe(t *testing.T) {
	for want, step := range map[string]history.Step{
		"resolve step 3: a packet cannot be done: it does not say what is to be done to packets": {},
		"resolve step 3: a packet cannot be done: it changes nothing about packets":              with(history.Step{}, history.PacketChange{}),
		"resolve step 3: a packet one all does nothing on 3 nodes":                               with(history.Step{Shape: "one", Target: "all", Nodes: []string{"n1"}}, history.PacketChange{Loss: 1}),
	} {
		step.ID, step.Kind = 3, "packet"
		if _, _, err := Resolve(step, three()); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if Sentence(step) == "" {
			t.Error("it has no description")
		}
	}
}

func TestDescribingPacketFaultsAndPower(t *testing.T) {
	loss := json.RawMessage(`{"loss": 0.1}`)
	for want, step := range map[string]history.Step{
		"change packets between the leader and everybody: 10 % lost": {Kind: "packet", Shape: "one", Target: "leader", Params: loss},
		"change packets from n2 to everybody: 10 % lost":             {Kind: "packet", Shape: "one-way-out", Target: "one", Nodes: []string{"n2"}, Params: loss},
		"change packets from everybody to n2: 10 % lost":             {Kind: "packet", Shape: "one-way-in", Target: "one", Nodes: []string{"n2"}, Params: loss},
		"change packets between all nodes: 10 % lost":                {Kind: "packet", Shape: "every-link", Target: "all", Nodes: named(3), Params: loss},
		"change packets between the leader and one other: 10 % lost": {Kind: "packet", Shape: "link", Target: "leader", Params: loss},
		"change packets between n1 and n3: 10 % lost": {
			Kind: "packet", Shape: "link", Target: "one", Nodes: []string{"n1"}, Params: loss, Links: []history.Link{{From: "n1", To: "n3"}, {From: "n3", To: "n1"}},
		},
		"pull the plug of the leader":                 {Kind: "power-off", Target: "leader"},
		"pull the plug of n1 n3":                      {Kind: "power-off", Target: "minority", Nodes: []string{"n1", "n3"}},
		"take the power for a moment from every node": {Kind: "power-cycle", Target: "all", Nodes: named(3)},
	} {
		if got := Sentence(step); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// Every link of the network, in both directions, or just one.
func TestTheLinksOfPacketFaults(t *testing.T) {
	if got := len(cuts("every-link", named(4))); got != 12 {
		t.Errorf("four nodes have %d directed links", got)
	}
	want := []history.Link{{From: "n1", To: "n2"}, {From: "n2", To: "n1"}}
	if diff := cmp.Diff(want, cuts("link", named(4))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Before a schedule begins, nodes are asked about the way to the others.
func TestWhatNodesAreAskedAboutPackets(t *testing.T) {
	others := []nodes.Node{three().Machines[1].Node(), three().Machines[2].Node()}
	if got := Trials([]history.Step{{Kind: "kill"}}, nil, others); got != nil {
		t.Errorf("for a kill: %v", got)
	}
	steps := []history.Step{with(history.Step{Kind: "packet"}, history.PacketChange{Loss: 1})}
	got := Trials(steps, nil, others)
	if len(got) != 1 || len(got[0].(*effects.Netem).Peers) != 3 {
		t.Errorf("for packets: %+v", got)
	}
	got = Trials(steps, map[string]string{effects.NetemKind: "there is none"}, others)
	if len(got) != 1 || len(got[0].(*effects.Switch).Peers) != 3 {
		t.Errorf("without an emulator: %+v", got)
	}
}

// A machine that boots during a run whose clocks are changed starts its time service,
// which is stopped again.
func TestTimeServicesStayStoppedAfterABoot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		p := &plugs{world: w, boots: time.Second}
		later := machine(changing("clock-step", "one", "wall:+1s", "n1"))
		later.ID, later.At = 2, history.Duration(20*time.Second)
		in := p.power(w.injector())
		stopped := false
		restart := in.Restart
		in.Restart = func(ctx context.Context, node string) error {
			go func() {
				time.Sleep(5 * time.Second)
				a := p.agentOf(node)
				w.mu.Lock()
				defer w.mu.Unlock()
				for kind := range a.changed {
					stopped = stopped || strings.HasPrefix(kind, effects.ServiceKind)
				}
			}()
			return restart(ctx, node)
		}
		if err := in.Run(t.Context(), []history.Step{on(powerOff(), "n1"), later}, 0); err != nil {
			t.Error(err)
		}
		if !stopped {
			t.Error("the time service runs")
		}
		if broken := w.broken(); broken != nil {
			t.Errorf("afterwards: %v", broken)
		}
		time.Sleep(time.Hour)
	})
}
