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
	cluster := localtest.Cluster(t, 5)
	began := time.Now()
	var events []history.Event
	config := Config{
		Role:     func(context.Context, string) (string, error) { return "n2", nil },
		Process:  func(string) string { return "db" },
		PeerPort: 22,
		Now:      func() int64 { return int64(time.Since(began)) },
		Record:   func(e history.Event) { events = append(events, e) },
	}
	for _, node := range cluster.Nodes() {
		client, err := agent.Connect(t.Context(), localtest.Connect(t, cluster, node.Name), agent.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := client.Close(context.Background(), false); err != nil {
				t.Error(err)
			}
		})
		if why, cannot := client.Facts().Cannot[effects.DropKind]; cannot {
			t.Skipf("%s cannot do %s: %s", node.Name, effects.DropKind, why)
		}
		spec := agent.ProcessSpec{Name: "db", Argv: []string{"sleep", "3600"}, Log: "db.log"}
		if _, err := client.StartProcess(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		config.Machines = append(config.Machines, Machine{Node: node, Agent: client})
	}

	rng := dice(1)
	var steps []history.Step
	for _, one := range []struct {
		fault Fault
		form  Form
	}{
		{partition(), Form{Shape: "one", Target: "leader"}},
		{kill(), Form{Target: "leader"}},
		{partition(), Form{Shape: "majorities-ring", Target: "all"}},
		{stop(), Form{Target: "minority"}},
		{partition(), Form{Shape: "one-way-in", Target: "one"}},
		{pause(), Form{Target: "all"}},
		{partition(), Form{Shape: "flapping", Target: "one"}},
	} {
		step := one.fault.Draw(rng, named(5), one.form)
		step.ID = len(steps) + 1
		step.At, step.Hold = history.Duration(time.Duration(len(steps))*1100*time.Millisecond), history.Duration(time.Second)
		if step.Shape == "flapping" {
			step.Period = step.Hold / 2
		}
		steps = append(steps, step)
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
		if left, err := m.Agent.HealAll(t.Context()); err != nil || len(left) > 0 {
			t.Errorf("%s still holds %v, %v", m.Node.Name, left, err)
		}
	}
}
