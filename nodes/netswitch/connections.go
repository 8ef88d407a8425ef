package netswitch

import "time"

// fate is what was decided about a connection.
type fate int

const (
	// opened: its beginning was seen, so it was not established when the rule came into force.
	opened fate = iota + 1
	// spared: it was established, and chance left it alone.
	spared
	// struck: it is being reset or half-open.
	struck
)

// mostKnown bounds how many connections are remembered; where there are more, all are new.
const mostKnown = 65_536

// ports tell the connections with one peer apart; an address of this node does, too, but the
// switch has one way to each peer, and Linux takes one address for it.
type ports struct{ here, there uint16 }

// connections are those with one peer on which this node said something.
type connections struct {
	known map[ports]fate
	// met is how many were decided about since then, ended how many of them were to end.
	met, ended int
	// since is when all of them were last forgotten, to be reset anew.
	since time.Duration
}

// ends decides what a packet's connection meets; true when the packet is not sent on.
//
// Only packets of this node are seen. What they carry is enough: the acknowledgement of one is
// exactly the sequence number that this node takes a reset at, and its own sequence number is
// the one that the peer does when nothing before it is under way (RFC 5961 demands both). Where
// more came or is under way meanwhile, the answer is an acknowledgement, and that meets the
// same again.
func (c *Core) ends(now time.Duration, p *peer, k *packet) bool {
	r := c.rule
	if r.Reset == 0 && r.HalfOpen == 0 || k.protocol != tcp || !k.whole {
		return false
	}
	if again := time.Duration(r.Again); again > 0 && now-p.since >= again {
		p.since = now
		p.met, p.ended = 0, 0
		clear(p.known)
	}
	here, there := k.ports()
	id := ports{here, there}
	if len(p.known) >= mostKnown {
		clear(p.known)
	}
	decided := p.known[id]
	switch flags := k.flags(); {
	case flags&flagSYN != 0:
		p.known[id] = opened
		return false
	case decided == opened || decided == spared:
		return false
	case decided == struck && r.HalfOpen > 0:
		p.counts.Swallowed++
		if flags&flagRST == 0 {
			c.back(now, p, k)
		}
		return true
	case flags&flagRST != 0:
		// It ends by itself, or this node does not know it any more.
		return false
	}
	if decided != struck {
		if !p.endsNext(max(r.Reset, r.HalfOpen)) {
			p.known[id] = spared
			p.counts.Spared++
			return false
		}
		p.known[id] = struck
		if r.HalfOpen > 0 {
			p.counts.HalfOpened++
		} else {
			p.counts.Reset++
		}
	}
	c.back(now, p, k)
	if r.HalfOpen > 0 {
		p.counts.Swallowed++
		return true
	}
	c.hold(Delivery{Bytes: rst(k.from, k.to, here, there, k.seq(), k.ack()), To: p.addr, peer: p}, now, false, false)
	return true
}

// back resets the connection at this node.
func (c *Core) back(now time.Duration, p *peer, k *packet) {
	here, there := k.ports()
	c.hold(Delivery{Bytes: rst(k.to, k.from, there, here, k.ack(), k.next()), To: p.addr, Back: true, peer: p}, now, false, false)
}

// endsNext decides about the next connection. Connections are few, so that chance might spare all:
// the first is ended, and of the others as many as make up the share.
func (c *connections) endsNext(share float64) bool {
	c.met++
	if float64(c.ended) < share*float64(c.met) {
		c.ended++
		return true
	}
	return false
}
