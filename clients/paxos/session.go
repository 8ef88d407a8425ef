package paxos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// session is one client of the group. It asks its own node first and goes where that sends it, and asks the other nodes
// in turn when one does not answer within its patience. It asks again until the context ends.
//
// What was asked once under a number may be asked again under it: the servers execute it once. So an operation
// certainly did not happen only if each of its attempts was refused by a node that had not taken it, or never left. Every
// other end without an answer leaves it open.
type session struct {
	nodes    []*conn // node i+1
	own      int     // the index of its own node
	patience time.Duration

	id    uint64 // 0 until it is open
	seq   uint64 // of the last operation
	nonce uint64 // of the last request that needs no session
}

// newSession numbers what needs no session from nonce on, which must be far from those of other clients: nodes tell their
// requests apart by it.
func newSession(nodes []*conn, own int, patience time.Duration, nonce uint64) *session {
	return &session{nodes: nodes, own: own, patience: patience, nonce: nonce >> 2}
}

// unanswered is that an operation was not answered.
type unanswered struct {
	// open: it may have been executed, or may still be.
	open bool
	why  string
}

func (e *unanswered) Error() string { return e.why }

// change executes an operation, once.
func (s *session) change(ctx context.Context, op []byte) ([]byte, error) {
	if s.id == 0 {
		s.nonce++
		r, err := s.ask(ctx, request{kind: register, seq: s.nonce})
		if err != nil {
			return nil, &unanswered{why: "no session was opened: " + err.Error()}
		}
		s.id, s.seq = r.session, 0
	}
	s.seq++
	r, err := s.ask(ctx, request{kind: apply, session: s.id, seq: s.seq, op: op})
	if err != nil {
		return nil, err
	}
	return r.result, nil
}

// read asks for what changes nothing.
func (s *session) read(ctx context.Context, op []byte) ([]byte, error) {
	s.nonce++
	r, err := s.ask(ctx, request{kind: query, seq: s.nonce, op: op})
	if err != nil {
		return nil, err
	}
	return r.result, nil
}

// Pauses of a client that was sent away, so that it does not ask a group without a leader as fast as it can.
const pause = 20 * time.Millisecond

// ask sends one request to one node after another until it is answered. Its error is an *unanswered.
func (s *session) ask(ctx context.Context, q request) (reply, error) {
	message := q.message()
	end := &unanswered{}
	at := s.own
	for {
		r, sent, err := s.try(ctx, at, q, message)
		next, wait := at, pause
		switch {
		case err != nil:
			end.open = end.open || sent
			end.why = fmt.Sprintf("node %d: %v", at+1, err)
			next = (at + 1) % len(s.nodes)
		case r.status == done:
			return r, nil
		case r.status == expired:
			// It was not executed by this attempt; an earlier one may have been.
			s.id = 0
			return reply{}, &unanswered{open: end.open, why: fmt.Sprintf("node %d: %v", at+1, r.status)}
		case r.status == refused:
			return reply{}, &unanswered{open: end.open, why: fmt.Sprintf("node %d refused it: %s", at+1, r.result)}
		default:
			end.open = end.open || r.status == deposed
			end.why = fmt.Sprintf("node %d: %v", at+1, r.status)
			if leader := int(r.leader); r.leader > 0 && r.leader <= uint64(len(s.nodes)) && leader != at+1 {
				next, wait = leader-1, 0
			} else if r.status == notLeader {
				next = (at + 1) % len(s.nodes)
			}
		}
		if at != s.own && next != s.own && wait == 0 {
			wait = pause // sent on twice: nodes disagree
		}
		at = next
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		if ctx.Err() != nil {
			return reply{}, end
		}
	}
}

// try asks one node once.
func (s *session) try(ctx context.Context, at int, q request, message []byte) (r reply, sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	sent, err = s.nodes[at].exchange(ctx, message, func(answer []byte) (bool, error) {
		var err error
		if r, err = readReply(answer); err != nil {
			return false, err
		}
		// An answer to an earlier attempt may still come.
		return r.kind == q.kind && r.seq == q.seq && (q.kind == register || r.session == q.session), nil
	})
	if err != nil && (ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)) {
		err = fmt.Errorf("no answer within its time (%w)", err)
	}
	return r, sent, err
}

func (s *session) close() error {
	var errs []error
	for _, c := range s.nodes {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}
