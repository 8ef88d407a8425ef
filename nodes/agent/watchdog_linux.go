package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"nemesis/history"
)

// The watchdog is a sibling of the agent that does nothing but hold the reading end of
// a pipe. The kernel closes the other end when the agent dies, even by kill -9, and
// then the watchdog undoes what the ledger holds. An agent that ends in order has
// undone it all, and says goodbye first.
//
// Whichever way the agent ended, servers may run on that nobody wants to be kept. Their
// client may have lost its connection only, and come again. When none has come for a
// while, the watchdog ends them.
const (
	goodbyeWord = 'q' // nothing is left to do
	orphansWord = 'o' // all is undone, and servers run on
)

// sessionName is the file that names the latest agent of a directory.
const sessionName = "session"

// watchdog starts it. goodbye lets it go, once no more is to be started.
func (s *server) watchdog(orphanAfter time.Duration) (goodbye func(), err error) {
	session := rand.Text()
	if err := history.WriteFile(s.files.own(sessionName), 0o600, []byte(session)); err != nil {
		return nil, fmt.Errorf("write down whose turn it is: %w", err)
	}
	if len(s.opt.Watchdog) == 0 {
		return func() {}, nil
	}
	if orphanAfter <= 0 {
		orphanAfter = DefaultOrphanAfter
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
	argv := append(slices.Clone(s.opt.Watchdog), "--session", session, "--orphan-after", orphanAfter.String())
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // not to die of what kills our session
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	return func() {
		orphans := slices.ContainsFunc(s.super.running(), func(st ProcessState) bool { return !st.Kept })
		word := byte(goodbyeWord)
		if orphans {
			word = orphansWord
		}
		_, _ = w.Write([]byte{word})
		w.Close()
		if !orphans {
			_ = cmd.Wait()
		}
	}, nil
}

// Watch waits for the agent at the other end of in to end. When it ends without a
// goodbye, Watch undoes what its ledger holds. A new agent may be as quick: whoever
// gets the lock undoes, and the other finds nothing left. When no new agent has come
// within orphanAfter, Watch ends the servers that run and are not to be kept. session is
// that of the agent.
func Watch(ctx context.Context, in io.Reader, kinds Kinds, opt ServeOptions, session string, orphanAfter time.Duration) error {
	word := make([]byte, 1)
	_, err := io.ReadFull(in, word)
	if err == nil && word[0] == goodbyeWord || ctx.Err() != nil {
		return nil
	}
	if err != nil {
		if err := watch(kinds, opt, 15*time.Second, func(s *server, stuck []string) error {
			if len(stuck) == 0 {
				return nil
			}
			return s.finish(true)
		}); err != nil {
			return err
		}
	}
	select {
	case <-time.After(orphanAfter):
	case <-ctx.Done():
		return nil
	}
	// Without taking anything over: what another agent does is not ours to disturb.
	if now, err := os.ReadFile(filepath.Join(opt.Dir, ownDir, sessionName)); err != nil || string(now) != session {
		return nil
	}
	return watch(kinds, opt, 0, func(s *server, _ []string) error {
		// Another may have come and gone while we got in.
		if now, err := os.ReadFile(s.files.own(sessionName)); err != nil || string(now) != session {
			return nil
		}
		ended, stuck := s.super.endAll(false)
		for _, text := range ended {
			s.log.Printf("ended %s, since no client has come for %s", text, orphanAfter)
		}
		if len(stuck) > 0 {
			return fmt.Errorf("end what runs without a client: %s", stuck[0])
		}
		return nil
	})
}

// watch takes an agent's directory over for do, which gets what could not be undone.
func watch(kinds Kinds, opt ServeOptions, wait time.Duration, do func(s *server, stuck []string) error) error {
	s := newServer(kinds, opt)
	close(s.done) // nobody is there to be told anything
	_, stuck, release, err := s.open("the watchdog of an agent that is gone", wait)
	if err != nil {
		return err
	}
	defer release()
	return do(s, stuck)
}
