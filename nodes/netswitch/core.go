package netswitch

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"
)

// mostHeld is how many packets are held at once; more are lost. It is that of the kernel's
// emulator in this program: what is lost is lost by request, and yet memory is bounded.
const mostHeld = 20_000

// Core decides what becomes of each packet to one of some peers. Times are since the switch was
// opened. It is not safe for concurrent use.
type Core struct {
	rule  Rule
	plain bool
	peers map[netip.Addr]*peer
	held  queue
	order uint64
	free  [][]byte
}

// Delivery is a packet that is to be sent now: to the peer To, or Back to this node.
type Delivery struct {
	Bytes []byte
	To    netip.Addr
	Back  bool
	peer  *peer
}

// peer is the way to one address.
type peer struct {
	addr   netip.Addr
	rng    *rand.Rand
	counts Counts
	// bad: the last packet was lost in a burst that may go on.
	bad bool
	// free is when the last packet will have left, where the rate is limited.
	free time.Duration
	// overdue is how many are held back, so that one that is not overtakes.
	overdue int
	lastJam time.Duration
	connections
}

// New is a Core for a rule that is right, with nothing held. Each peer has a sequence of random
// numbers of its own, which follows from the seed and the peer's place in the list.
func New(rule Rule, peers []netip.Addr, seed uint64) *Core {
	c := &Core{rule: rule, plain: rule.passes(), peers: map[netip.Addr]*peer{}}
	for i, a := range peers {
		a = a.Unmap()
		c.peers[a] = &peer{addr: a, rng: rand.New(rand.NewPCG(seed, uint64(i))), connections: connections{known: map[ports]fate{}}}
	}
	return c
}

// Counts are the decisions so far, by peer.
func (c *Core) Counts() map[netip.Addr]Counts {
	out := map[netip.Addr]Counts{}
	for a, p := range c.peers {
		counts := p.counts
		counts.Waiting = int64(p.overdue)
		out[a] = counts
	}
	return out
}

// Take decides about a packet. pass: it is to be sent on now, as it is. Otherwise Due gives
// what is left of it; the bytes are the caller's again.
func (c *Core) Take(now time.Duration, b []byte) (pass bool) {
	k, ok := parse(b)
	if !ok {
		return false
	}
	p := c.peers[k.to]
	if p == nil {
		return false // such as the device's own multicasts
	}
	p.counts.Packets++
	p.counts.Bytes += int64(len(b))
	if c.ends(now, p, &k) {
		return false
	}
	if c.plain {
		return true
	}
	r := c.rule
	if p.loses(r) {
		p.counts.Lost++
		return false
	}
	copies := 1
	if p.chance(r.Duplicate) {
		copies, p.counts.Duplicated = 2, p.counts.Duplicated+1
	}
	k.bytes = c.clone(b)
	if k.whole && k.payload < len(b) {
		p.counts.Payloads++
		if p.chance(r.Damage) {
			at := k.payload + p.rng.IntN(len(b)-k.payload)
			k.change(at, k.bytes[at]^byte(1+p.rng.IntN(255)))
			p.counts.Damaged++
		}
	}
	if p.chance(r.Corrupt) {
		// Beyond the addresses: who else would get it is not known.
		at := k.transport + p.rng.IntN(max(len(b)-k.transport, 1))
		if at < len(b) {
			k.bytes[at] ^= 1 << p.rng.IntN(8)
			p.counts.Corrupted++
		}
	}
	for i := range copies {
		bytes := k.bytes
		if i > 0 {
			bytes = c.clone(k.bytes)
		}
		at, jammed := p.when(r, now, len(b))
		c.hold(Delivery{Bytes: bytes, To: p.addr, peer: p}, at, at > now, jammed)
	}
	return false
}

func (p *peer) chance(share float64) bool { return share > 0 && p.rng.Float64() < share }

