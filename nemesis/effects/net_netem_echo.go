package effects

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"nemesis/history"
)

// How echoes are sent: a stream of small ones to every peer, for what becomes of single
// packets, then a burst of large ones to one peer, for the rate.
const (
	streamLength = 40
	streamEvery  = 5 * time.Millisecond
	burstLength  = 16
	burstSize    = 1200 // bytes of ICMP payload
	// linger is how long the last answer may take where nothing is delayed.
	linger = 100 * time.Millisecond
	// mostLinger bounds it where much is.
	mostLinger = 3 * time.Second
)

// mostBurst bounds a burst where much is lost.
const mostBurst = 4 * burstLength

// burstOf is how many large echoes make a burst under a change: so many that burstLength of them may be expected back,
// though both ways lose and damage some.
func burstOf(c history.PacketChange) int {
	kept := (1 - c.Loss) * (1 - c.Corrupt)
	return int(min(math.Ceil(burstLength/max(kept*kept, 0.01)), mostBurst))
}

// patience is how long to wait for answers under a change, the peer's being the same.
func patience(c history.PacketChange) time.Duration {
	d := linger + 2*time.Duration(c.Delay) + 8*time.Duration(c.Jitter)
	if c.Rate > 0 {
		d += 2 * time.Duration(float64(burstOf(c)*burstSize*8)/float64(c.Rate)*float64(time.Second))
	}
	return min(d, mostLinger)
}

// arrival is one answer.
type arrival struct {
	from netip.Addr
	seq  int
	at   time.Time
	// changed: it came with other bytes than were sent.
	changed bool
}

// pinger sends echoes from raw sockets, one of each family that the peers need. Its
// token is in every packet, so that it takes no answer for another's.
type pinger struct {
	token [8]byte
	conns map[bool]*icmp.PacketConn // by whether it is IPv6

	mu       sync.Mutex
	sent     map[netip.Addr][]time.Time // by sequence number
	arrivals []arrival
}

// asking is how echoes are sent and waited for: the stream's, one every so often with so many
// bytes beyond what tells it from others, and how long the last answer may take besides.
type asking struct {
	change  history.PacketChange
	every   time.Duration
	payload int
	most    time.Duration
}

// ping measures the way to the peers and back. A peer that does not answer is no
// error, but not being allowed to ask is.
func ping(peers []netip.Addr, change history.PacketChange) (map[netip.Addr]echoes, error) {
	return pingAs(peers, asking{change: change, every: streamEvery, most: patience(change)})
}

