package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"nemesis/history"
	"nemesis/nodes"
)

// ServeOptions are how an agent serves.
type ServeOptions struct {
	// Dir is the agent's directory, an absolute path; it is made.
	Dir string
	// Cache keeps contents across clusters; "" keeps them in Dir.
	Cache string
	// Watchdog is the command that undoes the ledger when this agent is killed, nil
	// for none. It gets a pipe as its standard input, see Watch.
	Watchdog []string
	// NoCgroup: servers are found by their tag, as on a node without control groups.
	NoCgroup bool
	// Self is the command that ends up in Main, for programs that run under the shadow
	// clock; nil for none.
	Self []string
}

// The bounds of a hello, and how long one is awaited.
const (
	greetTime    = 30 * time.Second
	minDeadAfter = 100 * time.Millisecond
)

// server is one agent at work.
type server struct {
	opt    ServeOptions
	kinds  Kinds
	files  *files
	ledger *ledger
	super  *supervisor
	clocks *clocks
	host   *Host
	cannot map[string]string // Facts.Cannot: fixed once greeted
	log    *log.Logger       // agent.log: what was done, for when nobody was connected

	out  chan []byte   // encoded frames to the client
	done chan struct{} // closed when nobody should wait for out any more
	busy sync.WaitGroup
	slot chan struct{} // one for each request at work

	// gate: whoever adds to the ledger holds it for reading, whoever ends the agent for
	// writing; after that nothing new comes into force.
	gate    sync.RWMutex
	closing bool

	mu     sync.Mutex
	acting map[string]*sync.Mutex // by ledger key: apply and undo of one effect exclude each other
}

func newServer(kinds Kinds, opt ServeOptions) *server {
	return &server{
		opt: opt, kinds: kinds, acting: map[string]*sync.Mutex{},
		out: make(chan []byte, 256), done: make(chan struct{}), slot: make(chan struct{}, 64),
	}
}

// Serve is the node side: it takes requests from in and answers on out until the
// client closes it, in ends, the client falls silent, or ctx is done. In every case
// it undoes all effects before it returns; the server processes run on unless the
// client asked otherwise. The error says why it could not serve, or what it could not
// undo; a client that went away is no error.
func Serve(ctx context.Context, in io.Reader, out io.Writer, kinds Kinds, opt ServeOptions) error {
	s := newServer(kinds, opt)
	frames := make(chan frame)
	go s.read(in, frames)
	written := make(chan struct{})
	go s.write(out, written)
	// What was answered before the end is delivered, if anybody still takes it.
	defer func() {
		close(s.done)
		within(time.Second, func() { <-written })
	}()

	var first frame
	select {
	case f, ok := <-frames:
		if !ok {
			return errors.New("serve as agent: the channel closed before a client greeted: this command is started by nemesis on the control node")
		}
		first = f
	case <-ctx.Done():
		return nil
	case <-time.After(greetTime):
		return fmt.Errorf("serve as agent: no client greeted within %s", greetTime)
	}
	var h hello
	if first.Do != doHello || json.Unmarshal(first.Body, &h) != nil || h.Protocol != protocolVersion {
		err := fmt.Errorf("serve as agent: the client speaks another protocol than version %d: use one nemesis release on both sides", protocolVersion)
		s.answer(first.ID, nil, nil, err)
		return err
	}
	deadAfter := min(max(time.Duration(h.DeadAfter), minDeadAfter), MaxDeadAfter)

	nodes.RaiseDescriptors(0) // for the servers, which get ours
	leftovers, stuck, release, err := s.open(h.Control, deadAfter+2*time.Second)
	if err != nil {
		s.answer(first.ID, nil, nil, err)
		return err
	}
	defer release()
	s.clocks.wanted, s.super.keep = h.Shadow, h.Keep
	goodbye, err := s.watchdog(time.Duration(h.OrphanAfter))
	if err != nil {
		s.answer(first.ID, nil, nil, err)
		return err
	}
	defer goodbye()
	greeting, err := s.greeting()
	if err != nil {
		s.answer(first.ID, nil, nil, err)
		return err
	}
	greeting.Facts.Leftovers, greeting.Facts.Stuck = leftovers, stuck
	s.answer(first.ID, greeting, nil, nil)

	s.loop(ctx, frames, deadAfter)
	err = s.finish(true)
	// The next agent must not find us at work.
	within(2*time.Second, s.busy.Wait)
	return err
}

