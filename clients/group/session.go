package group

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Session is one client of a group. It asks its own server first and goes where that sends it, and asks the other servers
// in turn when one does not answer within its patience. It asks again until the context ends. It is used by one goroutine at a time.
//
// What was asked once under a number may be asked again under it: the servers execute it once. So an operation
// certainly did not happen only if each of its attempts was refused by a server that had not taken it, or never left. Every
// other end without an answer leaves it open.
type Session struct {
	nodes    []*Conn // of server i+1
	own      int     // the index of its own server
	patience time.Duration

	id    uint64 // 0 until it is open
	seq   uint64 // of the last operation
	nonce uint64 // of the last request that needs no session
}

// NewSession makes a session over connections to all servers, the server at index own first. It numbers what needs no session
// from nonce on, which must be far from those of other clients: servers tell their requests apart by it.
func NewSession(nodes []*Conn, own int, patience time.Duration, nonce uint64) *Session {
	return &Session{nodes: nodes, own: own, patience: patience, nonce: nonce >> 2}
}

// Nonces gives each client a number of its own, drawn from a seed. It may be used by several goroutines.
type Nonces struct {
	mu  sync.Mutex
	rng *rand.Rand
}

// NewNonces begins the numbers of a seed.
func NewNonces(seed uint64) *Nonces { return &Nonces{rng: rand.New(rand.NewPCG(seed, 0x5e55))} }

// Next draws a number.
func (n *Nonces) Next() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rng.Uint64()
}

// Unanswered is that an operation was not answered.
type Unanswered struct {
	// Open: it may have been executed, or may still be.
	Open bool
	Why  string
}

func (e *Unanswered) Error() string { return e.Why }

// Change executes an operation, once. Its error is an *Unanswered.
func (s *Session) Change(ctx context.Context, op []byte) ([]byte, error) {
	if s.id == 0 {
		s.nonce++
		r, err := s.ask(ctx, Request{Kind: Register, Seq: s.nonce})
		if err != nil {
			return nil, &Unanswered{Why: "no session was opened: " + err.Error()}
		}
		s.id, s.seq = r.Session, 0
	}
	s.seq++
	r, err := s.ask(ctx, Request{Kind: Apply, Session: s.id, Seq: s.seq, Op: op})
	if err != nil {
		return nil, err
	}
	return r.Result, nil
}

// Read asks for what changes nothing. Its error is an *Unanswered.
func (s *Session) Read(ctx context.Context, op []byte) ([]byte, error) {
	s.nonce++
	r, err := s.ask(ctx, Request{Kind: Query, Seq: s.nonce, Op: op})
	if err != nil {
		return nil, err
	}
	return r.Result, nil
}

// Pause is how long a client waits that was sent away, so that it does not ask servers without a leader as fast as it can.
const Pause = 20 * time.Millisecond

// ask sends one request to one server after another until it is answered.
func (s *Session) ask(ctx context.Context, q Request) (Reply, error) {
	message := q.Message()
	end := &Unanswered{}
	at := s.own
	for {
		r, sent, err := s.try(ctx, at, q, message)
		next, wait := at, Pause
		switch {
		case err != nil:
			end.Open = end.Open || sent
			end.Why = fmt.Sprintf("node %d: %v", at+1, err)
			next = (at + 1) % len(s.nodes)
		case r.Status == Done:
			return r, nil
		case r.Status == Expired:
			// It was not executed by this attempt; an earlier one may have been.
			s.id = 0
			return Reply{}, &Unanswered{Open: end.Open, Why: fmt.Sprintf("node %d: %v", at+1, r.Status)}
		case r.Status == Refused:
			return Reply{}, &Unanswered{Open: end.Open, Why: fmt.Sprintf("node %d refused it: %s", at+1, r.Result)}
		default:
			end.Open = end.Open || r.Status == Deposed
			end.Why = fmt.Sprintf("node %d: %v", at+1, r.Status)
			if leader := Place(r.Leader, len(s.nodes)); leader >= 0 && leader != at {
				next, wait = leader, 0
			} else if r.Status == NotLeader {
				next = (at + 1) % len(s.nodes)
			}
		}
		if at != s.own && next != s.own && wait == 0 {
			wait = Pause // sent on twice: servers disagree
		}
		at = next
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		if ctx.Err() != nil {
			return Reply{}, end
		}
	}
}

// try asks one server once.
func (s *Session) try(ctx context.Context, at int, q Request, message []byte) (r Reply, sent bool, err error) {
	sent, err = s.nodes[at].ExchangeWithin(ctx, s.patience, message, func(answer []byte) (bool, error) {
		var err error
		if r, err = ReadReply(answer); err != nil {
			return false, err
		}
		// An answer to an earlier attempt may still come.
		return r.Kind == q.Kind && r.Seq == q.Seq && (q.Kind == Register || r.Session == q.Session), nil
	})
	return r, sent, err
}

// Close ends the session's connections.
func (s *Session) Close() error {
	var errs []error
	for _, c := range s.nodes {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
