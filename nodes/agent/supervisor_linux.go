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
	"nemesis/nodes/forks"
)

// supervisor starts server processes, watches them, and acts on them.
//
// A server must not notice that its agent died, and the next agent must find it.
// So it leads a session of its own, its output goes to a file and not through us,
// and processes.json says which it is, by PID, start time and boot. What the file
// cannot say, since a process has no PID before it runs, its environment says.
type supervisor struct {
	files *files
	path  string // processes.json
	boot  string
	// shadow starts what runs under the shadow clock, by another in the place of cmd.Start.
	shadow func(cmd *exec.Cmd, start func(*exec.Cmd) error) error
	groups groups
	// self is the command that ends up in Main, for the processes that serve disks.
	self   []string
	keep   bool // what is started now is kept; fixed before anything is
	onExit func(history.Exit)
	stop   chan struct{} // ends the watching of adopted processes

	mu    sync.Mutex // guards everything below; never held while waiting
	procs map[string]*process
	// ending: nothing new is started, only what a fault had brought down.
	ending bool
}

// process is one named server across all its instances.
type process struct {
	record
	acting   sync.Mutex      // held through one action, which may take a grace period
	instance *instance       // the present or last one; nil before the first
	group    *serverGroup    // nil where it is found by its tag
	paused   map[string]Hold // by holder
	downed   map[string]Hold
	// known are processes of a server without a group that were seen to be its own, by
	// PID, each with its start time.
	known map[int]uint64
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
	// Kept: it runs on when no client is left.
	Kept bool `json:"kept,omitempty"`
	// Group is the directory of its control group; "" for none.
	Group string `json:"group,omitempty"`
}

// instance is one run of a process, from its start to its exit. Its fields are guarded by
// supervisor.mu, except that exit does not change after done is closed.
type instance struct {
	pid      int
	started  uint64
	adopted  bool // started by an earlier agent: not our child
	expected bool // we are ending it
	done     chan struct{}
	exit     history.Exit
}

func (l *instance) over() bool {
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

func openSupervisor(f *files, g groups, shadow func(*exec.Cmd, func(*exec.Cmd) error) error, onExit func(history.Exit)) (*supervisor, error) {
	s := &supervisor{files: f, groups: g, shadow: shadow, path: f.own("processes.json"), boot: bootID(), onExit: onExit, stop: make(chan struct{}), procs: map[string]*process{}}
	return s, s.adopt()
}

func newProcess(r record) *process {
	return &process{record: r, paused: map[string]Hold{}, downed: map[string]Hold{}, known: map[int]uint64{}}
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
		p = newProcess(record{})
		s.procs[spec.Name] = p
	}
	s.mu.Unlock()
	p.acting.Lock()
	defer p.acting.Unlock()
	if p.instance.over() {
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
	if err := s.mountDisks(spec); err != nil {
		return err
	}
	argv0, dir, err := s.files.program(spec)
	if err != nil {
		return err
	}
	log, err := s.files.appendTo(spec.logPath())
	if err != nil {
		return err
	}
	defer log.Close()
	group, err := s.groups.of(spec.Name)
	if err != nil {
		return err
	}
	// Written first: if we die right after the start, the group, or else the tag in the
	// environment, leads the next agent from this record to the process.
	s.mu.Lock()
	p.record = record{Spec: spec, Boot: s.boot, Wanted: true, Kept: s.keep}
	if p.group = group; group != nil {
		p.Group = group.whole.Dir()
	}
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
	if spec.NotRoot && os.Geteuid() == 0 {
		notRoot(cmd.SysProcAttr)
	}
	forks.Settle(argv0) // the program may be one that this agent has just written
	start := (*exec.Cmd).Start
	if group != nil {
		start = group.server.Start
	}
	if spec.Shadow {
		err = s.shadow(cmd, start)
	} else if cmd, err = run(cmd, start); err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner
		}
		err = fmt.Errorf("run %s: %w", argv0, err)
	}
	if err != nil {
		if cmd.SysProcAttr.Cloneflags != 0 {
			err = fmt.Errorf("%w; it refuses to be root, so it is started in a user namespace of its own, which this node must allow", err)
		}
		return err
	}
	l := &instance{pid: cmd.Process.Pid, done: make(chan struct{})}
	// Our own child stays a zombie until waited for, so its stat is there to read.
	st, err := ReadStat(fmt.Sprintf("/proc/%d/stat", l.pid))
	if err == nil {
		l.started = st.Started
	}
	s.mu.Lock()
	p.instance, p.PID, p.Started = l, l.pid, l.started
	delete(p.downed, by)
	err = s.save()
	paused := len(p.paused) > 0
	s.mu.Unlock()
	go s.watchChild(p, l, cmd)
	if err != nil {
		// What is not written down must not run: nobody would find it again.
		_, _ = s.finish(p, l, 0)
		return err
	}
	if paused {
		s.suspend(p)
	}
	return nil
}

