package agent

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"time"

	"nemesis/history"
	"nemesis/nodes"
)

var errUnbuilt = errors.New("not built yet")

// Options are how a Client reaches its agent.
type Options struct {
	// Binary is the nemesis executable to upload ("" is the running one).
	Binary string
	// Dir is the agent's directory on the node; "" is the default for its user.
	Dir string
	// Heartbeat is how often the client says it lives; DeadAfter is how long the
	// agent waits in silence before it undoes everything. Zero means 500 ms and 3 s.
	Heartbeat, DeadAfter time.Duration
}

// Client is the control side of one node's agent. It is safe for concurrent use.
type Client struct{}

// Connect uploads the agent when the node's copy differs, starts it over conn,
// and waits for its greeting. Whatever an earlier agent left in the ledger is
// undone by then, and listed in Facts().Leftovers.
func Connect(ctx context.Context, conn nodes.Conn, opt Options) (*Client, error) {
	return nil, errUnbuilt
}

func (c *Client) Node() nodes.Node { return nodes.Node{} }
func (c *Client) Facts() Facts     { return Facts{} }

// Dir is the agent's directory on the node. Relative paths below are relative to it,
// and no path outside it is ever written.
func (c *Client) Dir() string { return "" }

// Upload puts a file of the control node on the node, skipping the transfer when the
// node has the same content (by hash).
func (c *Client) Upload(ctx context.Context, localPath, path string, mode uint32) error {
	return errUnbuilt
}
func (c *Client) WriteFile(ctx context.Context, path string, content []byte, mode uint32) error {
	return errUnbuilt
}
func (c *Client) MakeDir(ctx context.Context, path string) error               { return errUnbuilt }
func (c *Client) RemoveAll(ctx context.Context, path string) error             { return errUnbuilt }
func (c *Client) Download(ctx context.Context, path string, w io.Writer) error { return errUnbuilt }

// StartProcess starts a supervised process; one that already runs is left alone.
func (c *Client) StartProcess(ctx context.Context, spec ProcessSpec) (ProcessState, error) {
	return ProcessState{}, errUnbuilt
}

// StopProcess asks it to end (SIGTERM), and kills it after grace.
func (c *Client) StopProcess(ctx context.Context, name string, grace time.Duration) (ProcessState, error) {
	return ProcessState{}, errUnbuilt
}
func (c *Client) ProcessState(ctx context.Context, name string) (ProcessState, error) {
	return ProcessState{}, errUnbuilt
}

// Exits yields each end of a supervised process. The channel is closed with the client.
func (c *Client) Exits() <-chan history.Exit { return nil }

// Check, Apply, Undo and Probe act on one effect. Apply writes the ledger first.
func (c *Client) Check(ctx context.Context, e Effect) error { return errUnbuilt }
func (c *Client) Apply(ctx context.Context, e Effect) error { return errUnbuilt }
func (c *Client) Undo(ctx context.Context, e Effect) error  { return errUnbuilt }
func (c *Client) Probe(ctx context.Context, e Effect) (history.Evidence, error) {
	return history.Evidence{}, errUnbuilt
}

// Ledger lists the effects in force; HealAll undoes them all and lists them.
func (c *Client) Ledger(ctx context.Context) ([]string, error)  { return nil, errUnbuilt }
func (c *Client) HealAll(ctx context.Context) ([]string, error) { return nil, errUnbuilt }

// ProbeTCP tries to connect from the node.
func (c *Client) ProbeTCP(ctx context.Context, to netip.AddrPort, timeout time.Duration) (Connection, error) {
	return Connection{}, errUnbuilt
}

// Clock measures the node's clocks against the control node's, by the best of a few exchanges.
func (c *Client) Clock(ctx context.Context) (history.ClockSample, error) {
	return history.ClockSample{}, errUnbuilt
}

// Lost is closed when the agent cannot be reached any more.
func (c *Client) Lost() <-chan struct{} { return nil }

// Close ends the agent in order: effects are undone, and the supervised processes
// are stopped unless keep is set.
func (c *Client) Close(ctx context.Context, keep bool) error { return errUnbuilt }
