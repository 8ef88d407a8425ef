// Package host runs a core (servers/core) as a real process: with a clock, a log on disk and TCP.
//
// # Goroutines
//
// One goroutine owns the core. It takes events in bulk from a queue, steps the core once for each, and then hands what was
// asked for on: messages to connections, records to the disk. One goroutine owns the log: it writes all records that have
// gathered since its last sync as one batch, syncs once, and returns the messages that waited for it. Each
// connection has a reader, and a writer once something is sent. No goroutine waits for a slow connection: a full
// queue loses messages to nodes, and ends connections of clients.
//
// # Failures
//
// When the disk fails, everything that was not synced is uncertain: the core is thrown away, with every message that waited,
// and a new one is made from what the disk holds, again and again until that succeeds. A log that is damaged ends the host.
// When there are no descriptors left, accepting waits and goes on.
//
// # Wire
//
// A frame is its length (8 bytes, big-endian) and that many bytes, at most Options.MaxFrame. The first frame of a
// connection is a Hello; each further one is a message, as the core encodes it. There is no authentication: whoever reaches
// the port is believed.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"nemesis/servers/core"
	"nemesis/servers/defect"
	"nemesis/servers/trace"
	"nemesis/servers/wal"
)

// Options describe a node. Fields without a default must be given.
type Options struct {
	ID core.Address
	// Start makes the core from what the disk holds. It is called again after the disk has failed.
	Start func(core.Stored) (Core, error)
	// Decode reads a message. The message may keep the bytes.
	Decode func([]byte) (core.Body, error)
	// Log opens the directory of the log. It is called again after the disk has failed; Close is called on the former one.
	Log func() (wal.FS, error)
	// Listener accepts connections of nodes and clients. The host closes it.
	Listener net.Listener

	MaxFrame       int           // bytes; 16 MiB if 0
	MaxConnections int           // 20 000 if 0; one more is closed at once
	HelloTimeout   time.Duration // for a connection to say who it is; 10 s if 0
	QueueBytes     int           // of messages waiting for one connection; 64 MiB if 0

	// Trace gets each step that the core traces, before anything that the step asks for is done. nil traces nothing.
	Trace *trace.Writer
	// Say is told what an operator should know, a line at a time. nil discards it.
	Say    func(string)
	Defect defect.ID
}

// Core is what a host runs.
type Core interface {
	core.Core
	// AddressOf is where a node listens, or "" if that is not known.
	AddressOf(core.Address) string
}

// Host runs one node.
type Host struct {
	opt     Options
	started time.Time
	inbox   *inbox
	conns   connections
	peers   map[core.Address]*peer // of the goroutine that owns the core
	closing sync.WaitGroup
}

// Run serves until the context ends or the node cannot go on. It returns nil when the context has ended.
func Run(ctx context.Context, o Options) error {
	for _, d := range []struct {
		field *int
		value int
	}{{&o.MaxFrame, 16 << 20}, {&o.MaxConnections, 20_000}, {&o.QueueBytes, 64 << 20}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.HelloTimeout == 0 {
		o.HelloTimeout = 10 * time.Second
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	h := &Host{opt: o, started: time.Now(), inbox: newInbox(o.QueueBytes), peers: map[core.Address]*peer{}}
	h.conns.all = map[*conn]bool{}
	h.conns.clients = map[core.Address]*conn{}
	h.conns.nodes = map[core.Address][]*conn{}
	ctx, cancel := context.WithCancel(ctx)
	defer h.closing.Wait()
	defer h.conns.closeAll()
	defer o.Listener.Close()
	defer cancel()
	h.closing.Go(func() { h.accept(ctx) })
	return h.lives(ctx)
}

const restartDelay = 200 * time.Millisecond

// lives runs one core after another.
func (h *Host) lives(ctx context.Context) error {
	for {
		err := h.life(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, wal.ErrDamaged) || errors.Is(err, errCore) {
			return err
		}
		h.opt.Say(fmt.Sprintf("node %d stops serving: %v; it tries again every %v", h.opt.ID, err, restartDelay))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restartDelay):
		}
	}
}

// errCore is in the error of Run when the core cannot be made from what is stored.
var errCore = errors.New("the node cannot be made from what is stored")

// life runs a core until its disk fails.
func (h *Host) life(ctx context.Context) error {
	dir, err := h.opt.Log()
	if err != nil {
		return fmt.Errorf("open the log's directory: %w", err)
	}
	if c, ok := dir.(io.Closer); ok {
		defer c.Close()
	}
	log, stored, err := wal.Open(dir, h.opt.Defect)
	if err != nil {
		return err
	}
	defer log.Close()
	c, err := h.opt.Start(stored)
	if err != nil {
		return fmt.Errorf("%w: %w", errCore, err)
	}
	h.inbox.keepMessages()
	h.opt.Say(fmt.Sprintf("node %d serves, with %d records of its log", h.opt.ID, len(stored.Records)))
	disk := newDisk(log, h.inbox)
	err = h.run(ctx, c, disk)
	return errors.Join(err, disk.stop())
}

// run steps the core.
func (h *Host) run(ctx context.Context, c Core, disk *disk) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	stop := context.AfterFunc(ctx, h.inbox.wake)
	defer stop()
	for {
		events := h.inbox.take(timer.C)
		if ctx.Err() != nil {
			return nil
		}
		if err := disk.failure(); err != nil {
			return err
		}
		var out []core.Message
		var want work
		step := func(from core.Address, body core.Body, more bool) {
			e := core.Event{From: from, Body: body, More: more}
			e.Now, e.Wall = time.Since(h.started), time.Duration(time.Now().UnixNano())
			o := c.Step(e)
			out = append(out, o.Send...)
			want.add(o)
			for _, event := range o.Trace {
				h.opt.Trace.Step(event)
			}
			if want.save != nil || want.compact != nil {
				h.opt.Trace.Flush()
				disk.do(want)
				want = work{}
			}
		}
		for i, e := range events {
			if e.released != nil {
				out = append(out, e.released...)
				continue
			}
			step(e.from, e.body, i < len(events)-1 && events[len(events)-1].released == nil)
		}
		if len(events) == 0 || c.Deadline() <= time.Since(h.started) {
			step(0, nil, false)
		}
		h.opt.Trace.Flush()
		if !want.empty() {
			disk.do(want)
		}
		for _, m := range out {
			h.send(ctx, c, m)
		}
		timer.Reset(max(0, c.Deadline()-time.Since(h.started)))
	}
}

// send hands a message to where it goes.
func (h *Host) send(ctx context.Context, c Core, m core.Message) {
	switch {
	case m.To == h.opt.ID:
		h.inbox.put(event{from: h.opt.ID, body: m.Body}, 0)
	case m.To.IsClient():
		if conn := h.conns.client(m.To); conn != nil {
			conn.send(m.Body)
		}
	default:
		h.sendToNode(ctx, c, m)
	}
}

func (h *Host) sendToNode(ctx context.Context, c Core, m core.Message) {
	address := c.AddressOf(m.To)
	if address == "" { // a node that this one has not heard of yet is answered where it asked
		if conn := h.conns.node(m.To); conn != nil {
			conn.send(m.Body)
		}
		return
	}
	p := h.peers[m.To]
	if p == nil || p.address != address {
		if p != nil {
			p.stop()
		}
		// A node that was removed may have had this address. What comes back over the connection to it is not its own any more.
		for id, other := range h.peers {
			if other.address == address && id != m.To {
				other.stop()
				delete(h.peers, id)
			}
		}
		p = newPeer(ctx, h, m.To, address)
		h.peers[m.To] = p
	}
	p.send(m.Body)
}