// notRoot makes a process user 1 of a user namespace in which nobody else is, and root
// outside. Every Linux has an account of that number, which some programs look up.
func notRoot(attr *syscall.SysProcAttr) {
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 1, HostID: 0, Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 1, HostID: 0, Size: 1}}
}

// run starts a command that somebody else may have written this very moment, and has open
// for a blink more.
func run(cmd *exec.Cmd, start func(*exec.Cmd) error) (*exec.Cmd, error) {
	for try := 0; ; try++ {
		err := start(cmd)
		if !errors.Is(err, syscall.ETXTBSY) || try == 50 {
			return cmd, err
		}
		time.Sleep(10 * time.Millisecond)
		cmd = &exec.Cmd{Path: cmd.Path, Args: cmd.Args, Dir: cmd.Dir, Env: cmd.Env, Stdout: cmd.Stdout, Stderr: cmd.Stderr, SysProcAttr: cmd.SysProcAttr}
	}
}

// StartBeside is Processes.StartBeside.
func (s *supervisor) StartBeside(name string, cmd *exec.Cmd) error {
	p, err := s.find(name)
	if err != nil {
		return err
	}
	defer p.acting.Unlock()
	if p.group == nil {
		return cmd.Start()
	}
	// Made again when it is gone: the server may have been stopped meanwhile.
	group, err := s.groups.of(name)
	if err != nil || group == nil {
		return errors.Join(err, cmd.Start())
	}
	return group.beside.Start(cmd)
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

// watchChild waits for our own child.
func (s *supervisor) watchChild(p *process, l *instance, cmd *exec.Cmd) {
	for {
		// Without reaping it: until Wait below, its PID stays its own.
		err := unix.Waitid(unix.P_PID, l.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	// Until it is reaped, its session is known to be its own.
	s.members(p)
	s.mu.Lock()
	_ = cmd.Wait()
	exit := history.Exit{Server: p.Spec.Name, PID: l.pid, Code: cmd.ProcessState.ExitCode(), Expected: l.expected}
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		exit.Code, exit.Signal = -1, unix.SignalName(ws.Signal())
	}
	s.ended(l, exit)
	s.mu.Unlock()
	s.onExit(exit)
}

// watchAdopted polls: the kernel tells how a process ended to its parent only.
func (s *supervisor) watchAdopted(name string, l *instance) {
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

func (s *supervisor) ended(l *instance, exit history.Exit) {
	l.exit = exit
	close(l.done)
}

// exitTold is how long State waits for the watcher of a process that /proc shows to have
// ended: the kernel tells how it ended to the watcher only, which a busy machine may keep
// waiting.
const exitTold = time.Second

// State reads the state of a server's processes from /proc.
func (s *supervisor) State(name string) (ProcessState, error) {
	s.mu.Lock()
	p := s.procs[name]
	if p == nil || p.instance == nil {
		s.mu.Unlock()
		return ProcessState{Name: name, State: Absent}, nil
	}
	l := p.instance
	state := ProcessState{Name: name, PID: l.pid, Started: l.started, State: Running, HeldBy: p.heldBy(), Kept: p.Kept}
	s.mu.Unlock()
	if !l.over() {
		st, err := ReadStat(fmt.Sprintf("/proc/%d/stat", l.pid))
		switch {
		case err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ESRCH):
			return state, fmt.Errorf("read the state of process %d: %w", l.pid, err)
		case err != nil, st.Started != l.started, st.State == 'X', st.State == 'Z' && threadCount(l.pid) == 0:
			state.State, state.Code, state.Signal = Exited, -1, "unknown"
			select {
			case <-l.done:
			case <-time.After(exitTold):
			}
		}
	}
	if l.over() {
		state.State, state.Code, state.Signal = Exited, l.exit.Code, l.exit.Signal
		// Somebody may have started it by hand, outside of its group.
		state.Processes = len(s.relatives(p))
		return state, nil
	}
	members := s.members(p)
	state.Processes = len(members)
	if state.State == Exited {
		return state, nil
	}
	for _, m := range members {
		state.Threads, state.Stopped = state.Threads+m.Threads, state.Stopped+m.Stopped
	}
	if state.Threads > 0 && state.Threads == state.Stopped {
		state.State = Paused
	}
	return state, nil
}

// shadowed are the servers that run and were started under the shadow clock.
func (s *supervisor) shadowed() []*process {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*process
	for _, p := range s.procs {
		if p.Spec.Shadow && !p.instance.over() {
			out = append(out, p)
		}
	}
	return out
}

func threadCount(pid int) int { n, _ := threads(pid); return n }

// running tells of every server of which any process runs.
func (s *supervisor) running() []ProcessState {
	s.mu.Lock()
	var names []string
	for name, p := range s.procs {
		if p.instance != nil {
			names = append(names, name)
		}
	}
	s.mu.Unlock()
	sort.Strings(names)
	var out []ProcessState
	for _, name := range names {
		if st, err := s.State(name); err == nil && (st.State != Exited || st.Processes > 0) {
			out = append(out, st)
		}
	}
	return out
}
