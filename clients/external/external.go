// Package external lets a program in any language be the client of a system. The program
// speaks nemesis-client/1, JSON lines on its standard input and output; what it writes to
// standard error is kept with the run.
//
//	> {"hello":"nemesis-client/1","nodes":[{"id":"n1","addr":"10.77.0.1","ports":{"client":6379}}],"workload":"register","seed":7,"max_inflight":64}
//	< {"ready":true,"ops":["read","write","cas"],"max_inflight":64}
//	> {"id":1,"p":3,"node":"n2","f":"cas","key":"k4","value":[1,2],"timeout_ms":1000}
//	< {"id":1,"type":"ok"}
//	< {"id":2,"type":"fail","code":22,"text":"it holds 5"}
//	< {"id":3,"type":"info","code":0,"text":"no answer"}
//	> {"close":3}
//
// Answers come in any order and name their operation by its id; at most one operation of a
// process (p) is under way. After an outcome that is not known the process is closed, and
// another number is used. Moments are taken by nemesis: the invocation before its line is
// written, the completion after the answer was read, so that what the program needs for
// itself widens an operation and never narrows it.
//
// ok means that it happened. fail means that it certainly did not and never will, and needs
// one of the definite codes (Definite), or one of 1000 and above that the program named in
// "definite" of its ready line. Everything else is info. A fail that is not definite is taken
// for info: that errs on the safe side.
//
// The program ends when its input ends, within two seconds. When it ends before that, what it
// had been sent is unknown, and it is started again; four times within a minute are too
// many. A line that is none of the above ends the run: nobody knows what such a program does.
package external

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nemesis/clients"
	"nemesis/clients/operands"
	"nemesis/history"
)

// Protocol is the version of the protocol, as the first line names it.
const Protocol = "nemesis-client/1"

// Definite are the codes of errors, numbered as in Maelstrom, that say that an operation
// certainly did not happen.
func Definite() []int { return []int{1, 10, 11, 12, 14, 20, 21, 22, 30} }

// Bounds.
const (
	// ownCodes is where the codes begin that a program may declare definite itself.
	ownCodes = 1000
	// readyTimeout is how long a program may take until it is ready.
	readyTimeout = 10 * time.Second
	// endTimeout is how long it may take to end once its input did, killTimeout how long after
	// it was asked by a signal.
	endTimeout, killTimeout = 2 * time.Second, time.Second
	// mostDeaths are those within deathsWithin that a run goes on after.
	mostDeaths, deathsWithin = 3, time.Minute
	// mostLine bounds a line, in bytes; lastLines are those that a message quotes.
	mostLine, lastLines = 16 << 20, 32
	// mostLog bounds what is kept of standard error, in bytes: the end.
	mostLog = 256 << 10
)

// Node is a node as a program is told of it.
type Node struct {
	ID    string            `json:"id"`
	Addr  string            `json:"addr"`
	Ports map[string]uint16 `json:"ports"`
}

// Hello is the first line that a program reads.
type Hello struct {
	Hello    string `json:"hello"`
	Nodes    []Node `json:"nodes"`
	Workload string `json:"workload"`
	Seed     int64  `json:"seed"`
	InFlight int    `json:"max_inflight"`
	// TTL is how long leases last without renewal, in milliseconds; 0 for a workload without leases.
	TTL int64 `json:"ttl_ms,omitempty"`
}

// ready is the first line that it writes.
type ready struct {
	Ready    bool     `json:"ready"`
	Ops      []string `json:"ops"`
	InFlight int      `json:"max_inflight"`
	Definite []int    `json:"definite"`
}

// request is an operation as a line.
type request struct {
	ID      int64           `json:"id"`
	Process int             `json:"p"`
	Node    string          `json:"node"`
	F       string          `json:"f"`
	Key     string          `json:"key,omitempty"`
	Value   json.RawMessage `json:"value,omitempty"`
	Timeout int64           `json:"timeout_ms"`
}

// answer is what became of it.
type answer struct {
	ID    int64           `json:"id"`
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
	Code  *int            `json:"code"`
	Text  string          `json:"text"`
}

// Options are the program and what it is told.
type Options struct {
	// Command is its command line, Dir its working directory.
	Command []string
	Dir     string
	// Count is how many of it run at once, at least 1.
	Count int
	// Hello is what each of them is told first; Hello.InFlight bounds the operations at once.
	Hello Hello
}

// Pool is all of a run's programs. It is safe for concurrent use.
type Pool struct {
	opt     Options
	process atomic.Int64
	slots   []*slot
	log     *ring
	// downgraded counts answers of fail that were taken for info.
	downgraded atomic.Int64

	mu      sync.Mutex
	deaths  []time.Time
	broken  error
	trouble chan error
	closed  bool
}

// slot is one of the programs: the one that runs, or nil.
type slot struct {
	mu      sync.Mutex
	running *instance
}

// New makes a pool. Programs start when they are first needed.
func New(opt Options) *Pool {
	opt.Count = max(opt.Count, 1)
	if opt.Hello.InFlight <= 0 {
		opt.Hello.InFlight = 64
	}
	opt.Hello.Hello = Protocol
	p := &Pool{opt: opt, trouble: make(chan error, 1), log: &ring{most: mostLog}}
	for range opt.Count {
		p.slots = append(p.slots, &slot{})
	}
	return p
}

// Trouble tells, once, why the run cannot go on.
func (p *Pool) Trouble() <-chan error { return p.trouble }

// Log is what the programs wrote to standard error, the end of it.
func (p *Pool) Log() []byte { return p.log.bytes() }

