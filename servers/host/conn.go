package host

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
)

// helloMagic begins the first frame of each connection.
const helloMagic = "nemesis1"

// Hello is the first frame of a connection: who speaks. Node 0 is a client.
func Hello(node core.Address) []byte {
	return binary.BigEndian.AppendUint64([]byte(helloMagic), uint64(node))
}

func readHello(frame []byte) (core.Address, error) {
	if len(frame) != len(helloMagic)+8 || string(frame[:len(helloMagic)]) != helloMagic {
		return 0, errors.New("the first frame is no hello")
	}
	node := core.Address(binary.BigEndian.Uint64(frame[len(helloMagic):]))
	if node.IsClient() {
		return 0, fmt.Errorf("the hello of node %d, which no node can be", node)
	}
	return node, nil
}

// frameHeader is the size of a frame's length.
const frameHeader = 8

// AppendFrame appends a message as a frame.
func AppendFrame(b []byte, body core.Body) []byte {
	start := len(b)
	b = append(b, make([]byte, frameHeader)...)
	b = body.Append(b)
	binary.BigEndian.PutUint64(b[start:], uint64(len(b)-start-frameHeader))
	return b
}

// frameStep is how much memory is taken at a time for a frame that has not arrived yet: a length alone costs nothing.
const frameStep = 64 << 10

// ReadFrame reads a frame of at most limit bytes.
func ReadFrame(r io.Reader, limit int) ([]byte, error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint64(header[:])
	if size > uint64(limit) {
		return nil, fmt.Errorf("a frame of %d bytes, and the limit is %d", size, limit)
	}
	var frame []byte
	for left := int(size); left > 0; {
		step := min(left, max(frameStep, len(frame)))
		at := len(frame)
		frame = append(frame, make([]byte, step)...)
		if _, err := io.ReadFull(r, frame[at:]); err != nil {
			return nil, err
		}
		left -= step
	}
	return frame, nil
}

// connections are those that others opened.
type connections struct {
	mu      sync.Mutex
	all     map[*conn]bool
	clients map[core.Address]*conn
	nodes   map[core.Address][]*conn // the last one of each at the end
	next    core.Address
	closed  bool
}

func (s *connections) client(a core.Address) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clients[a]
}

func (s *connections) node(a core.Address) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if all := s.nodes[a]; len(all) > 0 {
		return all[len(all)-1]
	}
	return nil
}

func (s *connections) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.all {
		c.close()
	}
}

// add takes a connection in, unless there are too many.
func (s *connections) add(c *conn, limit int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.all) >= limit {
		return false
	}
	s.all[c] = true
	return true
}

// name notes who speaks on a connection.
func (s *connections) name(c *conn, node core.Address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.from = node; node != 0 {
		s.nodes[node] = append(s.nodes[node], c)
		return
	}
	c.from = core.FirstClient + s.next
	s.next++
	s.clients[c.from] = c
}

func (s *connections) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, c)
	delete(s.clients, c.from)
	// Another one of the same node may be left: a node opens a second before it has closed the first.
	left := slices.DeleteFunc(s.nodes[c.from], func(o *conn) bool { return o == c })
	if s.nodes[c.from] = left; len(left) == 0 {
		delete(s.nodes, c.from)
	}
}

// accept takes connections in until the listener is closed.
func (h *Host) accept(ctx context.Context) {
	said := false
	for {
		socket, err := h.opt.Listener.Accept()
		switch {
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			if err == nil {
				socket.Close()
			}
			return
		case err != nil:
			if !said {
				h.opt.Say(fmt.Sprintf("node %d cannot accept connections: %v; it tries again", h.opt.ID, err))
				said = true
			}
			if h.opt.Defect == defect.R40 {
				return
			}
			time.Sleep(50 * time.Millisecond) // no descriptors: one may become free
			continue
		}
		said = false
		c := &conn{socket: socket, limit: h.opt.QueueBytes}
		if !h.conns.add(c, h.opt.MaxConnections) {
			socket.Close()
			continue
		}
		if h.opt.Defect == defect.R29 {
			if h.greet(c, socket) != nil {
				c.close()
				h.conns.remove(c)
				continue
			}
		}
		h.closing.Go(func() {
			defer h.conns.remove(c)
			defer c.close()
			h.serve(c)
		})
	}
}

// greet reads the hello.
func (h *Host) greet(c *conn, r io.Reader) error {
	if h.opt.Defect != defect.R29 {
		c.socket.SetReadDeadline(time.Now().Add(h.opt.HelloTimeout))
		defer c.socket.SetReadDeadline(time.Time{})
	}
	frame, err := ReadFrame(r, len(Hello(0)))
	if err != nil {
		return err
	}
	node, err := readHello(frame)
	if err != nil {
		return err
	}
	h.conns.name(c, node)
	return nil
}

// serve hands the messages of a connection to the core. Whatever is no message ends the connection.
func (h *Host) serve(c *conn) {
	r := bufio.NewReaderSize(c.socket, 4096)
	if c.from == 0 && h.greet(c, r) != nil {
		return
	}
	h.receive(r, c.from)
}

// receive puts every message that arrives into the inbox, until one is none.
func (h *Host) receive(r io.Reader, from core.Address) {
	limit := h.opt.MaxFrame
	for {
		var frame []byte
		var err error
		if h.opt.Defect == defect.R28 {
			frame, err = readTrustingly(r)
		} else {
			frame, err = ReadFrame(r, limit)
		}
		if err != nil {
			return
		}
		body, err := h.opt.Decode(frame)
		if err != nil {
			return
		}
		h.inbox.put(event{from: from, body: body}, len(frame))
	}
}

// readTrustingly is what R28 does.
func readTrustingly(r io.Reader) ([]byte, error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint64(header[:]))
	_, err := io.ReadFull(r, frame)
	return frame, err
}

// conn is a connection with a queue of what is to be sent on it.
type conn struct {
	socket net.Conn
	from   core.Address
	limit  int

	mu      sync.Mutex
	queue   []byte
	writing bool
	closed  bool
}

// send queues a message. If the other side does not read what there is already, the connection is closed.
func (c *conn) send(body core.Body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if len(c.queue) > c.limit {
		c.closed = true
		c.socket.Close()
		return
	}
	c.queue = AppendFrame(c.queue, body)
	if !c.writing {
		c.writing = true
		go c.write()
	}
}

// write writes what is queued, and ends when there is nothing.
func (c *conn) write() {
	var spare []byte
	for {
		c.mu.Lock()
		todo := c.queue
		if len(todo) == 0 || c.closed {
			c.writing = false
			c.mu.Unlock()
			return
		}
		c.queue = spare[:0]
		c.mu.Unlock()
		if _, err := c.socket.Write(todo); err != nil {
			c.close()
		}
		if spare = todo; cap(spare) > frameStep {
			spare = nil
		}
	}
}

func (c *conn) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.socket.Close()
}
