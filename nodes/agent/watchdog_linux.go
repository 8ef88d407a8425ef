package agent

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// The watchdog is a sibling of the agent that does nothing but hold the reading end of
// a pipe. The kernel closes the other end when the agent dies, even by kill -9, and
// then the watchdog undoes what the ledger holds. An agent that ends in order has
// undone it all, and says goodbye first.
const goodbyeWord = 'q'

// watchdog starts it. goodbye lets it go.
func (s *server) watchdog() (goodbye func(), err error) {
	if len(s.opt.Watchdog) == 0 {
		return func() {}, nil
	}
	// Its output must not be ours: sshd keeps a channel open as long as anybody holds it.
	log, err := os.OpenFile(s.files.own(logName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(s.opt.Watchdog[0], s.opt.Watchdog[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // not to die of what kills our session
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	return func() {
		_, _ = w.Write([]byte{goodbyeWord})
		w.Close()
		_ = cmd.Wait()
	}, nil
}

// Watch waits for the agent at the other end of in to end. When it ends without a
// goodbye, Watch undoes what its ledger holds. A new agent may be as quick: whoever
// gets the lock undoes, and the other finds nothing left.
func Watch(ctx context.Context, in io.Reader, kinds Kinds, opt ServeOptions) error {
	word := make([]byte, 1)
	if _, err := io.ReadFull(in, word); err == nil && word[0] == goodbyeWord {
		return nil
	}
	if ctx.Err() != nil {
		return nil
	}
	s := newServer(kinds, opt)
	close(s.done) // nobody is there to be told anything
	_, stuck, release, err := s.open("the watchdog of an agent that was killed", 15*time.Second)
	if err != nil {
		return err
	}
	defer release()
	if len(stuck) == 0 {
		return nil
	}
	return s.finish(true)
}
