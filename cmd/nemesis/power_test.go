//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"nemesis/checker"
	"nemesis/history"
	"nemesis/run"
)

// hardStop is the nearest to a power switch that a namespace has: agent and server are killed at once,
// and come back when somebody reaches the node again. The kernel below lives on, so
// its boot id stays.
type hardStop struct {
	*testing.T
	machines
	// names are the machines' by their addresses, which is how the run calls them.
	names map[string]string
}

func (h hardStop) Off(_ context.Context, node string) error {
	name, known := h.names[node]
	if !known {
		return fmt.Errorf("turn %s off: there is no such machine", node)
	}
	h.killAgent(h.T, name)
	_, err := h.sh(h.T, name, "pkill -9 -x etcd; true")
	return err
}

func (h hardStop) On(context.Context, string) error { return nil }

// A run goes on after its agents and servers went down with their machine: others take
// their place, the servers serve, everything is read back and nothing is a trouble. But
// a machine with the same boot id never lost its power, so the fault does not count.
func TestARunGoesOnAfterItsAgentsWentDownWithTheirMachines(t *testing.T) {
	if !inWorld(t) {
		return
	}
	etcd := server(t)
	m := startMachines(t, 3)
	power := hardStop{t, m, map[string]string{"10.77.0.1": "n1", "10.77.0.2": "n2", "10.77.0.3": "n3"}}
	verdict, dir := m.execute(t, etcd, run.Config{Power: power}, func(plan *history.Plan) {
		plan.Faults = []string{"power-off"}
		plan.Schedule = []history.Step{
			{ID: 1, Kind: "power-off", Target: "one", Nodes: plan.Cluster.Nodes[:1], At: history.Duration(500 * time.Millisecond), Hold: history.Duration(time.Second)},
			{ID: 2, Kind: "power-off", Target: "all", Nodes: plan.Cluster.Nodes, At: history.Duration(3 * time.Second), Hold: history.Duration(time.Second)},
		}
		plan.TimeLimit = history.Duration(7 * time.Second)
	})
	if verdict.Outcome != checker.Vacuous {
		t.Errorf("the verdict is %s: %s %q", verdict.Outcome, verdict.Sentence, verdict.Reasons)
	}
	log, err := history.Load(dir.Path(history.HistoryFile))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	healed, again, finals := 0, 0, false
	samples := map[string]bool{}
	for _, e := range log.Events {
		switch {
		case e.Type == history.Trouble:
			t.Errorf("trouble: %s", e.Message)
		case e.Type == history.Note && strings.HasPrefix(e.Message, "started another agent on "):
			again++
		case e.Type == history.PhaseChange && e.Message == "final reads":
			finals = true
		case e.Type == history.ClockReading && healed == 2:
			samples[e.Node] = true
		}
		if e.Fault == nil {
			continue
		}
		fmt.Fprintf(&text, "%d %s: confirmed %v %s\n", e.Fault.ID, e.Fault.Stage, e.Fault.Confirmed, e.Fault.Error)
		switch {
		case e.Fault.Stage == history.Healed && e.Fault.Confirmed:
			healed++
		case e.Fault.Stage == history.Heal && (e.Fault.Confirmed || !strings.Contains(e.Fault.Error, "the machine did not boot again")):
			t.Errorf("fault %d counts, without another boot", e.Fault.ID)
		}
	}
	if healed != 2 || again != 4 || !finals || len(samples) != 3 {
		t.Errorf("%d faults healed, %d agents more, final reads %v, clocks sampled afterwards on %d nodes:\n%s", healed, again, finals, len(samples), text.String())
	}
}
