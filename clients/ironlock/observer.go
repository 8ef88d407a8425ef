package ironlock

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"nemesis/clients/iron"
)

// Messages.
const (
	messageTransfer = 0 // the receiver holds in this epoch
	messageLocked   = 1 // the sender holds in this epoch
)

// hold is for how long the observer holds the lock: so ring and history do not run away.
const hold = 10 * time.Millisecond

func message(kind, epoch uint64) []byte { return iron.AppendUint(iron.AppendUint(nil, kind), epoch) }

// read reads a message of a server.
func read(b []byte) (kind, epoch uint64, err error) {
	r := iron.NewReader(b)
	kind, epoch = r.Uint(), r.Uint()
	if kind > messageLocked || epoch == 0 || epoch > 1<<62 {
		r.Fail()
	}
	return kind, epoch, r.End()
}

// seen is that a server held the lock in an epoch, at a moment after the observer let it go for the time that is round.
type seen struct {
	epoch uint64
	round uint64
}

// observer is the last member of the ring, after all servers. It takes the lock from the last server and hands it to the first
// one, and so knows of these two that they held it: the first says so, the last one handed it over. A round is the time from
// the observer's letting go to the next. What a server says is of this round if its epoch is above the one in which the observer
// held, for then the server held since. So it is true for who asked before the round began.
type observer struct {
	address netip.AddrPort
	first   netip.AddrPort
	last    netip.AddrPort
	send    func(message []byte) error // to the first server
	sending sync.Mutex
	working sync.WaitGroup

	mu      sync.Mutex
	held    uint64          // the last epoch in which the observer held
	floor   uint64          // the last one in which it let go
	round   uint64          // how often it has let go
	news    map[string]seen // by "first" and "last"
	changed chan struct{}   // closed with each news
	trouble error           // the last thing that was no message
	closers []io.Closer
	closed  bool
}

const (
	ofFirst = "first"
	ofLast  = "last"
)

func newObserver(first, last netip.AddrPort) *observer {
	return &observer{first: first, last: last, news: map[string]seen{}, changed: make(chan struct{})}
}

// here is this machine's address as a server sees it.
func here(server netip.AddrPort) (netip.Addr, error) {
	probe, err := net.Dial("udp", server.String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer probe.Close()
	return probe.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// listen opens the observer's endpoint at an address. Of a wire TCP it calls itself name.
func (o *observer) listen(wire string, at netip.AddrPort, name []byte) error {
	if wire == iron.WireTCP {
		return o.listenStreams(at, name)
	}
	return o.listenDatagrams(at)
}

func (o *observer) listenDatagrams(at netip.AddrPort) error {
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	o.address = netip.AddrPortFrom(at.Addr(), socket.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	o.closers = append(o.closers, socket)
	o.send = func(m []byte) error { _, err := socket.WriteToUDPAddrPort(m, o.first); return err }
	o.working.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := socket.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			switch from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port()); {
			case from == o.last && from == o.first:
				o.take("", b[:n])
			case from == o.last:
				o.take(ofLast, b[:n])
			case from == o.first:
				o.take(ofFirst, b[:n])
			}
		}
	})
	return nil
}

// listenStreams tells servers apart by what they send: only the last one hands the lock to the observer, and only the first one
// says to it that it holds.
func (o *observer) listenStreams(at netip.AddrPort, name []byte) error {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	o.address = netip.AddrPortFrom(at.Addr(), l.Addr().(*net.TCPAddr).AddrPort().Port())
	o.closers = append(o.closers, l)
	receive := func(conn net.Conn) {
		defer conn.Close()
		r := bufio.NewReader(conn)
		for {
			m, err := iron.ReadFrame(r)
			if err != nil {
				o.note(err)
				return
			}
			o.take("", m)
		}
	}
	track := func(conn net.Conn) bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.closers = append(o.closers, conn)
		return !o.closed
	}
	o.working.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if !track(conn) {
				conn.Close()
				return
			}
			o.working.Go(func() {
				if _, err := iron.ReadFrame(conn); err != nil { // what it calls itself
					conn.Close()
					return
				}
				receive(conn)
			})
		}
	})
	var conn net.Conn
	o.send = func(m []byte) error {
		if conn == nil {
			fresh, err := net.DialTimeout("tcp", o.first.String(), time.Second)
			if err != nil {
				return err
			}
			if !track(fresh) {
				return fresh.Close()
			}
			conn = fresh
			o.working.Go(func() { receive(fresh) })
			m = append(iron.AppendBytes(nil, name), iron.AppendBytes(nil, m)...)
		} else {
			m = iron.AppendBytes(nil, m)
		}
		if _, err := conn.Write(m); err != nil {
			conn.Close()
			conn = nil
			return err
		}
		return nil
	}
	return nil
}

func (o *observer) note(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		o.trouble = err
	}
}

// take takes a message in. It is called by several goroutines with TCP.
func (o *observer) take(from string, b []byte) {
	kind, epoch, err := read(b)
	if err != nil {
		o.note(err)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case kind == messageLocked && from != ofLast:
		o.tell(ofFirst, epoch)
	case kind == messageTransfer && from != ofFirst:
		o.tell(ofLast, epoch-1)
		if epoch > o.held && !o.closed {
			o.held = epoch
			o.working.Go(func() { o.handOn(epoch) })
		}
	}
}

// tell notes news of a server, once for each round. An epoch that is not above the observer's may have been said before it let
// go.
func (o *observer) tell(who string, epoch uint64) {
	if epoch <= o.floor || o.round == 0 || o.news[who].round == o.round {
		return
	}
	o.news[who] = seen{epoch, o.round}
	close(o.changed)
	o.changed = make(chan struct{})
}

// handOn lets go. What is not delivered is lost, as a server's would be.
func (o *observer) handOn(epoch uint64) {
	time.Sleep(hold)
	o.mu.Lock()
	o.round++
	o.floor = epoch
	closed := o.closed
	o.mu.Unlock()
	if closed {
		return
	}
	o.sending.Lock()
	defer o.sending.Unlock()
	if err := o.send(message(messageTransfer, epoch+1)); err != nil {
		o.note(err)
	}
}

// await waits for news of a server in a round that begins after the call.
func (o *observer) await(ctx context.Context, who string) (epoch uint64, err error) {
	o.mu.Lock()
	round := o.round
	o.mu.Unlock()
	return o.awaitAfter(ctx, who, round)
}

// awaitAfter waits for news of a server in a round after this one.
func (o *observer) awaitAfter(ctx context.Context, who string, round uint64) (epoch uint64, err error) {
	o.mu.Lock()
	for {
		news, changed, trouble := o.news[who], o.changed, o.trouble
		o.mu.Unlock()
		if news.round > round {
			return news.epoch, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if trouble != nil {
				return 0, fmt.Errorf("the lock did not come around (%w)", trouble)
			}
			return 0, errors.New("the lock did not come around")
		}
		o.mu.Lock()
	}
}

// Close ends the observer, and with it the ring.
func (o *observer) Close() error {
	o.mu.Lock()
	o.closed = true
	closers := o.closers
	o.mu.Unlock()
	for _, c := range closers {
		c.Close()
	}
	o.working.Wait()
	return nil
}
