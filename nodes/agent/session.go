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

// session is the exchange with one agent, from its greeting until it is lost. It is
// safe for concurrent use.
type session struct {
	node   nodes.Node
	stream nodes.Stream
	stderr *tail
	opt    Options
	facts  Facts
	born   time.Time // the control node's clock reading that others are compared with
	out    chan []byte
	exits  *exitQueue // the client's
	stop   context.CancelFunc

	// alive ends when the agent is lost, with a lostError as its cause; lose ends it.
	alive context.Context
	lose  context.CancelCauseFunc
	ended chan struct{} // closed when the program has ended, after it was lost
	end   error         // how it ended; read after ended

	mu       sync.Mutex
	nextID   uint64
	waiting  map[uint64]chan frame
	heard    time.Time
	monoZero *int64 // middle of the first monotonic clock sample
}

// lostError is why an agent was lost. Its text names the node.
type lostError struct {
	node string
	err  error
}

func (e *lostError) Error() string { return fmt.Sprintf("the agent on %s is lost: %s", e.node, e.err) }
func (e *lostError) Unwrap() error { return e.err }

// start runs the uploaded agent and greets it.
func start(ctx context.Context, conn nodes.Conn, site site, bin *executable, opt Options, exits *exitQueue) (*session, error) {
	name := conn.Node().Name
	// The stream outlives ctx, which bounds the connecting alone.
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &session{
		node: conn.Node(), opt: opt, stop: stop, born: time.Now(), stderr: &tail{},
		out: make(chan []byte, 64), ended: make(chan struct{}), waiting: map[uint64]chan frame{},
		exits: exits, heard: time.Now(),
	}
	s.alive, s.lose = context.WithCancelCause(context.Background())
	opened := make(chan error, 1)
	go func() {
		var err error
		s.stream, err = conn.Start(life, s.stderr, site.argv(opt)...)
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
	go s.write()
	go s.read()

	var g greeting
	err := s.call(ctx, doHello, hello{Protocol: protocolVersion, Control: whoAmI(), DeadAfter: int64(opt.DeadAfter), Shadow: opt.Shadow, Keep: opt.Keep, OrphanAfter: int64(opt.OrphanAfter)}, nil, &g)
	switch {
	case err != nil && s.dead() && !errors.As(err, new(*RemoteError)):
		// The program ended without an answer: its own last words say more than ours.
		werr := s.wait(time.Second)
		err = fmt.Errorf("start the agent on %s: %s", name, s.lastWords(werr, err))
		if cannotRun(werr) {
			err = fmt.Errorf("%w: %w", err, errCannotRun)
		}
	case err != nil:
		err = fmt.Errorf("start the agent on %s: %w", name, err)
	case g.Protocol != protocolVersion:
		err = fmt.Errorf("start the agent on %s: it speaks version %d of the protocol and this program version %d: pass a binary of the same release", name, g.Protocol, protocolVersion)
	case g.SHA256 != bin.sha256:
		err = fmt.Errorf("start the agent on %s: %w", name, errWrongBinary)
	default:
		s.facts = g.Facts
		go s.beat()
		return s, nil
	}
	s.fail(err)
	return nil, err
}

// RemoteError is what the agent answered: the request arrived and was refused or failed.
type RemoteError struct{ Text string }

func (e *RemoteError) Error() string { return e.Text }

// call performs one request. It ends by ctx's deadline, or the default one.
func (s *session) call(ctx context.Context, do string, in any, payload []byte, out any) error {
	answer, err := s.exchange(ctx, do, in, payload)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer.Body, out); err != nil {
		return fmt.Errorf("understand the agent's answer to %q: %w", do, err)
	}
	return nil
}

