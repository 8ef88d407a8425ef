package agent

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sort"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"nemesis/history"
)

// supervisor starts server processes, watches them, and acts on them.
//
// A server must not notice that its agent died, and the next agent must find it.
// So it leads a session of its own, its output goes to a file and not through us,
// and processes.json says which it is, by PID, start time and boot. What the file
// cannot say, since a process has no PID before it runs, its environment says.
type supervisor struct {
	files  *files
	path   string // processes.json
	boot   string
	shadow func(*exec.Cmd) error // starts what runs under the shadow clock
	onExit func(history.Exit)
	stop   chan struct{} // ends the watching of adopted processes

	mu    sync.Mutex // guards everything below; never held while waiting
	procs map[string]*process
	// ending: nothing new is started, only what a fault had brought down.
	ending bool
}

// process is one named server across all its lives.
type process struct {
	record
	acting sync.Mutex      // held through one action, which may take a grace period
	life   *life           // the present or last one; nil before the first
	paused map[string]Hold // by holder
	downed map[string]Hold
}

// record is what processes.json keeps of a process.
type record struct {
	Spec    ProcessSpec `json:"spec"`
	PID     int         `json:"pid"` // 0 while it is being started
	Started uint64      `json:"started"`
	Boot    string      `json:"boot"`
	// Wanted: it ought to run; a fault may hold it down for a while.
	Wanted bool `json:"wanted"`
	// Down are the effects that keep it down.
	Down []string `json:"down,omitempty"`
}

// life is one run of a process. Its fields are guarded by supervisor.mu, except
// that exit does not change after done is closed.
type life struct {
	pid      int
	started  uint64
	adopted  bool // started by an earlier agent: not our child
	expected bool // we are ending it
	done     chan struct{}
	exit     history.Exit
}

func (l *life) over() bool {
	if l == nil {
		return true
	}
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

func openSupervisor(f *files, shadow func(*exec.Cmd) error, onExit func(history.Exit)) (*supervisor, error) {
	s := &supervisor{files: f, shadow: shadow, path: f.own("processes.json"), boot: bootID(), onExit: onExit, stop: make(chan struct{}), procs: map[string]*process{}}
	return s, s.adopt()
}

// refuse makes start fail from now on.
func (s *supervisor) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending = true
}

// close stops watching. The processes go on.
func (s *supervisor) close() { close(s.stop) }

var processName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// start runs the process unless it runs already. It then has the spec given last.
func (s *supervisor) start(spec ProcessSpec) (ProcessState, error) {
	if !processName.MatchString(spec.Name) {
		return ProcessState{}, fmt.Errorf("process name %q is not made of letters, digits, dot, dash and underscore", spec.Name)
	}
	if len(spec.Argv) == 0 || spec.Argv[0] == "" {
		return ProcessState{}, errors.New("it has no program to run")
	}
	s.mu.Lock()
	p := s.procs[spec.Name]
	if p == nil {
		p = &process{paused: map[string]Hold{}, downed: map[string]Hold{}}
		s.procs[spec.Name] = p
	}
	s.mu.Unlock()
	p.acting.Lock()
	defer p.acting.Unlock()
	if p.life.over() {
		s.mu.Lock()
		by, ending := holders(p.downed), s.ending
		s.mu.Unlock()
		if ending {
			return ProcessState{}, errEnding
		}
		if len(by) > 0 {
			return ProcessState{}, fmt.Errorf("a fault (%s) holds it down: undo that, and it starts by itself", by[0])
		}
		if err := s.launch(p, spec, ""); err != nil {
			return ProcessState{}, err
		}
	}
	return s.State(spec.Name)
}

// launch starts the process; p.acting is held, and it does not run. The holder by lets
// go of it in the moment it is known to run, so that a death of ours in between leaves
// either the holder or the process.
func (s *supervisor) launch(p *process, spec ProcessSpec, by string) error {
	argv0, dir, err := s.files.program(spec)
	if err != nil {
		return err
	}
	log, err := s.files.appendTo(spec.logPath())
	if err != nil {
		return err
	}
	defer log.Close()
	// Written first: if we die right after the start, the tag in the environment leads
	// the next agent from this record to the process.
	s.mu.Lock()
	p.record = record{Spec: spec, Boot: s.boot, Wanted: true}
	err = s.save()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{
		Path: argv0, Args: spec.Argv, Dir: dir,
		Env:    append(environment(spec, dir), s.tag(spec.Name)),
		Stdout: log, Stderr: log,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if spec.Shadow {
		err = s.shadow(cmd)
	} else if cmd, err = run(cmd); err != nil {
		err = fmt.Errorf("run %s: %w", argv0, errors.Unwrap(err))
	}
	if err != nil {
		return err
	}
	l := &life{pid: cmd.Process.Pid, done: make(chan struct{})}
	// Our own child stays a zombie until waited for, so its stat is there to read.
	st, err := readStat(fmt.Sprintf("/proc/%d/stat", l.pid))
	if err == nil {
		l.started = st.started
	}
	s.mu.Lock()
	p.life, p.PID, p.Started = l, l.pid, l.started
	delete(p.downed, by)
	saved := s.save()
	if len(p.paused) > 0 {
		_ = s.signal(l, unix.SIGSTOP)
	}
	s.mu.Unlock()
	go s.watchChild(spec.Name, l, cmd)
	if saved != nil {
		// What is not written down must not run: nobody would find it again.
		s.mu.Lock()
		l.expected = true
		_ = s.signal(l, unix.SIGKILL)
		s.mu.Unlock()
		<-l.done
		return saved
	}
	return nil
}

// run starts a command that may have been written this very moment: a thread of ours
// that forks holds it open for a blink, until its own exec.
func run(cmd *exec.Cmd) (*exec.Cmd, error) {
	for try := 0; ; try++ {
		err := cmd.Start()
		if !errors.Is(err, syscall.ETXTBSY) || try == 50 {
			return cmd, err
		}
		time.Sleep(10 * time.Millisecond)
		cmd = &exec.Cmd{Path: cmd.Path, Args: cmd.Args, Dir: cmd.Dir, Env: cmd.Env, Stdout: cmd.Stdout, Stderr: cmd.Stderr, SysProcAttr: cmd.SysProcAttr}
	}
}

// tag marks a process as ours, in its environment.
func (s *supervisor) tag(name string) string {
	return "NEMESIS_PROCESS=" + s.files.dir + "/" + name
}

func (spec ProcessSpec) logPath() string {
	if spec.Log == "" {
		return spec.Name + ".log"
	}
	return spec.Log
}

// environment is small on purpose: what a login shell happens to hold must not
// decide how a server behaves.
func environment(spec ProcessSpec, dir string) []string {
	env := map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME": dir, "LANG": "C.UTF-8",
	}
	for k, v := range spec.Env {
		env[k] = v
	}
	var out []string
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	sort.Strings(out)
	return out
}

