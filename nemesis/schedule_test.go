package nemesis

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"nemesis/history"
)

var update = flag.Bool("update", false, "write the golden files anew")

// dice is the random source of one seed.
func dice(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// named are n node names: n1, n2, ….
func named(n int) []string {
	names := []string{}
	for i := range n {
		names = append(names, fmt.Sprintf("n%d", i+1))
	}
	return names
}

func all(t interface{ Fatal(...any) }) []string {
	names, err := Parse("all")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestSchedulesArePrintedAsTrees(t *testing.T) {
	for name, opt := range map[string]Options{
		"three-nodes-half-a-minute": {Faults: []string{"partition", "kill", "pause"}, Nodes: named(3), TimeLimit: 30 * time.Second},
		"five-nodes-two-minutes":    {Faults: []string{"partition", "kill", "stop", "pause"}, Nodes: named(5), TimeLimit: 2 * time.Minute},
		"clocks-of-a-system-with-leases": {
			Faults: []string{"clock-step", "clock-drift", "clock-freeze", "clock-strobe"}, Nodes: named(5), TimeLimit: 2 * time.Minute,
			Leases: true, Timing: history.Timing{Election: history.Duration(time.Second), Lease: history.Duration(4 * time.Second)},
		},
		"pauses-of-one-and-a-half-leases": {
			Faults: []string{"pause"}, Nodes: named(3), TimeLimit: time.Minute, Targets: []string{"leader", "grantor"}, Leases: true,
			Holds: []Amount{{Time: 6 * time.Second, Said: "1.5lease"}, {Time: 9 * time.Second}},
		},
		"one-node":        {Faults: []string{"kill"}, Nodes: named(1), TimeLimit: 20 * time.Second},
		"one-short-fault": {Faults: []string{"partition"}, Nodes: named(2), TimeLimit: 3 * time.Second},
		"no-faults":       {Nodes: named(3), TimeLimit: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			steps, err := Schedule(dice(7), opt)
			if err != nil {
				t.Fatal(err)
			}
			got := Describe(steps)
			path := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("the plan changed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestASeedDecidesTheSchedule(t *testing.T) {
	opt := Options{Faults: all(t), Nodes: named(5), TimeLimit: time.Minute}
	draw := func(seed uint64) string {
		steps, err := Schedule(dice(seed), opt)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(steps)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if diff := cmp.Diff(draw(1), draw(1)); diff != "" {
		t.Errorf("one seed gave two schedules: %s", diff)
	}
	if draw(1) == draw(2) {
		t.Error("two seeds gave the same schedule")
	}
}

func TestASchedulesLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := Options{
			Faults:    rapid.SampledFrom([][]string{{"partition"}, {"kill", "pause"}, {"partition", "kill", "pause"}, all(t)}).Draw(t, "faults"),
			Nodes:     named(rapid.IntRange(2, 9).Draw(t, "nodes")),
			TimeLimit: time.Duration(rapid.IntRange(0, 300_000).Draw(t, "limit ms")) * time.Millisecond,
			Interval:  time.Duration(rapid.IntRange(200, 20_000).Draw(t, "interval ms")) * time.Millisecond,
		}
		steps, err := Schedule(dice(rapid.Uint64().Draw(t, "seed")), opt)
		if err != nil {
			t.Fatal(err)
		}
		clean := time.Duration(0)
		for i, step := range steps {
			at, hold := time.Duration(step.At), time.Duration(step.Hold)
			if step.ID != i+1 {
				t.Fatalf("step %d is numbered %d", i+1, step.ID)
			}
			if at < clean || hold <= 0 {
				t.Fatalf("step %d at %s for %s begins before the one before it ends, at %s", step.ID, at, hold, clean)
			}
			clean = at + hold
			var p struct{ Period history.Duration }
			if len(step.Params) > 0 {
				if err := json.Unmarshal(step.Params, &p); err != nil {
					t.Fatal(err)
				}
			}
			if p.Period < 0 || (p.Period > 0) != (step.Shape == "flapping" || step.Kind == "clock-strobe") {
				t.Fatalf("step %d, %s, has period %s", step.ID, step.Shape, p.Period)
			}
			if _, role := roleOf(step.Target); symbolic(step) != role {
				t.Fatalf("step %d is aimed at %s with nodes %v", step.ID, step.Target, step.Nodes)
			}
			if !symbolic(step) && len(step.Nodes) == 0 {
				t.Fatalf("step %d hits nobody", step.ID)
			}
			if step.Kind == "partition" && !symbolic(step) && len(step.Links) == 0 {
				t.Fatalf("step %d, %s, cuts nothing", step.ID, step.Shape)
			}
		}
		if len(steps) > 0 {
			first := min(2*time.Second, opt.TimeLimit/5)
			last := opt.TimeLimit - min(2*time.Second, opt.TimeLimit/5)
			if time.Duration(steps[0].At) < first || clean > last {
				t.Fatalf("faults from %s to %s in a run of %s leave no clean beginning or end", steps[0].At, clean, opt.TimeLimit)
			}
		}
	})
}

func TestEveryKindOccurs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kinds := rapid.SampledFrom([][]string{{"stop"}, {"partition", "kill", "pause"}, all(t)}).Draw(t, "kinds")
		opt := Options{
			Faults: kinds, Nodes: named(rapid.IntRange(2, 7).Draw(t, "nodes")),
			TimeLimit: time.Duration(rapid.IntRange(5*max(4, len(kinds)), 120).Draw(t, "seconds")) * time.Second,
			Interval:  5 * time.Second,
		}
		steps, err := Schedule(dice(rapid.Uint64().Draw(t, "seed")), opt)
		if err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for i, step := range steps {
			count[step.Kind]++
			if i > 0 && len(kinds) > 1 && step.Kind == steps[i-1].Kind {
				t.Fatalf("%s comes twice in a row", step.Kind)
			}
			if hold := time.Duration(step.Hold); hold < time.Second {
				t.Fatalf("step %d holds for %s, less than an election", step.ID, hold)
			}
		}
		for _, kind := range kinds {
			if count[kind] == 0 {
				t.Fatalf("no %s in %s", kind, Describe(steps))
			}
			if count[kind] > len(steps)/len(kinds)+1 {
				t.Fatalf("%d of %d faults are a %s", count[kind], len(steps), kind)
			}
		}
	})
}

