package agent

import (
	"cmp"
	"fmt"
	"sort"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// dying is how long the kernel may take to end a process after SIGKILL: one that
// waits for a disk dies late.
const dying = 10 * time.Second

// orphaned is how long the processes that a server's main process leaves behind when it
// is asked to end may go on before they are killed.
const orphaned = 2 * time.Second

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
	l := p.instance
	_, mine := p.paused[by]
	if l.over() {
		defer s.mu.Unlock()
		return fmt.Errorf("process %s is not running (%s): there is nothing to pause", name, p.ending())
	}
	s.mu.Unlock()
	if !mine {
		before := s.members(p)
		s.mu.Lock()
		p.paused[by] = Hold{PID: l.pid, Started: l.started, Before: listed(before)}
		s.mu.Unlock()
	}
	s.suspend(p)
	return nil
}

func (s *supervisor) Resume(name, by string) error {
	p, err := s.find(name)
	if err != nil {
		return nil // what never ran is not paused
	}
	defer p.acting.Unlock()
	s.mu.Lock()
	delete(p.paused, by)
	held := len(p.paused) > 0
	s.mu.Unlock()
	if !held {
		s.resume(p)
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
	others := len(p.downed) > 0
	over := p.instance.over()
	if over && !others {
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
	l := p.instance
	s.mu.Unlock()
	held := Hold{PID: l.pid, Started: l.started, Before: listed(s.members(p))}
	s.mu.Lock()
	err = s.hold(p, by, held)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	how, err := s.finish(p, l, grace)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		return err // it stays held: it may die yet, and then it must come back
	}
	held.Ending = how
	p.downed[by] = held
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
	if len(p.downed) > 1 || !p.instance.over() || !p.Wanted {
		defer s.mu.Unlock()
		delete(p.downed, by)
		return s.save()
	}
	spec := p.Spec
	s.mu.Unlock()
	return s.launch(p, spec, by)
}

// Replace is Processes.Replace.
func (s *supervisor) Replace(name, by string, argv []string, prepare func() error) error {
	p, err := s.find(name)
	if err != nil {
		return err
	}
	defer p.acting.Unlock()
	if len(argv) == 0 || argv[0] == "" {
		return fmt.Errorf("process %s: there is no program to replace it by", name)
	}
	s.mu.Lock()
	l := p.instance
	if _, mine := p.downed[by]; !mine {
		err = s.hold(p, by, Hold{})
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if l.over() {
		err = s.killAll(p) // what it left behind
	} else {
		_, err = s.finish(p, l, 0)
	}
	if err == nil {
		// What prepare wipes must not be in use by a disk; it is put there anew.
		if err = s.unmountDisks(p.Spec); err == nil {
			err = prepare()
		}
	}
	if err != nil {
		return err // it stays held, until this is tried again
	}
	s.mu.Lock()
	spec := p.Spec
	spec.Argv = argv
	if len(p.downed) > 1 || !p.Wanted {
		defer s.mu.Unlock()
		p.Spec = spec
		delete(p.downed, by)
		return s.save()
	}
	s.mu.Unlock()
	return s.launch(p, spec, by)
}

// Expect is Processes.Expect.
func (s *supervisor) Expect(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.procs[name]; p != nil && p.instance != nil {
		p.instance.expected = true
	}
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

func listed(members []member) []Member {
	out := make([]Member, len(members))
	for i, m := range members {
		out[i] = m.Member
	}
	return out
}

// Members is Processes.Members.
func (s *supervisor) Members(name string) ([]Member, error) {
	s.mu.Lock()
	p := s.procs[name]
	s.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("process %s was never started", name)
	}
	return listed(s.members(p)), nil
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
	l := p.instance
	s.mu.Unlock()
	if err != nil {
		return ProcessState{}, err
	}
	if !l.over() {
		// At least SIGTERM: a grace of nothing kills at once.
		_, err = s.finish(p, l, grace)
	} else {
		err = s.killAll(p) // what it left behind
	}
	if err != nil {
		return ProcessState{}, err
	}
	if p.group != nil && p.instance.over() {
		_ = p.group.whole.Remove() // a load beside the server keeps it
	}
	if p.instance.over() {
		if err := s.unmountDisks(p.Spec); err != nil {
			return ProcessState{}, err
		}
	}
	return s.State(name)
}

// stopGrace is how long a server may take to end in order when nobody names a grace.
const stopGrace = 5 * time.Second

// endAll ends the servers that run, all at once, and says in a line each which it ended
// and which it could not; kept ones only when told so.
func (s *supervisor) endAll(kept bool) (ended, stuck []string) {
	var mu sync.Mutex
	var each sync.WaitGroup
	for _, st := range s.running() {
		if st.Kept && !kept {
			continue
		}
		each.Go(func() {
			_, err := s.end(st.Name, stopGrace)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				stuck = append(stuck, fmt.Sprintf("stop %s: %s", st.Name, firstLine(err.Error())))
			} else {
				ended = append(ended, st.String())
			}
		})
	}
	each.Wait()
	if err := s.unmountEnded(""); err != nil {
		stuck = append(stuck, "take disks away: "+firstLine(err.Error()))
	}
	sort.Strings(ended)
	return ended, stuck
}

// stopSignal is the name of the signal that asks a server to end.
func stopSignal(spec ProcessSpec) string { return "SIG" + cmp.Or(spec.StopSignal, "TERM") }

// finish ends an instance, and returns when none of the server's processes is left;
// p.acting is held.
func (s *supervisor) finish(p *process, l *instance, grace time.Duration) (how string, err error) {
	s.mu.Lock()
	l.expected = true
	s.mu.Unlock()
	how = "SIGKILL"
	if grace > 0 {
		main := member{Member: Member{PID: l.pid}, started: l.started}
		asked := stopSignal(p.Spec)
		main.send(unix.SignalNum(asked))
		left := s.awaitEnd(p, l, grace)
		if left == 0 {
			return asked, nil
		}
		how = fmt.Sprintf("SIGKILL, since it ignored %s for %s", asked, grace)
		if l.over() {
			how = fmt.Sprintf("%s, and SIGKILL of %d processes that it left running", asked, left)
		}
	}
	if err := s.killAll(p); err != nil {
		return "", err
	}
	select {
	case <-l.done:
		return how, nil
	case <-time.After(dying):
		return "", fmt.Errorf("process %d did not end within %s of SIGKILL: the kernel holds it, perhaps for a disk", l.pid, dying)
	}
}

// awaitEnd waits until an instance and all that it started have ended, and returns how
// many of them have not after patience.
func (s *supervisor) awaitEnd(p *process, l *instance, patience time.Duration) (left int) {
	end := time.Now().Add(patience)
	select {
	case <-l.done:
	case <-time.After(patience):
		return max(1, len(s.members(p)))
	}
	if late := time.Now().Add(orphaned); late.Before(end) {
		end = late
	}
	for {
		left := len(s.members(p))
		if left == 0 || time.Now().After(end) {
			return left
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// ending says how a process that does not run ended; s.mu is held.
func (p *process) ending() string {
	switch {
	case p.instance == nil:
		return "never started since this agent began"
	case p.instance.exit.Signal == "unknown":
		return "it ended while nobody watched"
	case p.instance.exit.Signal != "":
		return "ended by " + p.instance.exit.Signal
	}
	return fmt.Sprintf("exited with status %d", p.instance.exit.Code)
}

func holders(holds map[string]Hold) []string {
	var out []string
	for by := range holds {
		out = append(out, by)
	}
	sort.Strings(out)
	return out
}
