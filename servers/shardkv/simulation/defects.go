package simulation

import (
	"math/rand/v2"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/sim"
)

// Scenario is the fault under which simulation finds a defect.
type Scenario struct {
	Mix    sim.Mix
	Adjust func(*Plan) // nil leaves the plan as the mix makes it
}

// Plan makes the scenario's run of a seed, with or without the defect.
func (s Scenario) Plan(seed uint64, d defect.ID) Plan {
	p := NewPlan(seed, s.Mix, d)
	if s.Adjust != nil {
		s.Adjust(&p)
	}
	return p
}

// ScenarioOf returns the minimal fault of a defect, as simulation has it; false if it knows none.
func ScenarioOf(d defect.ID) (Scenario, bool) {
	switch d {
	case defect.K01:
		return Scenario{Mix: mix(200*ms, 900*ms, sim.Isolate, 1), Adjust: replicas(2)}, true
	case defect.K02:
		return Scenario{Mix: mix(300*ms, 900*ms, sim.Pause, 1), Adjust: replicas(2)}, true
	case defect.K03:
		return Scenario{Mix: mix(150*ms, 900*ms, sim.Isolate, 3, sim.Rate, 3), Adjust: replicas(2)}, true
	case defect.K04:
		return Scenario{Mix: mix(200*ms, 500*ms, sim.Isolate, 1), Adjust: wallForth}, true
	case defect.K05:
		return Scenario{Mix: mix(150*ms, 900*ms, sim.Isolate, 3, sim.WallBack, 2), Adjust: replicas(2)}, true
	case defect.K06:
		return Scenario{Mix: mix(100*ms, 900*ms, sim.Isolate, 3, sim.Slow, 3), Adjust: goodClocks}, true
	case defect.K07:
		return Scenario{Mix: mix(150*ms, 60*ms, sim.Kill, 1), Adjust: longLeases}, true
	case defect.K08:
		return Scenario{Mix: mix(150*ms, 900*ms, sim.Isolate, 3, sim.Replay, 3), Adjust: replayMost}, true
	case defect.K09:
		return Scenario{Mix: mix(200*ms, 500*ms, sim.Isolate, 3, sim.Pause, 3), Adjust: replicas(2)}, true
	case defect.K10:
		return Scenario{Adjust: isolateHolders}, true
	case defect.K11:
		return Scenario{Mix: mix(300*ms, 900*ms, sim.Kill, 2, Move, 2), Adjust: replicas(2)}, true
	case defect.K12, defect.K13, defect.K15, defect.K20, defect.K21:
		return Scenario{Mix: mix(120*ms, 600*ms, Move, 4, sim.Replay, 2, sim.Slow, 2)}, true
	case defect.K14:
		return Scenario{Mix: mix(100*ms, 100*ms, Move, 4, sim.Power, 2), Adjust: slowDisks}, true
	case defect.K16:
		return Scenario{Mix: mix(300*ms, 900*ms, Stray, 1)}, true
	case defect.K17, defect.K18:
		return Scenario{Mix: mix(300*ms, 300*ms, Split, 1)}, true
	case defect.K19:
		return Scenario{Mix: mix(200*ms, 300*ms, Move, 1)}, true
	case defect.K22, defect.K26:
		return Scenario{Mix: mix(250*ms, 300*ms, Move, 1)}, true
	case defect.K23:
		return Scenario{Mix: mix(150*ms, 900*ms, Move, 3, sim.Loss, 3)}, true
	case defect.K24:
		return Scenario{Mix: mix(300*ms, 200*ms, sim.Kill, 1), Adjust: replicas(2)}, true
	case defect.K25:
		return Scenario{Mix: mix(120*ms, 600*ms, Move, 4, sim.Slow, 2), Adjust: func(p *Plan) { p.Config.CopyBytes = 12 }}, true
	case defect.K27:
		return Scenario{Mix: mix(200*ms, 900*ms, sim.SlowDisk, 1)}, true
	case defect.K28:
		return Scenario{Mix: mix(250*ms, 100*ms, sim.Kill, 1), Adjust: longLeases}, true
	}
	return Scenario{}, false
}

// replicas fixes how many nodes have each shard.
func replicas(n int) func(*Plan) {
	return func(p *Plan) {
		p.Config.Factor = n
	}
}

// goodClocks makes the clocks' error small beside what a message may take.
func goodClocks(p *Plan) {
	p.Config.Factor = 2
	p.Config.Lease.ClockError = 3 * ms
}

// replayMost has most messages come again.
func replayMost(p *Plan) {
	p.Config.Factor = 2
	for i := range p.Faults {
		if p.Faults[i].Kind == sim.Replay {
			p.Faults[i].Amount = 0.8
		}
	}
}

// isolateHolders cuts one node after another off from the others, though not from clients, for little longer than until another
// has its shards.
func isolateHolders(p *Plan) {
	p.Config.Factor, p.Config.Clients = 2, 4
	rng := rand.New(rand.NewPCG(p.Seed, 0x150))
	turn := p.Config.Lease.Length + p.Config.Lease.ClockError
	for at := 600 * ms; at < p.Config.Until-700*ms; at += 700 * ms {
		node := core.Address(1 + rng.IntN(p.Config.Nodes))
		p.Faults = append(p.Faults, sim.Fault{At: at, For: turn + time.Duration(rng.IntN(150))*ms, Kind: sim.Isolate, Node: node})
	}
}

// longLeases makes leases last longer than it takes to elect a leader, and aims every fault at the one there is.
func longLeases(p *Plan) {
	p.Config.Factor = 2
	p.Config.Lease.Length, p.Config.Lease.ClockError = 1500*ms, 100*ms
	for i := range p.Faults {
		p.Faults[i].Node = 0
	}
}

// wallForth has wall clocks jump forward by some leases.
func wallForth(p *Plan) {
	p.Config.Factor = 2
	rng := rand.New(rand.NewPCG(p.Seed, 0x4a11))
	for at := 600 * ms; at < p.Config.Until; at += 400 * ms {
		p.Faults = append(p.Faults, sim.Fault{At: at, For: ms, Kind: sim.WallBack, Other: 1, Amount: -0.4 - rng.Float64()})
	}
}

// slowDisks makes the disks of stores slow, so that much is unsynced at any time.
func slowDisks(p *Plan) {
	p.Config.Nodes = max(p.Config.Nodes, 4)
	p.schedule()
	for a := core.Address(grantors + 1); a <= core.Address(p.Config.Nodes); a++ {
		p.Faults = append(p.Faults, sim.Fault{For: p.Config.Until, Kind: sim.SlowDisk, Node: a, Amount: 60})
	}
	for i := range p.Faults {
		if f := &p.Faults[i]; f.Kind == Move || f.Kind == sim.Power {
			f.Node = core.Address(p.Config.Nodes)
			f.For = min(f.For, 50*time.Millisecond)
		}
	}
}
