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

const ms = time.Millisecond

// ScenarioOf returns the minimal fault of a defect, as simulation has it. Defects of a host's sockets have none.
func ScenarioOf(d defect.ID) (Scenario, bool) {
	switch d {
	case defect.R01, defect.R03:
		return Scenario{Adjust: oldLeaderComesBack}, true
	case defect.R02, defect.R35:
		return Scenario{Mix: mix(300*ms, 200*ms, sim.PowerAll, 1), Adjust: slowDisks}, true
	case defect.R04:
		return Scenario{Adjust: twoCandidates}, true
	case defect.R05, defect.R09:
		return Scenario{Adjust: leadersInTurn}, true
	case defect.R06:
		return Scenario{Mix: mix(50*ms, 200*ms, sim.Kill, 2, sim.Cut, 6, sim.Isolate, 2)}, true
	case defect.R07:
		return Scenario{Mix: mix(300*ms, 1500*ms, sim.Split, 1), Adjust: nodes(4)}, true
	case defect.R08:
		return Scenario{Mix: mix(60*ms, 300*ms, sim.Double, 4, sim.Isolate, 4, sim.Split, 2)}, true
	case defect.R10, defect.R12:
		return Scenario{Mix: mix(150*ms, 1200*ms, sim.Isolate, 4, sim.Kill, 2)}, true
	case defect.R11:
		return Scenario{Mix: mix(150*ms, 1200*ms, sim.Isolate, 3, sim.Replay, 3, sim.Slow, 2)}, true
	case defect.R13, defect.R14:
		return Scenario{Mix: mix(200*ms, 400*ms, sim.Kill, 2, sim.Replay, 2)}, true
	case defect.R15:
		return Scenario{Mix: mix(150*ms, 600*ms, sim.Slow, 3, sim.SlowDisk, 3), Adjust: func(p *Plan) { p.Config.GiveUp, p.Config.Retry = 0.5, 60*ms }}, true
	case defect.R16, defect.R18, defect.R19:
		return Scenario{Mix: mix(150*ms, 900*ms, sim.Isolate, 4, sim.Kill, 1)}, true
	case defect.R17:
		return Scenario{Mix: mix(100*ms, 900*ms, sim.Isolate, 4, sim.WallBack, 2), Adjust: func(p *Plan) { p.Config.Reads = paxos.ReadLease }}, true
	case defect.R20, defect.R37:
		return Scenario{Mix: mix(80*ms, 400*ms, sim.Cut, 4, sim.Isolate, 4, sim.Kill, 2)}, true
	case defect.R21, defect.R22, defect.R30:
		return Scenario{Mix: mix(300*ms, 300*ms, sim.Kill, 1)}, true
	case defect.R23:
		return Scenario{Adjust: apart}, true
	case defect.R24:
		return Scenario{Mix: mix(100*ms, 900*ms, sim.Kill, 1), Adjust: lossy}, true
	case defect.R27:
		return Scenario{Mix: mix(150*ms, 900*ms, sim.Loss, 3, sim.Kill, 1)}, true
	case defect.R25:
		return Scenario{Mix: mix(400*ms, 100*ms, sim.WallBack, 1)}, true
	case defect.R26:
		return Scenario{Mix: mix(300*ms, 300*ms, sim.Kill, 1), Adjust: func(p *Plan) { p.KeepDown = []core.Address{1} }}, true
	case defect.R31, defect.R32:
		return Scenario{Mix: mix(100*ms, 200*ms, sim.Power, 3, sim.PowerAll, 2, sim.SlowDisk, 1)}, true
	case defect.R33, defect.R36:
		return Scenario{Mix: mix(60*ms, 200*ms, sim.DiskPower, 1)}, true
	case defect.R34:
		return Scenario{Mix: mix(150*ms, 300*ms, sim.NoFiles, 1)}, true
	case defect.R38:
		return Scenario{Mix: mix(100*ms, 900*ms, RemoveNode, 2, AddNode, 1, sim.Split, 4, sim.Isolate, 3), Adjust: nodes(5)}, true
	case defect.R39:
		return Scenario{Mix: mix(200*ms, 900*ms, sim.Pause, 3, sim.Isolate, 1)}, true
	}
	return Scenario{}, false
}

// nodes fixes the number of nodes.
func nodes(n int) func(*Plan) {
	return func(p *Plan) {
		mix := p.mix
		p.Config.Nodes, p.KeepDown = n, nil
		p.Faults = sim.Schedule(p.Seed, mix, addresses(n), p.Config.Until)
	}
}

// apart keeps all nodes from each other for a minute.
func apart(p *Plan) {
	p.Config.Until = time.Minute
	p.Config.Think = 500 * ms
	for _, a := range addresses(p.Config.Nodes) {
		p.Faults = append(p.Faults, sim.Fault{At: 500 * ms, For: p.Config.Until - 500*ms, Kind: sim.Isolate, Node: a})
	}
}

