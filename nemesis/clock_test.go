package nemesis

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/history"
	"nemesis/nemesis/effects"
)

// quick is a system with both timeouts known.
var quick = history.Timing{Election: history.Duration(time.Second), Lease: history.Duration(4 * time.Second)}

func TestReadingAmounts(t *testing.T) {
	for text, want := range map[string]Amount{
		"6s":          {Time: 6 * time.Second},
		"1.5lease":    {Time: 6 * time.Second, Said: "1.5lease"},
		"0.5election": {Time: 500 * time.Millisecond, Said: "0.5election"},
		"1h":          {Time: time.Hour},
	} {
		if got, err := ParseAmount(text, quick); err != nil || got != want || got.String() != want.String() {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":          `"" is neither a time such as 6s nor a multiple of a timeout such as 1.5lease or 0.5election`,
		"-6s":       `"-6s" is neither a time`,
		"xlease":    `"xlease" is not a multiple of a timeout, such as 1.5lease`,
		"NaNlease":  `is not a multiple of a timeout`,
		"-1lease":   `is not a multiple of a timeout`,
		"1e9lease":  `is more than a year`,
		"9000h":     `is more than a year`,
		"2 leases?": `is neither a time`,
	} {
		if got, err := ParseAmount(text, quick); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %+v and\n     %v\nwant %s", text, got, err, want)
		}
	}
	_, err := ParseAmount("2lease", history.Timing{})
	if want := `"2lease" says nothing here, since this workload has no leases; give a time such as 6s`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestReadingClockChanges(t *testing.T) {
	second := history.Duration(time.Second)
	got, err := ParseChanges("wall:+2lease, monotonic:x0.5,both:-1h,wall:-2s/100ms,monotonic:x0", quick)
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{
		{history.ClockParameters{ClockChange: history.ClockChange{Of: "wall", Jump: 8 * second, Rate: 1}, Said: "2lease"}},
		{history.ClockParameters{ClockChange: history.ClockChange{Of: "monotonic", Rate: 0.5}}},
		{history.ClockParameters{ClockChange: history.ClockChange{Of: "both", Jump: -3600 * second, Rate: 1}}},
		{history.ClockParameters{ClockChange: history.ClockChange{Of: "wall", Jump: -2 * second, Rate: 1}, Period: second / 10}},
		{history.ClockParameters{ClockChange: history.ClockChange{Of: "monotonic"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, text := range []string{
		"wall", "wall:", "wall:2s", "sun:+2s", "wall:x", "wall:x1", "wall:x-1", "wall:xNaN", "wall:x1e9", "wall:+0s", "wall:++2s",
		"wall:+2s/", "wall:+2s/1ms", "wall:+2s/2h", "wall:+2s,", ":+2s",
	} {
		if got, err := ParseChanges(text, quick); err == nil || !strings.HasPrefix(err.Error(), "read --clock-change: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q gave %v, %v", text, got, err)
		}
	}
}

var anyTiming = rapid.Custom(func(t *rapid.T) history.Timing {
	return history.Timing{
		Election: history.Duration(rapid.IntRange(0, 20_000).Draw(t, "election ms")) * history.Duration(time.Millisecond),
		Lease:    history.Duration(rapid.IntRange(0, 60_000).Draw(t, "lease ms")) * history.Duration(time.Millisecond),
	}
})

func TestEveryChangeThatIsDrawnCanBeAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timing := anyTiming.Draw(t, "timing")
		for _, f := range Faults() {
			fault, is := f.(clockFault)
			if !is {
				continue
			}
			for _, change := range fault.changes(timing) {
				back, err := ParseChanges(change.String(), timing)
				if err != nil || len(back) != 1 || back[0] != change {
					t.Fatalf("%s became %v, %v", change, back, err)
				}
				if !fault.takes(change) {
					t.Fatalf("%s does not do its own %s", fault.name, change)
				}
				if change.Jump < 0 && change.Of != history.WallClock {
					t.Fatalf("%s sets the monotonic clock back: %s", fault.name, change)
				}
			}
		}
	})
}

func TestClockSchedulesKeepToWhatWasAskedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		timing := anyTiming.Draw(t, "timing")
		opt := Options{
			Faults: []string{"clock-step", "pause", "clock-strobe"}, Nodes: named(rapid.IntRange(1, 7).Draw(t, "nodes")),
			TimeLimit: time.Duration(rapid.IntRange(20, 300).Draw(t, "seconds")) * time.Second,
			Timing:    timing, Leases: rapid.Bool().Draw(t, "leases"),
			Targets: rapid.SampledFrom([][]string{nil, {"leader"}, {"holder", "grantor"}}).Draw(t, "targets"),
			Settings: map[string]string{
				"clocks": rapid.SampledFrom([]string{"", ShadowClocks, MachineClocks}).Draw(t, "clocks"),
			},
		}
		opt.Leases = opt.Leases || slices.Contains(opt.Targets, "holder")
		for range rapid.IntRange(0, 3).Draw(t, "holds") {
			opt.Holds = append(opt.Holds, Amount{Time: time.Duration(rapid.IntRange(10, 8_000).Draw(t, "hold ms")) * time.Millisecond})
		}
		steps, err := Schedule(dice(rapid.Uint64().Draw(t, "seed")), opt)
		if err != nil {
			t.Fatal(err)
		}
		if len(steps) == 0 {
			t.Fatal("no fault in a run that is long enough for one")
		}
		clean := time.Duration(0)
		for _, step := range steps {
			at, hold := time.Duration(step.At), time.Duration(step.Hold)
			if at < clean || at+hold > opt.TimeLimit {
				t.Fatalf("step %d at %s for %s is not between %s and %s", step.ID, at, hold, clean, opt.TimeLimit)
			}
			clean = at + hold
			if len(opt.Holds) > 0 && !slices.ContainsFunc(opt.Holds, func(h Amount) bool { return h.Time == hold }) {
				t.Fatalf("step %d holds for %s, not for one of %v", step.ID, hold, opt.Holds)
			}
			if len(opt.Targets) > 0 && !slices.Contains(opt.Targets, step.Target) {
				t.Fatalf("step %d is aimed at %s", step.ID, step.Target)
			}
			role, _ := roleOf(step.Target)
			if role.leases && !opt.Leases && len(opt.Targets) == 0 {
				t.Fatalf("step %d is aimed at the %s of no lease", step.ID, step.Target)
			}
			if (step.Params != nil) != (step.Kind != "pause") {
				t.Fatalf("a %s with clock change %s", step.Kind, step.Params)
			}
			if clock := clockOf(step); clock.Machine && (opt.Settings["clocks"] != MachineClocks || effects.MachineCan(clock.ClockChange) != nil) {
				t.Fatalf("step %d changes the machine's clock: %+v", step.ID, clock)
			}
			text, err := json.Marshal(step)
			if err != nil {
				t.Fatal(err)
			}
			var back history.Step
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(step, back); diff != "" {
				t.Fatalf("a step changed on its way to disk: %s", diff)
			}
		}
	})
}

