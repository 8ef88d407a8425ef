package nemesis

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/netswitch"
)

// switched is the probe of a switch: what a node tells before it, while it acts, and after it.
func (a *fakeAgent) switched(e *effects.Switch, undone bool) history.Evidence {
	var mine *effects.Switch
	for _, there := range a.changed {
		if s, is := there.(*effects.Switch); is {
			mine = s
		}
	}
	acts := mine != nil
	measure := func(name string, value float64) history.Measure { return history.Measure{Name: name, Value: value} }
	var m []history.Measure
	closed := acts && (mine.Rule.Reset > 0 || mine.Rule.HalfOpen > 0)
	if !closed {
		here, there := netip.AddrPortFrom(a.node.Address, 1000), netip.AddrPortFrom(e.Peers[0], 1000)
		m = append(m, measure(fmt.Sprintf("connection %s %s 77", here, there), 1), measure("connections ended by resets so far", 3))
	} else {
		m = append(m, measure("connections ended by resets so far", 4), measure("connections reset", mine.Rule.Reset*10), measure("connections half-open", mine.Rule.HalfOpen*10),
			measure("connections spared", 10*(1-max(mine.Rule.Reset, mine.Rule.HalfOpen))))
	}
	if e.Connections {
		return history.Evidence{Measures: m}
	}
	for _, p := range e.Peers {
		trip := 0.0002
		if acts {
			trip += time.Duration(mine.Rule.Delay).Seconds()
		}
		m = append(m, measure("sent "+p.String(), 40), measure("answered "+p.String(), 40), measure("round trip "+p.String(), trip))
		if acts && mine.Rule.Damage > 0 {
			m = append(m, measure("changed "+p.String(), 5))
		}
	}
	if acts {
		hold := time.Duration(mine.Rule.Jam).Seconds()
		m = append(m, measure("emulated", 1000), measure("with contents", 1000), measure("damaged", 1000*mine.Rule.Damage),
			measure("longest held echo", hold), measure("held echoes answered", 40))
	}
	return history.Evidence{Confirmed: acts != undone, Summary: fmt.Sprintf("switched: %v", acts), Measures: m}
}

func switchFaults() []switchFault {
	var all []switchFault
	for _, f := range Faults() {
		if s, is := f.(switchFault); is {
			all = append(all, s)
		}
	}
	return all
}

