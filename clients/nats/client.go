package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"nemesis/clients"
	"nemesis/clients/operands"
	"nemesis/history"
)

// Client performs the operations of one workload. It is used by one goroutine at a time.
type Client struct {
	table          *Table
	workload, node string
	target         func(context.Context) (string, error)
	dialer         *clients.Dialer

	conn *nats.Conn // nil until the first operation, and after one that had trouble
	wire net.Conn
	js   jetstream.JetStream
	// unanswered: something was sent that got no answer, and may still be sent.
	unanswered bool
}

var _ clients.Client = (*Client)(nil)

// Close ends the connection. The wire goes first: the driver would send what it still holds.
func (c *Client) Close() error {
	if c.conn == nil {
		return nil
	}
	err := c.wire.Close()
	c.conn.Close()
	c.conn, c.unanswered = nil, false
	if errors.Is(err, net.ErrClosed) { // by the driver, when it found out that the server is gone
		return nil
	}
	return err
}

// dial is the driver's way to connect: one connection, by the process' own dialer.
type dial struct {
	ctx context.Context
	c   *Client
}

// Dial opens the connection.
func (d dial) Dial(network, address string) (net.Conn, error) {
	conn, err := d.c.dialer.DialContext(d.ctx, network, address)
	if err == nil {
		d.c.wire = conn
	}
	return conn, err
}

// mostConnecting is how long a server may take to greet, where the operation has more time.
const mostConnecting = 2 * time.Second

// connect connects, and sees to it that the bucket or the stream is there.
func (c *Client) connect(ctx context.Context) error {
	address, err := c.target(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, mostConnecting)
	defer cancel()
	deadline, _ := ctx.Deadline()
	o := nats.GetDefaultOptions()
	o.Url, o.Name = "nats://"+address, "nemesis"
	o.User, o.Password, o.Token = c.table.config.User, c.table.config.Password, c.table.config.Token
	o.AllowReconnect, o.IgnoreDiscoveredServers = false, true
	o.Timeout = max(time.Until(deadline), time.Millisecond)
	o.CustomDialer = dial{ctx, c}
	o.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {} // the default writes to standard error
	if c.conn, err = o.Connect(); err != nil {
		c.conn = nil
		return err
	}
	if c.js, err = jetstream.New(c.conn); err == nil {
		err = c.table.prepare(ctx, c.js, c.workload)
	}
	if err != nil {
		c.Close()
	}
	return err
}

// Invoke performs one operation.
func (c *Client) Invoke(ctx context.Context, op history.Event) clients.Completion {
	if c.conn != nil && c.conn.IsClosed() {
		c.Close() // by the server, before anything of this operation was sent
	}
	if c.conn == nil {
		if err := c.connect(ctx); err != nil {
			return clients.Failed(err) // nothing of it was sent
		}
	}
	done, err := c.perform(ctx, op)
	if err != nil {
		done = c.ended(op, err)
	}
	if c.unanswered {
		c.Close() // nothing more is sent for an operation that has ended
	}
	return done
}

// noted takes note of an error that means that a server said nothing.
func (c *Client) noted(err error) error {
	var refused *jetstream.APIError
	if err != nil && !errors.As(err, &refused) && !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, jetstream.ErrNoStreamResponse) {
		c.unanswered = true
	}
	return err
}

// request asks a subject and returns the first answer.
func (c *Client) request(ctx context.Context, subject string, question []byte) (*nats.Msg, error) {
	answer, err := c.conn.RequestWithContext(ctx, subject, question)
	return answer, c.noted(err)
}

func (c *Client) perform(ctx context.Context, op history.Event) (clients.Completion, error) {
	switch op.F {
	case history.FRead:
		value, _, err := c.read(ctx, op.Key)
		return clients.Done(value), err
	case history.FWrite:
		return clients.Done(nil), c.publish(ctx, c.table.config.keySubject(op.Key), op.Value)
	case history.FCAS:
		return c.compareAndSet(ctx, op)
	case history.FEnqueue:
		return clients.Done(nil), c.publish(ctx, c.table.config.queueSubject(), op.Value)
	case history.FDequeue:
		return c.dequeue(ctx)
	}
	return clients.Failed(fmt.Errorf("clients of NATS cannot perform %s", op.F)), nil
}

// ended says how an operation ended in an error.
func (c *Client) ended(op history.Event, err error) clients.Completion {
	var refused *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
		return clients.Failed(errors.New("nobody listens to the subject: the stream has no leader"))
	case errors.As(err, &refused) && (wrongSequence(refused) || c.table.certain(int(refused.ErrorCode))):
		return clients.Failed(err)
	}
	return operands.Doubt(op, err)
}

// publish sends a message to a stream and waits until it has it.
func (c *Client) publish(ctx context.Context, subject string, value json.RawMessage, opts ...jetstream.PublishOpt) error {
	opts = append(opts, jetstream.WithRetryAttempts(0))
	_, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: []byte(operands.Text(value))}, opts...)
	return c.noted(err)
}

