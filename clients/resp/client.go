package resp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nemesis/clients"
	"nemesis/clients/operands"
	"nemesis/history"
)

// Client performs the operations of one workload. It is used by one goroutine at a time.
type Client struct {
	table    *Table
	workload string
	node     string
	target   func(context.Context) (string, error)
	dialer   *clients.Dialer

	address string
	conn    *conn // nil until the first operation, and after one that had trouble
	// elsewhere: the server said no, and it may be another's turn.
	elsewhere bool
}

var _ clients.Client = (*Client)(nil)

// Open makes a client for a workload. target tells where the server is whenever a connection
// is needed.
func (t *Table) Open(workload, node string, target func(context.Context) (string, error), dialer *clients.Dialer) *Client {
	return &Client{table: t, workload: workload, node: node, target: target, dialer: dialer}
}

// Close ends the connection.
func (c *Client) Close() error {
	if c.conn == nil {
		return nil
	}
	return c.conn.Close()
}

// Invoke sends one operation and reads its answer.
func (c *Client) Invoke(ctx context.Context, op history.Event) clients.Completion {
	o := c.table.operations[c.workload][op.F]
	if o == nil {
		return clients.Failed(fmt.Errorf("the system's file says nothing of the operation %s", op.F))
	}
	if c.conn == nil || c.elsewhere {
		address, err := c.target(ctx)
		if err != nil {
			return clients.Failed(err) // nobody was asked
		}
		if c.conn != nil && c.address != address {
			c.conn.Close()
			c.conn = nil
		}
		if c.conn == nil {
			if c.conn, err = connect(ctx, address, c.dialer); err != nil {
				c.conn = nil
				return clients.Failed(err) // nothing was sent
			}
			c.address = address
		}
		c.elsewhere = false
	}
	done, keep := c.perform(ctx, o, op)
	if !keep {
		// What comes late must not be taken for the next operation's answer.
		c.conn.Close()
		c.conn = nil
	}
	return done
}

// perform sends an operation over the connection. keep: the connection can be used again.
func (c *Client) perform(ctx context.Context, o *operation, op history.Event) (done clients.Completion, keep bool) {
	if op.F == history.FTransaction {
		return c.transact(ctx, o, op)
	}
	values, err := operands.Of(op, c.node)
	if err != nil {
		return clients.Failed(err), true
	}
	command, err := fill(o.send, values)
	if err != nil {
		return clients.Failed(err), true
	}
	answers, err := c.conn.exchange(ctx, command)
	if err != nil {
		return operands.Doubt(op, err), false
	}
	return c.ended(o, op, answers[0])
}

// ended says how an operation with this answer ended.
func (c *Client) ended(o *operation, op history.Event, reply any) (done clients.Completion, keep bool) {
	switch told := reply.(type) {
	case nil:
		return o.endedNil(c.workload, op), true
	case Error:
		return c.refused(op, told), true
	}
	said := text(reply)
	if slices.Contains(o.Fail, said) {
		return clients.Failed(fmt.Errorf("answered %s", said)), true
	}
	if o.OK != nil && !slices.Contains(o.OK, said) {
		return operands.Doubt(op, fmt.Errorf("answered %s, which the system's file does not know", said)), false
	}
	if !operands.Observes(op) && o.Value == "" {
		return clients.Done(nil), true
	}
	value, err := o.value(reply)
	if err != nil {
		return operands.Doubt(op, err), false
	}
	return clients.Done(value), true
}

// endedNil says what no value means.
func (o *operation) endedNil(workload string, op history.Event) clients.Completion {
	switch {
	case o.Nil == "ok":
		return clients.Done(nil)
	case o.Nil == "fail":
		return clients.Failed(errors.New("answered nil"))
	case o.Nil == "null" || operands.Observes(op):
		return clients.Done(operands.Nothing(workload, op.F))
	}
	return clients.Unsure(errors.New("answered nil, which the system's file does not know"))
}

// refused says how an operation ended that a server answered with an error.
func (c *Client) refused(op history.Event, told Error) clients.Completion {
	for _, pattern := range c.table.certain {
		if pattern.MatchString(string(told)) {
			c.elsewhere = true
			return clients.Failed(told)
		}
	}
	return operands.Doubt(op, told)
}

// transact sends a transaction in one write.
func (c *Client) transact(ctx context.Context, o *operation, op history.Event) (done clients.Completion, keep bool) {
	parts, err := history.DecodeTransaction(op.Value)
	if err != nil {
		return clients.Failed(err), true
	}
	commands, err := o.commands(op, parts, c.node)
	if err != nil {
		return clients.Failed(err), true
	}
	answers, err := c.conn.exchange(ctx, commands...)
	if err != nil {
		return operands.Doubt(op, err), false
	}
	begun, committed := answers[0], answers[len(answers)-1]
	if told, is := begun.(Error); is {
		// Its parts took effect each for itself, whatever the commit says.
		return operands.Doubt(op, fmt.Errorf("the transaction was not begun: %w", told)), true
	}
	switch committed := committed.(type) {
	case nil:
		return clients.Failed(errors.New("the transaction was given up")), true
	case Error:
		return c.uncommitted(op, answers, committed), true
	case []any:
		if len(committed) == len(parts) {
			return o.committed(op, parts, committed), true
		}
	}
	return operands.Doubt(op, fmt.Errorf("a commit of %d parts answered %s", len(parts), text(committed))), false
}

// commands are what a transaction sends.
func (o *operation) commands(op history.Event, parts []history.MicroOp, node string) ([][]string, error) {
	plain := operands.Values{"process": op.Process, "node": node}
	first, err := fill(o.begin, plain)
	if err != nil {
		return nil, err
	}
	commands := [][]string{first}
	for _, part := range parts {
		how := map[string][]operands.Template{history.MicroAppend: o.append, history.MicroRead: o.read, history.MicroWrite: o.write}[part.F]
		if len(how) == 0 {
			return nil, fmt.Errorf("the system's file says nothing of %q in transactions", part.F)
		}
		command, err := fill(how, operands.OfPart(op, part, node))
		if err != nil {
			return nil, err
		}
		commands = append(commands, command)
	}
	last, err := fill(o.commit, plain)
	return append(commands, last), err
}

// committed reads the answers of a transaction's parts.
func (o *operation) committed(op history.Event, parts []history.MicroOp, answers []any) clients.Completion {
	for i, answer := range answers {
		if told, is := answer.(Error); is {
			return operands.Doubt(op, fmt.Errorf("part %d: %w", i+1, told))
		}
		if parts[i].F != history.MicroRead {
			continue
		}
		if answer == nil {
			parts[i].Value = history.EncodeNull()
			continue
		}
		value, err := o.value(answer)
		if err != nil {
			return operands.Doubt(op, err)
		}
		parts[i].Value = value
	}
	return clients.Done(history.EncodeTransaction(parts))
}

// aborted begins the error of a commit whose transaction was discarded since a part of it
// was refused.
const aborted = "EXECABORT"

// uncommitted says how a transaction with an error at its commit ended.
func (c *Client) uncommitted(op history.Event, answers []any, told Error) clients.Completion {
	if !strings.HasPrefix(string(told), aborted) {
		return c.refused(op, told)
	}
	for _, answer := range answers {
		if first, is := answer.(Error); is {
			told = first // such as READONLY
			break
		}
	}
	c.elsewhere = true
	return clients.Failed(told)
}
