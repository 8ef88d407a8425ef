package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"nemesis/nodes"
)

// Options are how a Client reaches its agent.
type Options struct {
	// Binary is the nemesis executable to upload ("" is the running one). A node with
	// another processor gets nemesis-linux-<GOARCH> from the same directory.
	Binary string
	// Dir is the agent's directory on the node; "" is the default for its user:
	// /var/lib/nemesis for root, else /var/tmp/nemesis-<uid>.
	Dir string
	// Heartbeat is how often the client says it lives; DeadAfter is how long the
	// agent waits in silence before it undoes everything, at most MaxDeadAfter. Zero
	// means 500 ms and DefaultDeadAfter.
	Heartbeat, DeadAfter time.Duration
	// Shadow: processes are started under the node's shadow clock, and Clock measures
	// that one. Without it the node's Facts say that the clock cannot be changed, since
	// nothing would see it.
	Shadow bool
	// Disk: processes are started with a disk of ours below their data directories.
	Disk bool
	// Keep: the servers that this client starts run on when it is gone. All others are
	// ended OrphanAfter after the agent has lost its client, unless another client has
	// come by then; zero means DefaultOrphanAfter.
	Keep        bool
	OrphanAfter time.Duration
	// NoCgroup: servers are held by their tag even where the node has control groups.
	NoCgroup bool
}

func (o Options) withDefaults() Options {
	if o.Heartbeat <= 0 {
		o.Heartbeat = 500 * time.Millisecond
	}
	if o.DeadAfter <= 0 {
		o.DeadAfter = DefaultDeadAfter
	}
	if o.OrphanAfter <= 0 {
		o.OrphanAfter = DefaultOrphanAfter
	}
	o.DeadAfter = min(o.DeadAfter, MaxDeadAfter)
	return o
}

// The silence after which an agent undoes everything.
const (
	DefaultDeadAfter = 3 * time.Second
	MaxDeadAfter     = time.Minute
)

// DefaultOrphanAfter is how long servers run on without a client, so that one that lost
// its connection finds them as they were.
const DefaultOrphanAfter = time.Minute

// defaultDeadline bounds a request whose context has no deadline of its own.
const defaultDeadline = 60 * time.Second

// Client is the control side of one node's agent, and stays the same when another agent
// takes the place of the one before (Reconnect). It is safe for concurrent use.
//
// A call is answered by the agent that was current when the call began, or fails when
// that agent is lost, even if there is another by then.
type Client struct {
	node      nodes.Node
	opt       Options
	exits     *exitQueue
	uploading sync.Mutex // one transfer at a time: two of the same content would tear each other

	reconnecting sync.Mutex // one Reconnect at a time

	mu      sync.Mutex
	current *session
	closed  bool
}

// Connect uploads the agent when the node's copy differs, starts it over conn,
// and waits for its greeting. Whatever an earlier agent left in the ledger is
// undone by then, and listed in Facts().Leftovers.
//
// An agent of another control node that still lives makes it fail after
// DeadAfter and two seconds, with a sentence that says whose it is. The context
// bounds the connecting only; the agent lives until Close, or until conn is lost.
func Connect(ctx context.Context, conn nodes.Conn, opt Options) (*Client, error) {
	c := &Client{node: conn.Node(), opt: opt.withDefaults(), exits: newExitQueue()}
	if err := c.Reconnect(ctx, conn); err != nil {
		c.exits.close()
		return nil, err
	}
	return c, nil
}

// Reconnect starts another agent of the same node over conn, as Connect does. From its
// return on the client speaks to that one. The agent before it counts as lost then, at
// the latest: whoever waits for an answer of it is told so. After an error, or after
// Close, everything is as before.
func (c *Client) Reconnect(ctx context.Context, conn nodes.Conn) error {
	c.reconnecting.Lock()
	defer c.reconnecting.Unlock()
	next, err := c.open(ctx, conn)
	if err != nil {
		return err
	}
	c.mu.Lock()
	last := c.current
	refused := c.closed
	if !refused {
		c.current = next
	}
	c.mu.Unlock()
	if refused {
		err := errors.New("it was closed")
		next.fail(err)
		return fmt.Errorf("start another agent on %s: %w", c.node.Name, err)
	}
	if last != nil {
		last.fail(errors.New("another one took its place"))
	}
	return nil
}

// open makes a session with an agent that it uploads when needed.
func (c *Client) open(ctx context.Context, conn nodes.Conn) (*session, error) {
	name := c.node.Name
	bin, err := openBinary(c.opt.Binary)
	if err != nil {
		return nil, fmt.Errorf("start the agent on %s: %w", name, err)
	}
	site, err := survey(ctx, conn, bin, c.opt.Dir)
	if other, why := forOther(err); why != nil {
		err = why
	} else if other != nil {
		bin = other
		site, err = survey(ctx, conn, bin, c.opt.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("start the agent on %s: %w", name, err)
	}
	if site.have {
		s, err := start(ctx, conn, site, bin, c.opt, c.exits)
		if !errors.Is(err, errWrongBinary) && !errors.Is(err, errCannotRun) {
			return s, err
		}
	}
	if err := bin.upload(ctx, conn, site.binary); err != nil {
		return nil, fmt.Errorf("start the agent on %s: %w", name, err)
	}
	for try := 1; ; try++ {
		s, err := start(ctx, conn, site, bin, c.opt, c.exits)
		if !errors.Is(err, errCannotRun) || try == busyTries || ctx.Err() != nil {
			return s, err
		}
		time.Sleep(busyPause)
	}
}

// agent is the session with the agent to ask now.
func (c *Client) agent() *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

func (c *Client) call(ctx context.Context, do string, in any, payload []byte, out any) error {
	return c.agent().call(ctx, do, in, payload, out)
}
