package agent

import (
	"fmt"
	"sort"
	"time"

	"golang.org/x/sys/unix"
)

// dying is how long the kernel may take to end a process after SIGKILL: one that
// waits for a disk dies late.
const dying = 10 * time.Second

// find locks the process for one action. The caller unlocks p.acting.
func (s *supervisor) find(name string) (*process, error) {
	s.mu.Lock()
	p := s.procs[name]
	s.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("process %s was never started", name)
	}
	p.acting.Lock()
	return p, nil
}

func (s *supervisor) Pause(name, by string) error {
	p, err := s.find(name)
	if err != nil {
		return err
	}
	defer p.acting.Unlock()
	s.mu.Lock()
	if _, ok := p.paused[by]; ok && !p.life.over() {
		err = s.signal(p.life, unix.SIGSTOP)
		s.mu.Unlock()
		return err
	}
	if p.life.over() {
		defer s.mu.Unlock()
		return fmt.Errorf("process %s is not running (%s): there is nothing to pause", name, p.ending())
	}
	l := p.life
	if err := s.signal(l, unix.SIGSTOP); err != nil {
		s.mu.Unlock()
		return fmt.Errorf("stop process %d: %w", l.pid, err)
	}
	p.paused[by] = Hold{PID: l.pid, Started: l.started}
	s.mu.Unlock()
	// A thread in the kernel stops when it comes out; the probe tells the truth for
	// one that stays in longer than this.
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if all, stopped := threads(l.pid); all == stopped {
			break
		}
	}
	return nil
}

func (s *supervisor) Resume(name, by string) error {
	p, err := s.find(name)
	if err != nil {
		return nil // what never ran is not paused
	}
	defer p.acting.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(p.paused, by)
	if len(p.paused) > 0 || p.life.over() {
		return nil
	}
	if err := s.signal(p.life, unix.SIGCONT); err != nil && err != unix.ESRCH {
		return fmt.Errorf("continue process %d: %w", p.life.pid, err)
	}
	return nil
}

func (s *supervisor) End(name, by string, grace time.Duration) error {
	p, err := s.find(name)
	if err != nil {
		return err
	}
	defer p.acting.Unlock()
	s.mu.Lock()
	_, mine := p.downed[by]
	held := len(p.downed) > 0
	over := p.life.over()
	if over && !held {
		defer s.mu.Unlock()
		return fmt.Errorf("process %s is not running (%s): there is nothing to end", name, p.ending())
	}
	if over {
		defer s.mu.Unlock()
		if mine {
			return nil
		}
		return s.hold(p, by, Hold{})
	}
	l := p.life
	err = s.hold(p, by, Hold{PID: l.pid, Started: l.started})
	s.mu.Unlock()
	if err != nil {
		return err
	}
	how, err := s.finish(l, grace)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return err // it stays held: it may die yet, and then it must come back
	}
	p.downed[by] = Hold{PID: l.pid, Started: l.started, Ending: how}
	return nil
}

// hold writes down that by keeps the process down, before it acts: the next agent must
// know a server that was brought down from one that crashed. s.mu is held.
func (s *supervisor) hold(p *process, by string, h Hold) error {
	p.downed[by] = h
	err := s.save()
	if err != nil {
		delete(p.downed, by)
	}
	return err
}

func (s *supervisor) Restore(name, by string) error {
	p, err := s.find(name)
	if err != nil {
		return nil // what never ran has nothing to come back to
	}
	defer p.acting.Unlock()
	s.mu.Lock()
	if _, mine := p.downed[by]; !mine {
		s.mu.Unlock()
		return nil // undone already, or never done: a server that crashed by itself stays down
	}
	if len(p.downed) > 1 || !p.life.over() || !p.Wanted {
		defer s.mu.Unlock()
		delete(p.downed, by)
		return s.save()
	}
	spec := p.Spec
	s.mu.Unlock()
	return s.launch(p, spec, by)
}

func (s *supervisor) Holding(name, by string) (Hold, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.procs[name]
	if p == nil {
		return Hold{}, false
	}
	if h, ok := p.downed[by]; ok {
		return h, true
	}
	h, ok := p.paused[by]
	return h, ok
}

func (s *supervisor) Held(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.procs[name]
	return p != nil && len(p.paused)+len(p.downed) > 0
}

// end is the user's stop: the process is not wanted any more.
func (s *supervisor) end(name string, grace time.Duration) (ProcessState, error) {
	p, err := s.find(name)
	if err != nil {
		return ProcessState{Name: name, State: Absent}, nil
	}
	defer p.acting.Unlock()
	s.mu.Lock()
	p.Wanted = false
	err = s.save()
	l := p.life
	s.mu.Unlock()
	if err != nil {
		return ProcessState{}, err
	}
	if !l.over() {
		// At least SIGTERM: a grace of nothing kills at once.
		if _, err := s.finish(l, grace); err != nil {
			return ProcessState{}, err
		}
	}
	return s.State(name)
}

// finish ends a life and returns when it is over; p.acting is held.
func (s *supervisor) finish(l *life, grace time.Duration) (how string, err error) {
	send := func(sig unix.Signal) {
		s.mu.Lock()
		l.expected = true
		_ = s.signal(l, sig) // ESRCH: it ended meanwhile, and its watcher will say so
		s.mu.Unlock()
	}
	how = "SIGKILL"
	if grace > 0 {
		send(unix.SIGTERM)
		select {
		case <-l.done:
			return "SIGTERM", nil
		case <-time.After(grace):
			how = fmt.Sprintf("SIGKILL, since it ignored SIGTERM for %s", grace)
		}
	}
	send(unix.SIGKILL)
	select {
	case <-l.done:
		return how, nil
	case <-time.After(dying):
		return "", fmt.Errorf("process %d did not end within %s of SIGKILL: the kernel holds it, perhaps for a disk", l.pid, dying)
	}
}

// ending says how a process that does not run ended; s.mu is held.
func (p *process) ending() string {
	switch {
	case p.life == nil:
		return "never started since this agent began"
	case p.life.exit.Signal == "unknown":
		return "it ended while nobody watched"
	case p.life.exit.Signal != "":
		return "ended by " + p.life.exit.Signal
	}
	return fmt.Sprintf("exited with status %d", p.life.exit.Code)
}

func holders(holds map[string]Hold) []string {
	var out []string
	for by := range holds {
		out = append(out, by)
	}
	sort.Strings(out)
	return out
}
