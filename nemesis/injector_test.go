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

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// Steps that the stories below use: each begins after a second and holds for three.
func isolate(nodes ...string) history.Step {
	step := aimed(partition{}, Form{Shape: "one", Target: "one"}, nodes)
	return step
}

func isolateLeader() history.Step {
	return aimed(partition{}, Form{Shape: "one", Target: "leader"}, nil)
}

func on(fault Fault, nodes ...string) history.Step {
	return aimed(fault, Form{Target: "one"}, nodes)
}

func aimed(fault Fault, form Form, nodes []string) history.Step {
	step := history.Step{
		ID: 1, Kind: fault.Info().Name, Shape: form.Shape, Target: form.Target, Nodes: nodes,
		At: history.Duration(time.Second), Hold: history.Duration(3 * time.Second),
	}
	if form.Shape != "" && len(nodes) > 0 {
		others := slices.DeleteFunc(named(3), func(n string) bool { return n == nodes[0] })
		step.Links = arranged(cuts(form.Shape, append(nodes[:1:1], others...)), named(3))
	}
	return step
}

// inOrder checks that every fault goes through its stages in order, each at most
// once, and ends in the last unless it was not injected.
func inOrder(t interface{ Errorf(string, ...any) }, events []history.Event) {
	at := map[int]history.Stage{}
	skipped := map[int]bool{}
	last := int64(0)
	for _, e := range events {
		if e.Time < last {
			t.Errorf("an event of %d after one of %d", e.Time, last)
		}
		last = e.Time
		if e.Fault == nil {
			continue
		}
		if e.Fault.Stage != following(at[e.Fault.ID]) {
			t.Errorf("fault %d went from %q to %q", e.Fault.ID, at[e.Fault.ID], e.Fault.Stage)
		}
		at[e.Fault.ID] = e.Fault.Stage
		skipped[e.Fault.ID] = e.Fault.Stage == history.Inject && e.Fault.Skipped
	}
	for id, stage := range at {
		if stage != history.Healed && !skipped[id] {
			t.Errorf("fault %d ends in %q", id, stage)
		}
	}
}

// dropOf and killOf are effects of a step on a node, for agents that act on their own.
func dropOf(step history.Step, w *world, node string) agent.Effect {
	return drops(step, Live{Config: w.injector().Config})[node][0]
}

func killOf(step history.Step) agent.Effect {
	return &effects.Kill{ID: effectID(step), Process: "db"}
}

func TestAFaultIsOnTimeAndSaysWhatItDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		if err := w.injector().Run(t.Context(), []history.Step{isolate("n1")}, int64(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := w.at(history.Inject); got != 11*time.Second {
			t.Errorf("injected at %s", got)
		}
		if got := w.at(history.Heal); got != 14*time.Second {
			t.Errorf("healed from %s on", got)
		}
		summary := func(stage history.Stage) []string {
			var lines []string
			for _, e := range w.stages(1)[stage].Effects {
				lines = append(lines, e.Node+" "+e.Kind+": "+e.Evidence.Summary)
			}
			return lines
		}
		want := []string{
			"n1 net.drop: 17 packets dropped", "n2 net.drop: 9 packets dropped", "n3 net.drop: 9 packets dropped",
			"n1 probe.connect: no answer from n2 n3", "n2 probe.connect: no answer from n1", "n3 probe.connect: no answer from n1",
			"n2 probe.control: still an answer from n3, as it should be",
		}
		if diff := cmp.Diff(want, summary(history.Active)); diff != "" {
			t.Errorf("while it was in force (-want +got):\n%s", diff)
		}
		want = []string{
			"n1 net.drop: no filter", "n2 net.drop: no filter", "n3 net.drop: no filter",
			"n1 probe.connect: an answer from n2 n3 again", "n2 probe.connect: an answer from n1 again", "n3 probe.connect: an answer from n1 again",
		}
		if diff := cmp.Diff(want, summary(history.Healed)); diff != "" {
			t.Errorf("afterwards (-want +got):\n%s", diff)
		}
		for _, e := range w.stages(1)[history.Active].Effects[:3] {
			if e.Took != int64(time.Millisecond) || e.Done != int64(11*time.Second+time.Millisecond) {
				t.Errorf("%s took %d and was done at %d, not all at once", e.Node, e.Took, e.Done)
			}
		}
	})
}

func TestAHealedServerIsANewProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		if err := w.injector().Run(t.Context(), []history.Step{on(kill(), "n2")}, 0); err != nil {
			t.Fatal(err)
		}
		want := "server running with process id 104, before the fault 102"
		if got := w.stages(1)[history.Healed].Effects[0].Evidence.Summary; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestAServerThatComesUpSlowlyIsWaitedForAndNotStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		a := w.agents[0]
		a.trouble = func(_ context.Context, call string) error {
			if call == "state" && w.now() > int64(2*time.Second) && w.now() < int64(6*time.Second) {
				return errors.New("not yet")
			}
			return nil
		}
		if err := w.injector().Run(t.Context(), []history.Step{on(kill(), "n1")}, 0); err != nil {
			t.Fatal(err)
		}
		undone := 0
		for _, call := range a.calls {
			if call == "undo" {
				undone++
			}
		}
		if healed := w.stages(1)[history.Healed]; !healed.Confirmed || undone != 1 {
			t.Errorf("recovered: %v, undone %d times; %s", healed.Confirmed, undone, healed.Error)
		}
	})
}

func TestAnAbortedFaultIsLookedAtOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := w.injector().Run(ctx, []history.Step{isolate("n1")}, 0); err != nil {
			t.Fatal(err)
		}
		packets := func(stage history.Stage) float64 { return w.stages(1)[stage].Effects[0].Evidence.Measures[0].Value }
		if first, last := packets(history.Active), packets(history.Heal); last != first+1 {
			t.Errorf("%v packets at first, %v at last", first, last)
		}
	})
}

func TestANodeThatIsGoneDoesNotHideTheRecoveryOfTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		w.agents[2].trouble = deaf("undo")
		w.agents[2].numb = true
		if err := w.injector().Run(t.Context(), []history.Step{isolate("n1")}, 0); err == nil {
			t.Error("Run did not say that n3 may still hold the fault")
		}
		for _, e := range w.stages(1)[history.Healed].Effects {
			if e.Kind == "probe.connect" && !e.Evidence.Confirmed {
				t.Errorf("%s: %s", e.Node, e.Evidence.Summary)
			}
		}
		w.behave()
	})
}

func TestAFlappingPartitionCutsAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		step := aimed(partition{}, Form{Shape: "flapping", Target: "one"}, []string{"n1"})
		step = with(step, flaps{history.Duration(time.Second)})
		if err := w.injector().Run(t.Context(), []history.Step{step}, 0); err != nil {
			t.Fatal(err)
		}
		heal := w.stages(1)[history.Heal]
		if !heal.Confirmed {
			t.Errorf("not confirmed: %s", heal.Error)
		}
		want := []history.Measure{{Name: "dropped", Value: 20, Unit: "packets"}, {Name: "cuts", Value: 3}}
		if diff := cmp.Diff(want, heal.Effects[0].Evidence.Measures); diff != "" {
			t.Errorf("evidence (-want +got):\n%s", diff)
		}
		if got, want := heal.Effects[0].Evidence.Summary, "20 packets dropped in 3 cuts"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		applied := 0
		for _, call := range w.agents[0].calls {
			if call == "apply" {
				applied++
			}
		}
		if applied != 3 || w.broken() != nil {
			t.Errorf("%d cuts, then %v", applied, w.broken())
		}
		if got := w.at(history.Heal); got != 4*time.Second {
			t.Errorf("healed from %s on", got)
		}
	})
}

func TestASlowHealDelaysTheNextFaultAndShortensIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		w.agents[0].trouble = slow(2500*time.Millisecond, "undo")
		late := on(pause(), "n2")
		late.ID, late.At, late.Hold = 2, history.Duration(5*time.Second), history.Duration(4*time.Second)
		if err := w.injector().Run(t.Context(), []history.Step{late, isolate("n1")}, 0); err != nil {
			t.Fatal(err)
		}
		inOrder(t, w.events)
		var times []string
		for _, e := range w.events {
			times = append(times, fmt.Sprintf("%d %s %s", e.Fault.ID, e.Fault.Stage, time.Duration(e.Time).Round(100*time.Millisecond)))
		}
		want := []string{
			"1 inject 1s", "1 active 1.5s", "1 heal 4s", "1 healed 6.5s",
			"2 inject 6.5s", "2 active 6.5s", "2 heal 9s", "2 healed 9s",
		}
		if diff := cmp.Diff(want, times); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Aborting at any moment leaves a whole world and a complete story.
func TestARunMayEndAtAnyMoment(t *testing.T) {
	flapping := with(aimed(partition{}, Form{Shape: "flapping", Target: "one"}, []string{"n1"}), flaps{history.Duration(600 * time.Millisecond)})
	for name, step := range map[string]history.Step{
		"partition": isolate("n1"), "leader": isolateLeader(), "flapping": flapping,
		"kill": on(kill(), "n1", "n2"), "stop": on(stop(), "n1"), "pause": on(pause(), "n1"),
	} {
		for _, pace := range []time.Duration{0, 200 * time.Millisecond} {
			for end := 900 * time.Millisecond; end < 6*time.Second; end += 70 * time.Millisecond {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(3)
					for _, a := range w.agents {
						a.trouble = slow(pace, "apply", "undo", "state")
					}
					ctx, cancel := context.WithTimeout(t.Context(), end)
					defer cancel()
					if err := w.injector().Run(ctx, []history.Step{step}, 0); err != nil {
						t.Errorf("%s ended after %s: %v", name, end, err)
					}
					if over := time.Duration(w.now()) - end; over > 2*time.Second {
						t.Errorf("%s ended after %s took %s more", name, end, over)
					}
					if broken := w.broken(); broken != nil {
						t.Errorf("%s ended after %s leaves %v", name, end, broken)
					}
					inOrder(t, w.events)
					if end < time.Second && len(w.events) > 0 {
						t.Errorf("%s ended after %s recorded %d events", name, end, len(w.events))
					}
				})
			}
		}
	}
}

