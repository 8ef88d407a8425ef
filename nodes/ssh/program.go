package ssh

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"nemesis/nodes"
)

// maxOutput is how much standard output Run keeps, in bytes. A program on a
// hostile node must not be able to fill the control node's memory.
const maxOutput = 64 << 20

// program is one program on the node. It is the nodes.Stream that Start returns.
type program struct {
	conn    *conn
	argv    []string
	session *gossh.Session
	in      io.WriteCloser
	out     greeted
	stderr  tail
	mark    string // finds it again on the node, to be killed; empty if that is not wanted
	// ended is closed when err is set.
	ended chan struct{}
	err   error
}

// launch starts argv on so many sessions; none if the caller has one for it. The
// context bounds the start alone.
func (c *conn) launch(ctx context.Context, sessions int64, p *program) (*program, error) {
	p.conn, p.ended = c, make(chan struct{})
	greeting := "nemesis-" + rand.Text()
	text, err := command(greeting, p.mark, p.argv)
	if err != nil {
		return nil, p.failed(err)
	}
	p.out.greeting = []byte(greeting + "\n")
	p.stderr.greeting = p.out.greeting
	release, err := c.take(ctx, sessions)
	if err != nil {
		return nil, p.failed(err)
	}
	if err := p.open(ctx, text); err != nil {
		release()
		return nil, p.failed(err)
	}
	go func() {
		p.err = p.ending(p.session.Wait())
		close(p.ended)
		release()
	}()
	return p, nil
}

func (p *program) open(ctx context.Context, text string) error {
	session, err := p.conn.session(ctx)
	if err != nil {
		return err
	}
	p.session = session
	session.Stderr = &p.stderr
	p.in, _ = session.StdinPipe()        // these two fail only
	p.out.from, _ = session.StdoutPipe() // after the start
	started := make(chan error, 1)
	go func() { started <- session.Start(text) }()
	select {
	case err = <-started:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		go session.Close()
	}
	return err
}

// ending translates how the session ended.
func (p *program) ending(err error) error {
	var status *gossh.ExitError
	var missing *gossh.ExitMissingError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status) && !p.stderr.begun:
		return p.failed(p.notStarted(status.ExitStatus()))
	case errors.As(err, &status):
		return &nodes.ExitError{Node: p.conn.node.Name, Argv: p.argv, Code: status.ExitStatus(), Stderr: p.stderr.String()}
	case errors.As(err, &missing):
		return p.failed(because(io.EOF, "its channel was closed before it ended"))
	}
	return p.failed(err)
}

func (p *program) failed(err error) error {
	return p.conn.failed("run "+nodes.QuoteCommand(p.argv), err)
}

// kill ends the program and what it has started, and gives it a moment to be gone.
func (p *program) kill() {
	go func() {
		defer p.session.Close() // at last, a program may notice that its input ends
		if ok, err := p.session.SendRequest("signal", true, gossh.Marshal(struct{ Name string }{string(gossh.SIGKILL)})); ok || err != nil {
			return
		}
		p.hunt()
	}()
	select {
	case <-p.ended:
	case <-time.After(killGrace):
	}
}

// killGrace bounds the wait for a killed program. Nobody waits longer for a node
// that may be dead.
const killGrace = 2 * time.Second

// hunt kills the program for a server that refuses to signal it, as sshd does
// for root. A process identifier might belong to another by now; the mark in
// the environment does not, and children inherit it.
func (p *program) hunt() {
	p.conn.hunting.Lock() // there is one session for this
	defer p.conn.hunting.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 5*killGrace)
	defer cancel()
	p.conn.run(ctx, 0, nil, &program{argv: []string{"sh", "-c",
		`for e in $(grep -lsF -- "$1" /proc/[0-9]*/environ); do e=${e%/environ}; kill -9 "${e#/proc/}"; done`,
		"sh", p.mark}})
}

func (c *conn) Run(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error) {
	return c.run(ctx, 1, stdin, &program{argv: argv, mark: "NEMESIS_RUN=" + rand.Text()})
}

// run runs a program that has not been started to its end.
func (c *conn) run(ctx context.Context, sessions int64, stdin io.Reader, p *program) ([]byte, error) {
	p, err := c.launch(ctx, sessions, p)
	if err != nil {
		return nil, err
	}
	unreadable := make(chan error, 1)
	if stdin == nil {
		p.in.Close()
	} else {
		go func() {
			from := &source{Reader: stdin}
			io.Copy(p.in, from) // a program need not read all that it is given
			if from.err != nil {
				unreadable <- from.err
			}
			p.in.Close()
		}()
	}
	type output struct {
		content []byte
		err     error
	}
	read := make(chan output, 1)
	go func() {
		var b bytes.Buffer
		n, err := io.Copy(&b, io.LimitReader(&p.out, maxOutput+1))
		if n > maxOutput {
			err = fmt.Errorf("it wrote more than %d MiB", maxOutput>>20)
		}
		read <- output{b.Bytes(), err}
	}()

	var out output
	select {
	case out = <-read:
	case err := <-unreadable:
		p.kill()
		return nil, p.failed(fmt.Errorf("read what it is to be given: %w", err))
	case <-ctx.Done():
		p.kill()
		return nil, p.failed(ctx.Err())
	}
	if out.err != nil {
		p.kill()
		return nil, p.failed(out.err)
	}
	select {
	case <-p.ended:
		return out.content, p.err
	case <-ctx.Done():
		p.kill()
		return nil, p.failed(ctx.Err())
	}
}

func (c *conn) Start(ctx context.Context, stderr io.Writer, argv ...string) (nodes.Stream, error) {
	p, err := c.launch(ctx, 1, &program{argv: argv, stderr: tail{also: stderr}})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (p *program) Read(b []byte) (int, error) { return p.out.Read(b) }

func (p *program) Write(b []byte) (int, error) {
	n, err := p.in.Write(b)
	if err != nil {
		err = p.failed(because(err, "it takes no more input"))
	}
	return n, err
}

func (p *program) CloseWrite() error {
	if err := p.in.Close(); err != nil && !errors.Is(err, io.EOF) { // EOF: it has ended
		return p.failed(err)
	}
	return nil
}

func (p *program) Wait() error {
	<-p.ended
	return p.err
}

func (p *program) Close() error {
	if err := p.session.Close(); err != nil && !errors.Is(err, io.EOF) && !p.conn.isLost() {
		return p.failed(err)
	}
	return nil
}

// source remembers a reader's own failure, which io.Copy mixes with the writer's.
type source struct {
	io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// tail keeps the last kilobyte of what a program writes to its standard error, and hands
// all of that on. What comes before its greeting is the login shell's, and is kept only
// while there is no greeting.
type tail struct {
	also     io.Writer
	greeting []byte
	begun    bool // the greeting was read; to be asked when the session has ended
	last     []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const keep = 1024
	if !t.begun {
		all := append(t.last, b...)
		_, after, is := bytes.Cut(all, t.greeting)
		if !is {
			t.last = all[max(0, len(all)-keep):]
			return len(b), nil
		}
		t.begun, t.last = true, nil
		if len(after) > 0 {
			_, _ = t.Write(after)
		}
		return len(b), nil
	}
	t.last = append(t.last, b[max(0, len(b)-keep):]...)
	t.last = t.last[max(0, len(t.last)-keep):]
	if t.also != nil {
		t.also.Write(b) // a log that cannot be written does not end the program
	}
	return len(b), nil
}

func (t *tail) String() string { return string(t.last) }
