package external

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Finding is what one part of the conformance test found.
type Finding struct {
	// Name says what was tried, Said what was wrong with it; "" when nothing was.
	Name, Said string
	// Advice: it costs information, and is no mistake.
	Advice bool
}

// String is the finding as one line.
func (f Finding) String() string {
	switch {
	case f.Said == "":
		return "ok      " + f.Name
	case f.Advice:
		return "advice  " + f.Name + ": " + f.Said
	}
	return "WRONG   " + f.Name + ": " + f.Said
}

// conformTimeout is the time of operations that are not to succeed.
const conformTimeout = time.Second

// Conform tries whether a program speaks the protocol, and whether it is honest about what
// it does not know: it sends it operations on nodes that refuse connections, cut them, and
// never answer. It opens ports on loopback only. Whether the program is right about what a
// real server answers it cannot see.
func Conform(ctx context.Context, command []string, dir, workload string) ([]Finding, error) {
	c, err := newStage()
	if err != nil {
		return nil, err
	}
	defer c.close()
	pool := New(Options{Command: command, Dir: dir, Hello: Hello{Nodes: c.nodes, Workload: workload, Seed: 1, InFlight: 64}})
	defer pool.Close()
	program, err := start(pool)
	if err != nil {
		return []Finding{{Name: "it answers the hello", Said: err.Error()}}, nil
	}
	defer program.end()
	c.program, c.ctx = program, ctx
	c.found("it answers the hello", "")
	c.operations()
	for _, step := range []func(){c.refused, c.cut, c.silent, c.parallel, c.huge, c.unknown, c.again, c.ending} {
		if err := pool.state(); err != nil {
			c.found("it keeps to the protocol", err.Error())
			break
		}
		step()
		if c.stuck {
			break // every other would wait for nothing, too
		}
	}
	return c.findings, ctx.Err()
}

// stage is the nodes of a conformance test and what was found so far.
type stage struct {
	ctx       context.Context
	program   *instance
	nodes     []Node
	listeners []net.Listener
	received  sync.Map // bytes by node, *atomic.Int64
	process   int
	effect    string // an operation that changes something
	findings  []Finding
	stuck     bool // it did not answer where it could at once
}

// Nodes of the stage.
const (
	refusing = "refusing"
	cutting  = "cutting"
	mute     = "silent"
)

func newStage() (*stage, error) {
	s := &stage{}
	for _, name := range []string{refusing, cutting, mute} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.close()
			return nil, fmt.Errorf("open a port to test with: %w", err)
		}
		s.nodes = append(s.nodes, Node{ID: name, Addr: "127.0.0.1", Ports: map[string]uint16{"client": uint16(l.Addr().(*net.TCPAddr).Port)}})
		bytes := new(atomic.Int64)
		s.received.Store(name, bytes)
		if name == refusing {
			l.Close()
			continue
		}
		s.listeners = append(s.listeners, l)
		go serve(l, name == cutting, bytes)
	}
	return s, nil
}

// serve reads what clients send; a cutting node closes the connection then.
func serve(l net.Listener, cut bool, bytes *atomic.Int64) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			buffer := make([]byte, 64<<10)
			for {
				n, err := conn.Read(buffer)
				bytes.Add(int64(n))
				if err != nil || cut {
					return
				}
			}
		}()
	}
}

func (s *stage) close() {
	for _, l := range s.listeners {
		l.Close()
	}
}

func (s *stage) found(name, said string) {
	s.findings = append(s.findings, Finding{Name: name, Said: said})
}

func (s *stage) advise(name, said string) {
	s.findings = append(s.findings, Finding{Name: name, Said: said, Advice: true})
}

var errNoAnswer = errors.New("no answer")

// ask sends one operation by a new process, and waits for the answer for a second longer than
// it may take.
func (s *stage) ask(r request, timeout time.Duration) (answer, error) {
	r.Timeout = timeout.Milliseconds()
	call, err := s.program.call(r)
	if err != nil {
		return answer{}, err
	}
	select {
	case <-call.done:
		return call.answer, call.err
	case <-time.After(timeout + time.Second):
		s.program.giveUp(call)
		return answer{}, errNoAnswer
	case <-s.ctx.Done():
		return answer{}, s.ctx.Err()
	}
}

// operation is one with an effect, by a new process, on a node.
func (s *stage) operation(node string) request {
	s.process++
	r := request{Process: s.process, Node: node, F: s.effect, Key: "k0"}
	switch s.effect {
	case "cas":
		r.Value = json.RawMessage("[1,2]")
	case "txn":
		r.Value = json.RawMessage(`[["append","k0",1]]`)
	case "increment", "acquire":
	default:
		r.Value = json.RawMessage("1")
	}
	return r
}

func (s *stage) operations() {
	const name = "it says which operations it speaks"
	for _, f := range []string{"write", "add", "txn", "cas", "increment", "append", "enqueue", "acquire"} {
		if slices.Contains(s.program.ready.Ops, f) {
			s.effect = f
			break
		}
	}
	switch {
	case s.effect != "":
		s.found(name, "")
	case len(s.program.ready.Ops) == 0:
		s.found(name, `its ready line has no "ops"`)
		s.effect = "write"
	default:
		s.advise(name, "none of "+strings.Join(s.program.ready.Ops, ", ")+" is an operation with an effect that this test knows; it tries write")
		s.effect = "write"
	}
}