// Whatever agents do and whenever the run ends: it ends in bounded time, the stages
// are in order, all that can be reached is whole after HealAll, and no fault that
// had no effect is confirmed.
func TestNoTroubleBreaksTheInjector(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		calls := []string{"apply", "undo", "probe", "connect", "state"}
		trouble := rapid.Custom(func(rt *rapid.T) func(context.Context, string) error {
			call := rapid.SampledFrom(calls).Draw(rt, "call")
			kind := rapid.SampledFrom([]string{"none", "fails", "hangs", "deaf", "slow"}).Draw(rt, "how")
			often := rapid.SampledFrom([]int{1, 2, 1000}).Draw(rt, "times")
			switch kind {
			case "fails":
				return first(often, failing(call), call)
			case "hangs":
				return first(often, hanging(call), call)
			case "deaf":
				return first(often, deaf(call), call)
			case "slow":
				return slow(time.Duration(rapid.IntRange(0, 3000).Draw(rt, "ms"))*time.Millisecond, call)
			}
			return nil
		})
		n := rapid.IntRange(1, 5).Draw(rt, "nodes")
		faults := all(rt)
		if n == 1 {
			faults = []string{"kill", "stop", "pause"}
		}
		steps, err := Schedule(dice(rapid.Uint64().Draw(rt, "seed")), Options{Faults: faults, Nodes: named(n), TimeLimit: 30 * time.Second})
		if err != nil {
			rt.Fatal(err)
		}
		troubles := rapid.SliceOfN(trouble, n, n).Draw(rt, "troubles")
		numb := rapid.Bool().Draw(rt, "numb")
		leaderless := rapid.Bool().Draw(rt, "leaderless")
		end := time.Duration(rapid.IntRange(0, 60_000).Draw(rt, "end ms")) * time.Millisecond

		// A failure inside the bubble is carried out of it: rapid's own must stay outside.
		var wrong complaints
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(n)
			for i, a := range w.agents {
				a.trouble, a.numb = troubles[i], numb
			}
			w.leader = func() (string, error) { return "n1", nil }
			if leaderless {
				w.leader = func() (string, error) { return "", nil }
			}
			ctx, cancel := context.WithTimeout(t.Context(), end)
			defer cancel()
			in := w.injector()
			_ = in.Run(ctx, steps, 0) // whether it may complain is told above
			if over := time.Duration(w.now()) - end; over > 20*time.Second {
				wrong.Errorf("the run went on for %s after its end", over)
			}
			inOrder(&wrong, w.events)
			for _, e := range w.events {
				if numb && e.Fault != nil && e.Fault.Confirmed && e.Fault.Stage != history.Healed {
					wrong.Errorf("fault %d did nothing and is confirmed", e.Fault.ID)
				}
			}
			w.behave()
			if err := in.HealAll(t.Context()); err != nil {
				wrong.Errorf("%v", err)
			}
			if broken := w.broken(); broken != nil {
				wrong.Errorf("after HealAll: %v", broken)
			}
		})
		if wrong != nil {
			rt.Fatal(strings.Join(wrong, "\n"))
		}
	})
}

type complaints []string

func (c *complaints) Errorf(format string, args ...any) {
	*c = append(*c, fmt.Sprintf(format, args...))
}

func TestHealAllNamesTheNodesThatDoNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		w.agents[0].server.State = agent.Paused
		w.agents[1].trouble = deaf("heal all")
		err := w.injector().HealAll(t.Context())
		want := "heal n2: no answer within 10s; run nemesis nodes heal once it can be reached"
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if len(w.events) != 1 || w.events[0].Node != "n1" || w.events[0].Type != history.Note {
			t.Errorf("recorded %v", w.events)
		}
		w.behave()
	})
}

func TestAnInjectionGoesThroughItsStagesInOrder(t *testing.T) {
	stages := []history.Stage{"", history.Inject, history.Active, history.Heal, history.Healed}
	for from, now := range stages {
		for to, next := range stages {
			w := newWorld(1)
			l := &injection{in: w.injector(), step: history.Step{ID: 4, Kind: "kill"}, stage: now}
			err := l.enter(next, false, nil)
			if legal := to == from+1; legal != (err == nil) || legal != (len(w.events) == 1) {
				t.Errorf("from %q to %q: %v, %d events", now, next, err, len(w.events))
			}
		}
	}
}
