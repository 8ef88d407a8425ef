package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"sync"
	"time"

	"nemesis/history"
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
	// that one. Without it the node's Facts say that the clock cannot be bent, since
	// nothing would see it.
	Shadow bool
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
	o.DeadAfter = min(o.DeadAfter, MaxDeadAfter)
	return o
}

// The silence after which an agent undoes everything.
const (
	DefaultDeadAfter = 3 * time.Second
	MaxDeadAfter     = time.Minute
)

// defaultDeadline bounds a request whose context has no deadline of its own.
const defaultDeadline = 60 * time.Second

// Client is the control side of one node's agent. It is safe for concurrent use.
type Client struct {
	node      nodes.Node
	stream    nodes.Stream
	stderr    *tail
	opt       Options
	facts     Facts
	born      time.Time // the control node's clock reading that others are compared with
	out       chan []byte
	exits     *exitQueue
	uploading sync.Mutex // one transfer at a time: two of the same content would tear each other
	stop      context.CancelFunc

	lost  chan struct{} // closed by fail
	ended chan struct{} // closed when the program has ended, after lost
	end   error         // how it ended; read after ended

	mu       sync.Mutex
	nextID   uint64
	waiting  map[uint64]chan frame
	why      error // why it was lost
	heard    time.Time
	monoZero *int64 // middle of the first monotonic clock sample
}

// Connect uploads the agent when the node's copy differs, starts it over conn,
// and waits for its greeting. Whatever an earlier agent left in the ledger is
// undone by then, and listed in Facts().Leftovers.
//
// An agent of another control node that still lives makes it fail after
// DeadAfter and two seconds, with a sentence that says whose it is. The context
// bounds the connecting only; the agent lives until Close, or until conn is lost.
func Connect(ctx context.Context, conn nodes.Conn, opt Options) (*Client, error) {
	opt = opt.withDefaults()
	name := conn.Node().Name
	bin, err := openBinary(opt.Binary)
	if err != nil {
		return nil, fmt.Errorf("start the agent on %s: %w", name, err)
	}
	site, err := survey(ctx, conn, bin, opt.Dir)
	if other, why := forOther(err); why != nil {
		err = why
	} else if other != nil {
		bin = other
		site, err = survey(ctx, conn, bin, opt.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("start the agent on %s: %w", name, err)
	}
	if site.have {
		c, err := start(ctx, conn, site, bin, opt)
		if !errors.Is(err, errWrongBinary) {
			return c, err
		}
	}
	if err := bin.upload(ctx, conn, site.binary); err != nil {
		return nil, fmt.Errorf("start the agent on %s: %w", name, err)
	}
	return start(ctx, conn, site, bin, opt)
}

// start runs the uploaded agent and greets it.
func start(ctx context.Context, conn nodes.Conn, site site, bin *executable, opt Options) (*Client, error) {
	name := conn.Node().Name
	// The stream outlives ctx, which bounds the connecting alone.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	c := &Client{
		node: conn.Node(), opt: opt, stop: stop, born: time.Now(), stderr: &tail{},
		out: make(chan []byte, 64), lost: make(chan struct{}), ended: make(chan struct{}), waiting: map[uint64]chan frame{},
		exits: newExitQueue(), heard: time.Now(),
	}
	opened := make(chan error, 1)
	go func() {
		var err error
		c.stream, err = conn.Start(life, c.stderr, site.argv(opt)...)
		opened <- err
	}()
	select {
	case err := <-opened:
		if err != nil {
			stop()
			return nil, fmt.Errorf("start the agent on %s: %w", name, err)
		}
	case <-ctx.Done():
		stop()
		return nil, fmt.Errorf("start the agent on %s: the program did not start in time: %w", name, ctx.Err())
	}
	go c.write()
	go c.read()

	var g greeting
	err := c.call(ctx, doHello, hello{Protocol: protocolVersion, Control: whoAmI(), DeadAfter: int64(opt.DeadAfter), Shadow: opt.Shadow}, nil, &g)
	switch {
	case err != nil && c.dead() && !errors.As(err, new(*RemoteError)):
		// The program ended without an answer: its own last words say more than ours.
		werr := c.wait(time.Second)
		err = fmt.Errorf("start the agent on %s: %s", name, c.lastWords(werr, err))
		if cannotRun(werr) {
			err = fmt.Errorf("%w: %w", err, errWrongBinary)
		}
	case err != nil:
		err = fmt.Errorf("start the agent on %s: %w", name, err)
	case g.Protocol != protocolVersion:
		err = fmt.Errorf("start the agent on %s: it speaks version %d of the protocol and this program version %d: pass a binary of the same release", name, g.Protocol, protocolVersion)
	case g.SHA256 != bin.sha256:
		err = fmt.Errorf("start the agent on %s: %w", name, errWrongBinary)
	default:
		c.facts = g.Facts
		go c.beat()
		return c, nil
	}
	c.fail(err)
	return nil, err
}

// RemoteError is what the agent answered: the request arrived and was refused or failed.
type RemoteError struct{ Text string }

func (e *RemoteError) Error() string { return e.Text }

