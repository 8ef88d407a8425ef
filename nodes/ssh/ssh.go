// Package ssh reaches nodes that have an SSH server: VMs, hosts, and the local
// nodes that only look like machines.
//
// A list of hosts, as a user types it, becomes a cluster; the cluster dials a
// connection per node; and everything of a run passes through that one
// connection, each program on a channel of its own:
//
//	--nodes ─▶ Parse ─▶ []Host ─▶ NewCluster ─▶ Dial ─▶ nodes.Conn ─┬─ Run, Start
//	                                 ▲                              └─ Upload, Download
//	                ~/.ssh/config ───┘
//
// What a user has set up for the ssh command holds here as well: the keys, the
// agent, the configuration file and the known hosts. Host keys are always
// checked, because a tester that runs programs as root on whatever answers is
// not one to trust.
//
// No connection is tried twice. A server that refuses one says something about
// the node, and a tester that hides it reports a broken node as a slow one.
//
//	hosts, err := ssh.Parse("admin@db1,db2:2222")
//	cluster, err := ssh.NewCluster(ctx, hosts, ssh.Options{})
//	conn, err := cluster.Connect(ctx, "db1")
//	out, err := conn.Run(ctx, nil, "uname", "-r")
package ssh

import (
	"context"
	"net"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"nemesis/nodes"
)

// Host is one node and the way to its SSH server. The zero value of every
// field but the first means: what ~/.ssh/config or the default says.
type Host struct {
	// Node is what the cluster calls it. Dial takes Node.Address when it is valid,
	// and otherwise looks HostName up and fills it in.
	Node nodes.Node
	// HostName is the name or address the user wrote, or the alias of a Host
	// block; empty means Node.Address. Known host keys are looked up under it.
	HostName string
	Port     int
	User     string
	// Keys and Jump are Options' for this host alone, and come before them.
	Keys []string
	Jump string
	// Alias says that HostName must be named in ~/.ssh/config ("ssh-config:NAME").
	Alias bool
	// Forwarded says that HostName is where its SSH server is reached and not an
	// address of the node, as with a forwarded port. NewCluster asks the node for its own.
	Forwarded bool
}

// Options are how to reach hosts. The zero value does what the ssh command
// does without flags.
type Options struct {
	// User and Port hold for hosts that name none; they come before ~/.ssh/config.
	User string
	Port int
	// Keys are private key files. When there are any, no other key is tried;
	// an encrypted one is used through the agent that holds it.
	Keys []string
	// Jump is the way to hosts that cannot be logged in to directly, as ProxyJump says
	// it: [user@]host[:port], several separated by commas in the order in which they
	// are passed. Empty means what ~/.ssh/config says, "none" that there is none.
	Jump string
	// KnownHosts are the files with the accepted host keys, instead of
	// ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts.
	KnownHosts []string
	// InsecureHostKeys accepts any host key. It gives up knowing who answers:
	// whoever does is sent the agent and every command of the run.
	InsecureHostKeys bool
	// Config is the configuration file to read instead of ~/.ssh/config and
	// /etc/ssh/ssh_config; "none" reads no file.
	Config string
	// ConfigText is a configuration itself, read instead of any file, and ConfigName
	// what messages call it.
	ConfigText, ConfigName string
	// Sudo says that programs act as root through "sudo -n". It is only recorded
	// here; nodes/agent puts it in front.
	Sudo bool

	// Password answers nodes, and no jump hosts, that ask for one, behind the keys; nil
	// answers nobody.
	Password Password

	// Timeout bounds Dial, from the first packet to the accepted key, within the
	// context's deadline. Zero means 10 s.
	Timeout time.Duration
	// KeepAlive is how often the server is asked for a sign of life, and
	// Patience how long it may take to answer; a dead peer is noticed within
	// their sum. Zero means 3 s and 12 s: a machine under test is often slow.
	KeepAlive, Patience time.Duration

	// Signers and HostKey replace key files, agent and known hosts for a server
	// that we made ourselves.
	Signers []gossh.Signer
	HostKey gossh.PublicKey
	// Dial opens the TCP connection; nil means net.Dialer. A local cluster dials
	// from within its own network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	defaultPort      = 22
	defaultTimeout   = 10 * time.Second
	defaultKeepAlive = 3 * time.Second
	defaultPatience  = 12 * time.Second
)

func or(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// UsageError says that what the user wrote cannot be meant: a bad address, a
// key file that is not there. The command line ends with exit code 64.
type UsageError struct{ Problem string }

func (e *UsageError) Error() string { return e.Problem }
