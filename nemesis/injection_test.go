package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// skipped stands in the stories below before the error of a fault that was not injected.
const skipped = "skipped: "

// Each story is one fault on a cluster where something may be wrong.
func TestWhatBecomesOfOneFault(t *testing.T) {
	for name, story := range map[string]struct {
		step history.Step
		set  func(w *world)
		// What must come of it.
		confirmed, recovered bool
		errors               []string // parts of what is recorded as wrong, at any stage
		left                 string   // part of Run's error; "" for none
		stays                bool     // something stays in force until HealAll
	}{
		"a partition": {step: isolate("n1"), confirmed: true, recovered: true},
		"a partition of the leader": {
			step: isolateLeader(), confirmed: true, recovered: true,
		},
		"a one-way partition": {
			step: aimed(partition{}, Form{Shape: "one-way-in", Target: "one"}, []string{"n3"}), confirmed: true, recovered: true,
		},
		"a partition that does not bite": {
			step: isolate("n1"), set: func(w *world) {
				for _, a := range w.agents {
					a.numb = true
				}
			},
			recovered: true, errors: []string{"n1 still reaches n2"},
		},
		"a partition that one node refuses is held by its peers": {
			step: isolate("n1"), set: func(w *world) { w.agents[0].trouble = failing("apply") },
			confirmed: true, recovered: true, errors: []string{"n1: apply net.drop: operation not permitted"},
		},
		"a partition whose lone node hangs is held by its peers": {
			step: isolate("n1"), set: func(w *world) { w.agents[0].trouble = hanging("apply", "connect", "probe", "undo") },
			confirmed: true, errors: []string{"n1: apply net.drop: no answer within 2.25s", "n1: undo net.drop: no answer within 5s"},
			left: "heal fault 1 (partition): nothing shows that n1 recovered",
		},
		"a partition on an agent that went away altogether": {
			step: isolate("n1"), set: func(w *world) { w.agents[2].trouble = deaf("apply", "connect", "probe", "undo") },
			confirmed: true, errors: []string{"n3: apply net.drop: no answer within 2.25s"},
			left: "nothing shows that n3 recovered",
		},
		"a partition that is undone at the third attempt": {
			step: isolate("n1"), set: func(w *world) { w.agents[1].trouble = first(2, failing("undo"), "undo") },
			confirmed: true, recovered: true,
		},
		"a partition that cannot be undone": {
			step: isolate("n1"), set: func(w *world) { w.agents[1].trouble = failing("undo") },
			confirmed: true, errors: []string{"n2: undo net.drop: operation not permitted"},
			left: "nothing shows that n2 recovered", stays: true,
		},
		"a partition that was applied after nobody waited any more": {
			step: isolate("n1"), set: func(w *world) {
				a := w.agents[1]
				a.trouble = first(1, func(ctx context.Context, call string) error {
					<-ctx.Done()
					go func() { time.Sleep(50 * time.Millisecond); a.put(dropOf(isolate("n1"), w, "n2")) }()
					return ctx.Err()
				}, "apply")
			},
			confirmed: true, recovered: true, errors: []string{"n2: apply net.drop: no answer within 2.25s"},
		},
		"a leader that is found in time": {
			step: isolateLeader(), set: func(w *world) {
				w.leader = func() (string, error) {
					if w.now() > int64(2*time.Second) {
						return "n3", nil
					}
					return "", nil
				}
			},
			confirmed: true, recovered: true,
		},
		"a leader that is a stranger": {
			step: isolateLeader(), set: func(w *world) { w.leader = func() (string, error) { return "n9", nil } },
			errors: []string{skipped + `resolve step 1: the leader "n9" is not a node of this cluster`},
		},
		"no leader": {
			step: isolateLeader(), set: func(w *world) { w.leader = func() (string, error) { return "", errors.New("no quorum\nanywhere") } },
			errors: []string{skipped + "no leader within 2s: no quorum anywhere"},
		},
		"a node that is not in the cluster": {
			step:   on(kill(), "n7"),
			errors: []string{skipped + `resolve step 1: "n7" is not a node of this cluster (n1, n2, n3)`},
		},
		"a link to a node that is not in the cluster": {
			step: history.Step{
				ID: 1, Kind: "partition", Links: []history.Link{{From: "n1", To: "n8"}},
				At: history.Duration(time.Second), Hold: history.Duration(time.Second),
			},
			errors: []string{skipped + "resolve step 1: link n1→n8 does not join two nodes"},
		},
		"a partition without links": {
			step:   history.Step{ID: 1, Kind: "partition", Shape: "one", Target: "one", Nodes: []string{"n1"}, At: 1, Hold: 1},
			errors: []string{skipped + "resolve step 1: a partition one one does nothing on 3 nodes"},
		},
		"a drift": {step: changing("clock-drift", "one", "monotonic:x0.5", "n1"), confirmed: true, recovered: true},
		"a strobe, which its effect keeps up by itself": {
			step: changing("clock-strobe", "one", "wall:+1s/100ms", "n1", "n2"), confirmed: true, recovered: true,
		},
		"a drift that is not seen on one node": {
			step: changing("clock-drift", "one", "monotonic:x0.5", "n1", "n2"), set: func(w *world) { w.agents[1].numb = true },
			recovered: true, errors: []string{"n2: nothing shows that it acted: clock.shadow changed: false"},
		},
		"a step on a node whose clock nobody can read": {
			step: changing("clock-step", "one", "wall:-1s", "n1"), set: func(w *world) {
				w.agents[0].trouble = func(ctx context.Context, call string) error {
					if w.now() < int64(4*time.Second) {
						return failing("probe")(ctx, call)
					}
					return nil
				}
			},
			recovered: true, errors: []string{"n1: nothing shows what its clock does"},
		},
		"a freeze that cannot be undone": {
			step: changing("clock-freeze", "one", "both:x0", "n1"), set: func(w *world) { w.agents[0].trouble = failing("undo") },
			confirmed: true, errors: []string{"n1: undo clock.shadow: operation not permitted"},
			left: "heal fault 1 (clock-freeze): nothing shows that n1 recovered", stays: true,
		},
		"a kill":  {step: on(kill(), "n1"), confirmed: true, recovered: true},
		"a stop":  {step: on(stop(), "n1", "n2"), confirmed: true, recovered: true},
		"a pause": {step: on(pause(), "n1", "n2", "n3"), confirmed: true, recovered: true},
		"a kill of a server that was dead before": {
			step: on(kill(), "n1"), set: func(w *world) { w.agents[0].server.State = agent.Exited },
			recovered: true, errors: []string{"n1: the server did not run before the fault (exited)"},
		},
		"a kill that one node refuses": {
			step: on(kill(), "n1", "n2"), set: func(w *world) { w.agents[0].trouble = failing("apply") },
			recovered: true, errors: []string{"n1: apply proc.kill: operation not permitted", "n1: nothing shows that it acted"},
		},
		"a kill after which the server does not come up": {
			step: on(kill(), "n1"), set: func(w *world) { w.agents[0].stillborn = true },
			confirmed: true, errors: []string{"n1: still in force after it was undone: server exited"},
			stays: true, // which is the system's affair: the fault is undone
		},
		"a kill on a node that did it but never answered": {
			step: on(kill(), "n1"), set: func(w *world) {
				a := w.agents[0]
				a.trouble = first(1, func(ctx context.Context, call string) error {
					a.put(killOf(on(kill(), "n1")))
					<-ctx.Done()
					return ctx.Err()
				}, "apply")
			},
			confirmed: true, recovered: true, errors: []string{"n1: apply proc.kill: no answer within 2.25s"},
		},
		"a pause that a server does not live through": {
			step: on(pause(), "n1"), set: func(w *world) {
				a := w.agents[0]
				a.trouble = func(_ context.Context, call string) error {
					if call == "undo" {
						a.mu.Lock()
						defer a.mu.Unlock()
						a.server.State, a.server.PID = agent.Running, 7
					}
					return nil
				}
			},
			confirmed: true, errors: []string{"the server has process id 7 instead of 101: it did not live through the fault"},
			left: "nothing shows that n1 recovered",
		},
		"a pause during which a server dies": {
			step: on(pause(), "n1"), set: func(w *world) {
				a := w.agents[0]
				a.trouble = func(_ context.Context, call string) error {
					if call == "undo" {
						a.put(killOf(on(kill(), "n1")))
					}
					return nil
				}
			},
			confirmed: true, errors: []string{"n1: the server is not running but exited"},
			left: "nothing shows that n1 recovered", stays: true,
		},
		"a kill that arrives when it was undone already": {
			step: on(kill(), "n1"), set: func(w *world) {
				a := w.agents[0]
				late := first(1, func(context.Context, string) error { a.put(killOf(on(kill(), "n1"))); return nil }, "probe")
				apply := first(1, hanging("apply"), "apply")
				a.trouble = func(ctx context.Context, call string) error {
					a.mu.Lock()
					undone := slices.Contains(a.calls, "undo")
					a.mu.Unlock()
					if undone {
						return late(ctx, call)
					}
					return apply(ctx, call)
				}
			},
			recovered: true, errors: []string{"n1: apply proc.kill: no answer within 2.25s", "n1: nothing shows that it acted"},
		},
		"a partition across which nobody can try to connect": {
			step: isolate("n1"), set: func(w *world) {
				for _, a := range w.agents {
					a.trouble = failing("connect")
				}
			},
			confirmed: true, errors: []string{"nothing shows that n1 reaches n2 again"},
		},
		"a partition after which connecting takes a while to work": {
			step: isolate("n1"), set: func(w *world) {
				w.agents[0].trouble = func(_ context.Context, call string) error {
					if call == "connect" && w.now() < int64(5*time.Second) {
						return errors.New("no route yet")
					}
					return nil
				}
			},
			confirmed: true, recovered: true,
		},
		"a pause on a node whose processes cannot be seen": {
			step: on(pause(), "n1"), set: func(w *world) { w.agents[0].trouble = first(1, failing("state"), "state") },
			recovered: true, errors: []string{"n1: read the state of db: operation not permitted"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(3)
				if story.set != nil {
					story.set(w)
				}
				in := w.injector()
				err := in.Run(t.Context(), []history.Step{story.step}, 0)
				if got := fmt.Sprint(err); (story.left == "") != (err == nil) || !strings.Contains(got, story.left) {
					t.Errorf("Run returned %v, want %q", err, story.left)
				}
				stages := w.stages(1)
				wrong := ""
				for _, s := range stages {
					if s.Skipped {
						wrong += skipped
					}
					wrong += s.Error + "\n"
				}
				for _, want := range story.errors {
					if !strings.Contains(wrong, want) {
						t.Errorf("recorded errors\n%slack %q", wrong, want)
					}
				}
				if story.errors == nil && strings.TrimSpace(wrong) != "" {
					t.Errorf("recorded errors: %s", wrong)
				}
				if heal := stages[history.Heal]; heal != nil && heal.Confirmed != story.confirmed {
					t.Errorf("confirmed: %v, want %v", heal.Confirmed, story.confirmed)
				} else if heal == nil && story.confirmed {
					t.Error("the fault never came to its heal")
				}
				if healed := stages[history.Healed]; healed != nil && healed.Confirmed != story.recovered {
					t.Errorf("recovered: %v, want %v", healed.Confirmed, story.recovered)
				}
				if broken := w.broken(); (len(broken) > 0) != story.stays {
					t.Errorf("after Run: %v", broken)
				}
				inOrder(t, w.events)
				w.behave()
				if err := in.HealAll(t.Context()); err != nil {
					t.Error(err)
				}
				if broken := w.broken(); broken != nil {
					t.Errorf("after HealAll: %v", broken)
				}
			})
		})
	}
}

func TestNobodyInsistsOnALostAgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		lost := w.agents[0]
		lost.lost = make(chan struct{})
		lost.trouble = func(_ context.Context, call string) error {
			if call == "undo" {
				close(lost.lost)
				w.mu.Lock()
				lost.filters = nil // by its watchdog
				lost.trouble = failing("undo", "probe", "connect")
				w.mu.Unlock()
				return errors.New("the agent on n1 is lost")
			}
			return nil
		}
		step := isolate("n1")
		err := w.injector().Run(t.Context(), []history.Step{step}, 0)
		if err == nil || !strings.Contains(err.Error(), "nothing shows that n1 recovered") {
			t.Errorf("Run returned %v", err)
		}
		// An agent that may come back gets ten seconds.
		if took := time.Duration(w.now() - int64(step.At+step.Hold)); took > recoveryTime/2 {
			t.Errorf("the heal took %s", took)
		}
	})
}
