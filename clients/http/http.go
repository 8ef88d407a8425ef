// Package http is a client of servers that speak HTTP/1.1, made from data: which request each
// operation sends, and what the status and the body of its answer mean.
//
// One client has one connection and repeats nothing: neither when a connection that was kept
// turns out to be closed, nor after a redirection, which is an answer like any other. What it
// is told decides what happened:
//
//   - a status that the operation names as ok happened, one that it names as fail did not;
//   - a status in certain says of any operation that nothing happened;
//   - a request of which no byte left this process did not happen;
//   - everything else is unknown, unless the operation only looks.
package http

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"nemesis/clients"
	"nemesis/clients/operands"
	"nemesis/history"
)

// Operation is how one operation is sent and its answer read. It has one of the methods.
type Operation struct {
	Get    string `yaml:"get" doc:"path to GET"`
	Put    string `yaml:"put" doc:"path to PUT"`
	Post   string `yaml:"post" doc:"path to POST"`
	Delete string `yaml:"delete" doc:"path to DELETE"`
	Patch  string `yaml:"patch" doc:"path to PATCH"`

	Headers map[string]string `yaml:"headers" doc:"headers of the request"`
	Body    string            `yaml:"body" doc:"body of the request"`
	OK      []int             `yaml:"ok" doc:"statuses that mean it happened; default 200, 201 and 204"`
	Fail    []int             `yaml:"fail" doc:"statuses that mean it certainly did not happen"`
	Absent  []int             `yaml:"absent" doc:"statuses that mean that nothing is there: the value null, or an empty list"`
	Value   string            `yaml:"value" doc:"where the value is: body (default of what only looks), none, or a path into JSON such as $.value"`
	Kind    string            `yaml:"kind" doc:"how the value, or each element of a list, is read: int (default), text or json"`
}

// Config is a client as data. Workloads maps the name of a workload to its operations by
// their names, such as register to read, write and cas.
type Config struct {
	Workloads map[string]map[string]Operation
	// Certain are statuses that say of any operation that nothing happened.
	Certain []int
}

// Table is a Config that was checked and is ready to be used by many clients at once.
type Table struct {
	operations map[string]map[string]*operation
	certain    []int
}

type operation struct {
	Operation
	method     string
	path, body operands.Template
	headers    map[string]operands.Template
}

// What an operation need not say.
var usualOK = []int{http.StatusOK, http.StatusCreated, http.StatusNoContent}

const (
	inBody = "body"
	// mostBody bounds the body of an answer, in bytes.
	mostBody = 64 << 20
)

// Read checks a configuration. The error says where it is wrong, as a path such as
// register.cas.
func Read(c Config) (*Table, error) {
	t := &Table{operations: map[string]map[string]*operation{}, certain: c.Certain}
	for _, work := range slices.Sorted(maps.Keys(c.Workloads)) {
		t.operations[work] = map[string]*operation{}
		for _, f := range slices.Sorted(maps.Keys(c.Workloads[work])) {
			o, err := readOperation(c.Workloads[work][f])
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", work, f, err)
			}
			if f == history.FTransaction {
				return nil, fmt.Errorf("%s.%s: transactions cannot be sent over http; speak them by a program", work, f)
			}
			t.operations[work][f] = o
		}
	}
	return t, nil
}

func readOperation(o Operation) (*operation, error) {
	r := &operation{Operation: o, headers: map[string]operands.Template{}}
	var path string
	for _, m := range []struct{ method, path string }{
		{http.MethodGet, o.Get}, {http.MethodPut, o.Put}, {http.MethodPost, o.Post}, {http.MethodDelete, o.Delete}, {http.MethodPatch, o.Patch},
	} {
		switch {
		case m.path == "":
		case r.method != "":
			return nil, fmt.Errorf("it has both %s and %s; leave one", strings.ToLower(r.method), strings.ToLower(m.method))
		default:
			r.method, path = m.method, m.path
		}
	}
	if r.method == "" {
		return nil, errors.New("it has no request; give one of get, put, post, delete and patch")
	}
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("the path %q does not begin with /", path)
	}
	var err error
	if r.path, err = operands.Parse(path); err != nil {
		return nil, err
	}
	if r.body, err = operands.Parse(o.Body); err != nil {
		return nil, fmt.Errorf("body: %w", err)
	}
	for name, text := range o.Headers {
		if r.headers[name], err = operands.Parse(text); err != nil {
			return nil, fmt.Errorf("headers: %w", err)
		}
	}
	if o.OK == nil {
		r.OK = usualOK
	}
	for _, status := range slices.Concat(o.OK, o.Fail, o.Absent) {
		if status < 100 || status > 599 {
			return nil, fmt.Errorf("%d is no status", status)
		}
	}
	if o.Value != "" && o.Value != inBody && o.Value != operands.None {
		if err := operands.CheckPath(o.Value); err != nil {
			return nil, fmt.Errorf("value: %w", err)
		}
	}
	if err := operands.CheckKind(o.Kind); err != nil {
		return nil, fmt.Errorf("kind: %w", err)
	}
	return r, nil
}

// Client performs the operations of one workload. It is used by one goroutine at a time.
type Client struct {
	table          *Table
	workload, node string
	target         func(context.Context) (string, error)
	dialer         *clients.Dialer

	conn   net.Conn // nil until the first operation, and after one that had trouble
	reader *bufio.Reader
	at     string
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
	err := c.conn.Close()
	c.conn = nil
	return err
}

