package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/sync/semaphore"

	"nemesis/nodes"
)

// sshd allows ten sessions on a connection (MaxSessions) unless told otherwise.
// One is kept for killing programs; callers beyond the rest wait their turn.
const maxSessions = 9

// refusedFor is how long a session may be refused before that is an error. sshd
// frees a session only when it has collected the ended program, which is some
// time after telling us of the end.
const refusedFor = 3 * time.Second

// conn is one SSH connection to one node.
type conn struct {
	node   nodes.Node
	raw    *heard
	client *gossh.Client
	sudo   bool
	slots  *semaphore.Weighted
	lost   chan struct{}
	why    atomic.Pointer[string] // set before lost is closed

	hunting sync.Mutex // one program is hunted at a time
}

func newConn(node nodes.Node, raw *heard, client *gossh.Client) *conn {
	c := &conn{node: node, raw: raw, client: client, slots: semaphore.NewWeighted(maxSessions), lost: make(chan struct{})}
	go func() {
		client.Wait()
		c.blame("the server hung up")
		close(c.lost)
	}()
	return c
}

func (c *conn) Node() nodes.Node      { return c.node }
func (c *conn) Sudo() bool            { return c.sudo }
func (c *conn) Lost() <-chan struct{} { return c.lost }

func (c *conn) Close() error {
	c.blame("it was closed")
	c.client.Close()
	// The library's close waits for nobody, but a full send buffer may hold it up.
	c.raw.Close()
	return nil
}

// blame records why the connection is about to end; the first reason stays.
func (c *conn) blame(why string) { c.why.CompareAndSwap(nil, &why) }

func (c *conn) isLost() bool {
	select {
	case <-c.lost:
		return true
	default:
		return c.why.Load() != nil
	}
}

// failed makes the error of an operation, and puts the loss of the connection
// before whatever it made the library say.
func (c *conn) failed(what string, err error) error {
	if errors.Is(err, io.EOF) {
		// The library ends the channels first and the connection after that.
		select {
		case <-c.lost:
		case <-time.After(200 * time.Millisecond):
		}
	}
	if c.isLost() {
		return because(errors.Join(net.ErrClosed, err), "%s on %s: the connection is lost: %s", what, c.node.Name, *c.why.Load())
	}
	return because(err, "%s on %s: %s", what, c.node.Name, nodes.OneLine(err.Error()))
}

// keepAlive asks for signs of life. TCP alone takes a quarter of an hour to
// notice that a peer is gone, and never does while there is nothing to send.
func (c *conn) keepAlive(every, patience time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-c.lost:
			return
		case <-tick.C:
		}
		answered := make(chan error, 1)
		go func() {
			// Servers answer requests that they do not know as well: with no.
			_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		c.await(answered, patience)
	}
}

// await waits for the answer to a sign of life. Whatever the server sends meanwhile is
// one as well: on a slow node the question stands in line behind a whole upload.
func (c *conn) await(answered <-chan error, patience time.Duration) {
	late := time.NewTimer(patience)
	defer late.Stop()
	asked := time.Now()
	for {
		select {
		case <-c.lost:
			return
		case <-answered:
			return
		case <-late.C:
		}
		since := c.raw.last()
		if since.Before(asked) {
			since = asked
		}
		if left := patience - time.Since(since); left > 0 {
			late.Reset(left)
			continue
		}
		c.blame(fmt.Sprintf("the server gave no sign of life for %v", patience))
		c.raw.Close() // not the client's Close, which would try to write
		return
	}
}

// heard is a connection that knows when the other side was heard last.
type heard struct {
	net.Conn
	at atomic.Pointer[time.Time]
}

func (h *heard) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if n > 0 {
		now := time.Now()
		h.at.Store(&now)
	}
	return n, err
}

func (h *heard) last() time.Time {
	if at := h.at.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// take waits for n sessions to be free, and returns the function that gives
// them back. None are free at once, whoever else is waiting.
func (c *conn) take(ctx context.Context, n int64) (release func(), err error) {
	if n == 0 {
		return func() {}, nil
	}
	if err := c.slots.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return func() { c.slots.Release(n) }, nil
}

// session opens a channel, or gives up with the context. The caller has taken it.
func (c *conn) session(ctx context.Context) (*gossh.Session, error) {
	for pause, waited := 5*time.Millisecond, time.Duration(0); ; pause *= 2 {
		session, err := c.trySession(ctx)
		var refused *gossh.OpenChannelError
		if !errors.As(err, &refused) {
			return session, err
		}
		if waited += pause; waited > refusedFor {
			return nil, because(err, "its sshd opens no further session; raise MaxSessions in its sshd_config to %d or more", maxSessions+1)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *conn) trySession(ctx context.Context) (*gossh.Session, error) {
	type opened struct {
		session *gossh.Session
		err     error
	}
	done := make(chan opened, 1)
	go func() {
		session, err := c.client.NewSession()
		done <- opened{session, err}
	}()
	select {
	case o := <-done:
		return o.session, o.err
	case <-ctx.Done():
		go func() {
			if o := <-done; o.err == nil {
				o.session.Close()
			}
		}()
		return nil, ctx.Err()
	}
}
