package ssh_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"nemesis/nodes"
	"nemesis/nodes/ssh"
)

// server is a real OpenSSH server on loopback, with keys and files of its own.
type server struct {
	dir     string
	port    int
	hostKey gossh.PublicKey
	user    key
	// small is a directory on a disk of 1 MiB; empty where none could be mounted.
	small string
	cmd   *exec.Cmd
}

// ordinary is a user that a server started by root knows beside root.
const ordinary = "somebody"

type key struct {
	path   string
	public gossh.PublicKey
}

// startServer starts sshd as the current user. Lines are added to its configuration.
func startServer(t testing.TB, lines ...string) *server {
	t.Helper()
	return startServerFor(t, nil, lines...)
}

// startServerFor also knows these users, each a line of /etc/passwd, if it is root's.
func startServerFor(t testing.TB, users []string, lines ...string) *server {
	t.Helper()
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		t.Skip("no sshd on this machine: install openssh-server")
	}
	dir := t.TempDir()
	s := &server{dir: dir, port: freePort(t), user: newKey(t, dir, "user")}
	host := newKey(t, dir, "host")
	s.hostKey = host.public
	authorized := dir + "/authorized_keys"
	write(t, authorized, gossh.MarshalAuthorizedKey(s.user.public))
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	args := []string{sshd, "-D", "-e", "-f", dir + "/sshd_config"}
	if os.Getuid() == 0 {
		// As root, sshd wants a directory in /run and knows all users. In a mount
		// namespace it gets a /run, users and a small disk of its own, and the
		// machine does not change.
		attr.Unshareflags = syscall.CLONE_NEWNS
		write(t, dir+"/passwd", []byte("root:x:0:0::/:/bin/sh\nsshd:x:74:74::/:/bin/false\n"+ordinary+":x:54321:54321::/:/bin/sh\n"+strings.Join(append(users, ""), "\n")))
		shadow := "root:*:1::::::\n" + ordinary + ":*:1::::::\n"
		for _, line := range users {
			fields := strings.Split(line, ":")
			hash := fields[1]
			if hash == "x" {
				hash = "*"
			}
			shadow += fields[0] + ":" + hash + ":1::::::\n"
		}
		write(t, dir+"/shadow", []byte(shadow))
		s.small = "/run/small"
		script := `cd "$0" && mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/sshd /run/small &&
			mount -t tmpfs -o size=1m tmpfs /run/small && cp authorized_keys /run/ && chmod 644 passwd /run/authorized_keys &&
			mount --bind passwd /etc/passwd && mount --bind shadow /etc/shadow && exec "$@"`
		args = append([]string{"sh", "-c", script, dir}, args...)
		authorized = "/run/authorized_keys"
	}
	config := append(lines, // the first value of a keyword counts
		"SetEnv SHLVL=2", // keeps bash from reading the user's own start-up file
		fmt.Sprintf("Port %d", s.port), "ListenAddress 127.0.0.1", "HostKey "+host.path, "PidFile none",
		"AuthorizedKeysFile "+authorized, "StrictModes no", "UsePAM no", "PermitRootLogin yes",
		"PasswordAuthentication no", "KbdInteractiveAuthentication no", "UseDNS no")
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Subsystem ") }) {
		config = append(config, "Subsystem sftp internal-sftp")
	}
	write(t, dir+"/sshd_config", []byte(strings.Join(config, "\n")+"\n"))
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.SysProcAttr = attr
	var log bytes.Buffer
	s.cmd.Stderr = &log
	if err := s.cmd.Start(); err != nil {
		t.Skipf("sshd does not start here: %v", err)
	}
	exited := make(chan struct{})
	go func() {
		s.cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-exited
	})
	for deadline := time.Now().Add(30 * time.Second); ; {
		if c, err := net.Dial("tcp", s.address()); err == nil {
			c.Close()
			return s
		}
		select {
		case <-exited:
			t.Skipf("sshd does not start here: %s", nodes.OneLine(log.String()))
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("sshd does not listen")
		}
	}
}

func (s *server) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s *server) host() ssh.Host {
	return ssh.Host{Node: nodes.Node{Name: "n1", Address: netip.MustParseAddr("127.0.0.1")}, Port: s.port}
}

// options are what a user of this server would have set up.
func (s *server) options(t testing.TB) ssh.Options {
	return ssh.Options{
		Config:     "none",
		Keys:       []string{s.user.path},
		KnownHosts: []string{s.knownHosts(t, s.hostKey)},
	}
}

// knownHosts writes a file in which the server has the given keys.
func (s *server) knownHosts(t testing.TB, keys ...gossh.PublicKey) string {
	t.Helper()
	var lines []string
	for _, k := range keys {
		lines = append(lines, knownhosts.Line([]string{s.address()}, k))
	}
	path := filepath.Join(t.TempDir(), "known_hosts")
	write(t, path, []byte(strings.Join(lines, "\n")+"\n"))
	return path
}

func (s *server) dial(t testing.TB, opt ssh.Options) nodes.Conn {
	t.Helper()
	conn, err := ssh.Dial(context.Background(), s.host(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func newKey(t testing.TB, dir, name string) key {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return saveKey(t, filepath.Join(dir, name), public, private)
}

func saveKey(t testing.TB, path string, public, private any) key {
	t.Helper()
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	pub, err := gossh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, pem.EncodeToMemory(block))
	return key{path, pub}
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func me(t testing.TB) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// sever kills the processes that serve the server's connections.
func (s *server) sever(t testing.TB) {
	t.Helper()
	kids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", s.cmd.Process.Pid, s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, kid := range strings.Fields(string(kids)) {
		var pid int
		fmt.Sscan(kid, &pid)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}

func publicLine(k key) []byte { return gossh.MarshalAuthorizedKey(k.public) }
