package simulation

import (
	"math/rand/v2"
	"slices"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/paxos"
	"nemesis/servers/sim"
)

// Everything is the mix of all faults that a group withstands.
func Everything() sim.Mix {
	return mix(400*time.Millisecond, 1200*time.Millisecond,
		sim.Kill, 3, sim.Power, 4, sim.PowerAll, 1, sim.DiskPower, 2, sim.Pause, 3, sim.Cut, 4, sim.Isolate, 4, sim.Split, 4, sim.Loss, 2,
		sim.Double, 2, sim.Replay, 2, sim.Slow, 2, sim.SlowDisk, 2, sim.FullDisk, 1, sim.NoFiles, 1, sim.Rate, 1, sim.WallBack, 2,
		AddNode, 1, RemoveNode, 1)
}

// mix makes a sim.Mix of kinds with their weights.
func mix(every, longest time.Duration, pairs ...any) sim.Mix {
	m := sim.Mix{Weights: map[sim.Kind]int{}, Every: every, Longest: longest, Aimed: 0.35}
	for i := 0; i < len(pairs); i += 2 {
		kind := pairs[i].(sim.Kind)
		m.Order = append(m.Order, kind)
		m.Weights[kind] = pairs[i+1].(int)
	}
	return m
}

// Plan is one run: what it does follows from it alone.
type Plan struct {
	Seed    uint64
	Config  Config
	Faults  []sim.Fault
	Encode  bool
	Trace   int
	Network time.Duration // delay of messages on average
	// KeepDown are nodes that stay down after the faults: fewer than half.
	KeepDown []core.Address

	mix sim.Mix // that Faults were made of
}

// NewPlan makes a plan from a seed: groups of 3 to 5 nodes, all ways to read, and faults of the mix.
func NewPlan(seed uint64, m sim.Mix, d defect.ID) Plan {
	rng := rand.New(rand.NewPCG(seed, 0x91a2))
	cfg := Config{
		Nodes:   []int{3, 3, 4, 5, 5}[rng.IntN(5)],
		Clients: 2 + rng.IntN(5),
		Reads:   paxos.ReadMode(rng.IntN(3)),
		Window:  []int{4, 8, 16}[rng.IntN(3)],
		Defect:  d,
		Until:   time.Duration(2000+rng.IntN(4000)) * time.Millisecond,
		GiveUp:  []float64{0, 0.3}[rng.IntN(2)],
		Think:   time.Duration(1+rng.IntN(30)) * time.Millisecond,
		Retry:   time.Duration(60+rng.IntN(300)) * time.Millisecond,
	}
	if rng.IntN(5) == 0 {
		cfg.MaxSessions = 2 + rng.IntN(3)
	}
	p := Plan{Seed: seed, mix: m, Config: cfg, Encode: rng.IntN(8) == 0, Network: []time.Duration{time.Millisecond, 3 * time.Millisecond}[rng.IntN(2)]}
	nodes := addresses(cfg.Nodes)
	p.Faults = sim.Schedule(seed, m, nodes, cfg.Until)
	if rng.IntN(4) == 0 {
		p.KeepDown = nodes[:(cfg.Nodes-1)/2]
		p.Faults = slices.DeleteFunc(p.Faults, func(f sim.Fault) bool { return f.Kind == AddNode || f.Kind == RemoveNode })
	}
	return p
}

// Run runs the plan.
func (p Plan) Run() sim.Result {
	m, err := newModel(p.Config, p.Seed)
	if err != nil {
		return sim.Result{Failure: &sim.Failure{Err: err}}
	}
	o := m.options(1)
	return sim.Run(m, sim.Options{
		Seed: p.Seed, Faults: p.Faults, Until: p.Config.Until, Encode: p.Encode, Delay: p.Network, Trace: p.Trace, KeepDown: p.KeepDown,
		ClockError: o.ClockError, ClockSpan: o.Lease, Defect: p.Config.Defect,
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
