package nemesis

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nemesis/history"
)

func TestFaultsAtOnceAreRead(t *testing.T) {
	for spec, want := range map[string][2]string{
		"partition+kill":              {"partition kill", "partition+kill"},
		"kill, kill + partition,kill": {"partition kill", "kill kill+partition"},
		"clock-step+pause,partition":  {"partition pause clock-step", "partition clock-step+pause"},
	} {
		names, err := Parse(spec)
		cards, err2 := Cards(spec)
		if err != nil || err2 != nil || strings.Join(names, " ") != want[0] || strings.Join(cards, " ") != want[1] {
			t.Errorf("%s: %v %v, %v %v", spec, names, cards, err, err2)
		}
	}
	for spec, want := range map[string]string{
		"kill+kill":              "kill+kill cannot be in force at once: they are the same; ask for more targets of one",
		"power-off+power-cycle":  "power-off+power-cycle cannot be in force at once: both take power",
		"clock-step+clock-drift": "clock-step+clock-drift cannot be in force at once: both change the clocks",
		"kill+pause+stop":        `"kill+pause+stop" is more than two faults at once`,
		"kill+fire":              `find fault "fire": there is no such fault`,
	} {
		if _, err := Parse(spec); err == nil || !strings.HasPrefix(err.Error(), `read faults "`+spec+`": `+want) {
			t.Errorf("%s gave %v, want %s", spec, err, want)
		}
	}
}

// Of every pair that may be, what is drawn can be carried out: one within the other, and none hides the other on any node.
func TestDrawnPairsDoNotMaskEachOther(t *testing.T) {
	for _, a := range Faults() {
		for _, b := range Faults() {
			name := a.Info().Name + "+" + b.Info().Name
			names, err := Parse(name)
			if err != nil {
				continue
			}
			opt := Options{Faults: names, Cards: []string{name}, Nodes: named(5), TimeLimit: 3 * time.Minute, Members: true, Timing: quick, Settings: map[string]string{packetsSetting: ""}}
			for _, n := range names {
				if n == "packet" {
					opt.Settings[packetsSetting] = "delay:80ms"
				}
			}
			steps, err := Schedule(dice(5), opt)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if err := Check(steps, named(5)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for i, s := range steps {
				if within := i%2 == 1; (s.While != 0) != within || within && s.While != steps[i-1].ID || s.Kind != names[slices.Index(names, s.Kind)] {
					t.Errorf("%s: step %d is %+v", name, i, s)
				}
			}
		}
	}
}

func overlapping(outer, inner history.Step) []history.Step {
	outer.ID, inner.ID, inner.While = 1, 2, 1
	outer.At, outer.Hold = history.Duration(time.Second), history.Duration(4*time.Second)
	inner.At, inner.Hold = history.Duration(2*time.Second), history.Duration(2*time.Second)
	return []history.Step{outer, inner}
}

func TestStepsThatCannotOverlapAreRefused(t *testing.T) {
	cut := aimed(partition{}, Form{Shape: "one", Target: "one"}, []string{"n1"})
	for want, set := range map[string]func([]history.Step) []history.Step{
		"": func(s []history.Step) []history.Step { return s },
		"schedule[1].at: it holds from 2s to 6s, and step 1 from 1s to 5s; let it hold within": func(s []history.Step) []history.Step {
			s[1].Hold = history.Duration(4 * time.Second)
			return s
		},
		"schedule[1].while: step 7 is not the last one before it that overlaps none": func(s []history.Step) []history.Step {
			s[1].While = 7
			return s
		},
		"schedule[1].nodes: on n1 the partition would hide what the kill does, or be hidden": func(s []history.Step) []history.Step {
			s[1].Nodes = []string{"n1"}
			return s
		},
		"schedule[1].kind: a partition cannot be in force while a partition is: they are the same": func(s []history.Step) []history.Step {
			s[1] = overlapping(cut, cut)[1]
			return s
		},
		"schedule[2].at: at 3s the step before it, number 2, is still in force": func(s []history.Step) []history.Step {
			third := s[1]
			third.ID, third.At, third.Hold = 3, history.Duration(3*time.Second), history.Duration(time.Second)
			return append(s, third)
		},
		"schedule[2].at: at 4.5s the step before it, number 1, is still in force, until 5s": func(s []history.Step) []history.Step {
			third := s[1]
			third.ID, third.While, third.At = 3, 0, history.Duration(4500*time.Millisecond)
			return append(s, third)
		},
	} {
		steps := set(overlapping(cut, on(kill(), "n2")))
		err := Check(steps, named(3))
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Both faults are in force at once, each is evidenced and healed, the inner one first.
func TestTwoFaultsAtOnceAreBothConfirmedAndHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		steps := overlapping(aimed(partition{}, Form{Shape: "one", Target: "one"}, []string{"n1"}), on(kill(), "n3"))
		if err := w.injector().Run(t.Context(), steps, 0); err != nil {
			t.Error(err)
		}
		for _, id := range []int{1, 2} {
			if s := w.stages(id); !s[history.Heal].Confirmed || !s[history.Healed].Confirmed {
				t.Errorf("fault %d: %+v", id, s[history.Heal])
			}
		}
		outer, inner := w.stages(1), w.stages(2)
		if from, until := max(outer[history.Heal].SeenFrom, inner[history.Heal].SeenFrom), min(outer[history.Heal].SeenUntil, inner[history.Heal].SeenUntil); time.Duration(until-from) < time.Second {
			t.Errorf("both were seen in force from %s to %s", time.Duration(from), time.Duration(until))
		}
		if broken := w.broken(); broken != nil {
			t.Error(broken)
		}
	})
}

