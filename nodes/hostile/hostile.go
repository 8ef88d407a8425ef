// Package hostile sends servers what no client of theirs sends, over TCP.
//
// A server meets such bytes in the field: port scanners, health checks of the wrong
// protocol, clients that die half-way, a load balancer that opens connections and says
// nothing. It may refuse them and close the connection. It must not end, not stop
// answering others, and not forget.
//
// What is sent is one of Forms, again and again, drawn by a seed. None of it asks for a change: the
// valid frames are greetings, pings and reads of the protocols that servers speak most (HTTP/1 and
// HTTP/2, TLS, RESP, PostgreSQL, NATS), and whatever the server itself says first. So nothing that a
// server answers or keeps is other than it would be without, and a checker need not know
// of it. Captured requests of real clients would be: played again they may write again.
package hostile

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Forms are what is sent.
const (
	// Random are bytes drawn at random, up to 64 KiB.
	Random = "random"
	// Overflow are frames whose length is negative, the largest there is, or of no number.
	Overflow = "overflow"
	// Half is the first part of a valid frame, and then nothing, for a while.
	Half = "half"
	// Cut are valid frames that end in the middle, with the connection.
	Cut = "cut"
	// Replay are valid frames, each many times.
	Replay = "replay"
	// Reorder are valid frames in another order.
	Reorder = "reorder"
	// Idle are many connections that say nothing and stay open.
	Idle = "idle"
)

// Forms lists all of them.
func Forms() []string { return []string{Random, Overflow, Half, Cut, Replay, Reorder, Idle} }

// Input is what is sent to whom.
type Input struct {
	Targets []netip.AddrPort `json:"targets"`
	// Forms are some of the constants above, each as often.
	Forms []string `json:"forms"`
	// Rate is how many inputs a second each target gets, Idle how many connections stay
	// open to each, if that is one of Forms.
	Rate int `json:"rate"`
	Idle int `json:"idle,omitempty"`
	// Seed decides what is drawn.
	Seed uint64 `json:"seed"`
}

// Check says, as a clause, why an input cannot be.
func (i Input) Check() error {
	switch {
	case len(i.Targets) == 0 || len(i.Targets) > 64:
		return fmt.Errorf("%d targets are not from 1 to 64", len(i.Targets))
	case len(i.Forms) == 0:
		return fmt.Errorf("it does not say what is sent")
	case i.Rate < 1 || i.Rate > 1000:
		return fmt.Errorf("%d inputs a second are not from 1 to 1000", i.Rate)
	case i.Idle < 0 || i.Idle > 20_000 || slices.Contains(i.Forms, Idle) && i.Idle == 0:
		return fmt.Errorf("%d idle connections are not from 1 to 20000", i.Idle)
	}
	for _, form := range i.Forms {
		if !slices.Contains(Forms(), form) {
			return fmt.Errorf("%q is nothing that is sent; choose from %v", form, Forms())
		}
	}
	return nil
}

// Counts is what was sent so far.
type Counts struct {
	// Inputs are those that reached a connection, Refused the connections that could not be
	// made, Bytes what was sent.
	Inputs  int64 `json:"inputs"`
	Refused int64 `json:"refused"`
	Bytes   int64 `json:"bytes"`
	// Answered are the inputs that the server said something to, Closed those after which it
	// closed the connection.
	Answered int64 `json:"answered"`
	Closed   int64 `json:"closed"`
	// Idle is how many connections that say nothing are open now, MostIdle how many were.
	Idle     int64 `json:"idle"`
	MostIdle int64 `json:"mostIdle"`
	// Reached are the targets that took a connection.
	Reached int `json:"reached"`
	// Forms counts inputs by form.
	Forms map[string]int64 `json:"forms"`
	// Seconds is for how long it has been sent.
	Seconds float64 `json:"seconds"`
}

// Sender sends an Input. Its methods are safe for concurrent use.
type Sender struct {
	input Input
	began time.Time

	mu      sync.Mutex
	counts  Counts
	reached map[netip.AddrPort]bool
}