// signal sends sig to the process group of a life that is not over; s.mu is held.
// Neither the leader's PID nor its group can have been given to another process: a
// child of ours is only reaped under s.mu, and an adopted process is looked at again.
func (s *supervisor) signal(l *life, sig unix.Signal) error {
	if l.over() {
		return unix.ESRCH
	}
	if l.adopted && !alive(l.pid, l.started) {
		return unix.ESRCH
	}
	return unix.Kill(-l.pid, sig)
}

// watchChild waits for our own child.
func (s *supervisor) watchChild(name string, l *life, cmd *exec.Cmd) {
	for {
		// Without reaping it: until Wait below, its PID stays its own.
		err := unix.Waitid(unix.P_PID, l.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	s.mu.Lock()
	if l.expected {
		// What it forked goes with it, or it would keep the ports and the data.
		_ = unix.Kill(-l.pid, unix.SIGKILL)
	}
	_ = cmd.Wait()
	exit := history.Exit{Server: name, PID: l.pid, Code: cmd.ProcessState.ExitCode(), Expected: l.expected}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		exit.Code, exit.Signal = -1, unix.SignalName(ws.Signal())
	}
	s.ended(l, exit)
	s.mu.Unlock()
	s.onExit(exit)
}

// watchAdopted polls: the kernel tells how a process ended to its parent only.
func (s *supervisor) watchAdopted(name string, l *life) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for alive(l.pid, l.started) {
		select {
		case <-tick.C:
		case <-s.stop:
			return
		}
	}
	s.mu.Lock()
	exit := history.Exit{Server: name, PID: l.pid, Code: -1, Signal: "unknown", Expected: l.expected}
	s.ended(l, exit)
	s.mu.Unlock()
	s.onExit(exit)
}

func (s *supervisor) ended(l *life, exit history.Exit) {
	l.exit = exit
	close(l.done)
}

// State reads a process's state from /proc.
func (s *supervisor) State(name string) (ProcessState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.procs[name]
	if p == nil || p.life == nil {
		return ProcessState{Name: name, State: Absent}, nil
	}
	l := p.life
	state := ProcessState{Name: name, PID: l.pid, Started: l.started, State: Running}
	if !l.over() {
		st, err := readStat(fmt.Sprintf("/proc/%d/stat", l.pid))
		switch {
		case err != nil && !errors.Is(err, os.ErrNotExist):
			return state, fmt.Errorf("read the state of process %d: %w", l.pid, err)
		case err != nil || st.started != l.started || st.state == 'X':
			state.State, state.Code, state.Signal = Exited, -1, "unknown"
		case st.state == 'Z' && threadCount(l.pid) == 0:
			state.State, state.Code, state.Signal = Exited, -1, "unknown" // its watcher is about to say
		default:
			state.Threads, state.Stopped = threads(l.pid)
			if state.Threads > 0 && state.Threads == state.Stopped {
				state.State = Paused
			}
		}
		return state, nil
	}
	state.State, state.Code, state.Signal = Exited, l.exit.Code, l.exit.Signal
	return state, nil
}

// shadowed are the processes that run and were started under the shadow clock, by PID,
// each with the mark that it carries in its environment.
func (s *supervisor) shadowed() map[int]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[int]string{}
	for name, p := range s.procs {
		if p.Spec.Shadow && !p.life.over() {
			out[p.life.pid] = s.tag(name)
		}
	}
	return out
}

func threadCount(pid int) int { n, _ := threads(pid); return n }

// states tells of every process that runs.
func (s *supervisor) running() []ProcessState {
	s.mu.Lock()
	var names []string
	for name, p := range s.procs {
		if !p.life.over() {
			names = append(names, name)
		}
	}
	s.mu.Unlock()
	sort.Strings(names)
	var out []ProcessState
	for _, name := range names {
		if st, err := s.State(name); err == nil && st.State != Exited {
			out = append(out, st)
		}
	}
	return out
}
