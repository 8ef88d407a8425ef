package nemesis

import (
	"context"
	"testing"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
	"nemesis/nodes/local/localtest"
)

func TestMain(m *testing.M) { agenttest.Main(m, effects.Kinds()) }

// On real nodes, with real packet filters and processes, each fault shows evidence,
// and so does its heal. The servers are sleeps, the port is that of sshd.
func TestFaultsOfARealClusterAreConfirmedAndHealed(t *testing.T) {
	rng := dice(1)
	var steps []history.Step
	for _, one := range []struct {
		fault Fault
		form  Form
	}{
		{partition{}, Form{Shape: "one", Target: "leader"}},
		{kill(), Form{Target: "leader"}},
		{partition{}, Form{Shape: "majorities-ring", Target: "all"}},
		{stop(), Form{Target: "minority"}},
		{partition{}, Form{Shape: "one-way-in", Target: "one"}},
		{pause(), Form{Target: "all"}},
		{partition{}, Form{Shape: "flapping", Target: "one"}},
	} {
		step := Draw(one.fault, rng, named(5), one.form)
		if step.Shape == "flapping" {
			step = with(step, flaps{history.Duration(time.Second / 2)})
		}
		steps = append(steps, step)
	}
	provedOnACluster(t, 5, effects.DropKind, steps)
}

// On real nodes, clocks are changed as a server sees them: what was asked for is what was
// measured, and afterwards they are right again.
func TestClockFaultsOfARealClusterAreConfirmedAndHealed(t *testing.T) {
	provedOnACluster(t, 2, effects.ShadowKind, []history.Step{
		changing("clock-step", "leader", "wall:+2lease"),
		changing("clock-step", "one", "wall:-1h", "n1"),
		changing("clock-drift", "leader", "monotonic:x0.5"),
		changing("clock-step", "one", "both:+10s", "n2"),
		changing("clock-drift", "all", "both:x1.1", "n1", "n2"),
		changing("clock-freeze", "one", "monotonic:x0", "n1"),
		changing("clock-strobe", "one", "wall:-2s/50ms", "n1"),
	})
}

// On real nodes whose kernel has an emulator, packets are changed as asked for, by
// echoes from node to node.
func TestPacketFaultsOfARealClusterAreConfirmedAndHealed(t *testing.T) {
	rng := dice(1)
	var steps []history.Step
	for _, one := range []struct {
		form   Form
		change string
	}{
		{Form{Shape: "one", Target: "leader"}, "delay:80ms/10ms/normal"},
		{Form{Shape: "link", Target: "one"}, "loss:30%/3"},
		{Form{Shape: "every-link", Target: "all"}, "rate:2mbit"},
		{Form{Shape: "one-way-out", Target: "leader"}, "delay:40ms+reorder:30%"},
	} {
		changes, err := ParsePackets(one.change, history.Timing{})
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, with(Draw(packet{}, rng, named(3), one.form), changes[0]))
	}
	provedOnACluster(t, 3, effects.NetemKind, steps)
}

// On real nodes, a switch changes packets as an emulator does, and as only it can, by echoes
// from node to node and by the kernel's own lists of connections.
func TestSwitchFaultsOfARealClusterAreConfirmedAndHealed(t *testing.T) {
	rng := dice(1)
	var steps []history.Step
	for _, one := range []struct {
		fault Fault
		form  Form
		what  string
	}{
		{packet{}, Form{Shape: "one", Target: "leader"}, "delay:40ms/10ms/normal+reorder:20%+duplicate:20%+loss:20%/3+corrupt:5%"},
		{packet{}, Form{Shape: "every-link", Target: "all"}, "rate:2mbit"},
		{packetJam(), Form{Shape: "one", Target: "leader"}, "300ms"},
		{packetReset(), Form{Shape: "one", Target: "leader"}, "100%"},
		{packetHalfOpen(), Form{Shape: "one-way-out", Target: "leader"}, "100%"},
		{packetDamage(), Form{Shape: "link", Target: "leader"}, "20%"},
	} {
		var parameters any
		if f, is := one.fault.(switchFault); is {
			rules, err := f.rules(one.what, history.Timing{})
			if err != nil {
				t.Fatal(err)
			}
			parameters = rules[0]
		} else {
			changes, err := ParsePackets(one.what, history.Timing{})
			if err != nil {
				t.Fatal(err)
			}
			parameters = changes[0]
		}
		steps = append(steps, with(Draw(one.fault, rng, named(3), one.form), parameters))
	}
	provedOnACluster(t, 3, effects.SwitchKind, steps)
}

// On real nodes, disks fail and lose what was not synced, and servers write again
// afterwards.
func TestDiskFaultsOfARealClusterAreConfirmedAndHealed(t *testing.T) {
	rule := func(kind, target, text string, nodes ...string) history.Step {
		rules, err := diskFault{name: kind, lies: kind == history.DiskLie}.parse(text, quick)
		if err != nil {
			t.Fatal(err)
		}
		return with(history.Step{Kind: kind, Target: target, Nodes: nodes}, rules[0])
	}
	provedOnACluster(t, 2, effects.DiskRuleKind, []history.Step{
		with(history.Step{Kind: "power-loss", Target: "all", Nodes: []string{"n1", "n2"}}, loss{}),
		rule("disk", "leader", "error:EIO/op=sync"),
		with(history.Step{Kind: "power-loss", Target: "leader"}, loss{Some: true, Seed: 1, Sync: 2}),
		rule("disk", "one", "stall/op=write", "n1"),
		rule(history.DiskLie, "one", "lie", "n1"),
	})
}