func TestReadingWhatSwitchesDo(t *testing.T) {
	ms := history.Duration(time.Millisecond)
	timing := history.Timing{Election: 1000 * ms}
	for value, want := range map[string]struct {
		fault switchFault
		rules []netswitch.Rule
	}{
		"500ms, 0.5election": {packetJam().(switchFault), []netswitch.Rule{{Jam: 500 * ms}, {Jam: 500 * ms}}},
		"100%,50%/again=1s":  {packetReset().(switchFault), []netswitch.Rule{{Reset: 1}, {Reset: 0.5, Again: 1000 * ms}}},
		"100%,25%":           {packetHalfOpen().(switchFault), []netswitch.Rule{{HalfOpen: 1}, {HalfOpen: 0.25}}},
		"2%":                 {packetDamage().(switchFault), []netswitch.Rule{{Damage: 0.02}}},
	} {
		if got, err := want.fault.rules(value, timing); err != nil || !slices.Equal(got, want.rules) {
			t.Errorf("%s of %q: %+v, %v", want.fault.name, value, got, err)
		}
	}
	for want, f := range map[string]struct {
		fault Fault
		value string
	}{
		`read --packet-jam: "1m": packets are held for or after 10ms to 10s, not 1m0s`:                         {packetJam(), "1m"},
		`read --packet-reset: "all": "all" is not a share of connections such as 50%`:                          {packetReset(), "all"},
		`read --packet-reset: "50%/every=1s": "every=1s" is no condition; give again=1s`:                       {packetReset(), "50%/every=1s"},
		`read --packet-reset: "50%/again=1h": connections are reset anew for or after 10ms to 10s, not 1h0m0s`: {packetReset(), "50%/again=1h"},
		`read --packet-half-open: "0%": "0%" is not a share of connections such as 50%`:                        {packetHalfOpen(), "0%"},
		`read --packet-damage: "101%": "101%" is not a share of packets such as 5%`:                            {packetDamage(), "101%"},
	} {
		if _, err := f.fault.(switchFault).rules(f.value, timing); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// What is drawn can be done, and shows within the time for which it holds.
func TestSwitchFaultsDrawWhatTheyCanDo(t *testing.T) {
	for _, f := range switchFaults() {
		kinds := map[netswitch.Rule]bool{}
		for seed := range uint64(20) {
			steps, err := Schedule(dice(seed), Options{Faults: []string{f.name}, Nodes: named(3), TimeLimit: time.Minute, Timing: quick})
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range steps {
				r, err := f.read(step)
				if err != nil {
					t.Fatalf("%s: %v", f.name, err)
				}
				if r.Jam > max(step.Hold/4, history.Duration(netswitch.LeastHold)) {
					t.Errorf("held for %s of %s", time.Duration(r.Jam), time.Duration(step.Hold))
				}
				if f.name == "packet-half-open" && !strings.HasPrefix(step.Shape, "one-way") {
					t.Errorf("both ends are closed by %s", step.Shape)
				}
				r.Jam = min(r.Jam, 1)
				kinds[r] = true
			}
		}
		if f.name != "packet-jam" && len(kinds) != len(f.usual(quick)) {
			t.Errorf("%s draws %v", f.name, kinds)
		}
	}
}

// A fault does its own kind and nothing else: what is judged differs by its name.
func TestSwitchFaultsTakeNoRuleOfAnother(t *testing.T) {
	rules := map[string]string{
		"packet-jam": `{"jam":"1s"}`, "packet-reset": `{"reset":1}`, "packet-half-open": `{"halfOpen":1}`, "packet-damage": `{"damage":0.1}`,
		"packet": `{"loss":0.1}`, "nothing": `{}`, "two": `{"jam":"1s","damage":0.1}`,
	}
	for _, f := range switchFaults() {
		for name, text := range rules {
			step := history.Step{ID: 1, Kind: f.name, Shape: "one-way-out", Target: "one", Nodes: []string{"n1"}, Params: json.RawMessage(text)}
			if err := f.Check(step); (err == nil) != (name == f.name) {
				t.Errorf("%s with %s: %v", f.name, text, err)
			}
		}
		if err := f.Check(history.Step{Kind: f.name}); err == nil {
			t.Errorf("%s takes a step without parameters", f.name)
		}
		if Sentence(history.Step{Kind: f.name}) == "" {
			t.Errorf("%s has no sentence", f.name)
		}
	}
	if err := (packet{}).Check(history.Step{Kind: "packet", Params: json.RawMessage(rules["packet-damage"])}); err == nil {
		t.Error("packet takes damage")
	}
}

// On nodes without an emulator packet uses the switch, by the same parameters, and each node
// draws from a seed of its own that follows from the step.
func TestPacketTakesTheSwitchWhereThereIsNoEmulator(t *testing.T) {
	bind := func(step history.Step, cannot ...string) map[string]*effects.Switch {
		live := three()
		for _, m := range live.Machines {
			if slices.Contains(cannot, m.Node().Name) {
				m.(*fakeAgent).cannot = map[string]string{effects.NetemKind: "there is none"}
			}
		}
		_, bound, err := Resolve(step, live)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]*effects.Switch{}
		for _, a := range bound.Actions {
			out[a.Effect().Node], _ = effectOf(a).(*effects.Switch)
		}
		return out
	}
	step := with(history.Step{ID: 8, Kind: "packet", Shape: "one", Target: "leader"}, history.PacketChange{Loss: 0.1})
	got := bind(step, "n1", "n2")
	if len(got) != 3 || got["n3"] != nil || got["n1"] == nil || got["n2"] == nil {
		t.Fatalf("%+v", got)
	}
	if s := got["n2"]; s.Rule != (netswitch.Rule{PacketChange: history.PacketChange{Loss: 0.1}}) || len(s.Peers) != 3 || s.ID != "f8" || !s.Both {
		t.Errorf("%+v", s)
	}
	again := bind(step, "n1", "n2")
	other := step
	other.At++
	if got["n1"].Seed == got["n2"].Seed || got["n1"].Seed != again["n1"].Seed || got["n1"].Seed == bind(other, "n1")["n1"].Seed {
		t.Error("seeds do not follow from the step and the node")
	}
	step.Shape = "one-way-out"
	if got := bind(step, "n2"); got["n2"].Both {
		t.Error("one way is said to be both")
	}
}

func TestPacketCanBeHadByEitherMeans(t *testing.T) {
	steps := []history.Step{with(history.Step{ID: 1, Kind: "packet"}, history.PacketChange{Loss: 1})}
	for want, cannot := range map[string]map[string]string{
		"": {effects.NetemKind: "no netem"},
		"it cannot have the fault packet: no netem; no TUN": {effects.NetemKind: "no netem", effects.SwitchKind: "no TUN"},
		"it cannot have the fault packet: it is not root":   {effects.NetemKind: "it is not root", effects.SwitchKind: "it is not root"},
	} {
		got := ""
		if err := Able(cannot, steps); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if err := Able(map[string]string{effects.SwitchKind: "no TUN"}, steps); err != nil {
		t.Error(err)
	}
	told := Instead(append(steps, steps...), map[string]string{effects.NetemKind: "no netem"})
	if !slices.Equal(told, []string{"packet is done by net.switch: no netem"}) || Instead(steps, nil) != nil {
		t.Errorf("%q", told)
	}
}

func TestTwoFaultsThatChangePacketsAreNotInForceAtOnce(t *testing.T) {
	for _, f := range switchFaults() {
		if _, err := Parse("packet+" + f.name); err == nil || !strings.HasSuffix(err.Error(), "both change packets") {
			t.Errorf("%s: %v", f.name, err)
		}
	}
	if _, err := Parse("packet-jam+kill,packet-reset"); err != nil {
		t.Error(err)
	}
}

// A node that had no connections is no doubt where another's were reset; where none had any,
// nothing shows that the fault acted.
func TestNodesWithoutConnectionsHaveNothingToReset(t *testing.T) {
	step := history.Step{ID: 1, Kind: "packet-reset", Shape: "one", Target: "leader", Params: json.RawMessage(`{"reset":1}`)}
	_, bound, err := Resolve(step, three())
	if err != nil {
		t.Fatal(err)
	}
	seen := func(i int, before float64, confirmed, undone bool) {
		bound.Actions[i].(*resetAction).seen = history.Evidence{Confirmed: confirmed, Undone: undone, Summary: "so it is", Measures: []history.Measure{{Name: effects.ConnectionsBefore, Value: before}}}
	}
	doubts := func(i int) bool { return len(bound.Actions[i].Doubts()) > 0 }
	for i := range 3 {
		seen(i, 0, false, false)
	}
	if !doubts(0) || !doubts(1) || !doubts(2) {
		t.Error("nobody had a connection, and it is confirmed")
	}
	seen(1, 2, true, false)
	if doubts(0) || doubts(1) || doubts(2) {
		t.Error("one had connections that were reset, and others had none")
	}
	seen(2, 2, false, false)
	seen(0, 0, false, true)
	if !doubts(0) || !doubts(2) {
		t.Error("of one nothing was reset, and another was undone")
	}
}
