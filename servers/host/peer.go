package host

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"nemesis/servers/core"
)

// peer is another node: messages to it go over one connection that this node opens, again and again if need be. What cannot be
// sent now is lost, which cores expect.
type peer struct {
	host    *Host
	id      core.Address
	address string
	cancel  context.CancelFunc

	mu    sync.Mutex
	queue []byte
	woken chan struct{}
}

const (
	dialTimeout  = time.Second
	redialDelay  = 50 * time.Millisecond
	writeTimeout = 2 * time.Second
)

func newPeer(ctx context.Context, h *Host, id core.Address, address string) *peer {
	ctx, cancel := context.WithCancel(ctx)
	p := &peer{host: h, id: id, address: address, cancel: cancel, woken: make(chan struct{}, 1)}
	h.closing.Go(func() { p.run(ctx) })
	return p
}

func (p *peer) stop() { p.cancel() }

func (p *peer) send(body core.Body) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > p.host.opt.QueueBytes {
		return
	}
	p.queue = AppendFrame(p.queue, body)
	if len(p.queue) > 0 {
		select {
		case p.woken <- struct{}{}:
		default:
		}
	}
}

func (p *peer) run(ctx context.Context) {
	for ctx.Err() == nil {
		dialer := net.Dialer{Timeout: dialTimeout}
		socket, err := dialer.DialContext(ctx, "tcp", p.address)
		if err == nil {
			p.talk(ctx, socket)
		}
		p.mu.Lock()
		p.queue = nil // too old to be of use
		p.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(redialDelay):
		}
	}
}

// talk sends what is queued until the connection breaks.
func (p *peer) talk(ctx context.Context, socket net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { socket.Close() })
	defer stop()
	defer socket.Close()
	p.host.closing.Go(func() {
		defer cancel()
		p.host.receive(bufio.NewReader(socket), p.id) // answers to a node that does not know this one's address yet
	})
	hello := Hello(p.host.opt.ID)
	todo := append(binary.BigEndian.AppendUint64(nil, uint64(len(hello))), hello...)
	for {
		socket.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := socket.Write(todo); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-p.woken:
		}
		p.mu.Lock()
		todo, p.queue = p.queue, todo[:0]
		p.mu.Unlock()
	}
}