// On real nodes, servers are limited while they run, killed by the kernel, and run as before
// afterwards.
func TestLimitsOfARealClusterAreConfirmedAndHealed(t *testing.T) {
	if testing.Short() {
		t.Skip("a process with the race detector is larger than the limit, and the kernel kills it first; run without -short")
	}
	provedOnACluster(t, 2, effects.MemoryLimitKind, []history.Step{
		with(history.Step{Kind: "cpu-limit", Target: "leader"}, coreShare{0.05}),
		with(history.Step{Kind: "memory-limit", Target: "one", Nodes: []string{"n1"}}, memoryLeft{Room: killRoom, Kill: true}),
		with(history.Step{Kind: "file-limit", Target: "all", Nodes: []string{"n1", "n2"}}, roomLeft{0}),
		with(history.Step{Kind: "thread-limit", Target: "leader"}, roomLeft{0}),
	})
}

// talkative is a server that says something to all others several times a second, and connects
// anew when it cannot. Their sshd takes it for a client that is slow to say its version.
const talkative = `for other; do
	while :; do
		(exec 3<>/dev/tcp/$other/22 && while printf x >&3; do sleep 0.1; done) 2>/dev/null
		sleep 0.1
	done &
done
wait`

// provedOnACluster lets steps happen one after the other, each for a second, or longer
// where it takes longer to look, on so many real nodes that can have an effect of the kind.
func provedOnACluster(t *testing.T, nodes int, kind string, steps []history.Step) {
	cluster := localtest.Cluster(t, nodes)
	began := time.Now()
	var events []history.Event
	config := Config{
		Role:     func(context.Context, string) (string, error) { return "n2", nil },
		Servers:  func(string, string) []string { return []string{"db"} },
		PeerPort: 22,
		Now:      func() int64 { return int64(time.Since(began)) },
		Record:   func(e history.Event) { events = append(events, e) },
	}
	clocks, disks := kind == effects.ShadowKind, kind == effects.DiskRuleKind
	for _, node := range cluster.Nodes() {
		client, err := agent.Connect(t.Context(), localtest.Connect(t, cluster, node.Name), agent.Options{Shadow: clocks, Disk: disks})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := client.Close(context.Background(), false); err != nil {
				t.Error(err)
			}
		})
		if why, cannot := client.Facts().Cannot[kind]; cannot {
			t.Skipf("%s cannot do %s: %s", node.Name, kind, why)
		}
		spec := agent.ProcessSpec{Name: "db", Argv: []string{"sleep", "3600"}, Log: "db.log", Shadow: clocks}
		if kind == effects.MemoryLimitKind { // it forks, too
			spec.Argv = []string{"sh", "-c", "while :; do i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done; /bin/true & wait; done"}
		}
		if disks {
			spec.Argv, spec.Data = []string{"sh", "-c", "while :; do printf x >>data/log; sync data/log; sleep 0.02; done"}, []string{"data"}
		}
		if kind == effects.SwitchKind {
			spec.Argv = []string{"bash", "-c", talkative, "bash"}
			for _, other := range cluster.Nodes() {
				if other.Name != node.Name {
					spec.Argv = append(spec.Argv, other.Address.String())
				}
			}
		}
		if _, err := client.StartProcess(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		config.Machines = append(config.Machines, client)
	}
	hold := time.Second
	switch kind {
	case effects.NetemKind:
		hold = 6 * time.Second
	case effects.SwitchKind:
		hold = 4 * time.Second
	}
	for i := range steps {
		step := &steps[i]
		step.ID = i + 1
		step.At, step.Hold = history.Duration(time.Duration(i)*hold*11/10), history.Duration(hold)
	}
	in := New(config)
	if err := in.Run(t.Context(), steps, config.Now()); err != nil {
		t.Error(err)
	}
	inOrder(t, events)
	proved := 0
	for _, e := range events {
		f := e.Fault
		switch f.Stage {
		case history.Active:
			first, last := f.Effects[0].Done, f.Effects[0].Done
			for _, effect := range f.Effects {
				if effect.Done > 0 { // not a probe
					first, last = min(first, effect.Done), max(last, effect.Done)
				}
			}
			t.Logf("%s: from the first node to the last %s", f.Description, time.Duration(last-first))
		case history.Heal, history.Healed:
			if clocks || kind == effects.NetemKind || kind == effects.SwitchKind {
				for _, effect := range f.Effects {
					t.Logf("%s: %s: %s", f.Stage, effect.Node, effect.Evidence.Summary)
				}
			}
			if f.Confirmed && f.Error == "" {
				proved++
				break
			}
			t.Errorf("%s: nothing proves %s: %s", f.Description, f.Stage, f.Error)
			for _, effect := range f.Effects {
				t.Logf("%s %s: %s", effect.Node, effect.Kind, effect.Evidence.Summary)
			}
		}
	}
	if proved != 2*len(steps) {
		t.Errorf("%d faults and heals were proved, want %d", proved, 2*len(steps))
	}
	for _, m := range config.Machines {
		if left, err := m.HealAll(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("%s still holds %v, %v", m.Node().Name, left, err)
		}
	}
}
