package netswitch

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"nemesis/history"
)

// segment is a TCP packet of this node.
func segment(six bool, port uint16, flags byte, seq, ack uint32, payload string) []byte {
	b := frame(six, tcp, []byte(payload))
	p, _ := parse(b)
	t := b[p.transport:]
	binary.BigEndian.PutUint16(t[2:], port)
	binary.BigEndian.PutUint32(t[4:], seq)
	binary.BigEndian.PutUint32(t[8:], ack)
	t[13] = flags
	setSum(b, &p)
	return b
}

// said is what comes of one packet: "passed", or what was sent in its place.
type said struct {
	passed          bool
	toPeer, toUs    bool
	peerSeq, ourSeq uint32
	ourAck          uint32
}

func one(t *testing.T, c *Core, now time.Duration, b []byte) (s said) {
	t.Helper()
	s.passed = c.Take(now, b)
	for {
		d, ok := c.Due(now)
		if !ok {
			return s
		}
		p, ok := parse(d.Bytes)
		switch {
		case string(d.Bytes) == string(b):
			s.passed = true
		case !ok || p.flags() != flagRST|flagACK || !p.whole || transportSum(&p) != 0xffff:
			t.Fatalf("it is no reset: %x", d.Bytes)
		case p.from.Is4() && fold(sum(0, d.Bytes[:20])) != 0xffff:
			t.Fatalf("the header's checksum is wrong: %x", d.Bytes)
		case d.Back:
			k, _ := parse(b)
			here, there := k.ports()
			if from, to := p.ports(); from != there || to != here || p.from != k.to || p.to != k.from {
				t.Fatalf("it is of another connection: %x", d.Bytes)
			}
			s.toUs, s.ourSeq, s.ourAck = true, p.seq(), p.ack()
		default:
			s.toPeer, s.peerSeq = true, p.seq()
		}
	}
}

func TestEstablishedConnectionsAreResetAndNewOnesAreNot(t *testing.T) {
	for _, six := range []bool{false, true} {
		c := New(Rule{Reset: 1}, []netip.Addr{peer4, peer6}, 1)
		// What the peer expects next is this packet's number, and what we do is what it acknowledges.
		want := said{toPeer: true, toUs: true, peerSeq: 1000, ourSeq: 5000, ourAck: 1005}
		if got := one(t, c, 0, segment(six, 1, flagACK, 1000, 5000, "hello")); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got := one(t, c, 1, segment(six, 1, flagRST, 1000, 0, "")); !got.passed {
			t.Errorf("our own reset of it: %+v", got)
		}
		if got := one(t, c, 1, segment(six, 1, flagACK, 1005, 5010, "")); !got.toPeer || !got.toUs || got.ourSeq != 5010 {
			t.Errorf("it is still alive: %+v", got)
		}
		for _, b := range [][]byte{segment(six, 2, flagSYN, 1, 0, ""), segment(six, 2, flagACK, 2, 7, ""), segment(six, 3, flagSYN|flagACK, 1, 4, ""), segment(six, 3, flagACK, 2, 4, "x")} {
			if got := one(t, c, 2, b); !got.passed {
				t.Errorf("a new connection: %+v", got)
			}
		}
		// Its ports are used again.
		if got := one(t, c, 3, segment(six, 1, flagSYN, 1, 0, "")); !got.passed {
			t.Errorf("a new one with the old ports: %+v", got)
		}
		peer := map[bool]netip.Addr{false: peer4, true: peer6}[six]
		if n := c.Counts()[peer]; n.Reset != 1 || n.Spared != 0 || n.Packets != 8 {
			t.Errorf("%+v", n)
		}
	}
}

func TestConnectionsAreResetAgainAfterAWhile(t *testing.T) {
	c := New(Rule{Reset: 1, Again: 100 * ms}, []netip.Addr{peer4}, 1)
	for i, step := range []struct {
		at     time.Duration
		flags  byte
		passed bool
	}{{0, flagACK, false}, {1, flagSYN, true}, {2, flagACK, true}, {99, flagACK, true}, {100, flagACK, false}, {101, flagSYN, true}, {150, flagACK, true}, {201, flagACK, false}} {
		if got := one(t, c, step.at*time.Millisecond, segment(false, 1, step.flags, 1, 1, "")); got.passed != step.passed {
			t.Errorf("step %d: %+v", i, got)
		}
	}
	if n := c.Counts()[peer4]; n.Reset != 3 {
		t.Errorf("%+v", n)
	}
}

func TestAHalfOpenConnectionEndsHereAndThePeerHearsNothing(t *testing.T) {
	c := New(Rule{HalfOpen: 1}, []netip.Addr{peer4}, 1)
	for _, b := range [][]byte{
		segment(false, 1, flagACK, 1000, 5000, "hello"),
		segment(false, 1, flagACK|flagFIN, 1005, 5000, ""),
	} {
		if got := one(t, c, 0, b); got.passed || got.toPeer || !got.toUs || got.ourSeq != 5000 {
			t.Errorf("%+v", got)
		}
	}
	if got := one(t, c, 0, segment(false, 1, flagRST, 1000, 0, "")); got.passed || got.toPeer || got.toUs {
		t.Errorf("the peer hears of the reset: %+v", got)
	}
	if got := one(t, c, 0, segment(false, 1, flagSYN, 9, 0, "")); !got.passed {
		t.Errorf("a new one: %+v", got)
	}
	if n := c.Counts()[peer4]; n.HalfOpened != 1 || n.Swallowed != 3 {
		t.Errorf("%+v", n)
	}
}

func TestAShareOfTheConnectionsIsResetTheFirstAmongThem(t *testing.T) {
	for share, want := range map[float64]int64{0.5: 1000, 0.1: 200, 1: 2000, 0.0001: 1} {
		c := New(Rule{Reset: share}, []netip.Addr{peer4}, 1)
		for port := range uint16(2000) {
			first := one(t, c, 0, segment(false, port, flagACK, 1, 1, ""))
			if again := one(t, c, 0, segment(false, port, flagACK, 1, 1, "")); again.passed != first.passed || port == 0 && first.passed {
				t.Fatalf("connection %d met this: %+v, then %+v", port, first, again)
			}
		}
		if n := c.Counts()[peer4]; n.Reset+n.Spared != 2000 || n.Reset != want {
			t.Errorf("%v: %+v", share, n)
		}
	}
}

// What is not spoken of goes the way of the rest of the rule.
func TestOtherPacketsOfARuleForConnectionsMeetTheRest(t *testing.T) {
	c := New(Rule{Reset: 1, PacketChange: history.PacketChange{Loss: 1}}, []netip.Addr{peer4}, 1)
	if c.Take(0, frame(false, udp, nil)) || c.Take(0, segment(false, 1, flagSYN, 1, 1, "")) || c.Counts()[peer4].Lost != 2 {
		t.Errorf("%+v", c.Counts())
	}
}