// New makes a sender of an input that Check has passed.
func New(input Input) *Sender {
	return &Sender{input: input, began: time.Now(), reached: map[netip.AddrPort]bool{}, counts: Counts{Forms: map[string]int64{}}}
}

// Counts are what was sent so far.
func (s *Sender) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	c.Reached, c.Seconds = len(s.reached), time.Since(s.began).Seconds()
	c.Forms = map[string]int64{}
	for form, n := range s.counts.Forms {
		c.Forms[form] = n
	}
	return c
}

func (s *Sender) count(change func(*Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counts)
	s.counts.MostIdle = max(s.counts.MostIdle, s.counts.Idle)
}

// Run sends until ctx ends, and closes every connection before it returns.
func (s *Sender) Run(ctx context.Context) {
	var all sync.WaitGroup
	for i, target := range s.input.Targets {
		rng := rand.New(rand.NewPCG(s.input.Seed, uint64(i)))
		all.Go(func() { s.bombard(ctx, target, rng) })
		if slices.Contains(s.input.Forms, Idle) {
			all.Go(func() { s.idle(ctx, target) })
		}
	}
	all.Wait()
}

const (
	// dialTime bounds connecting, holdTime how long half a frame waits for its rest, and how long
	// an answer is waited for.
	dialTime = time.Second
	holdTime = 300 * time.Millisecond
	// atOnce is how many inputs to one target are under way at most.
	atOnce = 16
)

// bombard sends one input after the other, none waiting for another.
func (s *Sender) bombard(ctx context.Context, target netip.AddrPort, rng *rand.Rand) {
	forms := slices.DeleteFunc(slices.Clone(s.input.Forms), func(f string) bool { return f == Idle })
	if len(forms) == 0 {
		return
	}
	turn := time.NewTicker(time.Second / time.Duration(s.input.Rate))
	defer turn.Stop()
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	defer all.Wait()
	for n := 0; ; n++ {
		// What is drawn follows from the seed alone, whatever the server does.
		form := forms[n%len(forms)]
		parts, hold := draw(form, rng)
		reset := rng.IntN(2) == 0
		select {
		case <-ctx.Done():
			return
		case <-turn.C:
		}
		select {
		case slots <- struct{}{}:
		default:
			continue // it takes no more at once
		}
		all.Go(func() {
			defer func() { <-slots }()
			s.send(ctx, target, form, parts, hold, reset)
		})
	}
}

// send makes one connection, says parts on it and, with hold, nothing more for a while.
func (s *Sender) send(ctx context.Context, target netip.AddrPort, form string, parts [][]byte, hold, reset bool) {
	conn, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "tcp", target.String())
	if err != nil {
		if ctx.Err() == nil {
			s.count(func(c *Counts) { c.Refused++ })
		}
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	s.mu.Lock()
	s.reached[target] = true
	s.mu.Unlock()
	if tcp, is := conn.(*net.TCPConn); is && reset {
		_ = tcp.SetLinger(0) // closing it is a reset
	}
	sent, said := 0, 0
	buffer := make([]byte, 4096)
	if parts == nil { // what the server says first, said back to it
		_ = conn.SetReadDeadline(time.Now().Add(holdTime))
		n, _ := conn.Read(buffer)
		said = n
		if n == 0 {
			n = copy(buffer, "hello\r\n")
		}
		parts = [][]byte{buffer[:n], buffer[:n/2], buffer[:n]}
	}
	closed := false
	for _, part := range parts {
		_ = conn.SetWriteDeadline(time.Now().Add(dialTime))
		n, err := conn.Write(part)
		sent += n
		if err != nil {
			closed = true
			break
		}
	}
	wait := holdTime / 10
	if hold {
		wait = holdTime
	}
	_ = conn.SetReadDeadline(time.Now().Add(wait))
	for {
		n, err := conn.Read(buffer)
		said += n
		if err == io.EOF {
			closed = true
		}
		if err != nil || said > 1<<20 {
			break
		}
	}
	s.count(func(c *Counts) {
		c.Inputs++
		c.Forms[form]++
		c.Bytes += int64(sent)
		if said > 0 {
			c.Answered++
		}
		if closed {
			c.Closed++
		}
	})
}

