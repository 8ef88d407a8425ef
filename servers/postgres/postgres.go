// Package postgres runs a PostgreSQL server on a node: what has to happen there before,
// around and after the program postgres itself.
//
// PostgreSQL comes as many files, wants its data directory made by initdb, and knows
// nothing of who should be the primary of a cluster. Run does that for one node: it
// unpacks the server or finds the installed one, makes the data directory with the
// clients' tables in it, starts postgres and ends with it. In a cluster it is a member beside
// others, which elect the primary among themselves, copy its data and follow it (election.go has the rules
// and why nothing acknowledged is lost by them). It is started by `nemesis
// server postgres`, as a server's process, so whoever kills that kills everything here.
//
// Nothing half-made is ever used: the program files and the data directory are made under
// another name and renamed when they are whole.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"nemesis/servers/process"
)

// User is the clients' user, who may do anything, and Database where their tables are. Nobody needs a password: the server listens on the nodes' own network only.
const (
	User     = "nemesis"
	Database = "postgres"
)

// Installed is the version that means the server that is installed on the node.
const Installed = "installed"

// Options are one server.
type Options struct {
	// Listen is where clients, and standbys, connect.
	Listen netip.AddrPort
	// Dir is the directory for everything that is kept.
	Dir string
	// Archive is the tarball of an npm package with the server's programs, Unpacked where
	// its content goes. With "" the server that is installed is taken.
	Archive, Unpacked string
	// Settings are more settings of the server: name=value.
	Settings []string
	// Schema is what is run once, after the data directory was made, each line a statement.
	Schema string
	// Replication makes it a member of a cluster; nil is a server alone.
	Replication *Replication
	// Say tells an operator a line.
	Say func(string)
}

// Run serves until ctx ends or the server does. It then returns nil, or how the server
// ended.
func Run(ctx context.Context, o Options) error {
	s, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	if o.Replication != nil {
		return runMember(ctx, s)
	}
	if err := s.create(ctx); err != nil {
		return err
	}
	p, err := s.start()
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		p.Stop(syscall.SIGINT) // fast: clients are cut off, nothing is lost
		return nil
	case <-p.Ended:
		return p.Failure("postgres")
	}
}

// server is the PostgreSQL of this node.
type server struct {
	Options
	bin string // the directory of its programs
}

func prepare(ctx context.Context, o Options) (*server, error) {
	s := &server{Options: o}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the data: %w", err)
	}
	var err error
	if o.Archive != "" {
		s.bin, err = unpack(o.Archive, o.Unpacked)
	} else {
		s.bin, err = find(os.DirFS("/"))
	}
	return s, err
}

// places are where distributions put the programs of PostgreSQL.
var places = []string{"usr/lib/postgresql/*/bin/postgres", "usr/pgsql-*/bin/postgres", "usr/local/pgsql/bin/postgres", "usr/local/bin/postgres", "usr/bin/postgres"}

// find is the directory of the programs that are installed, the newest where there are several.
func find(root fs.FS) (string, error) {
	for _, place := range places {
		found, _ := fs.Glob(root, place) // the patterns are good
		if len(found) > 0 {
			newest := slices.MaxFunc(found, func(a, b string) int { return majorOf(a) - majorOf(b) })
			return "/" + filepath.Dir(newest), nil
		}
	}
	return "", errors.New("find PostgreSQL: none is installed on this node; install the package postgresql there, or give a version such as --version 15.3")
}

// majorOf is the number in the path of a program, 0 for none.
func majorOf(path string) int {
	digits := strings.TrimFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	n, _ := strconv.Atoi(digits)
	return n
}

// current is the directory of the data in use, beside which a member keeps what it is about to use.
func (s *server) current() string { return filepath.Join(s.Dir, "current") }

func (s *server) data() string { return filepath.Join(s.current(), pgDir) }

// pgDir is the name of a data directory.
const pgDir = "pg"