// within waits for do, but not for ever.
func within(d time.Duration, do func()) {
	done := make(chan struct{})
	go func() { do(); close(done) }()
	select {
	case <-done:
	case <-time.After(d):
	}
}

// open takes the directory over: lock, processes, ledger. What the ledger held is
// undone when it returns. release lets the next agent in.
func (s *server) open(control string, wait time.Duration) (leftovers, stuck []string, release func(), err error) {
	if s.files, err = openFiles(s.opt.Dir, s.opt.Cache); err != nil {
		return nil, nil, nil, err
	}
	holder := fmt.Sprintf("%s, since %s, agent's pid %d", firstLine(control), time.Now().Format(time.DateTime), os.Getpid())
	locked, err := lock(s.files.own("lock"), holder, wait)
	if err != nil {
		s.files.close()
		return nil, nil, nil, err
	}
	logFile := openLog(s.files.own(logName))
	s.log = log.New(logFile, "", log.LstdFlags|log.Lmicroseconds)
	s.log.Printf("begin, for %s", holder)
	if s.ledger, err = openLedger(s.files.own("")); err == nil {
		s.clocks = openClocks(s.files, s.opt.Self)
		s.super, err = openSupervisor(s.files, openGroups(s.files.dir, s.opt.NoCgroup), s.clocks.start, s.exited)
		s.super.self = s.opt.Self
	}
	if err != nil {
		if s.clocks != nil {
			s.clocks.close()
		}
		s.log.Print(err)
		logFile.Close()
		locked.Close()
		s.files.close()
		return nil, nil, nil, err
	}
	// Whatever an earlier agent changed, whether or not its ledger says so.
	s.clocks.heal(len(s.super.shadowed()) > 0)
	s.host = &Host{Dir: s.files.dir, Processes: s.super, Disks: disks{s.super}, Limits: limits{s.super}, Clocks: &clockReaders{s.clocks, s.super}, Workers: &workers{
		self: s.opt.Self, start: s.super.StartBeside, running: map[string]*worker{},
	}, InForce: func(e Effect) bool {
		env, err := pack(e)
		return err == nil && s.ledger.holds(env)
	}}
	leftovers, stuck = s.heal()
	return leftovers, stuck, func() {
		s.log.Print("end")
		s.super.close()
		s.super.groups.sweep()
		s.clocks.close()
		logFile.Close()
		locked.Close()
		s.files.close()
	}, nil
}

// read turns the channel into frames. Its end is the end of frames.
func (s *server) read(in io.Reader, frames chan<- frame) {
	defer close(frames)
	r := bufio.NewReaderSize(in, 64<<10)
	for {
		f, err := readFrame(r)
		if err != nil {
			return
		}
		select {
		case frames <- f:
		case <-s.done:
			return
		}
	}
}

// write sends what is queued; after done, what is still queued then.
func (s *server) write(out io.Writer, written chan<- struct{}) {
	defer close(written)
	for {
		var bytes []byte
		select {
		case bytes = <-s.out:
		case <-s.done:
			select {
			case bytes = <-s.out:
			default:
				return
			}
		}
		if _, err := out.Write(bytes); err != nil {
			return // it is the input's end that ends us; senders drop what nobody takes
		}
	}
}