func TestAskingForWhatCannotBe(t *testing.T) {
	change := func(text string) map[string]string { return map[string]string{"clock-change": text} }
	hold := []Amount{{Time: time.Minute}}
	for want, opt := range map[string]Options{
		"schedule faults: on 3 nodes a kill cannot be aimed at half, only at leader, one, majority, all": {
			Faults: []string{"kill"}, Targets: []string{"half"},
		},
		"schedule faults: a fault of 1m0s does not fit into a run of 1m0s; give a shorter --fault-hold or a longer --time-limit": {
			Faults: []string{"kill"}, Holds: hold,
		},
		"schedule faults: --clock-change names nothing that a clock-drift does; add a rate such as monotonic:x0.5": {
			Faults: []string{"clock-step", "clock-drift"}, Settings: change("wall:+2s"),
		},
		"schedule faults: no fault of this run does --clock-change monotonic:x0; add one to --faults": {
			Faults: []string{"clock-step"}, Settings: change("wall:+2s,monotonic:x0"),
		},
		`schedule faults: --clocks is shadow or machine, not "sun"`:                                                     {Faults: []string{"clock-step"}, Settings: map[string]string{"clocks": "sun"}},
		"schedule faults: --fault-hold says how faults strike, and there are none; add some to --faults":                {Holds: hold},
		"schedule faults: --fault-hold, --clock-change say how faults strike, and there are none; add some to --faults": {Holds: hold, Settings: change("wall:+2s")},
		`schedule faults: no fault has a setting "wind"`:                                                                {Faults: []string{"kill"}, Settings: map[string]string{"wind": "strong"}},
	} {
		opt.Nodes, opt.TimeLimit = named(3), time.Minute
		if _, err := Schedule(dice(1), opt); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	want := `read --fault-target: "king" is no target; choose from leader, one, half, minority, all, holder, grantor, majority, blocking`
	if _, err := ParseTargets("leader, king"); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	want = "read --fault-hold: 1ms is too short for a fault; give at least 10ms"
	if _, err := ParseHolds("6s,1ms", quick); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// changing is a step of a clock fault after a second, for three.
func changing(kind, target, change string, nodes ...string) history.Step {
	changes, err := ParseChanges(change, quick)
	if err != nil {
		panic(err) // a test that is wrong
	}
	return with(history.Step{
		ID: 1, Kind: kind, Target: target, Nodes: nodes,
		At: history.Duration(time.Second), Hold: history.Duration(3 * time.Second),
	}, changes[0])
}

// with is a step with parameters.
func with(step history.Step, parameters any) history.Step {
	text, err := json.Marshal(parameters)
	if err != nil {
		panic(err) // a test that is wrong
	}
	step.Params = text
	return step
}

// clockOf is what a step does to clocks; nothing for one that does not say.
func clockOf(step history.Step) history.ClockParameters {
	p, err := parametersOf[history.ClockParameters](step)
	if err != nil {
		panic(err) // a test that is wrong
	}
	return p
}

func machine(step history.Step) history.Step {
	change := clockOf(step)
	change.Machine = true
	return with(step, change)
}

func TestClockFaultsInWords(t *testing.T) {
	for want, step := range map[string]history.Step{
		"set the wall clock of n2 back by 8 s (2 × lease)":                                             changing("clock-step", "one", "wall:-2lease", "n2"),
		"set both clocks of the lease holder's node forward by 1 h":                                    changing("clock-step", "holder", "both:+1h"),
		"set the wall clock of the machine of n1 back by 500 ms (0.5 × election)":                      machine(changing("clock-step", "one", "wall:-0.5election", "n1")),
		"run the monotonic clock of the leader's server at half speed":                                 changing("clock-drift", "leader", "monotonic:x0.5"),
		"run both clocks of every node at 1.1 times the true speed":                                    changing("clock-drift", "all", "both:x1.1", "n1", "n2"),
		"freeze the monotonic clock of the grantor's node":                                             changing("clock-freeze", "grantor", "monotonic:x0"),
		"let the wall clock of n1 n3 jump ahead by 2 s (0.5 × lease) and return, by turns every 50 ms": changing("clock-strobe", "minority", "wall:+0.5lease/50ms", "n1", "n3"),
		"clock-step, which does not say what is to be done to the clock":                               {Kind: "clock-step", Target: "leader"},
		"kill the server on the lease holder's node":                                                   {Kind: "kill", Target: "holder"},
		"cut the grantor's node off from everybody":                                                    {Kind: "partition", Shape: "one", Target: "grantor"},
		"run the monotonic clock of n1 at two thirds of the true speed":                                changing("clock-drift", "one", "monotonic:x0.6666666666666666", "n1"),
	} {
		if got := Sentence(step); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestWhatAClockFaultDoesOnEachNode(t *testing.T) {
	for name, story := range map[string]struct {
		step history.Step
		want map[string][]any
		err  string
	}{
		"the holder's clock": {
			step: changing("clock-drift", "holder", "monotonic:x0.5"),
			want: map[string][]any{"n3": {effects.Shadow{ID: "f1", Change: history.ClockChange{Of: "monotonic", Rate: 0.5}}}},
		},
		"a strobe on two": {
			step: changing("clock-strobe", "minority", "wall:+1s/50ms", "n1", "n2"),
			want: map[string][]any{
				"n1": {effects.Shadow{ID: "f1", Change: history.ClockChange{Of: "wall", Jump: history.Duration(time.Second), Rate: 1}, Period: 50 * time.Millisecond}},
				"n2": {effects.Shadow{ID: "f1", Change: history.ClockChange{Of: "wall", Jump: history.Duration(time.Second), Rate: 1}, Period: 50 * time.Millisecond}},
			},
		},
		"the machine of the grantor": {
			step: machine(changing("clock-drift", "grantor", "both:x1.1")),
			want: map[string][]any{"n1": {effects.Machine{ID: "f1", Change: history.ClockChange{Of: "both", Rate: 1.1, Machine: true}}}},
		},
		"nothing said of the clock": {
			step: history.Step{ID: 1, Kind: "clock-step", Target: "leader"},
			err:  "resolve step 1: a clock-step cannot be done: it does not say what is to be done to the clock",
		},
		"a rate where a jump belongs": {
			step: changing("clock-step", "leader", "wall:x2"),
			err:  "resolve step 1: a clock-step cannot be done: wall:x2 is no change for it",
		},
		"more than a machine can": {
			step: machine(changing("clock-drift", "leader", "both:x2")),
			err:  "resolve step 1: a clock-drift cannot be done: a machine's clock cannot run at 2 of its rate, only at 0.9 to 1.1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, bound, err := Resolve(story.step, three())
			if story.err != "" {
				if err == nil || err.Error() != story.err {
					t.Errorf("got  %v\nwant %s", err, story.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(story.want, plainly(bound)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestARoleThatNobodyPlaysIsNotHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		if err := w.injector().Run(t.Context(), []history.Step{changing("clock-freeze", "holder", "monotonic:x0")}, 0); err != nil {
			t.Fatal(err)
		}
		stages := w.stages(1)
		want := "no lease holder within 2s: nobody holds a lease"
		if stages[history.Inject] == nil || !stages[history.Inject].Skipped || stages[history.Inject].Error != want || stages[history.Active] != nil {
			t.Errorf("recorded %+v, want %s", stages[history.Inject], want)
		}
	})
}

func TestAClockFaultSaysWhatItDoesNotDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		w.roles = map[string]string{"holder": "n3"}
		shadow, real := changing("clock-drift", "holder", "monotonic:x0.5"), machine(changing("clock-step", "one", "wall:+1s", "n1"))
		real.ID, real.At = 2, history.Duration(6*time.Second)
		if err := w.injector().Run(t.Context(), []history.Step{shadow, real}, 0); err != nil {
			t.Fatal(err)
		}
		if first := w.stages(1); len(first[history.Inject].Limits) == 0 || !slices.Equal(first[history.Heal].Nodes, []string{"n3"}) || !first[history.Heal].Confirmed {
			t.Errorf("recorded %+v and %+v", first[history.Inject], first[history.Heal])
		}
		if limits := w.stages(2)[history.Inject].Limits; limits != nil {
			t.Errorf("the machine's clock is said not to change %q", limits)
		}
	})
}

func TestTimeServicesRestWhileMachinesClocksAreChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(3)
		service := clockKey(&effects.Service{})
		at := map[bool]int{} // probes on n1, by whether n2's services were stopped
		w.agents[0].trouble = func(_ context.Context, call string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if _, stopped := w.agents[1].changed[service]; call == "probe" {
				at[stopped]++
			}
			return nil
		}
		step := machine(changing("clock-step", "one", "wall:+1s", "n1"))
		if err := w.injector().Run(t.Context(), []history.Step{step}, 0); err != nil {
			t.Fatal(err)
		}
		if at[true] < 3 {
			t.Errorf("of n1's probes, %d saw the time services of n2 run and %d saw them stopped", at[false], at[true])
		}
		if broken := w.broken(); broken != nil {
			t.Errorf("after the run: %v", broken)
		}
		notes := 0
		for _, e := range w.events {
			if e.Type == history.Note && strings.HasPrefix(e.Message, "time services for the length of the run: ") {
				notes++
			}
		}
		if notes != 3 {
			t.Errorf("%d notes of stopped time services, want 3", notes)
		}
	})
}

func TestATimeServiceThatCannotBeStartedAgainIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(2)
		w.agents[1].trouble = failing("undo")
		step := machine(changing("clock-step", "one", "wall:+1s", "n1"))
		err := w.injector().Run(t.Context(), []history.Step{step}, 0)
		if want := "start the time services of n2 again: operation not permitted"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestWhichFaultsNeedAShadowClock(t *testing.T) {
	if NeedsShadow([]string{"partition", "kill", "nonsense"}) || !NeedsShadow([]string{"kill", "clock-drift"}) {
		t.Error("only clock faults need one")
	}
	cannot := map[string]string{effects.MachineKind: "no right to"}
	step := changing("clock-step", "one", "wall:+1s", "n1")
	if err := Able(cannot, []history.Step{step}); err != nil {
		t.Error(err)
	}
	if err := Able(cannot, []history.Step{machine(step)}); err == nil || err.Error() != "it cannot have the fault clock-step: no right to" {
		t.Errorf("got %v", err)
	}
}
