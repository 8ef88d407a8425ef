package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/shardkv"
	"nemesis/servers/sim"
)

// Plan is one run: what it does follows from it alone.
type Plan struct {
	Seed   uint64
	Config Config
	Faults []sim.Fault
	Encode bool
	Trace  int

	mix    sim.Mix // that Faults were made of
	tamper func(*core.Output)
}

// Everything is the mix of all faults that a store withstands, with moves, splits and merges.
func Everything() sim.Mix {
	return mix(250*ms, 900*ms,
		sim.Kill, 2, sim.Power, 2, sim.PowerAll, 2, sim.DiskPower, 2, sim.Pause, 2, sim.Cut, 2, sim.Isolate, 2, sim.Split, 2, sim.Loss, 2, sim.Double, 2,
		sim.Replay, 2, sim.Slow, 2, sim.SlowDisk, 2, sim.FullDisk, 2, sim.NoFiles, 2, sim.Rate, 2, sim.WallBack, 2, Move, 8, Split, 2, Merge, 2, Stray, 1)
}

// mix makes a sim.Mix of kinds with their weights.
func mix(every, longest time.Duration, pairs ...any) sim.Mix {
	m := sim.Mix{Weights: map[sim.Kind]int{}, Every: every, Longest: longest, Aimed: 0.15}
	for i := 0; i < len(pairs); i += 2 {
		kind := pairs[i].(sim.Kind)
		m.Order = append(m.Order, kind)
		m.Weights[kind] = pairs[i+1].(int)
	}
	return m
}

// NewPlan makes a plan from a seed: clusters of 3 to 5 nodes, 1 to 3 replicas, and faults of the mix.
func NewPlan(seed uint64, m sim.Mix, d defect.ID) Plan {
	rng := rand.New(rand.NewPCG(seed, 0x5a))
	cfg := Config{
		Nodes:   3 + rng.IntN(3),
		Factor:  1 + rng.IntN(3),
		Splits:  [][]string{nil, {"b"}, {"b", "\xc3"}}[rng.IntN(3)],
		Clients: 2 + rng.IntN(3),
		Lease:   shardkv.Lease{Length: 300 * ms, ClockError: 30 * ms, Retry: 60 * ms},
		View:    250 * ms,
		Think:   20 * ms,
		Until:   time.Duration(2000+rng.IntN(2000)) * ms,
		Defect:  d, CopyBytes: 60,
	}
	p := Plan{Seed: seed, Config: cfg, Encode: rng.IntN(6) == 0, mix: m}
	p.schedule()
	return p
}

// schedule makes the faults of the plan's mix.
func (p *Plan) schedule() {
	p.Faults = sim.Schedule(p.Seed, p.mix, addresses(p.Config.Nodes), p.Config.Until)
	for i := range p.Faults {
		switch p.Faults[i].Kind {
		case Move, Split, Merge, Stray:
			p.Faults[i].Amount = float64(i) // picks the key
		}
	}
}

// Run runs the plan.
func (p Plan) Run() sim.Result {
	m, err := newModel(p.Config, p.Seed)
	if err != nil {
		return sim.Result{Failure: &sim.Failure{Err: err}}
	}
	m.tamper = p.tamper
	return sim.Run(m, sim.Options{
		Seed: p.Seed, Faults: p.Faults, Until: p.Config.Until, Encode: p.Encode, Trace: p.Trace,
		ClockError: p.Config.Lease.ClockError, ClockSpan: p.Config.Lease.Length,
	})
}

// addresses are those of the first n nodes.
func addresses(n int) []core.Address {
	all := make([]core.Address, n)
	for i := range all {
		all[i] = core.Address(i + 1)
	}
	return all
}

// Explain shrinks a failed run and tells what happened in it.
func Explain(p Plan, r sim.Result) string {
	small := p
	small.Faults = sim.Shrink(p.Faults, func(faults []sim.Fault) bool {
		q := p
		q.Faults = faults
		return q.Run().Failure != nil
	})
	small.Trace = 50
	again := small.Run()
	if again.Failure == nil {
		return r.Failure.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%v\nshrunk: %v\n%d nodes, %d replicas, %d clients, shards from %q on, faults:\n",
		r.Failure, again.Failure, p.Config.Nodes, p.Config.Factor, p.Config.Clients, p.Config.Splits)
	for _, f := range small.Faults {
		fmt.Fprintf(&b, "  %v\n", f)
	}
	fmt.Fprintf(&b, "last steps (time, node, what it took in):\n")
	for _, s := range again.Failure.Steps {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	return b.String()
}
