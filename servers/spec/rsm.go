package spec

import "bytes"

// RSM specifies a replicated state machine: one copy of the application executes requests one after another, and
// every answer is an answer that this copy gave. That there are replicas does not show.
//
// A request is executed at most once, after it was made. With Duplicates it may be executed again at any later time,
// as the IronFleet paper's specification of IronRSL allows (SOSP 2015, section 5.1): an answer is then one that
// some execution of the request gave.
//
// Liveness is stated by Liveness: each request made is answered within a bound once a quorum is up and connected.
type RSM struct {
	App        App
	Duplicates bool

	invoked map[Request]*call
	reads   map[Request]*call // those of invoked that are reads
	log     []Execution
}

// App is the application that the machine replicates.
type App interface {
	// Apply executes an operation and returns its result.
	Apply(op []byte) []byte
	// Query returns the result of an operation that changes nothing.
	Query(op []byte) []byte
}

// Execution is one request executed: its position in the machine's history, from 1, and its result.
type Execution struct {
	Position uint64  `json:"position"`
	Request  Request `json:"request"`
	Op       []byte  `json:"op"`
	Result   []byte  `json:"result"`
}

// Invoke is a client's making a request. A Read changes nothing and is not executed: it is answered from the state.
type Invoke struct {
	Request Request `json:"request"`
	Op      []byte  `json:"op"`
	Read    bool    `json:"read,omitempty"`
}

// Reply is an answer that reached a client, or is on its way to one.
type Reply struct {
	Request Request `json:"request"`
	Result  []byte  `json:"result"`
}

type call struct {
	Invoke
	executions int
	results    [][]byte // of its executions, or of the states since a read was made
}

// Next takes one step: an Invoke, an Execution or a Restored by some replica, a Reply, or a Withdrawal. An error is a Broken;
// the state is then undefined, unless it is one for want of an earlier step.
func (s *RSM) Next(event any) error {
	switch e := event.(type) {
	case Invoke:
		return s.invoke(e)
	case Execution:
		return s.execute(e)
	case Reply:
		return s.reply(e)
	case Restored, Withdrawal:
		return s.inside(e)
	}
	return broken(Known, "a replicated state machine has no step %T", event)
}

// Executed is the length of the machine's history.
func (s *RSM) Executed() uint64 { return uint64(len(s.log)) }

func (s *RSM) invoke(e Invoke) error {
	if s.invoked == nil {
		s.invoked, s.reads = map[Request]*call{}, map[Request]*call{}
	}
	if had := s.invoked[e.Request]; had != nil {
		if had.Read || e.Read || !bytes.Equal(had.Op, e.Op) {
			return broken(Identity, "request %v was made twice", e.Request)
		}
		return nil // sent again
	}
	c := &call{Invoke: e}
	if e.Read {
		c.results = [][]byte{s.App.Query(e.Op)}
		s.reads[e.Request] = c
	}
	s.invoked[e.Request] = c
	return nil
}

func (s *RSM) execute(e Execution) error {
	n := uint64(len(s.log))
	switch {
	case e.Position >= 1 && e.Position <= n:
		if had := s.log[e.Position-1]; had.Request != e.Request || !bytes.Equal(had.Op, e.Op) || !bytes.Equal(had.Result, e.Result) {
			return broken(Agreement, "position %d is request %v %q with result %q, and for another replica request %v %q with result %q",
				e.Position, had.Request, had.Op, had.Result, e.Request, e.Op, e.Result)
		}
		return nil // another replica follows
	case e.Position != n+1:
		return absent(Order, "position %d is executed when the history has %d", e.Position, n)
	}
	c := s.invoked[e.Request]
	switch {
	case c == nil:
		return absent(Origin, "request %v with operation %q is executed, and no client made it", e.Request, e.Op)
	case c.Read || !bytes.Equal(c.Op, e.Op):
		return broken(Origin, "request %v with operation %q is executed, and no client made it", e.Request, e.Op)
	case c.executions > 0 && !s.Duplicates:
		return broken(ExactlyOnce, "request %v is executed again at position %d", e.Request, e.Position)
	}
	if want := s.App.Apply(e.Op); !bytes.Equal(want, e.Result) {
		return broken(Result, "request %v at position %d gives %q, not %q", e.Request, e.Position, want, e.Result)
	}
	c.executions++
	c.results = append(c.results, e.Result)
	s.log = append(s.log, e)
	for _, r := range s.reads {
		r.results = append(r.results, s.App.Query(r.Op))
	}
	return nil
}

func (s *RSM) reply(e Reply) error {
	c := s.invoked[e.Request]
	if c == nil {
		return absent(Origin, "request %v is answered, and no client made it", e.Request)
	}
	for _, r := range c.results {
		if bytes.Equal(r, e.Result) {
			if c.Read {
				delete(s.reads, e.Request) // later states do not count: a read is answered once
			}
			return nil
		}
	}
	if c.Read {
		return broken(Reads, "read %v of %q is answered %q, which no state since it was made gives", e.Request, c.Op, e.Result)
	}
	return broken(Answers, "request %v is answered %q, which no execution of it gave", e.Request, e.Result)
}
