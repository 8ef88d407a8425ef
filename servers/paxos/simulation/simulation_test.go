package simulation

import (
	"flag"
	"strings"
	"testing"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/paxos"
	"nemesis/servers/sim"
)

// The long run, a million runs of each server in some two hours of one core, which prints the seed of one that fails:
//
//	go test ./servers/paxos/simulation ./servers/shardkv/simulation -run NoAlarmWithoutDefect -v -timeout 0 -runs 1000000
var (
	firstSeed = flag.Uint64("seed", 1, "the first seed")
	runs      = flag.Uint64("runs", 60, "how many runs of mixed faults")
)

// report fails the test with the shrunk run.
func report(t *testing.T, p Plan, r sim.Result) {
	t.Helper()
	t.Fatalf("seed %d: %v", p.Seed, Explain(p, r))
}

func TestNoAlarmWithoutDefect(t *testing.T) {
	mix := Everything()
	var steps int
	var simulated time.Duration
	for seed := *firstSeed; seed < *firstSeed+*runs; seed++ {
		p := NewPlan(seed, mix, "")
		r := p.Run()
		steps += r.Steps
		simulated += r.Time
		if r.Failure != nil {
			report(t, p, r)
		}
		if (seed-*firstSeed+1)%10_000 == 0 {
			t.Logf("%d runs, %d steps, %v simulated", seed-*firstSeed+1, steps, simulated.Round(time.Second))
		}
	}
	t.Logf("%d runs, %d steps, %v simulated", *runs, steps, simulated.Round(time.Second))
}

// TestNoAlarmUnderEachDefectsFault is the control of TestDefectsAreFound: the same faults, and no defect.
func TestNoAlarmUnderEachDefectsFault(t *testing.T) {
	for _, d := range defect.Paxos() {
		scenario, ok := ScenarioOf(d.ID)
		if !ok {
			continue
		}
		for seed := *firstSeed; seed < *firstSeed+*runs/20; seed++ {
			p := scenario.Plan(seed, "")
			if r := p.Run(); r.Failure != nil {
				t.Logf("the fault of %s", d.ID)
				report(t, p, r)
			}
		}
	}
}

// TestDefectsAreFound finds each defect of the core and the log by its minimal fault.
func TestDefectsAreFound(t *testing.T) {
	const most = 400
	for _, d := range defect.Paxos() {
		scenario, ok := ScenarioOf(d.ID)
		if ok == d.Host {
			t.Errorf("%s: simulated: %v, of the host: %v", d.ID, ok, d.Host)
		}
		if !ok {
			continue
		}
		t.Run(string(d.ID), func(t *testing.T) {
			for seed := uint64(1); seed <= most; seed++ {
				if r := scenario.Plan(seed, d.ID).Run(); r.Failure != nil {
					t.Logf("run %d, %d steps: %v", seed, r.Steps, r.Failure)
					return
				}
			}
			t.Errorf("%q was not found in %d runs", d.Wrong, most)
		})
	}
}

// TestClocksBeyondBoundBreakOnlyLeases: with clocks that go wrong without limit, leases give stale reads, and nothing else
// goes wrong; reads by read index or through the log do not depend on clocks at all.
func TestClocksBeyondBoundBreakOnlyLeases(t *testing.T) {
	clocks := mix(120*ms, 600*ms, sim.FastClock, 4, sim.ClockStep, 2, sim.Isolate, 4, sim.Kill, 1)
	stale := 0
	for seed := *firstSeed; seed < *firstSeed+max(*runs, 100); seed++ {
		p := NewPlan(seed, clocks, "")
		if seed%2 == 0 {
			slowLeaders(&p)
		}
		r := p.Run()
		switch {
		case r.Failure == nil:
		case p.Config.Reads == paxos.ReadLease && strings.HasPrefix(r.Failure.Err.Error(), "reads: "):
			stale++
		default:
			report(t, p, r)
		}
	}
	if stale == 0 {
		t.Error("no lease gave a stale read: the faults do not reach beyond the bound")
	}
	t.Logf("%d runs had stale reads under a lease", stale)
}

// slowLeaders slows each leader's clock, so that it believes in its lease for longer than others do, and isolates it.
func slowLeaders(p *Plan) {
	for at := 500 * ms; at < p.Config.Until-time.Second; at += time.Second {
		p.Faults = append(p.Faults,
			sim.Fault{At: at, For: 900 * ms, Kind: sim.FastClock, Amount: 0.2},
			sim.Fault{At: at + 50*ms, For: 800 * ms, Kind: sim.Isolate})
	}
}

func TestSameSeedTakesSameSteps(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		a, b := NewPlan(seed, Everything(), "").Run(), NewPlan(seed, Everything(), "").Run()
		if a != b {
			t.Fatalf("seed %d: %+v and %+v", seed, a, b)
		}
	}
}

func TestFailureShrinks(t *testing.T) {
	scenario, _ := ScenarioOf(defect.R19)
	for seed := uint64(1); ; seed++ {
		p := scenario.Plan(seed, defect.R19)
		r := p.Run()
		if r.Failure == nil || len(p.Faults) < 5 {
			continue
		}
		small := Shrink(p)
		again := small.Run()
		if again.Failure == nil {
			t.Fatalf("seed %d: the shrunk run does not fail", seed)
		}
		if len(small.Faults) >= len(p.Faults) || small.Config.Clients > p.Config.Clients {
			t.Fatalf("seed %d: %d faults, and %d after it was shrunk", seed, len(p.Faults), len(small.Faults))
		}
		t.Log(Explain(p, r))
		return
	}
}

// BenchmarkFiveNodes measures simulated seconds per second of one core: five nodes, five clients, mixed faults.
func BenchmarkFiveNodes(b *testing.B) {
	var simulated time.Duration
	var steps int
	for i := 0; b.Loop(); i++ {
		p := NewPlan(uint64(i), Everything(), "")
		p.Config.Nodes, p.Config.Clients, p.Config.Think = 5, 5, 20*time.Millisecond
		p.Encode = false
		r := p.Run()
		if r.Failure != nil {
			b.Fatal(r.Failure)
		}
		simulated += r.Time
		steps += r.Steps
	}
	b.ReportMetric(simulated.Seconds()/b.Elapsed().Seconds(), "simulated-s/s")
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
}

var (
	_ core.Core = (*client)(nil)
	_ core.Core = (*paxos.Core)(nil)
)
