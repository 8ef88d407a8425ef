// Package nodes is about machines: how to reach one, what it is called, what it
// can do.
//
// A Cluster is the machines of one run. It hands out one Conn per node, which
// is an SSH connection whatever the machine is: nodes/local makes machines out
// of Linux namespaces and runs an SSH server in each; nodes/ssh reaches any
// host. On top of a Conn, nodes/agent talks to the nemesis program on the node,
// and everything that changes a node goes through that.
package nodes

import (
	"context"
	"io"
	"net/netip"
)

// Node is one machine of a cluster.
type Node struct {
	// Name is unique in the cluster: n1, or the host as the user wrote it.
	Name string
	// Address is where clients and peers reach it.
	Address netip.Addr
	// Others are further addresses of the node on the same network (IPv6 beside IPv4).
	Others []netip.Addr
}

// Addresses is Address followed by Others.
func (n Node) Addresses() []netip.Addr { return append([]netip.Addr{n.Address}, n.Others...) }

// Conn is a connection to one node. It is safe for concurrent use. Every
// method fails once the connection is lost, and says so.
type Conn interface {
	Node() Node
	// Run executes argv, waits for it, and returns its standard output. Arguments
	// reach the program byte for byte. A non-zero exit is an *ExitError. When the
	// context ends first, the program is killed.
	Run(ctx context.Context, stdin io.Reader, argv ...string) ([]byte, error)
	// Start executes argv with its standard input and output as one stream.
	// Standard error goes to stderr. Closing the stream ends the program's input;
	// Wait tells how it ended. The context bounds the start alone: a stream lives
	// until its program ends, however its starter fares.
	Start(ctx context.Context, stderr io.Writer, argv ...string) (Stream, error)
	// Upload writes a file of the given mode at path, whole or not at all, and
	// verifies it by reading its hash back. Parent directories are made.
	Upload(ctx context.Context, content io.Reader, path string, mode uint32) error
	// Download copies the file at path to w.
	Download(ctx context.Context, path string, w io.Writer) error
	// Sudo reports whether the programs started here need "sudo -n" in front to
	// act as root (the user asked for --sudo and is not root).
	Sudo() bool
	// Lost is closed when the connection is gone.
	Lost() <-chan struct{}
	Close() error
}

// Stream is a running program's standard input and output.
type Stream interface {
	io.Reader
	io.Writer
	// CloseWrite ends the program's standard input.
	CloseWrite() error
	// Wait returns when the program has ended.
	Wait() error
	// Close abandons the program: it is not killed, but its input ends.
	Close() error
}

// ExitError says that a program on a node ended with a non-zero status.
type ExitError struct {
	Node   string
	Argv   []string
	Code   int
	Stderr string // its last kilobyte
}

// Cluster is the machines of one run.
type Cluster interface {
	Nodes() []Node
	// Connect opens the one connection to a node; it fails within the context's deadline.
	Connect(ctx context.Context, name string) (Conn, error)
	// Close takes away whatever the cluster made. Connections must be closed before.
	Close() error
}
