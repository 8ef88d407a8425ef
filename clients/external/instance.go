package external

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"nemesis/clients"
	"nemesis/history"
)

// instance is one start of a program.
type instance struct {
	pool  *Pool
	cmd   *exec.Cmd
	stdin *os.File
	ready ready
	room  chan struct{} // one place for each operation under way

	mu      sync.Mutex
	wake    *sync.Cond
	queue   []*call
	told    []byte // lines that have no answer
	pending map[int64]*call
	// late are operations that were given up and may still be answered.
	late   map[int64]bool
	last   int64
	ending bool  // by us
	reaped bool  // its number may be another process' by now
	err    error // why it is over

	greetedOnce bool          // its first line has been read
	greeted     chan error    // the first line, or why there is none
	gone        chan struct{} // closed when the process is
}

// call is one operation under way. done is closed when it has an answer or an error.
type call struct {
	id     int64
	line   []byte
	taken  bool // its line may have been written
	done   chan struct{}
	answer answer
	err    error
}

// start starts a program and waits until it is ready.
func start(p *Pool) (*instance, error) {
	cmd := exec.Command(p.opt.Command[0], p.opt.Command[1:]...)
	cmd.Dir = p.opt.Dir
	ownGroup(cmd)
	failed := func(err error) (*instance, error) {
		return nil, fmt.Errorf("start the client program %s: %w", p.opt.Command[0], err)
	}
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return failed(err)
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		inRead.Close()
		inWrite.Close()
		return failed(err)
	}
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		for _, f := range []*os.File{inRead, inWrite, outRead, outWrite} {
			f.Close()
		}
		return failed(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inRead, outWrite, errWrite
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		// The kernel ends the program when the thread that started it does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			awaitEnd(cmd)
			killGroup(cmd) // what it left behind, while its number is still its own
			ended <- cmd.Wait()
		}
	}()
	err = <-started
	for _, f := range []*os.File{inRead, outWrite, errWrite} {
		f.Close()
	}
	if err != nil {
		for _, f := range []*os.File{inWrite, outRead, errRead} {
			f.Close()
		}
		return failed(err)
	}
	i := &instance{pool: p, cmd: cmd, stdin: inWrite, pending: map[int64]*call{}, late: map[int64]bool{},
		greeted: make(chan error, 1), gone: make(chan struct{})}
	i.wake = sync.NewCond(&i.mu)
	var read sync.WaitGroup
	read.Go(func() { i.read(outRead) })
	read.Go(func() { io.Copy(p.log, errRead) })
	go i.wait(ended, &read, outRead, errRead)
	go i.write()
	hello, err := json.Marshal(p.opt.Hello)
	if err != nil {
		i.end()
		return failed(err)
	}
	i.tell(append(hello, '\n'))
	select {
	case err = <-i.greeted:
	case <-time.After(readyTimeout):
		err = fmt.Errorf("it was not ready within %s; it must answer the hello with {\"ready\":true,…}", readyTimeout)
	}
	if err != nil {
		i.end()
		return failed(fmt.Errorf("%w%s", err, p.lastWords()))
	}
	inFlight := p.opt.Hello.InFlight
	if i.ready.InFlight > 0 {
		inFlight = min(inFlight, i.ready.InFlight)
	}
	i.room = make(chan struct{}, inFlight)
	return i, nil
}

// wait notices the end of the process. What it started and left behind in its group is ended
// too, and does not keep us: the pipes are closed a second later.
func (i *instance) wait(ended chan error, read *sync.WaitGroup, pipes ...*os.File) {
	err := <-ended
	i.mu.Lock()
	i.reaped = true
	i.mu.Unlock()
	closing := time.AfterFunc(killTimeout, func() {
		for _, f := range pipes {
			f.Close()
		}
	})
	read.Wait()
	closing.Stop()
	for _, f := range pipes {
		f.Close()
	}
	i.stdin.Close()
	how := "exit status 0"
	if err != nil {
		how = err.Error()
	}
	i.mu.Lock()
	byItself, greeted := !i.ending && i.err == nil, i.greetedOnce
	i.mu.Unlock()
	i.stop(fmt.Errorf("the client program ended (%s)", how))
	switch {
	case byItself && !greeted:
		i.greeted <- fmt.Errorf("it ended (%s) before it was ready", how)
	case byItself:
		i.pool.died(how)
	}
	close(i.gone)
}

// stop gives all operations under way the error with which it is over, once.
func (i *instance) stop(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return
	}
	i.err = err
	for _, c := range i.pending {
		c.err = err
		close(c.done)
	}
	i.pending, i.queue = map[int64]*call{}, nil
	i.wake.Broadcast()
}

func (i *instance) over() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.err != nil || i.ending
}

// end ends the program: its input ends, then it is asked by a signal, then it is killed.
func (i *instance) end() {
	i.mu.Lock()
	i.ending = true
	i.wake.Broadcast()
	i.mu.Unlock()
	for _, step := range []struct {
		how  func()
		wait time.Duration
	}{{func() {}, endTimeout}, {func() { i.signal(askGroup) }, killTimeout}} {
		step.how()
		select {
		case <-i.gone:
			return
		case <-time.After(step.wait):
		}
	}
	i.signal(killGroup)
	<-i.gone
}

// signal sends a signal to the process and its group, if it is still there.
func (i *instance) signal(send func(*exec.Cmd)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.reaped {
		send(i.cmd)
	}
}

// tell queues a line that has no answer.
func (i *instance) tell(line []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.told = append(i.told, line...)
	i.wake.Signal()
}