// idle opens connections that say nothing, and opens others in the place of those that the
// server closes.
func (s *Sender) idle(ctx context.Context, target netip.AddrPort) {
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(chan struct{}, s.input.Idle)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		conn, err := (&net.Dialer{Timeout: dialTime}).DialContext(ctx, "tcp", target.String())
		if err != nil {
			<-slots
			if ctx.Err() == nil {
				s.count(func(c *Counts) { c.Refused++ })
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond): // it may have no more room
			}
			continue
		}
		s.mu.Lock()
		s.reached[target] = true
		s.mu.Unlock()
		s.count(func(c *Counts) { c.Idle++; c.Forms[Idle]++ })
		all.Go(func() {
			defer func() { <-slots }()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			_, _ = io.Copy(io.Discard, conn) // until either side closes it
			conn.Close()
			s.count(func(c *Counts) { c.Idle-- })
		})
	}
}

// Text is the counts as JSON, for those that read them elsewhere.
func (c Counts) Text() []byte {
	text, err := json.Marshal(c)
	if err != nil {
		return []byte("{}") // numbers alone: it cannot fail
	}
	return text
}

// draw makes one input; nil is what the server says first.
func draw(form string, rng *rand.Rand) (parts [][]byte, hold bool) {
	protocol := protocols()[rng.IntN(len(protocols()))]
	switch form {
	case Random:
		n := 1 << rng.IntN(17)
		part := make([]byte, n)
		for i := range part {
			part[i] = byte(rng.Uint32())
		}
		return [][]byte{part}, rng.IntN(2) == 0
	case Overflow:
		return overflow(rng), true
	case Half:
		frame := protocol[rng.IntN(len(protocol))]
		return [][]byte{frame[:1+rng.IntN(len(frame)-1)]}, true
	case Cut:
		last := protocol[len(protocol)-1]
		return append(slices.Clone(protocol[:len(protocol)-1]), last[:1+rng.IntN(len(last)-1)]), false
	case Replay:
		if rng.IntN(8) == 0 {
			return nil, false
		}
		times := 2 + rng.IntN(30)
		for range times {
			parts = append(parts, protocol...)
		}
		return parts, rng.IntN(2) == 0
	}
	parts = append(slices.Clone(protocol), protocols()[rng.IntN(len(protocols()))]...)
	rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return parts, rng.IntN(2) == 0
}

// overflow is a length that nothing is as long as, as protocols write them.
func overflow(rng *rand.Rand) [][]byte {
	lengths := []uint64{1 << 31, 1<<31 - 1, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1, 0xfffffffc, 0}
	n := lengths[rng.IntN(len(lengths))]
	tail := []byte("0123456789abcdef")
	form := rng.IntN(9)
	if n == 0 && (form == 6 || form == 7) {
		n = 1<<64 - 1 // a request without a body is a valid one
	}
	switch form {
	case 0:
		return [][]byte{binary.BigEndian.AppendUint32(nil, uint32(n)), tail}
	case 1:
		return [][]byte{binary.LittleEndian.AppendUint32(nil, uint32(n)), tail}
	case 2:
		return [][]byte{binary.BigEndian.AppendUint64(nil, n), tail}
	case 3:
		return [][]byte{binary.LittleEndian.AppendUint64(nil, n), tail}
	case 4:
		return [][]byte{binary.AppendUvarint(nil, n), tail}
	case 5: // RESP
		return [][]byte{fmt.Appendf(nil, "*%d\r\n$%d\r\n", int64(n), int64(n)), tail}
	case 6: // HTTP/1
		return [][]byte{fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: n\r\nContent-Length: %d\r\n\r\n", n), tail}
	case 7:
		return [][]byte{fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: n\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", n), tail}
	}
	// An HTTP/2 frame of the largest length, on a stream of the highest number.
	return [][]byte{[]byte(preface), {0xff, 0xff, 0xff, byte(rng.IntN(12)), 0xff, 0xff, 0xff, 0xff, 0xff}, tail}
}