func (s *session) exchange(ctx context.Context, do string, in any, payload []byte) (frame, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultDeadline)
		defer cancel()
	}
	body, err := json.Marshal(in)
	if err != nil {
		return frame{}, err
	}
	s.mu.Lock()
	s.nextID++
	id := s.nextID
	answer := make(chan frame, 1)
	s.waiting[id] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.waiting, id)
		s.mu.Unlock()
	}()

	bytes, err := frame{message: message{ID: id, Do: do, Body: body}, payload: payload}.encode()
	if err != nil {
		return frame{}, err
	}
	select {
	case s.out <- bytes:
	case <-s.alive.Done():
		return frame{}, s.why()
	case <-ctx.Done():
		return frame{}, fmt.Errorf("the agent took no request: %w", ctx.Err())
	}
	select {
	case f := <-answer:
		if f.Error != "" {
			return frame{}, &RemoteError{firstLine(f.Error)}
		}
		return f, nil
	case <-s.alive.Done():
		// The answer may have come in just before the end.
		select {
		case f := <-answer:
			if f.Error != "" {
				return frame{}, &RemoteError{firstLine(f.Error)}
			}
			return f, nil
		default:
			return frame{}, s.why()
		}
	case <-ctx.Done():
		return frame{}, fmt.Errorf("the agent did not answer %q in time: %w", do, ctx.Err())
	}
}

// write sends queued frames, so that a caller with a deadline never hangs in a
// write to a connection that takes nothing any more.
func (s *session) write() {
	for {
		select {
		case bytes := <-s.out:
			if _, err := s.stream.Write(bytes); err != nil {
				// The reader learns the same, and perhaps an answer before it.
				select {
				case <-s.alive.Done():
				case <-time.After(time.Second):
					s.fail(fmt.Errorf("it takes no requests: %w", err))
				}
				return
			}
		case <-s.alive.Done():
			return
		}
	}
}

func (s *session) read() {
	r := bufio.NewReaderSize(s.stream, 64<<10)
	for {
		f, err := readFrame(r)
		if err != nil {
			s.fail(fmt.Errorf("its channel closed: %w", err))
			return
		}
		s.mu.Lock()
		s.heard = time.Now()
		answer := s.waiting[f.ID]
		s.mu.Unlock()
		switch {
		case f.ID != 0 && answer != nil:
			answer <- f
		case f.Do == pushExit:
			var exit history.Exit
			if json.Unmarshal(f.Body, &exit) == nil {
				s.exits.push(exit)
			}
		}
	}
}

// beat tells the agent that its client lives, and notices when the agent does not.
func (s *session) beat() {
	tick := time.NewTicker(s.opt.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-s.alive.Done():
			return
		case <-tick.C:
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), s.opt.DeadAfter)
			defer cancel()
			_ = s.call(ctx, doBeat, struct{}{}, nil, nil) // read tells whether anything came back
		}()
		s.mu.Lock()
		silent := time.Since(s.heard)
		s.mu.Unlock()
		if silent > 2*s.opt.DeadAfter {
			s.fail(fmt.Errorf("it has been silent for %s", silent.Round(time.Millisecond)))
		}
	}
}

// fail ends the session; the first reason stays.
func (s *session) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead() {
		return
	}
	s.lose(&lostError{s.node.Name, err})
	// Only now: a stream's Wait may discard what was not read yet.
	go func() {
		s.end = s.stream.Wait()
		close(s.ended)
	}()
	go func() {
		_ = s.stream.CloseWrite()
		_ = s.wait(closing) // let it undo what is in force
		_ = s.stream.Close()
		s.stop()
	}()
}

// closing is how long an agent may take to end by itself once its channel is closed.
const closing = 10 * time.Second

func (s *session) dead() bool { return s.alive.Err() != nil }

// why says why the agent was lost, nil while it is not.
func (s *session) why() error { return context.Cause(s.alive) }

// wait tells how the program ended, nil when it has not within d.
func (s *session) wait(d time.Duration) error {
	select {
	case <-s.ended:
		return s.end
	case <-time.After(d):
		return nil
	}
}

// lastWords chooses what says most about an agent that ended without greeting.
func (s *session) lastWords(ended, otherwise error) string {
	if s := s.stderr.last(); s != "" {
		return s
	}
	if ended != nil {
		return firstLine(ended.Error())
	}
	if s.opt.Binary != "" && errors.Is(otherwise, io.EOF) {
		return fmt.Sprintf("the program ended without a greeting; is %s a nemesis executable?", s.opt.Binary)
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