func pingAs(peers []netip.Addr, ask asking) (map[netip.Addr]echoes, error) {
	change := ask.change
	p := &pinger{conns: map[bool]*icmp.PacketConn{}, sent: map[netip.Addr][]time.Time{}}
	if _, err := rand.Read(p.token[:]); err != nil {
		return nil, err
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	for _, peer := range peers {
		is6 := peer.Unmap().Is6()
		if p.conns[is6] != nil {
			continue
		}
		network, any := "ip4:icmp", "0.0.0.0"
		if is6 {
			network, any = "ip6:ipv6-icmp", "::"
		}
		conn, err := icmp.ListenPacket(network, any)
		if err != nil {
			p.close()
			return nil, fmt.Errorf("open a socket for echoes: %w", err)
		}
		p.conns[is6] = conn
		readers.Go(func() { p.read(conn, is6) })
	}
	defer p.close()

	for range streamLength {
		for _, peer := range peers {
			p.send(peer, ask.payload)
		}
		time.Sleep(ask.every)
	}
	p.wait(ask.most, change.Duplicate > 0)
	if change.Rate > 0 {
		if to, ok := p.answering(peers); ok {
			for range burstOf(change) {
				p.send(to, burstSize)
			}
			p.wait(patience(change), false)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[netip.Addr]echoes{}
	for _, peer := range peers {
		out[peer] = tally(p.sent[peer], answersOf(peer, p.arrivals))
	}
	return out, nil
}

func (p *pinger) close() {
	for _, c := range p.conns {
		c.Close()
	}
}

// send asks for one echo. That it could not be sent is one that is not answered: a
// queue may be full, a route may be gone.
func (p *pinger) send(to netip.Addr, size int) {
	p.mu.Lock()
	seq := len(p.sent[to])
	p.sent[to] = append(p.sent[to], time.Now())
	p.mu.Unlock()
	// The sequence number is ours, in the data; the packet's own has but 16 bits.
	data := binary.BigEndian.AppendUint32(slices.Clone(p.token[:]), uint32(seq))
	data = append(data, make([]byte, max(0, size-len(data)))...)
	var kind icmp.Type = ipv4.ICMPTypeEcho
	is6 := to.Unmap().Is6()
	if is6 {
		kind = ipv6.ICMPTypeEchoRequest
	}
	message := icmp.Message{Type: kind, Body: &icmp.Echo{
		ID: int(binary.BigEndian.Uint16(p.token[:])), Seq: seq & 0xffff, Data: data,
	}}
	packet, err := message.Marshal(nil)
	if err != nil {
		return
	}
	_, _ = p.conns[is6].WriteTo(packet, &net.IPAddr{IP: to.Unmap().AsSlice()})
}

// read notes answers until the socket is closed.
func (p *pinger) read(conn *icmp.PacketConn, is6 bool) {
	protocol := 1
	if is6 {
		protocol = 58
	}
	buffer := make([]byte, 2048)
	for {
		n, from, err := conn.ReadFrom(buffer)
		at := time.Now()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		message, err := icmp.ParseMessage(protocol, buffer[:n])
		if err != nil || message.Type != ipv4.ICMPTypeEchoReply && message.Type != ipv6.ICMPTypeEchoReply {
			continue
		}
		echo, ok := message.Body.(*icmp.Echo)
		if !ok || len(echo.Data) < 12 || [8]byte(echo.Data[:8]) != p.token {
			continue
		}
		ip, ok := from.(*net.IPAddr)
		if !ok {
			continue
		}
		addr, _ := netip.AddrFromSlice(ip.IP)
		p.mu.Lock()
		p.arrivals = append(p.arrivals, arrival{
			addr.Unmap(), int(binary.BigEndian.Uint32(echo.Data[8:12])), at,
			slices.ContainsFunc(echo.Data[12:], func(b byte) bool { return b != 0 }),
		})
		p.mu.Unlock()
	}
}

// wait returns when everything was answered, or after a while. Where packets may come
// twice the second is waited for.
func (p *pinger) wait(most time.Duration, twice bool) {
	end := time.Now().Add(most)
	for time.Now().Before(end) {
		time.Sleep(5 * time.Millisecond)
		if !twice && p.complete() {
			return
		}
	}
}

func (p *pinger) complete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for peer, sent := range p.sent {
		if tally(sent, answersOf(peer, p.arrivals)).answered < len(sent) {
			return false
		}
	}
	return true
}

// answering is the first peer that answers.
func (p *pinger) answering(peers []netip.Addr) (netip.Addr, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, peer := range peers {
		if len(answersOf(peer, p.arrivals)) > 0 {
			return peer, true
		}
	}
	return netip.Addr{}, false
}

func answersOf(peer netip.Addr, all []arrival) []arrival {
	var out []arrival
	for _, a := range all {
		if a.from == peer.Unmap() {
			out = append(out, a)
		}
	}
	return out
}

// tally makes of the requests to one peer, by sequence number, and its answers, in
// the order in which they came, what there is to know. The stream comes first, then
// the burst.
func tally(sent []time.Time, answers []arrival) echoes {
	e := echoes{sent: min(len(sent), streamLength)}
	seen, newest := map[int]bool{}, -1
	var trips []time.Duration
	var burst []time.Time
	for _, a := range answers {
		if a.seq < 0 || a.seq >= len(sent) {
			continue // it has our token and nonsense: damaged
		}
		if a.seq >= streamLength {
			if !seen[a.seq] {
				burst = append(burst, a.at)
			}
			seen[a.seq] = true
			continue
		}
		if seen[a.seq] {
			e.twice++
			continue
		}
		seen[a.seq] = true
		e.answered++
		if a.changed {
			e.changed++
		}
		if a.seq < newest {
			e.overtaken++
		}
		newest = max(newest, a.seq)
		trips = append(trips, a.at.Sub(sent[a.seq]))
	}
	if len(trips) > 0 {
		slices.Sort(trips)
		e.trip, e.longest = trips[len(trips)/2], trips[len(trips)-1]
	}
	// The first answer's own time says nothing: it had the way to itself.
	if n := len(burst); n > burstLength/2 {
		const header = 20 + 8
		took := max(burst[n-1].Sub(burst[0]), time.Microsecond)
		e.rate = float64((n-1)*(burstSize+header)*8) / took.Seconds()
	}
	return e
}