func TestFaultsStartAboutOneIntervalApart(t *testing.T) {
	steps, err := Schedule(dice(3), Options{Faults: []string{"partition", "kill", "stop", "pause"}, Nodes: named(5), TimeLimit: 10 * time.Minute, Interval: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) < 110 || len(steps) > 120 {
		t.Errorf("%d faults in ten minutes, one every five seconds", len(steps))
	}
	lengths := map[int]bool{}
	for _, step := range steps {
		lengths[int(time.Duration(step.Hold).Seconds())] = true
	}
	for _, seconds := range []int{1, 2, 3} {
		if !lengths[seconds] {
			t.Errorf("no fault lasts %d s and a bit", seconds)
		}
	}
	// Over a long run each form comes up, for every kind.
	if steps, err = Schedule(dice(3), Options{Faults: kinds(), Nodes: named(5), TimeLimit: 6 * time.Hour, Interval: 5 * time.Second, Leases: true, Members: true}); err != nil {
		t.Fatal(err)
	}
	seen := map[[3]string]bool{}
	for _, step := range steps {
		seen[[3]string{step.Kind, step.Shape, step.Target}] = true
	}
	for _, fault := range Faults() {
		for _, form := range fault.Info().Forms {
			if !seen[[3]string{fault.Info().Name, form.Shape, form.Target}] {
				t.Errorf("no %s of shape %q on target %s", fault.Info().Name, form.Shape, form.Target)
			}
		}
	}
}

func TestNoFaultIsAimedAtTheLeaderOfALeaderlessSystem(t *testing.T) {
	steps, err := Schedule(dice(3), Options{Faults: append(all(t), "packet"), Nodes: named(5), TimeLimit: time.Hour, Leaderless: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		if step.Target == "leader" {
			t.Errorf("%s %s", step.Kind, step.Shape)
		}
	}
}

func TestAScheduleThatCannotBe(t *testing.T) {
	for want, opt := range map[string]Options{
		`schedule faults: find fault "flood": there is no such fault; choose from ` + strings.Join(kinds(), ", "):   {Faults: []string{"flood"}, Nodes: named(3)},
		`schedule faults: no node plays leader in this system; leave it out of --fault-target`:                      {Faults: []string{"kill"}, Nodes: named(3), Leaderless: true, Targets: []string{"leader"}},
		`schedule faults: a cluster of 1 node cannot have a partition; give more nodes or leave it out of --faults`: {Faults: []string{"partition"}, Nodes: named(1)},
	} {
		opt.TimeLimit = time.Minute
		if _, err := Schedule(dice(1), opt); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestADeckDealsEveryCardBeforeAnyAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cards := rapid.SliceOfNDistinct(rapid.IntRange(0, 99), 2, 8, rapid.ID).Draw(t, "cards")
		d := newDeck(dice(rapid.Uint64().Draw(t, "seed")), cards)
		var dealt []int
		for range 5 * len(cards) {
			dealt = append(dealt, d.deal())
		}
		for i := 1; i < len(dealt); i++ {
			if dealt[i] == dealt[i-1] {
				t.Fatalf("the same card twice in a row: %v", dealt)
			}
		}
		for round := range slices.Chunk(dealt, len(cards)) {
			if diff := cmp.Diff(slices.Sorted(slices.Values(cards)), slices.Sorted(slices.Values(round))); diff != "" {
				t.Fatalf("a round is not the deck: %s", diff)
			}
		}
	})
}

func TestDescribingAStep(t *testing.T) {
	for want, step := range map[string]history.Step{
		"kill the server on n2":               {Kind: "kill", Target: "one", Nodes: []string{"n2"}},
		"pause the leader's server":           {Kind: "pause", Target: "leader"},
		"stop the servers on n1 n3":           {Kind: "stop", Target: "minority", Nodes: []string{"n1", "n3"}},
		"stop every server":                   {Kind: "stop", Target: "all", Nodes: []string{"n1", "n3"}},
		"cut the leader off from everybody":   {Kind: "partition", Shape: "one", Target: "leader"},
		"cut n1 n3 off from the majority":     {Kind: "partition", Shape: "minority", Target: "minority", Nodes: []string{"n1", "n3"}},
		"earthquake, which is no fault":       {Kind: "earthquake"},
		"cut the network: n1 cannot reach n2": {Kind: "partition", Shape: "by hand", Links: []history.Link{{From: "n1", To: "n2"}}},
		"cut the leader and as many others as make a minority off from the majority": {Kind: "partition", Shape: "minority", Target: "leader"},
		"let nobody hear the leader, while it can hear the others":                   {Kind: "partition", Shape: "one-way-out", Target: "leader"},
		"let n1 hear nobody, while the others can hear it":                           {Kind: "partition", Shape: "one-way-in", Target: "one", Nodes: []string{"n1"}},
	} {
		if got := Sentence(step); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
