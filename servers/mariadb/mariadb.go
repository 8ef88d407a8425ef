// Package mariadb runs a MariaDB server on a node, alone or as a member of a Galera
// cluster: what has to happen there before the program mariadbd itself.
//
// MariaDB wants its data directory made by another program, and a cluster wants one member that
// begins it while all others join that one and take its data over. Run does that for one node: the server
// that is installed there is found, the data directory is made with the clients' tables in it,
// mariadbd is started, and Run ends with it. It is started by `nemesis server mariadb`, as a
// server's process, so whoever kills that kills everything here.
//
// A member that was killed asks its own data how far it had come before it joins again. If all
// were killed, they find their last common view by themselves once all are back.
package mariadb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"nemesis/servers/process"
)

// User is the clients' user, Database where their tables are. Nobody needs a password: the
// server listens on the nodes' own network only.
const (
	User     = "nemesis"
	Database = "nemesis"
)

// Ports of the members of a cluster among themselves: for their group, and for the data that a
// joiner takes over, in part or whole.
const (
	GroupPort = 4567
	istPort   = 4568
	sstPort   = 4444
)

// Options are one server.
type Options struct {
	// Listen is where clients connect.
	Listen netip.AddrPort
	// Dir is the directory for everything that is kept: data in Dir/db.
	Dir string
	// Members are the addresses of all members of the cluster, the one that begins it first;
	// none for a server that is alone.
	Members []netip.Addr
	// Settings are more settings of the server: name=value.
	Settings []string
	// Schema is what is run once, after the data directory was made, each line a statement.
	Schema string
	// Say tells an operator a line.
	Say func(string)
}

// Run serves until ctx ends or the server does. It then returns nil, or how the server
// ended.
func Run(ctx context.Context, o Options) error {
	s := &server{Options: o}
	if err := s.find(); err != nil {
		return err
	}
	fresh := !s.created()
	if fresh {
		if err := s.create(ctx); err != nil {
			return err
		}
	}
	join, err := s.join(ctx, fresh)
	if err != nil {
		return err
	}
	p, err := process.Start(s.daemon, s.arguments(join...), environment())
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		p.Stop(syscall.SIGTERM)
		return nil
	case <-p.Ended:
		return p.Failure("mariadbd")
	}
}

// server is the MariaDB of this node.
type server struct {
	Options
	daemon, provider string // its program, and Galera's library
}

// find finds what is installed.
func (s *server) find() error {
	for _, path := range []string{"/usr/sbin/mariadbd", "/usr/libexec/mariadbd", "/usr/local/sbin/mariadbd"} {
		if _, err := os.Stat(path); err == nil {
			s.daemon = path
			break
		}
	}
	if s.daemon == "" {
		return errors.New("find MariaDB: it is not installed on this node; install the package mariadb-server there")
	}
	if len(s.Members) == 0 {
		return nil
	}
	for _, path := range []string{"/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so", "/usr/lib64/galera/libgalera_smm.so"} {
		if _, err := os.Stat(path); err == nil {
			s.provider = path
			break
		}
	}
	if s.provider == "" {
		return errors.New("find Galera: it is not installed on this node; install the package galera-4 there")
	}
	if _, err := os.Stat("/usr/bin/rsync"); err != nil {
		return errors.New("find rsync, by which members take data over: it is not installed on this node; install the package rsync there")
	}
	return nil
}

func (s *server) data() string { return filepath.Join(s.Dir, "db") }

func (s *server) created() bool {
	_, err := os.Stat(s.data())
	return err == nil
}

// grants are what lets the clients in. While tables are being made no rights are checked
// and none can be given, until the server is told to.
func grants() string {
	return fmt.Sprintf("CREATE DATABASE %[2]s;\nFLUSH PRIVILEGES;\nCREATE USER '%[1]s'@'%%';\nGRANT ALL ON *.* TO '%[1]s'@'%%';\nUSE %[2]s;\n", User, Database)
}

// create makes the data directory with the tables in it, whole or not at all.
func (s *server) create(ctx context.Context) error {
	began := time.Now()
	half := s.data() + ".new"
	if err := os.RemoveAll(half); err != nil {
		return fmt.Errorf("remove a data directory that was not finished: %w", err)
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the data: %w", err)
	}
	_, err := process.Run(ctx, "/usr/bin/mariadb-install-db", []string{"--no-defaults", "--datadir=" + half, "--skip-test-db", "--skip-name-resolve",
		"--auth-root-authentication-method=normal", "--innodb-log-file-size=32M"}, environment(), "", "[ERROR]", "FATAL ERROR")
	if err != nil {
		return err
	}
	_, err = process.Run(ctx, s.daemon, []string{"--no-defaults", "--datadir=" + half, "--bootstrap", "--innodb-log-file-size=32M"}, environment(),
		grants()+s.Schema, "[ERROR]", "ERROR:")
	if err != nil {
		return err
	}
	if err := process.Rename(half, s.data()); err != nil {
		return fmt.Errorf("put the data directory in place: %w", err)
	}
	s.Say(fmt.Sprintf("made the data directory in %v", time.Since(began).Round(time.Millisecond)))
	return nil
}

