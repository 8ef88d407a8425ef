package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nemesis/clients"
	"nemesis/history"
)

// When an operation ends in an error, what decides is whether COMMIT had been handed to the
// connection:
//
//   - Before that, the transaction certainly did not take effect, whatever the error says.
//     A server commits an explicit transaction when it is told to and rolls it back when its
//     connection ends, so a client that never said COMMIT need not know whether the
//     server, or the network, heard the rest. That goes for refused connections, deadlines,
//     servers that died, deadlocks and serialization failures alike.
//   - From that moment on every error leaves the outcome open, whatever the error says. The
//     answer may be lost while the commit is not; and an error that claims a rollback, even
//     SQLSTATE 40001, is a claim of the system under test about the very thing that is tested.
//
// There are three exceptions, in both directions:
//
//   - What only read changed nothing, so its error is a fail at COMMIT, too.
//   - SQLSTATE 08007 (transaction resolution unknown) and 40003 (statement completion
//     unknown) say that the server does not know, and are believed before COMMIT as well.
//   - An answer that makes no sense is not called a failure, for that would be to
//     say it did no harm: its outcome is open.
//
// A connection is used again only if the transaction on it has certainly ended: after COMMIT
// was answered, or after ROLLBACK was.

// unknownCodes are the SQLSTATEs with which a server says that it does not know the outcome.
var unknownCodes = []string{"08007", "40003"}

// moment is when an error came.
type moment int

const (
	connecting moment = iota
	beforeCommit
	atCommit
)

// nonsense is an answer that no server can give that works.
type nonsense struct{ error }

func (n nonsense) Unwrap() error { return n.error }

// senseless marks an error as an answer that makes no sense; nil stays nil.
func senseless(err error) error {
	if err == nil {
		return nil
	}
	return nonsense{err}
}

// ended sorts how an operation ended in an error.
func ended(when moment, writes bool, code string, err error) history.Type {
	var sense nonsense
	switch {
	case errors.As(err, &sense):
		return history.Info
	case !writes, when == connecting:
		return history.Fail
	case when == atCommit:
		return history.Info
	}
	for _, unknown := range unknownCodes {
		if code == unknown {
			return history.Info
		}
	}
	return history.Fail
}

// transact carries out one transaction. lost says that the connection is of no more use.
func (c *Client) transact(ctx context.Context, work transaction) (done clients.Completion, lost bool) {
	end := func(when moment, err error) (clients.Completion, bool) {
		code := c.dialect.Code(err)
		return clients.Completion{Type: ended(when, work.writes, code, err), Error: brief(code, err)}, c.session == nil
	}
	if c.session == nil {
		s, err := c.connect(ctx)
		if err != nil {
			return end(connecting, err)
		}
		c.session = s
	}
	s := c.session
	if _, err := s.Exec(ctx, c.dialect.Begin); err != nil {
		c.drop()
		return end(beforeCommit, err)
	}
	value, err := work.do(ctx, s)
	observed := errors.Is(err, errMismatch)
	if err != nil && !observed {
		c.rollback(ctx, err)
		return end(beforeCommit, err)
	}
	if _, err := s.Exec(ctx, c.dialect.Commit); err != nil {
		c.drop()
		return end(atCommit, err)
	}
	if observed {
		return clients.Failed(errMismatch), false
	}
	return clients.Done(value), false
}

// rollback ends a transaction that failed, or the connection with it.
func (c *Client) rollback(ctx context.Context, cause error) {
	var sense nonsense
	if errors.As(cause, &sense) || !c.session.Alive() {
		c.drop()
		return
	}
	if _, err := c.session.Exec(ctx, c.dialect.Rollback); err != nil {
		c.drop()
	}
}

// drop gives up the connection.
func (c *Client) drop() {
	_ = c.session.Close() // whatever it says, it is not used again
	c.session = nil
}

// brief is an error's text fit for a history, with its SQLSTATE if it has one.
func brief(code string, err error) string {
	said := err.Error()
	if code != "" && !strings.Contains(said, code) {
		said = fmt.Sprintf("%s (SQLSTATE %s)", said, code)
	}
	return clients.Printable(said)
}