// oldLeaderComesBack cuts nodes 1 and 2 off from node 3, which leads in a third of the seeds; node 1 restarts when it may just
// have promised node 2, whose proposals it does not get for a while, and hears of node 3 again.
func oldLeaderComesBack(p *Plan) {
	nodes(3)(p)
	slowDisks(p)
	rng := rand.New(rand.NewPCG(p.Seed, 0x01d))
	for at := 500 * ms; at < p.Config.Until-900*ms; at += 900 * ms {
		elected := at + 250*ms + time.Duration(rng.IntN(200))*ms
		add := func(at, length time.Duration, kind sim.Kind, node, other core.Address) {
			p.Faults = append(p.Faults, sim.Fault{At: at, For: length, Kind: kind, Node: node, Other: other})
		}
		add(at, 800*ms, sim.Cut, 3, 2)
		add(at, 800*ms, sim.Cut, 2, 3)
		add(at, elected-at, sim.Cut, 3, 1)
		add(at, elected-at, sim.Cut, 1, 3)
		add(elected, 5*ms, sim.Power, 1, 0)
		add(elected-time.Duration(rng.IntN(20))*ms, 150*ms, sim.Cut, 2, 1)
	}
}

// twoCandidates lets nodes 1 and 2 lose their leader while they cannot hear each other, so that both ask node 3.
func twoCandidates(p *Plan) {
	nodes(3)(p)
	rng := rand.New(rand.NewPCG(p.Seed, 0x2ca))
	for at := 500 * ms; at < p.Config.Until-900*ms; at += 900 * ms {
		p.Faults = append(p.Faults,
			sim.Fault{At: at, For: 800 * ms, Kind: sim.Cut, Node: 1, Other: 2},
			sim.Fault{At: at, For: 800 * ms, Kind: sim.Cut, Node: 2, Other: 1},
			sim.Fault{At: at, For: time.Duration(250+rng.IntN(200)) * ms, Kind: sim.Isolate, Node: 3})
	}
}

// leadersInTurn is figure 8 of the Raft paper (Ongaro and Ousterhout, 2014): nodes 1 and 5 lead in turn, and a vote of node 2 for what
// node 1 proposed first is all that its second term adds to.
func leadersInTurn(p *Plan) {
	nodes(5)(p)
	p.Config.View = 60 * ms
	p.Config.Think = 2 * ms
	rng := rand.New(rand.NewPCG(p.Seed, 0xf18))
	for at := 200 * ms; at < p.Config.Until-1000*ms; {
		for _, phase := range []struct {
			leader      int
			reach, tail []int
		}{{1, []int{2, 3}, []int{3}}, {5, []int{4, 3}, []int{4, 3}}, {1, []int{2, 3}, []int{2}}, {5, []int{4, 2}, nil}} {
			length := time.Duration(150+rng.IntN(60)) * ms
			p.star(at, length, phase.leader, phase.reach, phase.tail, time.Duration(10+rng.IntN(80))*ms)
			at += length
		}
	}
}

// star cuts all links but those between the leader and the nodes it reaches; for the last time, tail, nothing that the leader
// sends reaches those of late.
func (p *Plan) star(at, length time.Duration, leader int, reach, late []int, tail time.Duration) {
	cut := func(at, length time.Duration, from, to int) {
		p.Faults = append(p.Faults, sim.Fault{At: at, For: length, Kind: sim.Cut, Node: core.Address(from), Other: core.Address(to)})
	}
	for a := 1; a <= p.Config.Nodes; a++ {
		for b := 1; b <= p.Config.Nodes; b++ {
			linked := a == leader && slices.Contains(reach, b) || b == leader && slices.Contains(reach, a)
			if a != b && !linked {
				cut(at, length, a, b)
			}
		}
	}
	for _, n := range late {
		cut(at+length-tail, tail, leader, n)
	}
}

// slowDisks makes all disks slow, so that much is unsynced at any time.
func slowDisks(p *Plan) {
	for _, a := range addresses(p.Config.Nodes) {
		p.Faults = append(p.Faults, sim.Fault{For: p.Config.Until, Kind: sim.SlowDisk, Node: a, Amount: 30})
	}
}

// lossy loses half of the messages, with as few nodes as make a quorum.
func lossy(p *Plan) {
	nodes(3)(p)
	p.KeepDown = addresses(1)
	p.Faults = append(p.Faults, sim.Fault{For: p.Config.Until, Kind: sim.Loss, Amount: 0.5}, sim.Fault{For: p.Config.Until, Kind: sim.Kill, Node: 1})
}
