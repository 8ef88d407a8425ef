package simulation

import (
	"flag"
	"testing"
)

var (
	firstSeed = flag.Uint64("seed", 1, "first seed")
	runs      = flag.Uint64("runs", 60, "number of simulated runs")
)

func TestNoAlarmWithoutDefect(t *testing.T) {
	mix := Everything()
	var steps int
	for seed := *firstSeed; seed < *firstSeed+*runs; seed++ {
		p := NewPlan(seed, mix, "")
		r := p.Run()
		steps += r.Steps
		if r.Failure != nil {
			t.Errorf("seed %d: %v", seed, r.Failure)
			for _, f := range p.Faults {
				t.Log(f)
			}
			for _, s := range r.Failure.Steps {
				t.Log(s)
			}
			t.FailNow()
		}
	}
	t.Logf("%d runs, %d steps", *runs, steps)
}
