package iron

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"nemesis/clients"
)

// Wires: how messages travel.
const (
	WireUDP = "udp" // one datagram is one message; an endpoint is its address and port
	WireTCP = "tcp" // a message has its length before it; an endpoint is what it calls itself when it connects
)

// Longest is what a server may send in one message, in bytes.
const Longest = 1 << 20

// Network is one client of all servers: one endpoint. It is used by one goroutine at a time.
type Network interface {
	// Send sends a message to the server at an index. sent says that something of it may have left.
	Send(ctx context.Context, server int, message []byte) (sent bool, err error)
	// Receive waits for a message of any server.
	Receive(ctx context.Context) (server int, message []byte, err error)
	Close() error
}

// Open makes a client of servers. Of a wire TCP it calls itself by name, which must be unlike that of any other.
func Open(wire string, servers []netip.AddrPort, name []byte, dialer *clients.Dialer) (Network, error) {
	if wire == WireTCP {
		return newStreams(servers, name, dialer), nil
	}
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	return &datagrams{socket: socket, servers: servers, b: make([]byte, Longest)}, nil
}

// datagrams is a Network over UDP.
type datagrams struct {
	socket  *net.UDPConn
	servers []netip.AddrPort
	b       []byte
}

func (n *datagrams) Send(_ context.Context, server int, message []byte) (bool, error) {
	_, err := n.socket.WriteToUDPAddrPort(message, n.servers[server])
	return err == nil, err
}

func (n *datagrams) Receive(ctx context.Context) (int, []byte, error) {
	n.socket.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { n.socket.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		size, from, err := n.socket.ReadFromUDPAddrPort(n.b)
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return 0, nil, err
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if i := slices.Index(n.servers, from); i >= 0 { // whoever else it is has no part in this
			return i, slices.Clone(n.b[:size]), nil
		}
	}
}

func (n *datagrams) Close() error { return n.socket.Close() }

// streams is a Network over TCP without encryption. A server answers over any open connection of the endpoint.
type streams struct {
	servers  []netip.AddrPort
	name     []byte
	dialer   *clients.Dialer
	received chan received
	closed   chan struct{}
	readers  sync.WaitGroup

	mu    sync.Mutex
	conns map[int]net.Conn
}

type received struct {
	server  int
	message []byte
	err     error
}

func newStreams(servers []netip.AddrPort, name []byte, dialer *clients.Dialer) *streams {
	return &streams{
		servers: servers, name: name, dialer: dialer, conns: map[int]net.Conn{},
		received: make(chan received, 64), closed: make(chan struct{}),
	}
}

func (n *streams) Send(ctx context.Context, server int, message []byte) (bool, error) {
	frame := AppendBytes(nil, message)
	n.mu.Lock()
	conn := n.conns[server]
	n.mu.Unlock()
	if conn == nil {
		var err error
		if conn, err = n.dialer.DialContext(ctx, "tcp", n.servers[server].String()); err != nil {
			return false, err
		}
		frame = append(AppendBytes(nil, n.name), frame...)
		n.mu.Lock()
		n.conns[server] = conn
		n.mu.Unlock()
		n.readers.Go(func() { n.read(server, conn) })
	}
	if deadline, is := ctx.Deadline(); is {
		conn.SetWriteDeadline(deadline)
	}
	sent, err := conn.Write(frame)
	if err != nil {
		n.drop(server, conn)
	}
	return sent > 0, err
}

// drop ends a connection; the next message makes another.
func (n *streams) drop(server int, conn net.Conn) {
	conn.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conns[server] == conn {
		delete(n.conns, server)
	}
}

// read hands what a server sends on, until that is no frame.
func (n *streams) read(server int, conn net.Conn) {
	defer n.drop(server, conn)
	r := bufio.NewReader(conn)
	for {
		message, err := ReadFrame(r)
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			return // the server need not say more
		}
		select {
		case n.received <- received{server, message, err}:
		case <-n.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

// ReadFrame reads a message of a stream.
func ReadFrame(r io.Reader) ([]byte, error) {
	var header [8]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint64(header[:])
	if size > Longest {
		return nil, fmt.Errorf("%w: it would have %d bytes, and %d is the limit", ErrMessage, size, Longest)
	}
	message, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err == nil && uint64(len(message)) < size {
		err = io.ErrUnexpectedEOF
	}
	return message, err
}

func (n *streams) Receive(ctx context.Context) (int, []byte, error) {
	select {
	case got := <-n.received:
		return got.server, got.message, got.err
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
}

func (n *streams) Close() error {
	close(n.closed)
	n.mu.Lock()
	for _, conn := range n.conns {
		conn.Close()
	}
	n.mu.Unlock()
	n.readers.Wait()
	return nil
}

// Local is the endpoint of a Network over UDP, the zero value of any other.
func Local(n Network) netip.AddrPort {
	if d, is := n.(*datagrams); is {
		return d.socket.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	return netip.AddrPort{}
}