// Invoke sends one operation and reads its answer.
func (c *Client) Invoke(ctx context.Context, op history.Event) clients.Completion {
	o := c.table.operations[c.workload][op.F]
	if o == nil {
		return clients.Failed(fmt.Errorf("the system's file says nothing of the operation %s", op.F))
	}
	request, err := o.request(ctx, op, c.node)
	if err != nil {
		return clients.Failed(err)
	}
	if c.conn != nil && closed(c.conn) {
		c.Close() // by the server, before anything of this operation was sent
	}
	if c.conn == nil {
		if c.at, err = c.target(ctx); err != nil {
			return clients.Failed(err) // nobody was asked
		}
		if c.conn, err = c.dialer.DialContext(ctx, "tcp", c.at); err != nil {
			c.conn = nil
			return clients.Failed(err)
		}
		c.reader = bufio.NewReader(c.conn)
	}
	request.URL.Host, request.Host = c.at, c.at
	answer, err := c.exchange(ctx, request)
	if err != nil {
		c.Close() // what comes late must not be taken for the next operation's answer
		return operands.Doubt(op, err)
	}
	if answer.close {
		c.Close()
	}
	return o.ended(c.workload, op, answer, c.table.certain)
}

// request makes the request of an operation.
func (o *operation) request(ctx context.Context, op history.Event, node string) (*http.Request, error) {
	values, err := operands.Of(op, node)
	if err != nil {
		return nil, err
	}
	path, err := o.path.Fill(values)
	if err != nil {
		return nil, err
	}
	body, err := o.body.Fill(values)
	if err != nil {
		return nil, err
	}
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, o.method, "http://server"+path, reader)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	for name, template := range o.headers {
		text, err := template.Fill(values)
		if err != nil {
			return nil, err
		}
		r.Header.Set(name, text)
	}
	if _, given := r.Header["User-Agent"]; !given {
		r.Header.Set("User-Agent", "nemesis")
	}
	return r, nil
}

// answer is what a server said.
type answer struct {
	status int
	body   []byte
	close  bool // the connection is of no more use
}

// exchange sends a request and reads its answer, within the context's deadline.
func (c *Client) exchange(ctx context.Context, r *http.Request) (answer, error) {
	conn := c.conn
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := r.Write(conn); err != nil {
		return answer{}, fmt.Errorf("send the request: %w", cause(ctx, err))
	}
	got, err := http.ReadResponse(c.reader, r)
	if err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", cause(ctx, err))
	}
	defer got.Body.Close()
	body, err := io.ReadAll(io.LimitReader(got.Body, mostBody+1))
	switch {
	case err != nil:
		return answer{}, fmt.Errorf("read the answer: %w", cause(ctx, err))
	case len(body) > mostBody:
		return answer{}, fmt.Errorf("read the answer: it is longer than %d bytes", mostBody)
	}
	return answer{status: got.StatusCode, body: body, close: got.Close || !stop()}, nil
}

// cause is why an exchange ended: the operation's time, if that was up.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the server closed the connection")
	}
	return err
}

// ended says how an operation with this answer ended.
func (o *operation) ended(workload string, op history.Event, a answer, certain []int) clients.Completion {
	said := func() error {
		text := strings.TrimSpace(string(a.body[:min(len(a.body), 200)]))
		if text == "" {
			return fmt.Errorf("status %d", a.status)
		}
		return fmt.Errorf("status %d: %s", a.status, text)
	}
	switch {
	case slices.Contains(o.Fail, a.status), slices.Contains(certain, a.status):
		return clients.Failed(said())
	case slices.Contains(o.Absent, a.status):
		return clients.Done(operands.Nothing(workload, op.F))
	case !slices.Contains(o.OK, a.status):
		return operands.Doubt(op, said())
	case o.Value == operands.None, o.Value == "" && !operands.Observes(op):
		return clients.Done(nil)
	}
	value, err := o.value(op, a.body)
	if err != nil {
		return operands.Doubt(op, err)
	}
	return clients.Done(value)
}

// value reads the value in a body.
func (o *operation) value(op history.Event, body []byte) (json.RawMessage, error) {
	if o.Value == "" || o.Value == inBody {
		text := strings.TrimSpace(string(body))
		if op.F == history.FList {
			return o.list([]byte(text))
		}
		if text == "" || text == "null" && o.Kind != operands.String {
			return history.EncodeNull(), nil
		}
		return operands.ReadValue(o.Kind, text)
	}
	found, err := operands.At(body, o.Value)
	switch {
	case err != nil:
		return nil, err
	case op.F == history.FList:
		return o.list(found)
	case found == nil || history.IsNull(found):
		return history.EncodeNull(), nil
	}
	return o.element(found)
}

// element reads one JSON value of an answer: digits in quotes are an integer, too.
func (o *operation) element(value json.RawMessage) (json.RawMessage, error) {
	if o.Kind == operands.JSON {
		return value, nil
	}
	return operands.ReadValue(o.Kind, operands.Text(value))
}

// list reads a JSON array, or lines.
func (o *operation) list(value []byte) (json.RawMessage, error) {
	var elements []json.RawMessage
	var values []json.RawMessage
	switch {
	case len(value) == 0 || history.IsNull(value):
	case value[0] == '[':
		if err := json.Unmarshal(value, &elements); err != nil {
			return nil, fmt.Errorf("read the list: %s is no JSON", history.Quote(value))
		}
		for _, e := range elements {
			v, err := o.element(e)
			if err != nil {
				return nil, err
			}
			values = append(values, v)
		}
	default:
		for _, line := range strings.Fields(string(value)) {
			v, err := operands.ReadValue(o.Kind, line)
			if err != nil {
				return nil, err
			}
			values = append(values, v)
		}
	}
	return operands.List(values), nil
}