// Downgraded is how many answers of fail were taken for info, since no definite code said so.
func (p *Pool) Downgraded() int64 { return p.downgraded.Load() }

// fail ends the use of all programs, for a reason that is told once.
func (p *Pool) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken == nil && !p.closed {
		p.broken = err
		p.trouble <- err
	}
}

func (p *Pool) state() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("the client programs were ended")
	}
	return p.broken
}

// died takes note that a program ended by itself.
func (p *Pool) died(how string) {
	p.mu.Lock()
	now := time.Now()
	p.deaths = append(slices.DeleteFunc(p.deaths, func(at time.Time) bool { return now.Sub(at) > deathsWithin }), now)
	often := len(p.deaths) > mostDeaths
	p.mu.Unlock()
	if often {
		p.fail(fmt.Errorf("run the client program: it ended %d times within a minute (%s)%s", mostDeaths+1, how, p.lastWords()))
	}
}

// lastWords quote the end of standard error.
func (p *Pool) lastWords() string {
	lines := p.log.lines(lastLines)
	if len(lines) == 0 {
		return "; it wrote nothing to standard error"
	}
	return "; the last it wrote to standard error: " + strings.Join(lines, " | ")
}

// get is the program of a slot, started if none runs.
func (s *slot) get(ctx context.Context, p *Pool) (*instance, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil && !s.running.over() {
		return s.running, nil
	}
	if err := p.state(); err != nil {
		return nil, err
	}
	started, err := start(p)
	if err != nil {
		p.fail(err)
		return nil, err
	}
	s.running = started
	return started, nil
}

// Open makes a client that talks to a node. It is one process of the protocol.
func (p *Pool) Open(node string) *Client {
	number := int(p.process.Add(1)) - 1
	return &Client{pool: p, slot: p.slots[number%len(p.slots)], process: number, node: node}
}

// Client is one process. It is used by one goroutine at a time.
type Client struct {
	pool    *Pool
	slot    *slot
	process int
	node    string
	used    *instance // that knows the process
}

var _ clients.Client = (*Client)(nil)

// Close tells the program that the process is finished.
func (c *Client) Close() error {
	if c.used != nil && !c.used.over() {
		c.used.tell([]byte(fmt.Sprintf("{\"close\":%d}\n", c.process)))
	}
	return nil
}

// Invoke sends one operation to the program and waits for its answer.
func (c *Client) Invoke(ctx context.Context, op history.Event) clients.Completion {
	program, err := c.slot.get(ctx, c.pool)
	if err != nil {
		return clients.Completion{Type: history.Fail, Error: clients.Printable(err.Error()), Cause: history.ControlSide}
	}
	c.used = program
	select {
	case program.room <- struct{}{}:
		defer func() { <-program.room }()
	case <-ctx.Done():
		return clients.Failed(fmt.Errorf("the program has %d operations under way: %w", cap(program.room), ctx.Err()))
	}
	r := request{Process: c.process, Node: c.node, F: op.F, Key: op.Key, Value: op.Value}
	if deadline, is := ctx.Deadline(); is {
		r.Timeout = max(time.Until(deadline).Milliseconds(), 1)
	}
	if history.IsNull(op.Value) {
		r.Value = nil
	}
	call, err := program.call(r)
	if err != nil {
		return clients.Failed(err)
	}
	select {
	case <-call.done:
	case <-ctx.Done():
		if !program.giveUp(call) {
			return clients.Failed(fmt.Errorf("the program took no more operations: %w", ctx.Err()))
		}
		select {
		case <-call.done: // at the same moment
		default:
			return operands.Doubt(op, fmt.Errorf("the program did not answer: %w", ctx.Err()))
		}
	}
	if call.err != nil {
		if !call.taken {
			return clients.Failed(call.err)
		}
		return operands.Doubt(op, call.err)
	}
	return c.ended(op, call.answer, program.ready.Definite)
}

// ended says what an answer means.
func (c *Client) ended(op history.Event, a answer, declared []int) clients.Completion {
	said := func() error {
		switch {
		case a.Code != nil && a.Text != "":
			return fmt.Errorf("code %d: %s", *a.Code, a.Text)
		case a.Code != nil:
			return fmt.Errorf("code %d", *a.Code)
		case a.Text != "":
			return errors.New(a.Text)
		}
		return errors.New("the program says no more")
	}
	switch {
	case a.Type == "ok" && operands.Observes(op) && a.Value == nil:
		return operands.Doubt(op, errors.New("the program answered ok without a value"))
	case a.Type == "ok":
		return clients.Done(a.Value)
	case a.Type == "fail" && a.Code != nil && definite(*a.Code, declared):
		return clients.Completion{Type: history.Fail, Value: a.Value, Error: clients.Printable(said().Error())}
	case a.Type == "fail" && !operands.Observes(op):
		if c.pool.downgraded.Add(1) == 1 {
			fmt.Fprintf(c.pool.log, "nemesis: the answer fail to a %s has no definite code, and is taken for info: %s\n", op.F, said())
		}
		return clients.Unsure(fmt.Errorf("fail without a definite code, taken for info: %w", said()))
	}
	return operands.Doubt(op, said())
}

func definite(code int, declared []int) bool {
	return slices.Contains(Definite(), code) || code >= ownCodes && slices.Contains(declared, code)
}

// Close ends all programs and returns when they are gone.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	var all sync.WaitGroup
	for _, s := range p.slots {
		all.Go(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.running != nil {
				s.running.end()
			}
		})
	}
	all.Wait()
	return nil
}
