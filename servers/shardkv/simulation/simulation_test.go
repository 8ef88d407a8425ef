package simulation

import (
	"flag"
	"slices"
	"testing"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

// The long run, a million runs of each server, which prints the seed of one that fails:
//
//	go test ./servers/paxos/simulation ./servers/shardkv/simulation -run NoAlarmWithoutDefect -v -timeout 0 -runs 1000000
var (
	firstSeed = flag.Uint64("seed", 1, "the first seed")
	runs      = flag.Uint64("runs", 40, "how many simulated runs")
)

func TestNoAlarmWithoutDefect(t *testing.T) {
	everything := Everything()
	var steps int
	var simulated time.Duration
	for seed := *firstSeed; seed < *firstSeed+*runs; seed++ {
		p := NewPlan(seed, everything, "")
		r := p.Run()
		steps += r.Steps
		simulated += r.Time
		if r.Failure != nil {
			t.Fatalf("seed %d: %s", seed, Explain(p, r))
		}
		if (seed-*firstSeed+1)%10_000 == 0 {
			t.Logf("%d runs, %d steps, %v simulated", seed-*firstSeed+1, steps, simulated.Round(time.Second))
		}
	}
	t.Logf("%d runs, %d steps, %v simulated", *runs, steps, simulated.Round(time.Second))
}

// TestMistakesAreFound breaks stores and grantors in ways that the specification or its liveness must show.
func TestMistakesAreFound(t *testing.T) {
	for name, mistake := range map[string]func(*Plan){
		"turns end before leases do": func(p *Plan) {
			p.Config.GrantorLease = p.Config.Lease
			p.Config.GrantorLease.Length /= 3
		},
		"nothing that a node records is kept": func(p *Plan) { p.tamper = func(o *core.Output) { o.Records = nil } },
		"every second record of a write does not reach the log": func(p *Plan) {
			n := 0
			p.tamper = func(o *core.Output) {
				if n++; n%2 == 0 {
					o.Records = slices.DeleteFunc(o.Records, func(r []byte) bool { return len(r) > 1 && r[0] == 1 && r[1] == 3 })
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 25; seed++ {
				p := NewPlan(seed, Everything(), "")
				mistake(&p)
				if r := p.Run(); r.Failure != nil {
					t.Logf("run %d: %.200s", seed, r.Failure.Error())
					return
				}
			}
			t.Error("25 runs show nothing")
		})
	}
}

// TestDefectsAreFound finds each defect by its minimal fault.
func TestDefectsAreFound(t *testing.T) {
	const most = 200
	for _, d := range defect.Shardkv() {
		t.Run(string(d.ID), func(t *testing.T) {
			scenario, ok := ScenarioOf(d.ID)
			if !ok {
				t.Fatal("there is no fault for it")
			}
			for seed := uint64(1); seed <= most; seed++ {
				if r := scenario.Plan(seed, d.ID).Run(); r.Failure != nil {
					t.Logf("run %d, %d steps: %.160s", seed, r.Steps, r.Failure.Error())
					return
				}
			}
			t.Errorf("%q was not found in %d runs", d.Wrong, most)
		})
	}
}

// TestNoAlarmUnderEachDefectsFault is the control of TestDefectsAreFound: the same faults, and no defect.
func TestNoAlarmUnderEachDefectsFault(t *testing.T) {
	for _, d := range defect.Shardkv() {
		for seed := *firstSeed; seed < *firstSeed+*runs/20; seed++ {
			scenario, _ := ScenarioOf(d.ID)
			p := scenario.Plan(seed, "")
			if r := p.Run(); r.Failure != nil {
				t.Fatalf("the fault of %s, seed %d: %s", d.ID, seed, Explain(p, r))
			}
		}
	}
}