// loses is the model of Gilbert for bursts: they end with chance 1/Burst, and begin so often
// that Loss of all packets is lost.
func (p *peer) loses(r Rule) bool {
	if r.Burst <= 1 {
		return p.chance(r.Loss)
	}
	if p.bad {
		p.bad = !p.chance(1 / r.Burst)
	} else {
		p.bad = p.chance(r.Loss / (1 - r.Loss) / r.Burst)
	}
	return p.bad
}

// when is the moment at which a packet leaves.
func (p *peer) when(r Rule, now time.Duration, length int) (at time.Duration, jammed bool) {
	at = now
	switch delay := p.delay(r); {
	case p.chance(r.Reorder):
		p.counts.Reordered++
	case delay > 0:
		at += delay
		p.counts.Delayed++
	}
	if r.Rate > 0 {
		at = max(at, p.free) + time.Duration(float64(length*8)/float64(r.Rate)*float64(time.Second))
		p.free = at
	}
	if hold := time.Duration(r.Jam); hold > 0 {
		at = (at/hold + 1) * hold
		jammed = true
		p.counts.Jammed++
	}
	return at, jammed
}

// delay is drawn as the kernel's emulator draws: evenly, or by deviations that are cut off at
// four.
func (p *peer) delay(r Rule) time.Duration {
	d, jitter := time.Duration(r.Delay), float64(r.Jitter)
	if jitter == 0 {
		return d
	}
	var z float64
	switch r.Spread {
	case "normal":
		z = min(max(p.rng.NormFloat64(), -4), 4)
	case "pareto":
		// Of shape 3 it has mean 3/2 and variance 3/4.
		z = min((math.Pow(1-p.rng.Float64(), -1.0/3)-1.5)/math.Sqrt(0.75), 4)
	default:
		z = 2*p.rng.Float64() - 1
	}
	return max(d+time.Duration(z*jitter), 0)
}

// hold keeps a packet until at.
func (c *Core) hold(d Delivery, at time.Duration, overdue, jammed bool) {
	if len(c.held) >= mostHeld {
		d.peer.counts.Overflowed++
		c.Free(d)
		return
	}
	if overdue {
		d.peer.overdue++
	}
	c.order++
	heap.Push(&c.held, held{d, at, c.order, overdue, jammed})
}

// Due is the next packet whose time has come; what is handed back by Free is used again.
func (c *Core) Due(now time.Duration) (Delivery, bool) {
	if len(c.held) == 0 || c.held[0].at > now {
		return Delivery{}, false
	}
	h := heap.Pop(&c.held).(held)
	if h.overdue {
		h.peer.overdue--
	}
	if h.jammed && h.at != h.peer.lastJam {
		h.peer.counts.Jams++
		h.peer.lastJam = h.at
	}
	return h.Delivery, true
}

// Next is when the next packet is due; false when none is held.
func (c *Core) Next() (time.Duration, bool) {
	if len(c.held) == 0 {
		return 0, false
	}
	return c.held[0].at, true
}

// Held is how many packets are held.
func (c *Core) Held() int { return len(c.held) }

// Unsent counts a delivery that the kernel refused.
func (c *Core) Unsent(d Delivery) { d.peer.counts.Unsent++ }

// Free gives the bytes of a delivery back.
func (c *Core) Free(d Delivery) {
	if len(c.free) < 1024 {
		c.free = append(c.free, d.Bytes)
	}
}

func (c *Core) clone(b []byte) []byte {
	var to []byte
	if n := len(c.free); n > 0 {
		to, c.free = c.free[n-1], c.free[:n-1]
	}
	return append(to[:0], b...)
}

// held is a delivery and its moment. Of those of one moment the first comes first.
type held struct {
	Delivery
	at      time.Duration
	order   uint64
	overdue bool
	jammed  bool
}

type queue []held

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(held)) }
func (q *queue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = held{}
	*q = old[:len(old)-1]
	return last
}