// call performs one request. It ends by ctx's deadline, or the default one.
func (c *Client) call(ctx context.Context, do string, in any, payload []byte, out any) error {
	answer, err := c.exchange(ctx, do, in, payload)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer.Body, out); err != nil {
		return fmt.Errorf("understand the agent's answer to %q: %w", do, err)
	}
	return nil
}

func (c *Client) exchange(ctx context.Context, do string, in any, payload []byte) (frame, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultDeadline)
		defer cancel()
	}
	body, err := json.Marshal(in)
	if err != nil {
		return frame{}, err
	}
	c.mu.Lock()
	c.nextID++
	id := c.nextID
	answer := make(chan frame, 1)
	c.waiting[id] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
	}()

	bytes, err := frame{message: message{ID: id, Do: do, Body: body}, payload: payload}.encode()
	if err != nil {
		return frame{}, err
	}
	select {
	case c.out <- bytes:
	case <-c.lost:
		return frame{}, c.reason()
	case <-ctx.Done():
		return frame{}, fmt.Errorf("the agent took no request: %w", ctx.Err())
	}
	select {
	case f := <-answer:
		if f.Error != "" {
			return frame{}, &RemoteError{firstLine(f.Error)}
		}
		return f, nil
	case <-c.lost:
		// The answer may have come in just before the end.
		select {
		case f := <-answer:
			if f.Error != "" {
				return frame{}, &RemoteError{firstLine(f.Error)}
			}
			return f, nil
		default:
			return frame{}, c.reason()
		}
	case <-ctx.Done():
		return frame{}, fmt.Errorf("the agent did not answer %q in time: %w", do, ctx.Err())
	}
}

// write sends queued frames, so that a caller with a deadline never hangs in a
// write to a connection that takes nothing any more.
func (c *Client) write() {
	for {
		select {
		case bytes := <-c.out:
			if _, err := c.stream.Write(bytes); err != nil {
				// The reader learns the same, and perhaps an answer before it.
				select {
				case <-c.lost:
				case <-time.After(time.Second):
					c.fail(fmt.Errorf("it takes no requests: %w", err))
				}
				return
			}
		case <-c.lost:
			return
		}
	}
}

func (c *Client) read() {
	r := bufio.NewReaderSize(c.stream, 64<<10)
	for {
		f, err := readFrame(r)
		if err != nil {
			c.fail(fmt.Errorf("its channel closed: %w", err))
			return
		}
		c.mu.Lock()
		c.heard = time.Now()
		answer := c.waiting[f.ID]
		c.mu.Unlock()
		switch {
		case f.ID != 0 && answer != nil:
			answer <- f
		case f.Do == pushExit:
			var exit history.Exit
			if json.Unmarshal(f.Body, &exit) == nil {
				c.exits.push(exit)
			}
		}
	}
}

// beat tells the agent that its client lives, and notices when the agent does not.
func (c *Client) beat() {
	tick := time.NewTicker(c.opt.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-c.lost:
			return
		case <-tick.C:
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), c.opt.DeadAfter)
			defer cancel()
			_ = c.call(ctx, doBeat, struct{}{}, nil, nil) // read tells whether anything came back
		}()
		c.mu.Lock()
		silent := time.Since(c.heard)
		c.mu.Unlock()
		if silent > 2*c.opt.DeadAfter {
			c.fail(fmt.Errorf("it has been silent for %s", silent.Round(time.Millisecond)))
		}
	}
}

// fail ends the client; the first reason stays.
func (c *Client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != nil {
		return
	}
	c.why = fmt.Errorf("the agent on %s is lost: %w", c.node.Name, err)
	close(c.lost)
	c.exits.close()
	// Only now: a stream's Wait may discard what was not read yet.
	go func() {
		c.end = c.stream.Wait()
		close(c.ended)
	}()
	go func() {
		_ = c.stream.CloseWrite()
		_ = c.wait(closing) // let it undo what is in force
		_ = c.stream.Close()
		c.stop()
	}()
}

// closing is how long an agent may take to end by itself once its channel is closed.
const closing = 10 * time.Second

func (c *Client) dead() bool {
	select {
	case <-c.lost:
		return true
	default:
		return false
	}
}

func (c *Client) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// wait tells how the program ended, nil when it has not within d.
func (c *Client) wait(d time.Duration) error {
	select {
	case <-c.ended:
		return c.end
	case <-time.After(d):
		return nil
	}
}

// lastWords chooses what says most about an agent that ended without greeting.
func (c *Client) lastWords(ended, otherwise error) string {
	if s := c.stderr.last(); s != "" {
		return s
	}
	if ended != nil {
		return firstLine(ended.Error())
	}
	if c.opt.Binary != "" && errors.Is(otherwise, io.EOF) {
		return fmt.Sprintf("the program ended without a greeting; is %s a nemesis executable?", c.opt.Binary)
	}
	return firstLine(otherwise.Error())
}

// whoAmI names this control process in the node's lock.
func whoAmI() string {
	host, _ := os.Hostname()
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return fmt.Sprintf("%s@%s, pid %d", name, host, os.Getpid())
}
