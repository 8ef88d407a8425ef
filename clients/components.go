package clients

import (
	"context"
	"errors"
	"io"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// Component is one server process of a system on one node, as data. Paths on the node
// are relative to the agent's directory, or absolute inside it.
type Component struct {
	// Node is where it runs.
	Node string
	// Role is what kind of server it is, the same on every node: etcd, sentinel, worker.
	// Faults and reports name it.
	Role string
	// Spec is how the node's agent starts it, first time or again. Spec.Name is the
	// component's name on its node; "" is its role.
	Spec agent.ProcessSpec
	// Files are put on the node before the component is started for the first time.
	Files []File
	// Data are the directories with what it keeps; wiping removes them.
	Data []string
	// MakeData: its Data are directories that must be there, empty, before it starts for the first time.
	MakeData bool
	// Logs are the files that it writes besides Spec.Log.
	Logs []string
	// Trace is the file to which it writes its steps (checker/refinement); "" if it does not.
	Trace string
	// ClientPort is where clients connect to it from the control node, PeerPort where
	// servers of other nodes do; 0 where nobody does.
	ClientPort, PeerPort uint16
	// After are the roles that must serve before it starts; it is stopped before they are.
	After []string
}

// Name is the component's name on its node.
func (c Component) Name() string {
	if c.Spec.Name != "" {
		return c.Spec.Name
	}
	return c.Role
}

// LogFile is where its standard output and error go.
func (c Component) LogFile() string {
	if c.Spec.Log != "" {
		return c.Spec.Log
	}
	return c.Name() + ".log"
}

// String says what and where it is: "etcd on n1".
func (c Component) String() string { return c.Name() + " on " + c.Node }

// File is a file that a component needs on its node.
type File struct {
	Path string
	// From is the file on the control node; where it is "" the file has Content.
	From    string
	Content []byte
	Mode    uint32
}

// Deployment is one cluster of servers. What it has beyond these two methods are the
// interfaces below, Abilities has all of them. Its methods are called from several
// goroutines at once.
type Deployment interface {
	// Components are all servers of the cluster, the same at every call. The role of the
	// first is the main one: process faults are aimed at it unless another is asked for.
	Components() []Component
	// Open makes a client that talks to one node. The client opens every connection by
	// dialer, which tells failures of ours from the system's; Open itself opens none, so
	// its error is taken for nemesis' own.
	Open(ctx context.Context, node string, dialer *Dialer) (Client, error)
}

// Composed is a System with servers of several kinds, or not one on each node. Of any
// other, each node has one server with the system's name for a role.
type Composed interface {
	// Roles are those of a cluster of nodes with these options, the main one first. They
	// agree with the components that Deploy makes.
	Roles(nodes []string, options map[string]string) []history.Role
}

// Checked is a System that can say, before anything is prepared, what is wrong with what a plan asks of it: values of options, alone,
// together, or on so many nodes.
type Checked interface {
	// Check returns an error of one line, which tells the user what to give instead.
	Check(plan history.Plan) error
}

// Led is a System in which nodes lead with these options. No fault is aimed at the leader
// of any other. Its deployment is Leading.
type Led interface {
	HasLeaders(options map[string]string) bool
}

// Claiming is a System that claims different things of different workloads.
type Claiming interface {
	// ClaimOf is Claim for one workload.
	ClaimOf(workload string, options map[string]string) history.Claim
}

// Limited is a System whose clients do not speak every operation of their workloads.
type Limited interface {
	// Without are the operations of a workload that the generator is to leave out.
	Without(workload string) []string
}

// Owning is a System that has workloads of its own, besides those that nemesis knows.
type Owning interface {
	// OwnWorkload is the one of that name; nil for all others.
	OwnWorkload(name string) *history.OwnWorkload
}

// Restricted is a System for which some faults make no sense.
type Restricted interface {
	// Faults are the names of those that do; none is all.
	Faults() []string
}

// Sized is a System that says how many local nodes it takes where the user says nothing.
type Sized interface {
	// DefaultNodes is that number; 0 says nothing.
	DefaultNodes() int
}

// Sharded is a System whose parts of the data are moved between nodes.
type Sharded interface {
	// MovesShards says whether, with these options, clients of workloads on data move shards while others work on them. They
	// perform the operation move of the workload shard-ownership.
	MovesShards(options map[string]string) bool
}

// Prober is a Deployment that can ask a server whether it serves clients. Of the servers
// of any other, those serve that accept connections.
type Prober interface {
	// Probe asks once, within the context's deadline. Its error is what is to be said after
	// "the server runs and": "does not answer reads (timeout)".
	Probe(ctx context.Context, c Component) error
}

// LogReader is a Deployment that knows how to read its servers' logs.
type LogReader interface {
	// LastWords picks from the end of a server's log what says why it ended; "" when
	// nothing does. What it returns is made printable by whoever asks.
	LastWords(log []byte) string
}

// LogSearcher is a Deployment whose servers say in their logs that they are broken in words
// of their own, besides those of the runtimes that checker/serverlog knows.
type LogSearcher interface {
	LogPatterns() []history.LogPattern
}

// Leading is a Deployment in which nodes lead, one or many.
type Leading interface {
	// Leads are who leads what now, asked of the nodes within the context's deadline;
	// nobody when no node can be reached that knows. It tells of every node that claims
	// to lead now, so that two which claim the same are told both.
	Leads(ctx context.Context) ([]history.Lead, error)
}

// Granting is a Deployment that can say which node grants and ends leases now; "" when
// nobody who was asked knows. Of any other that is the node that leads.
type Granting interface {
	Grantor(ctx context.Context) (string, error)
}

// Troubled is a Deployment that may find out that a run cannot go on, such as by a client
// program of the user's that breaks down.
type Troubled interface {
	// Trouble tells why, at most once.
	Trouble() <-chan error
}

// Logged is a Deployment whose clients write a log of their own.
type Logged interface {
	// ClientLog is what they wrote so far, or the end of it.
	ClientLog() []byte
}

// Abilities are what a deployment can do; what it cannot do has a substitute, or is nil.
type Abilities struct {
	// Probe is nil where connecting must do, LastWords where the last line must.
	Probe     func(ctx context.Context, c Component) error
	LastWords func(log []byte) string
	// LogPatterns are those of the system's own.
	LogPatterns []history.LogPattern
	// Leads is nil where nobody leads.
	Leads func(ctx context.Context) ([]history.Lead, error)
	// Leader is the node that leads, Grantor the one that grants leases; "" where nobody is
	// known. Where many lead, it is who leads the first thing by name.
	Leader, Grantor func(ctx context.Context) (string, error)
	// Trouble and ClientLog are nil where there is none.
	Trouble   <-chan error
	ClientLog func() []byte
	// Close ends the deployment's own connections. The servers are the agents'.
	Close func() error
}

// AbilitiesOf finds out what a deployment can do.
func AbilitiesOf(d Deployment) Abilities {
	a := Abilities{Close: func() error { return nil }}
	a.Leader = func(context.Context) (string, error) {
		return "", errors.New("nobody leads in this system")
	}
	if p, is := d.(Prober); is {
		a.Probe = p.Probe
	}
	if l, is := d.(LogReader); is {
		a.LastWords = l.LastWords
	}
	if l, is := d.(LogSearcher); is {
		a.LogPatterns = l.LogPatterns()
	}
	if l, is := d.(Leading); is {
		a.Leads = l.Leads
		a.Leader = func(ctx context.Context) (string, error) {
			leads, err := l.Leads(ctx)
			if err != nil {
				return "", err
			}
			return leaderOf(leads), nil
		}
	}
	a.Grantor = a.Leader
	if g, is := d.(Granting); is {
		a.Grantor = g.Grantor
	}
	if t, is := d.(Troubled); is {
		a.Trouble = t.Trouble()
	}
	if l, is := d.(Logged); is {
		a.ClientLog = l.ClientLog
	}
	if c, is := d.(io.Closer); is {
		a.Close = c.Close
	}
	return a
}

// leaderOf chooses whom "the leader" means: where there are many, who leads the first
// thing by name, and of several who claim that, the one in the latest term.
func leaderOf(leads []history.Lead) string {
	leads = history.SortedLeads(leads)
	node := ""
	for _, l := range leads {
		if l.Of == leads[0].Of {
			node = l.Node
		}
	}
	return node
}
