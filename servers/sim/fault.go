package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"nemesis/servers/core"
)

// Kind is what a Fault does.
type Kind string

// Kinds of faults. Models may have more of their own.
const (
	Kill      Kind = "kill"       // the process ends; what it wrote stays
	Power     Kind = "power"      // the process ends; what was not synced is lost, or a part of it, or torn
	PowerAll  Kind = "power-all"  // Power for every node at once
	DiskPower Kind = "disk-power" // Power at one of the next Amount operations on the disk
	Pause     Kind = "pause"      // the process stops and goes on
	Cut       Kind = "cut"        // messages from Node to Other are lost
	Isolate   Kind = "isolate"    // messages from and to Node are lost, but for clients
	Split     Kind = "split"      // Amount, as a mask of nodes, cannot talk to the rest
	Loss      Kind = "loss"       // a share Amount of all messages is lost
	Double    Kind = "double"     // a share Amount of all messages comes twice
	Replay    Kind = "replay"     // a share Amount of all messages comes again later
	Slow      Kind = "slow"       // messages take up to Amount times longer
	SlowDisk  Kind = "slow-disk"  // syncs of Node take Amount times longer
	FullDisk  Kind = "full-disk"  // writes of Node fail
	NoFiles   Kind = "no-files"   // Node is killed, and cannot read files when it starts again
	Rate      Kind = "rate"       // Node's clock takes another rate within the declared bound
	FastClock Kind = "fast-clock" // Node's clock goes Amount times as fast as it should: beyond the bound
	ClockStep Kind = "clock-step" // Node's clock jumps by Amount seconds, forth or back: beyond the bound
	WallBack  Kind = "wall-back"  // Node's wall clock goes back by Amount seconds; 0 for all nodes
	Flip      Kind = "flip"       // a bit on Node's disk flips while it is down
)

// Fault is something that goes wrong at a time.
type Fault struct {
	At     time.Duration
	For    time.Duration
	Kind   Kind
	Node   core.Address // 0 is the leader
	Other  core.Address
	Amount float64
}

// String says what goes wrong in one line.
func (f Fault) String() string {
	target := fmt.Sprint(f.Node)
	if f.Node == 0 {
		target = "leader"
	}
	return fmt.Sprintf("%v +%v %s %s %d %.3g", f.At.Round(time.Millisecond), f.For.Round(time.Millisecond), f.Kind, target, f.Other, f.Amount)
}

// Mix is what schedules are made of: each kind with its weight.
type Mix struct {
	Weights map[Kind]int
	Order   []Kind        // the kinds of Weights, for a deterministic choice
	Every   time.Duration // from one fault to the next, on average
	Longest time.Duration // of one fault
	Aimed   float64       // share of faults that aim at the leader
}

// Schedule makes faults from a seed. All end by until.
func Schedule(seed uint64, mix Mix, nodes []core.Address, until time.Duration) []Fault {
	rng := rand.New(rand.NewPCG(seed, 0xfa17))
	if len(mix.Order) == 0 {
		return nil
	}
	total := 0
	for _, k := range mix.Order {
		total += mix.Weights[k]
	}
	var faults []Fault
	for at := time.Duration(rng.Int64N(int64(mix.Every))); at < until && total > 0; at += time.Duration(rng.Int64N(int64(2*mix.Every)) + 1) {
		pick := rng.IntN(total)
		var kind Kind
		for _, k := range mix.Order {
			if pick -= mix.Weights[k]; pick < 0 {
				kind = k
				break
			}
		}
		f := Fault{At: at, Kind: kind, Node: nodes[rng.IntN(len(nodes))], Other: nodes[rng.IntN(len(nodes))]}
		f.For = min(time.Duration(rng.Int64N(int64(mix.Longest)))+10*time.Millisecond, until-at)
		if rng.Float64() < mix.Aimed {
			f.Node = 0
		}
		switch kind {
		case Split:
			f.Amount = float64(1 + rng.IntN(1<<len(nodes)-2))
		case Loss, Double:
			f.Amount = 0.02 + 0.3*rng.Float64()
		case Replay:
			f.Amount = 0.02 + 0.1*rng.Float64()
		case Slow:
			f.Amount = 5 + 100*rng.Float64()
		case SlowDisk:
			f.Amount = 5 + 60*rng.Float64()
		case DiskPower:
			f.Amount = float64(1 + rng.IntN(12))
		case FastClock:
			f.Amount = []float64{0.2, 0.5, 2, 4}[rng.IntN(4)]
		case ClockStep:
			f.Amount = 20*rng.Float64() - 10
		case WallBack:
			f.Amount = 1 + 120*rng.Float64()
		}
		faults = append(faults, f)
	}
	return faults
}