// environment is MariaDB's: its scripts look programs up in it.
func environment() []string {
	return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=/nonexistent"}
}

// arguments are those of mariadbd, the user's settings last.
func (s *server) arguments(more ...string) []string {
	args := []string{
		"--no-defaults", "--datadir=" + s.data(), "--bind-address=" + s.Listen.Addr().String(), "--port=" + strconv.Itoa(int(s.Listen.Port())),
		// Relative to the data directory: a longer path might not be a socket's.
		"--socket=server.sock", "--pid-file=server.pid",
		"--skip-name-resolve", "--skip-log-bin", "--max-connections=200", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M",
		"--innodb-flush-log-at-trx-commit=1",
		// What waits for a lock gives up before the operation's time is over.
		"--innodb-lock-wait-timeout=2",
	}
	if len(s.Members) > 0 {
		args = append(args, s.cluster()...)
	}
	for _, setting := range s.Settings {
		args = append(args, "--"+setting)
	}
	return append(args, more...)
}

// cluster are the settings of a member.
func (s *server) cluster() []string {
	own := s.Listen.Addr()
	at := func(port uint16) string { return netip.AddrPortFrom(own, port).String() }
	var all []string
	for _, m := range s.Members {
		all = append(all, netip.AddrPortFrom(m, GroupPort).String())
	}
	return []string{
		"--wsrep-on=ON", "--wsrep-provider=" + s.provider, "--wsrep-cluster-name=nemesis",
		"--wsrep-cluster-address=gcomm://" + strings.Join(all, ","),
		"--wsrep-node-address=" + own.String(), "--wsrep-node-incoming-address=" + s.Listen.String(),
		"--wsrep-sst-method=rsync", "--wsrep-sst-receive-address=" + at(sstPort),
		"--wsrep-provider-options=gmcast.listen_addr=tcp://" + at(GroupPort) + ";ist.recv_addr=" + at(istPort),
		"--binlog-format=ROW", "--default-storage-engine=InnoDB", "--innodb-autoinc-lock-mode=2",
	}
}

// join are the arguments by which a member comes to its cluster: it begins it, or joins it
// from where its own data ends.
func (s *server) join(ctx context.Context, fresh bool) ([]string, error) {
	if len(s.Members) == 0 {
		return nil, nil
	}
	if s.mayBegin(fresh) {
		return []string{"--wsrep-new-cluster"}, nil
	}
	if fresh {
		// A joiner that finds nobody gives up, and the one that begins may take its time.
		return nil, s.awaitFirst(ctx)
	}
	out, err := process.Run(ctx, s.daemon, s.arguments("--wsrep-recover", "--bind-address=127.0.0.1"), environment(), "")
	if err != nil {
		return nil, fmt.Errorf("ask the data where it ends: %w", err)
	}
	position := positionIn(out)
	if position == "" {
		return nil, nil // it takes all data over
	}
	return []string{"--wsrep-start-position=" + position}, nil
}

// mayBegin reports whether this member is the one to begin: the first member at its first
// start, and whoever was the last to stop in order.
func (s *server) mayBegin(fresh bool) bool {
	if fresh {
		return s.Listen.Addr() == s.Members[0]
	}
	text, err := os.ReadFile(filepath.Join(s.data(), "grastate.dat"))
	return err == nil && safeToBegin.Match(text)
}

var safeToBegin = regexp.MustCompile(`(?m)^safe_to_bootstrap:\s*1\s*$`)

// awaitFirst waits until the first member serves clients.
func (s *server) awaitFirst(ctx context.Context) error {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(s.Members[0], s.Listen.Port()).String())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the member that begins the cluster: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

var recovered = regexp.MustCompile(`WSREP: Recovered position:? *([0-9a-f-]{36}:-?[0-9]+)`)

// positionIn is where a member's data ends, as it told; "" where it does not know.
func positionIn(out string) string {
	m := recovered.FindStringSubmatch(out)
	if m == nil || strings.HasPrefix(m[1], "00000000-") {
		return ""
	}
	return m[1]
}
