package agent_test

import (
	"context"
	"testing"
	"time"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/agent/agenttest"
)

func TestMain(m *testing.M) { agenttest.Main(m, effects.Kinds()) }

func TestAServerIsStartedPausedResumedKilledAndRestarted(t *testing.T) {
	c := agenttest.Connect(t, agenttest.Dir(t))
	ctx := context.Background()
	t.Logf("%+v", c.Facts())
	st, err := c.StartProcess(ctx, agent.ProcessSpec{Name: "server", Argv: []string{"sleep", "1000"}})
	if err != nil || st.State != agent.Running {
		t.Fatalf("%+v, %v", st, err)
	}
	for _, e := range []agent.Effect{&effects.Pause{ID: "f1", Process: "server"}, &effects.Kill{ID: "f2", Process: "server"}, &effects.Stop{ID: "f3", Process: "server", Grace: time.Second}} {
		for _, step := range []func(context.Context, agent.Effect) error{c.Apply, c.Undo} {
			if err := step(ctx, e); err != nil {
				t.Fatal(err)
			}
			ev, err := c.Probe(ctx, e)
			if err != nil || !ev.Confirmed {
				t.Fatalf("%+v, %v", ev, err)
			}
			t.Log(ev.Summary)
		}
	}
}
