// Package clients is about the systems under test: how to get one, put it on
// nodes, start it, talk to it, and what it claims.
//
// A System is a set of plain functions over machines; it keeps what it learnt
// in an Install, made once on the control node, and in a Deployment, which is one
// cluster: its servers as data (Component), and what only the system itself knows, each
// in a small interface of its own that a Deployment has or lacks (Abilities). Package
// kit runs the servers. Each logical process of a workload gets a Client of its own.
// One folder per system; the table of all systems is run.Systems.
package clients

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// System is one kind of server that nemesis can test.
type System interface {
	// Name is what the user types: etcd.
	Name() string
	// Doc is one line for `nemesis list systems`.
	Doc() string
	// DefaultVersion is what a plan without a version gets.
	DefaultVersion() string
	// CheckVersion says why nemesis cannot run a version; it looks nothing up.
	CheckVersion(version string) error
	// Options are what --set accepts.
	Options() []Option
	// Workloads are the names of the workloads its clients can serve.
	Workloads() []string
	// Claim is what the system's documentation says of it with these options. Durations of
	// its bounds that are left at 0 get defaults made of the timeouts.
	Claim(options map[string]string) history.Claim
	// Timing is the system's timeouts with these options; Lease is 0 when it has none of
	// its own.
	Timing(options map[string]string) history.Timing
	// Prepare gets the server's files onto the control node, building them if the
	// cache has none, and tells progress to w. It may use the network.
	Prepare(ctx context.Context, plan history.System, w io.Writer) (Install, error)
	// Deploy describes a cluster on these machines, each spoken to through its agent. It
	// does nothing yet.
	Deploy(install Install, plan history.Plan, machines []*agent.Client) (Deployment, error)
}

// Option is one key of --set.
type Option struct {
	Name    string
	Doc     string
	Default string
	Values  []string // what is allowed; nil for anything
	// Waits: the value is a time that the servers wait for each other. The default is as
	// many times longer as nodes are slower.
	Waits bool
}

// Install is a system's files on the control node.
type Install struct {
	Version string
	// Files maps a name to a path on the control node: "etcd" → "/home/…/etcd".
	Files map[string]string
}

// Client is one logical process's connection. It is used by one goroutine at a time.
type Client interface {
	// Invoke performs one operation and tells how it ended. It returns by the
	// context's deadline. Only an error that proves that nothing happened and
	// nothing will is a Fail; when in doubt, Info. Once it has returned, nothing more is
	// sent for the operation.
	Invoke(ctx context.Context, op history.Event) Completion
	Close() error
}

// Believer is a Client that has more to tell than how its operations ended: what it
// believes to hold, and renewals that it sends in the background. Believe is called
// once, before the first operation; tell may be called from any goroutine, at any time
// until Close has returned.
type Believer interface {
	Client
	Believe(tell func(Belief))
}

// Belief is one thing that a client believes from a moment on; see history.Belief.
type Belief struct {
	F     string // history.BeliefEnter, …
	Key   string // the resource
	Grant history.Grant
	// At is that moment, by time.Now; the zero time is the moment of telling.
	At time.Time
	// Sent is when the request behind it was sent; zero when there was none.
	Sent time.Time
}

// Completion is how an operation ended.
type Completion struct {
	Type    history.Type
	Value   json.RawMessage
	Version int64
	Error   string
	// Cause is set where the client itself knows that the system was not asked.
	Cause history.Cause
}

// Done is the completion of an operation that took effect, with what it returned, if anything.
func Done(value json.RawMessage) Completion {
	return Completion{Type: history.OK, Value: value}
}

// Failed is a completion that certainly had no effect.
func Failed(err error) Completion {
	return Completion{Type: history.Fail, Error: Printable(err.Error())}
}

// Unsure is a completion whose effect, or answer, is not known.
func Unsure(err error) Completion {
	return Completion{Type: history.Info, Error: Printable(err.Error())}
}