// told is an answer for a message.
func told(a answer) string {
	if a.Code != nil {
		return fmt.Sprintf("%s with code %d", a.Type, *a.Code)
	}
	return a.Type + " without a code"
}

func (s *stage) isDefinite(a answer) bool {
	return a.Type == "fail" && a.Code != nil && definite(*a.Code, s.program.ready.Definite)
}

func (s *stage) refused() {
	const name = "a connection that is refused is a definite fail"
	switch a, err := s.ask(s.operation(refusing), 10*conformTimeout); {
	case err != nil:
		s.stuck = true
		s.found(name, err.Error())
	case a.Type == "ok":
		s.found(name, "it answered ok, and nobody was there")
	case !s.isDefinite(a):
		s.advise(name, fmt.Sprintf("it answered %s; fail with code 11 would say that nothing happened", told(a)))
	default:
		s.found(name, "")
	}
}

// heard is how many bytes a node received.
func (s *stage) heard(node string) int64 {
	bytes, _ := s.received.Load(node)
	return bytes.(*atomic.Int64).Load()
}

func (s *stage) cut() {
	const name = "a connection that is cut after the request was sent is info"
	before := s.heard(cutting)
	a, err := s.ask(s.operation(cutting), conformTimeout)
	switch sent := s.heard(cutting) > before; {
	case err != nil:
		s.found(name, err.Error())
	case a.Type == "ok":
		s.found(name, "it answered ok, and the server never did")
	case sent && s.isDefinite(a):
		s.found(name, fmt.Sprintf("it answered %s, and the server may have done it", told(a)))
	case sent && a.Type == "fail":
		s.advise(name, fmt.Sprintf("it answered %s, which is taken for info", told(a)))
	default:
		s.found(name, "")
	}
}

func (s *stage) silent() {
	const name = "a server that never answers is info, in time"
	before := s.heard(mute)
	began := time.Now()
	a, err := s.ask(s.operation(mute), conformTimeout)
	switch sent := s.heard(mute) > before; {
	case errors.Is(err, errNoAnswer):
		s.advise(name, fmt.Sprintf("it did not answer within %s of the timeout_ms of its operation; nemesis takes that for info", time.Since(began).Round(time.Millisecond)-conformTimeout))
	case err != nil:
		s.found(name, err.Error())
	case a.Type == "ok":
		s.found(name, "it answered ok, and the server never did")
	case sent && s.isDefinite(a):
		s.found(name, fmt.Sprintf("it answered %s, and the server may have done it", told(a)))
	default:
		s.found(name, "")
	}
}

func (s *stage) parallel() {
	const name = "operations of several processes go on at once"
	var waiting sync.WaitGroup
	defer waiting.Wait()
	for range 8 {
		r := s.operation(mute)
		waiting.Go(func() { s.ask(r, 2*conformTimeout) })
	}
	switch _, err := s.ask(s.operation(refusing), conformTimeout/2); {
	case errors.Is(err, errNoAnswer):
		s.found(name, "an operation on another node waited for those on a server that is silent")
	case err != nil:
		s.found(name, err.Error())
	default:
		s.found(name, "")
	}
}

func (s *stage) huge() {
	const name = "a line of a megabyte is read"
	r := s.operation(refusing)
	r.Key = strings.Repeat("k", 1<<20)
	said := ""
	if _, err := s.ask(r, 30*conformTimeout); err != nil {
		said = err.Error()
	}
	s.found(name, said)
}

func (s *stage) unknown() {
	const name = "an operation that it does not know is a definite fail"
	r := s.operation(refusing)
	r.F = "no-such-operation"
	switch a, err := s.ask(r, conformTimeout); {
	case err != nil:
		s.found(name, err.Error())
	case a.Type == "ok":
		s.found(name, "it answered ok")
	case !s.isDefinite(a):
		s.advise(name, fmt.Sprintf("it answered %s; fail with code 10 says that it does not know it", told(a)))
	default:
		s.found(name, "")
	}
}

func (s *stage) again() {
	const name = "a process that is closed makes way for another"
	s.program.tell([]byte(fmt.Sprintf("{\"close\":%d}\n", s.process)))
	said := ""
	if _, err := s.ask(s.operation(refusing), conformTimeout); err != nil {
		said = err.Error()
	}
	s.found(name, said)
}

func (s *stage) ending() {
	const name = "it ends when its input does"
	began := time.Now()
	s.program.end()
	if took := time.Since(began); took > endTimeout {
		s.found(name, fmt.Sprintf("it had not ended %s after its input did, and was ended", endTimeout))
		return
	}
	s.found(name, "")
}

// Tell writes findings, and reports whether nothing is wrong.
func Tell(w io.Writer, findings []Finding) bool {
	good := true
	for _, f := range findings {
		fmt.Fprintln(w, f)
		good = good && (f.Said == "" || f.Advice)
	}
	return good
}