// created reports whether there is a data directory.
func (s *server) created() bool {
	_, err := os.Stat(filepath.Join(s.data(), "PG_VERSION"))
	return err == nil
}

// accessRules let everybody in who can reach the server.
const accessRules = "host all all all trust\nhost replication all all trust\n"

// create makes the data directory with the tables in it, unless it is there.
func (s *server) create(ctx context.Context) error {
	if s.created() {
		return nil
	}
	began := time.Now()
	whole := filepath.Join(s.Dir, "new")
	half := filepath.Join(whole, pgDir)
	if err := errors.Join(os.RemoveAll(whole), os.Mkdir(whole, 0o700)); err != nil {
		return fmt.Errorf("remove a data directory that was not finished: %w", err)
	}
	// The locale C sorts texts by their bytes, on every machine alike.
	if err := s.program(ctx, "", "initdb", "-D", half, "-U", administrator, "-A", "trust", "-E", "UTF8", "--locale=C"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(half, "pg_hba.conf"), []byte(accessRules), 0o600); err != nil {
		return fmt.Errorf("write the access rules: %w", err)
	}
	if err := s.program(ctx, fmt.Sprintf("CREATE ROLE %s SUPERUSER LOGIN;\n%s", User, s.Schema), "postgres", "--single", "-D", half, Database); err != nil {
		return err
	}
	if err := process.Rename(whole, s.current()); err != nil {
		return fmt.Errorf("put the data directory in place: %w", err)
	}
	s.Say(fmt.Sprintf("made the data directory in %v", time.Since(began).Round(time.Millisecond)))
	return nil
}

// complaints begin what PostgreSQL's programs say of failures. In single-user mode a statement that fails does not fail the
// program.
var complaints = []string{"ERROR:", "FATAL:", "PANIC:", "error:", "cannot be run as root", "while loading shared libraries"}

// program runs one of PostgreSQL's programs to its end, with some input.
func (s *server) program(ctx context.Context, input, name string, args ...string) error {
	_, err := process.Run(ctx, filepath.Join(s.bin, name), args, environment(), input, complaints...)
	return err
}

// environment is PostgreSQL's: nothing of ours decides how it behaves.
func environment() []string { return []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"} }

// start starts postgres with its settings, the user's last.
func (s *server) start(settings ...string) (*process.Process, error) {
	if err := s.clearLock(); err != nil {
		return nil, err
	}
	argv := []string{"-D", s.data(), "-h", s.Listen.Addr().String(), "-p", strconv.Itoa(int(s.Listen.Port()))}
	for _, setting := range append(append(s.fixed(), settings...), s.Settings...) {
		argv = append(argv, "-c", setting)
	}
	return process.Start(filepath.Join(s.bin, "postgres"), argv, environment())
}

// fixed are the settings of every server, which the user's own may override.
func (s *server) fixed() []string {
	return []string{
		"unix_socket_directories=", // its path could be too long
		"max_connections=200", "shared_buffers=64MB", "max_wal_size=1GB",
		"logging_collector=off", "log_line_prefix=%m [%p] ",
		// Deadlocks are looked for sooner than operations time out.
		"deadlock_timeout=100ms",
		// What no client waits for any more is not to hold locks for long.
		"tcp_keepalives_idle=5", "tcp_keepalives_interval=2", "tcp_keepalives_count=3",
	}
}

// clearLock removes the lock file of a server that was killed, if its number now belongs to
// another program: the server itself would take that for a rival and not start.
func (s *server) clearLock() error {
	path := filepath.Join(s.data(), "postmaster.pid")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the lock file of an earlier server: %w", err)
	}
	pid, _, _ := strings.Cut(string(text), "\n")
	comm, err := os.ReadFile("/proc/" + filepath.Base(strings.TrimSpace(pid)) + "/comm")
	if err == nil && strings.TrimSpace(string(comm)) == "postgres" {
		return nil
	}
	return os.Remove(path)
}