// loop serves until the client is done or gone.
func (s *server) loop(ctx context.Context, frames <-chan frame, deadAfter time.Duration) {
	silence := time.NewTimer(deadAfter)
	defer silence.Stop()
	closed := make(chan struct{}, 1)
	for {
		select {
		case f, ok := <-frames:
			if !ok {
				return
			}
			silence.Reset(deadAfter)
			switch f.Do {
			case doBeat:
				s.answer(f.ID, struct{}{}, nil, nil)
			case doTime: // at once: waiting for a turn would widen the interval
				s.answer(f.ID, readClocks(), nil, nil)
			case doClose:
				go func() { // beats are answered meanwhile: stopping servers takes a while
					var e ending
					_ = json.Unmarshal(f.Body, &e)
					err := s.finish(e.Keep)
					s.answer(f.ID, struct{}{}, nil, err)
					select {
					case closed <- struct{}{}:
					default:
					}
				}()
			default:
				s.dispatch(f)
			}
		case <-silence.C:
			return
		case <-ctx.Done():
			return
		case <-closed:
			return
		}
	}
}

// dispatch handles a request beside the others, and takes no more of them than
// there are slots. An effect's mistake is an answer, not the end of the agent.
func (s *server) dispatch(f frame) {
	s.slot <- struct{}{}
	s.busy.Go(func() {
		defer func() { <-s.slot }()
		defer func() {
			if p := recover(); p != nil {
				s.log.Printf("%s: %v\n%s", f.Do, p, debug.Stack())
				s.answer(f.ID, nil, nil, fmt.Errorf("the agent stumbled over %q: %v: this is a bug in nemesis", f.Do, p))
			}
		}()
		body, payload, err := s.handle(f)
		s.answer(f.ID, body, payload, err)
	})
}

func (s *server) answer(id uint64, body any, payload []byte, err error) {
	m := message{ID: id}
	if err == nil {
		m.Body, err = json.Marshal(body)
	}
	if err != nil {
		m.Body, payload, m.Error = nil, nil, firstLine(err.Error())
	}
	s.send(frame{message: m, payload: payload})
}

func (s *server) exited(exit history.Exit) {
	s.log.Printf("process %s, pid %d, ended: status %d, signal %q, expected %v", exit.Server, exit.PID, exit.Code, exit.Signal, exit.Expected)
	body, err := json.Marshal(exit)
	if err == nil {
		s.send(frame{message: message{Do: pushExit, Body: body}})
	}
}

func (s *server) send(f frame) {
	bytes, err := f.encode()
	if err != nil {
		bytes, err = frame{message: message{ID: f.ID, Error: firstLine(err.Error())}}.encode()
		if err != nil {
			return
		}
	}
	select {
	case s.out <- bytes:
	case <-s.done:
	case <-time.After(MaxDeadAfter): // nobody takes anything: silence will end us
	}
}

// heal undoes all that is in force, everything at once: a process that is slow to
// come back must not keep the network cut.
func (s *server) heal() (undone, stuck []string) {
	entries := s.ledger.list()
	problems := make([]error, len(entries))
	var each sync.WaitGroup
	for i, e := range entries {
		each.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					problems[i] = fmt.Errorf("%v: this is a bug in nemesis", p)
				}
			}()
			problems[i] = s.undo(e.envelope)
		})
	}
	each.Wait()
	for i, e := range entries {
		text := s.describe(e)
		if problems[i] != nil {
			stuck = append(stuck, fmt.Sprintf("%s: %s", text, firstLine(problems[i].Error())))
		} else {
			undone = append(undone, text)
		}
	}
	for _, text := range stuck {
		s.log.Printf("cannot undo %s", text)
	}
	return undone, stuck
}

// finish undoes everything, for good. What resists is tried again for a while.
func (s *server) finish(keep bool) error {
	s.gate.Lock()
	s.closing = true
	s.gate.Unlock()
	s.super.refuse()
	var stuck []string
	for try := range 5 {
		if _, stuck = s.heal(); len(stuck) == 0 {
			break
		}
		time.Sleep(time.Duration(try) * 100 * time.Millisecond)
	}
	if !keep {
		_, running := s.super.endAll(true)
		stuck = append(stuck, running...)
	}
	if len(stuck) > 0 {
		return fmt.Errorf("end the agent: %d left behind: %s", len(stuck), stuck[0])
	}
	return nil
}