// call queues an operation.
func (i *instance) call(r request) (*call, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return nil, i.err
	}
	if i.ending {
		return nil, errors.New("the client program was ended")
	}
	i.last++
	r.ID = i.last
	c := &call{id: r.ID, line: appendRequest(nil, r), done: make(chan struct{})}
	i.pending[c.id] = c
	i.queue = append(i.queue, c)
	i.wake.Signal()
	return c, nil
}

// appendRequest writes a request as a line. It does what json.Marshal would, in less time.
func appendRequest(b []byte, r request) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, r.ID, 10)
	b = append(b, `,"p":`...)
	b = strconv.AppendInt(b, int64(r.Process), 10)
	b = append(b, `,"node":`...)
	b = append(b, history.EncodeText(r.Node)...)
	b = append(b, `,"f":`...)
	b = append(b, history.EncodeText(r.F)...)
	if r.Key != "" {
		b = append(b, `,"key":`...)
		b = append(b, history.EncodeText(r.Key)...)
	}
	if len(r.Value) > 0 {
		b = append(b, `,"value":`...)
		b = append(b, r.Value...)
	}
	b = append(b, `,"timeout_ms":`...)
	b = strconv.AppendInt(b, r.Timeout, 10)
	return append(b, '}', '\n')
}

// giveUp takes an operation back. sent: its line may have been written, so that an answer may
// still come.
func (i *instance) giveUp(c *call) (sent bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.pending[c.id] == nil {
		return true // it has just been answered
	}
	delete(i.pending, c.id)
	if c.taken {
		i.late[c.id] = true
		return true
	}
	for at, other := range i.queue {
		if other == c {
			i.queue = append(i.queue[:at], i.queue[at+1:]...)
			break
		}
	}
	return false
}

// write writes what is queued, as much as there is at once.
func (i *instance) write() {
	var lines []byte
	for {
		i.mu.Lock()
		for len(i.queue) == 0 && len(i.told) == 0 && i.err == nil && !i.ending {
			i.wake.Wait()
		}
		lines = append(lines[:0], i.told...)
		i.told = i.told[:0]
		for _, c := range i.queue {
			c.taken = true
			lines = append(lines, c.line...)
		}
		i.queue = i.queue[:0]
		over := i.err != nil || i.ending
		i.mu.Unlock()
		if over {
			i.stdin.Close() // its input ends
			return
		}
		if _, err := i.stdin.Write(lines); err != nil {
			return // it is over, which its end tells
		}
	}
}

// read reads what the program writes, to the end.
func (i *instance) read(r io.Reader) {
	lines := bufio.NewReaderSize(r, 64<<10)
	greeted := false
	for {
		line, err := readLine(lines)
		if errors.Is(err, errTooLong) {
			i.refuse(fmt.Errorf("it wrote a line of more than %d bytes", mostLine))
			return
		}
		if err != nil {
			return // the end of the process says why
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if !greeted {
			greeted = true
			i.mu.Lock()
			i.greetedOnce = true
			i.mu.Unlock()
			if err := i.greet(line); err != nil {
				i.greeted <- err
				i.refuse(err)
				return
			}
			i.greeted <- nil
			continue
		}
		if err := i.answered(line); err != nil {
			i.refuse(err)
			return
		}
	}
}

var errTooLong = errors.New("too long")

// readLine reads a line of a bounded length.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if err == nil && line == nil {
			return part, nil
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case err != bufio.ErrBufferFull:
			return nil, err
		case len(line) > mostLine:
			return nil, errTooLong
		}
	}
}

// greet reads the first line.
func (i *instance) greet(line []byte) error {
	if err := json.Unmarshal(line, &i.ready); err != nil || !i.ready.Ready {
		return fmt.Errorf("its first line is %s and not {\"ready\":true,…}", quoted(line))
	}
	for _, code := range i.ready.Definite {
		if code < ownCodes {
			return fmt.Errorf("it declares the code %d definite; codes of its own begin at %d", code, ownCodes)
		}
	}
	return nil
}

// answered takes an answer.
func (i *instance) answered(line []byte) error {
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return fmt.Errorf("it wrote %s, which is no answer; only answers belong on standard output, all else on standard error", quoted(line))
	}
	switch a.Type {
	case "ok", "fail", "info":
	default:
		return fmt.Errorf("it answered %s, whose type is none of ok, fail and info", quoted(line))
	}
	a.Value = bytes.Clone(a.Value)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.late[a.ID] {
		delete(i.late, a.ID)
		return nil
	}
	c := i.pending[a.ID]
	if c == nil || !c.taken {
		return fmt.Errorf("it answered the operation %d, which it was not asked for or has answered already", a.ID)
	}
	delete(i.pending, a.ID)
	c.answer = a
	close(c.done)
	return nil
}

// refuse ends a program that does not speak the protocol, and the run.
func (i *instance) refuse(err error) {
	err = fmt.Errorf("read the client program's answers: %w%s", err, i.pool.lastWords())
	i.stop(err)
	i.pool.fail(err)
	i.signal(killGroup)
}

func quoted(line []byte) string {
	line = bytes.TrimRight(line, "\r\n")
	return fmt.Sprintf("%q", clients.Printable(string(line[:min(len(line), 200)])))
}

// ring keeps the end of what is written to it. It is safe for concurrent use.
type ring struct {
	mu   sync.Mutex
	most int
	kept []byte
}

func (r *ring) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, b...)
	if len(r.kept) > 2*r.most {
		r.kept = append([]byte(nil), r.kept[len(r.kept)-r.most:]...)
	}
	return len(b), nil
}

func (r *ring) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.kept[max(0, len(r.kept)-r.most):])
}

// lines are the last n, each short and printable.
func (r *ring) lines(n int) []string {
	var lines []string
	for _, line := range strings.Split(strings.TrimRight(string(r.bytes()), "\n"), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, clients.Printable(line))
		}
	}
	return lines[max(0, len(lines)-n):]
}