// begin makes the fault take effect, and sees to its end.
func (w *world) begin(f *Fault) {
	n := w.nodes[f.Node]
	if f.Node == 0 {
		if n = w.nodes[w.model.Leader()]; n == nil {
			n = w.nodes[w.order[w.rng.IntN(len(w.order))]]
		}
	}
	if n == nil {
		return
	}
	w.note(n, 0, nil, "fault: "+f.String())
	ends := func(undo func()) { w.push(event{at: w.now + f.For, kind: faultEnds, undo: undo}) }
	cut := func(from, to core.Address) {
		l := link{from, to}
		w.net.cut[l]++
		ends(func() { w.net.cut[l]-- })
	}
	switch f.Kind {
	case Kill, Power:
		w.crash(n, f.Kind == Power)
		w.restartIn(n, f.For)
	case PowerAll:
		for _, a := range w.order {
			w.crash(w.nodes[a], true)
			w.restartIn(w.nodes[a], f.For)
		}
	case DiskPower:
		n.disk.loseIn = int(f.Amount)
	case Pause:
		n.paused = true
		life := n.life
		ends(func() { w.resume(n, life) })
	case Cut:
		if n.address != f.Other {
			cut(n.address, f.Other)
		}
	case Isolate:
		for _, a := range w.order {
			if a != n.address {
				cut(a, n.address)
				cut(n.address, a)
			}
		}
	case Split:
		for i, a := range w.order {
			for j, b := range w.order {
				if mask := int(f.Amount); mask>>i&1 != mask>>j&1 {
					cut(a, b)
				}
			}
		}
	case Loss:
		w.net.lossAll = f.Amount
		ends(func() { w.net.lossAll = 0 })
	case Double:
		w.net.double = f.Amount
		ends(func() { w.net.double = 0 })
	case Replay:
		w.net.replay = f.Amount
		ends(func() { w.net.replay = 0 })
	case Slow:
		w.net.slow = f.Amount
		ends(func() { w.net.slow = 0 })
	case SlowDisk:
		n.syncBy = f.Amount
		ends(func() { n.syncBy = 1 })
	case FullDisk:
		n.disk.full = true
		ends(func() { n.disk.full = false })
	case NoFiles:
		w.crash(n, false)
		n.disk.closed = true
		w.restartIn(n, f.For/2)
		ends(func() { n.disk.closed = false })
	case Rate:
		w.drift(n, 1)
	case FastClock:
		n.clock.set(w.now, f.Amount, 0)
		w.reschedule(n)
		ends(func() {
			n.clock.set(w.now, 1, 0)
			w.reschedule(n)
		})
	case ClockStep:
		n.clock.set(w.now, n.clock.rate, time.Duration(f.Amount*float64(time.Second)))
		w.reschedule(n)
	case WallBack:
		for _, a := range w.order {
			if f.Other != 0 && a != n.address {
				continue
			}
			w.nodes[a].clock.wall -= time.Duration(f.Amount * float64(time.Second))
		}
	case Flip:
		w.crash(n, false)
		n.disk.flip(w.rng)
		n.flipped = true
		w.restartIn(n, f.For)
	default:
		for _, a := range w.model.Change(*f) {
			if w.nodes[a] == nil {
				w.addNode(a)
			}
		}
	}
}

// reschedule puts the node's tick where its deadline now is.
func (w *world) reschedule(n *node) {
	n.tickAt = -1
	if n.up && !n.paused {
		w.schedule(n)
	}
}

func (w *world) resume(n *node, life int) {
	if n.life != life || !n.paused {
		return
	}
	n.paused = false
	backlog := n.backlog
	n.backlog = nil
	for _, e := range backlog {
		if n.up && n.life == life {
			e.at = w.now
			w.handle(e)
		}
	}
	if n.up {
		w.reschedule(n)
	}
}

// heal ends every fault and starts every node but those that stay down.
func (w *world) heal() {
	w.healed = true
	for l := range w.net.cut {
		w.net.cut[l] = -1 << 30 // those that end later count down from there
	}
	w.net.lossAll, w.net.double, w.net.replay, w.net.slow = 0, 0, 0, 0
	for _, a := range w.order {
		n := w.nodes[a]
		n.disk.full, n.disk.closed, n.disk.loseIn, n.syncBy = false, false, 0, 1
		w.resume(n, n.life)
		if slices.Contains(w.opt.KeepDown, a) {
			w.crash(n, false)
			n.dead = true
		}
		if !n.up && !n.dead {
			w.start(n)
		}
		n.clock.set(w.now, 1, 0)
		w.drift(n, 1)
		w.reschedule(n)
	}
	w.model.Healed(w.now)
	w.push(event{at: w.now + 20*time.Millisecond, kind: checks})
}