// read reads a key, and the sequence number of what it holds; 0 where there is nothing.
func (c *Client) read(ctx context.Context, key string) (json.RawMessage, uint64, error) {
	config := c.table.config
	if config.Reads == Leader {
		return c.readFromLeader(ctx, key)
	}
	answer, err := c.request(ctx, "$JS.API.DIRECT.GET."+config.bucketStream()+"."+config.keySubject(key), nil)
	if err != nil {
		return nil, 0, err
	}
	if status := answer.Header.Get("Status"); status != "" {
		if status == "404" {
			return history.EncodeNull(), 0, nil
		}
		return nil, 0, fmt.Errorf("the server answered a read with status %s %s", status, answer.Header.Get("Description"))
	}
	var sequence uint64
	if _, err := fmt.Sscanf(answer.Header.Get("Nats-Sequence"), "%d", &sequence); err != nil {
		return nil, 0, fmt.Errorf("the server answered a read without a sequence number")
	}
	return clients.StoredInt(string(answer.Data)), sequence, nil
}

// readFromLeader asks the stream's leader for the last message of a key.
func (c *Client) readFromLeader(ctx context.Context, key string) (json.RawMessage, uint64, error) {
	config := c.table.config
	question, err := json.Marshal(map[string]string{"last_by_subj": config.keySubject(key)})
	if err != nil {
		return nil, 0, err
	}
	answer, err := c.request(ctx, "$JS.API.STREAM.MSG.GET."+config.bucketStream(), question)
	if err != nil {
		return nil, 0, err
	}
	var told struct {
		Message *struct {
			Sequence uint64 `json:"seq"`
			Data     []byte `json:"data"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(answer.Data, &told); {
	case err != nil:
		return nil, 0, fmt.Errorf("the server answered a read with %s, which is no JSON", history.Quote(answer.Data))
	case told.Error != nil && told.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return history.EncodeNull(), 0, nil
	case told.Error != nil:
		return nil, 0, told.Error
	case told.Message == nil:
		return nil, 0, errors.New("the server answered a read without a message")
	}
	return clients.StoredInt(string(told.Message.Data)), told.Message.Sequence, nil
}

// compareAndSet writes unless something else was written since it read.
func (c *Client) compareAndSet(ctx context.Context, op history.Event) (clients.Completion, error) {
	cas, err := history.DecodeCompareAndSet(op.Value)
	if err != nil {
		return clients.Failed(err), nil
	}
	value, sequence, err := c.read(ctx, op.Key)
	if err != nil {
		return clients.Failed(err), nil // nothing was written
	}
	if string(value) != string(cas.Expected) {
		return clients.Failed(fmt.Errorf("it holds %s", history.Quote(value))), nil
	}
	return clients.Done(nil), c.publish(ctx, c.table.config.keySubject(op.Key), cas.New, jetstream.WithExpectLastSequencePerSubject(sequence))
}

// dequeue takes the next message and acknowledges it. Until the server has confirmed that, the message may
// come again.
func (c *Client) dequeue(ctx context.Context) (clients.Completion, error) {
	config := c.table.config
	message, err := c.request(ctx, "$JS.API.CONSUMER.MSG.NEXT."+config.Stream+"."+consumer, []byte(`{"batch":1,"no_wait":true}`))
	if err != nil {
		return clients.Failed(err), nil // it was not acknowledged, and comes again
	}
	if status := message.Header.Get("Status"); status != "" {
		if status != "404" {
			return clients.Failed(fmt.Errorf("the server answered with status %s %s", status, message.Header.Get("Description"))), nil
		}
		return c.empty(ctx), nil
	}
	if message.Reply == "" {
		return clients.Failed(errors.New("the server sent a message that cannot be acknowledged")), nil
	}
	if _, err := c.request(ctx, message.Reply, []byte("+ACK")); err != nil {
		if errors.Is(err, nats.ErrNoResponders) {
			return clients.Failed(fmt.Errorf("nobody took the acknowledgement: %w", err)), nil
		}
		return clients.Unsure(fmt.Errorf("the acknowledgement is not confirmed: %w", err)), nil
	}
	return clients.Done(clients.StoredInt(strings.TrimSpace(string(message.Data)))), nil
}

// empty finds out why there was no message: a queue whose messages are all with somebody is not empty.
func (c *Client) empty(ctx context.Context) clients.Completion {
	held, err := c.js.Consumer(ctx, c.table.config.Stream, consumer)
	if c.noted(err) != nil {
		return clients.Failed(err)
	}
	info := held.CachedInfo()
	if info.NumPending > 0 || info.NumAckPending > 0 {
		return clients.Failed(fmt.Errorf("%d messages wait, and %d are with other clients", info.NumPending, info.NumAckPending))
	}
	return clients.Done(history.EncodeNull())
}

// wrongSequence reports whether a stream refused a message since its expected sequence number is wrong. Streams with several
// replicas have a code of their own for it.
func wrongSequence(refused *jetstream.APIError) bool {
	return refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}