// An inner fault that is slow to heal keeps the outer one in force.
func TestOuterFaultHoldsUntilTheInnerIsHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		w.agents[2].trouble = slow(3*time.Second, "undo")
		steps := overlapping(aimed(partition{}, Form{Shape: "one", Target: "one"}, []string{"n1"}), on(kill(), "n3"))
		if err := w.injector().Run(t.Context(), steps, 0); err != nil {
			t.Error(err)
		}
		var order []string
		for _, e := range w.events {
			if e.Fault.Stage == history.Heal || e.Fault.Stage == history.Healed {
				order = append(order, string(e.Fault.Stage)+" "+e.Fault.Kind)
			}
		}
		if got := strings.Join(order, ", "); got != "heal kill, healed kill, heal partition, healed partition" {
			t.Error(got)
		}
		w.behave()
	})
}

func TestInnerFaultStrikesWhomTheOuterSpared(t *testing.T) {
	for name, story := range map[string]struct {
		inner history.Step
		want  string // whom it hits, or why it is skipped
	}{
		"one that was meant to hit the same":     {on(kill(), "n2"), "n1"},
		"the leader, whom the outer hit already": {history.Step{Kind: "kill", Target: "leader"}, "resolve step 2: on n2 the partition of step 1 would hide what it does, or be hidden"},
		"clocks, which show where it is cut off": {changing("clock-step", "leader", "wall:+2s"), "n2"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(3) // n2 leads
				steps := overlapping(history.Step{Kind: "partition", Shape: "one", Target: "leader"}, story.inner)
				if err := w.injector().Run(t.Context(), steps, 0); err != nil {
					t.Error(err)
				}
				f := w.stages(2)[history.Inject]
				got := f.Error
				if !f.Skipped {
					got = strings.Join(f.Nodes, " ")
				}
				if got != story.want {
					t.Errorf("got %q, want %q", got, story.want)
				}
			})
		})
	}
}

func TestInnerFaultOfOneThatWasNotInjectedIsNeither(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		w.leader = func() (string, error) { return "", nil }
		steps := overlapping(history.Step{Kind: "partition", Shape: "one", Target: "leader"}, on(kill(), "n1"))
		if err := w.injector().Run(t.Context(), steps, 0); err != nil {
			t.Error(err)
		}
		if f := w.stages(2)[history.Inject]; f == nil || !f.Skipped || f.Error != "step 1, while which it was to strike, was not injected" {
			t.Errorf("%+v", f)
		}
		// Neither is it replayed without.
		if again := AsRecorded(steps, w.events); len(again) != 0 {
			t.Errorf("a replay has %+v", again)
		}
	})
}
