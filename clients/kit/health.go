package kit

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nodes/agent"
)

// Ready returns when every server serves. The first one known not to ends the wait: one
// that has exited does not come back by waiting for the others.
func (s *Servers) Ready(ctx context.Context) error { return s.ready(ctx, s.all) }

// Healthy returns when every server on a node serves. It gives up when one has exited,
// or when the context ends. The error says which does not serve, and why, with the end
// of its log.
func (s *Servers) Healthy(ctx context.Context, node string) error {
	if _, err := s.machine(node); err != nil {
		return err
	}
	return s.ready(ctx, s.On(node))
}

func (s *Servers) ready(ctx context.Context, components []clients.Component) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error, len(components))
	for _, c := range components {
		go func() { answers <- s.serves(ctx, c) }()
	}
	for range components {
		if err := <-answers; err != nil {
			return err
		}
	}
	return nil
}

// serves waits until a server serves.
func (s *Servers) serves(ctx context.Context, c clients.Component) error {
	m := s.machines[c.Node]
	runs := false // what its node said last, but for what it had no time to say
	for {
		err := s.probe(ctx, c)
		if err == nil {
			return nil
		}
		state, stateErr := m.ProcessState(ctx, c.Name())
		if stateErr == nil && !lives(state) {
			return &DownError{Component: c, State: state, LastWords: s.lastWords(ctx, c)}
		}
		if stateErr == nil || ctx.Err() == nil {
			runs = stateErr == nil
		}
		select {
		case <-ctx.Done():
			return &UnreadyError{Component: c, Runs: runs, Why: clients.Printable(err.Error()), LastWords: s.lastWords(ctx, c)}
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// probe asks a server once whether it serves.
func (s *Servers) probe(ctx context.Context, c clients.Component) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	m := s.machines[c.Node]
	switch at := m.Node().Address; {
	case s.abilities.Probe != nil:
		return s.abilities.Probe(ctx, c)
	case c.ClientPort != 0:
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(at, c.ClientPort).String())
		if err != nil {
			return fmt.Errorf("accepts no connections (%w)", err)
		}
		return conn.Close()
	case c.PeerPort != 0:
		connection, err := m.ProbeTCP(ctx, netip.AddrPortFrom(at, c.PeerPort), s.patience)
		if err == nil && !connection.OK {
			err = errors.New(connection.Err)
		}
		if err != nil {
			return fmt.Errorf("accepts no connections at port %d (%w)", c.PeerPort, err)
		}
		return nil
	}
	state, err := m.ProcessState(ctx, c.Name())
	switch {
	case err != nil:
		return fmt.Errorf("its state is not known (%w)", err)
	case state.State != agent.Running:
		return fmt.Errorf("is %s", state.State)
	}
	return nil
}

// restartPause is how long to wait before a server that ended is started again.
const restartPause = time.Second

// ComeUp returns when every server on a node serves, once everything is healed. One that
// does not run is started again, up to history.RestartAttempts times; if it ended each time
// the error is a RestartError. If it comes up after all, the error is the DownError from
// before, since a server that ended by itself is not to be passed over.
func (s *Servers) ComeUp(ctx context.Context, node string) error {
	if _, err := s.machine(node); err != nil {
		return err
	}
	for _, c := range s.On(node) {
		if err := s.comeUp(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func (s *Servers) comeUp(ctx context.Context, c clients.Component) error {
	err := s.serves(ctx, c)
	var first, down *DownError
	if !errors.As(err, &first) || first.State.State == agent.Absent {
		return err
	}
	for range history.RestartAttempts {
		select {
		case <-ctx.Done():
			return first
		case <-time.After(restartPause):
		}
		if err := s.start(ctx, c); err != nil {
			return err
		}
		if err = s.serves(ctx, c); err == nil {
			return first
		}
		if !errors.As(err, &down) {
			return err
		}
	}
	return &RestartError{DownError: *down, Attempts: history.RestartAttempts}
}

// RestartError is that a server was started again and ended each time.
type RestartError struct {
	DownError
	Attempts int
}

func (e *RestartError) Error() string {
	return fmt.Sprintf("%s, after it had been started %d times", e.DownError.Error(), e.Attempts)
}

// UnreadyError is that a server did not serve for as long as it was waited for.
type UnreadyError struct {
	Component clients.Component
	// Runs: its node said so when it was last asked.
	Runs bool
	// Why is what kept it from counting as one that serves.
	Why       string
	LastWords LastWords
}

func (e *UnreadyError) Error() string {
	return fmt.Sprintf("reach %s: the server runs and %s%s", e.Component, e.Why, e.LastWords)
}

// DownError is that a server does not run.
type DownError struct {
	Component clients.Component
	State     agent.ProcessState
	LastWords LastWords
}

func (e *DownError) Error() string {
	how := fmt.Sprintf("exited with status %d", e.State.Code)
	if e.State.Signal != "" {
		how = "was ended by " + e.State.Signal
	} else if e.State.State == agent.Absent {
		how = "was never started"
	}
	return fmt.Sprintf("reach %s: the server %s%s", e.Component, how, e.LastWords)
}

// LastWords are what the end of a server's log says, in one short printable line.
type LastWords struct {
	// Read: the log could be read; Text is "" then when it is empty.
	Read bool
	Text string
}

// String is a clause that follows another: "; its log says: …".
func (l LastWords) String() string {
	switch {
	case !l.Read:
		return ""
	case l.Text == "":
		return "; its log is empty"
	}
	return "; its log says: " + l.Text
}

// lastWords reads the end of a server's log.
func (s *Servers) lastWords(ctx context.Context, c clients.Component) LastWords {
	// The caller's time may be up, and what the server said last is worth two seconds.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*s.patience)
	defer cancel()
	end := tail{most: 16 << 10}
	if err := s.machines[c.Node].Download(ctx, c.LogFile(), &end); err != nil {
		return LastWords{}
	}
	words := lastLine
	if s.abilities.LastWords != nil {
		words = s.abilities.LastWords
	}
	return LastWords{Read: true, Text: clients.Printable(words(end.content))}
}
