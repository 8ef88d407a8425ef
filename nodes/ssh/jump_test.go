package ssh_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"nemesis/nodes"
	"nemesis/nodes/conformance"
	"nemesis/nodes/ssh"
)

// block is a server as a Host block of ~/.ssh/config.
func (s *server) block(t testing.TB, name string, lines ...string) string {
	t.Helper()
	return fmt.Sprintf("Host %s\n  HostName 127.0.0.1\n  Port %d\n  User %s\n  IdentityFile %s\n  UserKnownHostsFile %s\n  %s\n",
		name, s.port, me(t), s.user.path, s.knownHosts(t, s.hostKey), strings.Join(lines, "\n  "))
}

func configure(t testing.TB, blocks ...string) ssh.Options {
	t.Helper()
	path := t.TempDir() + "/config"
	write(t, path, []byte(strings.Join(blocks, "")))
	return ssh.Options{Config: path}
}

func alias(name string) ssh.Host {
	return ssh.Host{Node: nodes.Node{Name: name}, HostName: name, Alias: true}
}

func TestConformanceThroughTwoJumpHosts(t *testing.T) {
	first, second, db := startServer(t), startServer(t), startServer(t)
	opt := configure(t, first.block(t, "first"), second.block(t, "second"), db.block(t, "db", "ProxyJump first,second"))
	conformance.Run(t, func(t *testing.T) nodes.Conn {
		conn, err := ssh.Dial(context.Background(), alias("db"), opt)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	})
}

func TestAJumpHostMayHaveAJumpHost(t *testing.T) {
	first, second, db := startServer(t), startServer(t), startServer(t)
	opt := configure(t, first.block(t, "first"), second.block(t, "second", "ProxyJump first"), db.block(t, "db", "ProxyJump second"))
	conn, err := ssh.Dial(context.Background(), alias("db"), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	out, err := conn.Run(context.Background(), nil, "sh", "-c", "echo $SSH_CONNECTION")
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), fmt.Sprintf("127.0.0.1 %d", db.port)) {
		t.Errorf("arrived at %s, %v", out, err)
	}
}

func TestAJumpByFlagNeedsNoConfiguration(t *testing.T) {
	gate, db := startServer(t), startServer(t)
	known := t.TempDir() + "/known"
	write(t, known, []byte(knownhosts.Line([]string{gate.address()}, gate.hostKey)+"\n"+knownhosts.Line([]string{db.address()}, db.hostKey)+"\n"))
	opt := ssh.Options{Config: "none", Keys: []string{gate.user.path, db.user.path}, KnownHosts: []string{known},
		Jump: fmt.Sprintf("ssh://%s@%s", me(t), gate.address())}
	conn, err := ssh.Dial(context.Background(), db.host(), opt)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestErrorNamesTheJumpHostThatFailed(t *testing.T) {
	gate, deaf, db := startServer(t), startServer(t, "AllowTcpForwarding no"), startServer(t)
	stranger := newKey(t, t.TempDir(), "stranger")
	closed := freePort(t)
	unknown := fmt.Sprintf("Host unknown\n  HostName 127.0.0.1\n  Port %d\n  UserKnownHostsFile /dev/null\n  User %s\n  IdentityFile %s\n", gate.port, me(t), gate.user.path)
	locked := strings.Replace(gate.block(t, "locked"), gate.user.path, stranger.path, 1)
	opt := configure(t, gate.block(t, "gate"), deaf.block(t, "deaf"), unknown, locked, db.block(t, "db"),
		fmt.Sprintf("Host nobody\n  HostName 127.0.0.1\n  Port %d\n  UserKnownHostsFile %s\n", closed, db.knownHosts(t, db.hostKey)),
		"Host round\n  ProxyJump about\nHost about\n  ProxyJump round\n")
	at := `\(\S+@127\.0\.0\.1:\d+\)`
	for name, c := range map[string]struct{ host, jump, says string }{
		"nothing listens behind it":     {"nobody", "gate", `^connect to nobody ` + at + ` through gate: gate cannot connect there: .*refused`},
		"it forwards nothing":           {"db", "deaf", `^connect to db ` + at + ` through deaf: deaf forwards no connections; allow AllowTcpForwarding in its sshd_config, or name another jump host$`},
		"its own key is unknown":        {"db", "unknown", `^connect to unknown ` + at + ` on the way to db: its host key ssh-ed25519 \S+ is not known;`},
		"it refuses the login":          {"db", "gate,locked", `^connect to locked ` + at + ` on the way to db through gate: login refused to \S+ with \S+/stranger `},
		"nothing listens on the way":    {"db", "nobody", `^connect to nobody ` + at + ` on the way to db: connection refused;`},
		"the way is a circle":           {"db", "round", `^connect to \w+: the way leads through more than 8 hosts; does a ProxyJump lead in a circle\?$`},
		"the way is no list of hosts":   {"db", "gate,,", `^connect to db: read its ProxyJump gate,,: a host is missing beside a comma$`},
		"the way is a file":             {"db", "@gates", `^connect to db: read its ProxyJump @gates: "@gates": a file of hosts cannot name another$`},
		"the host behind it is unknown": {"unknown", "gate", `^connect to unknown ` + at + ` through gate: its host key ssh-ed25519 \S+ is not known;`},
	} {
		t.Run(name, func(t *testing.T) {
			host := alias(c.host)
			host.Jump = c.jump
			refused(t, host, opt, c.says)
		})
	}
}

func TestALostJumpHostLosesTheConnection(t *testing.T) {
	gate, db := startServer(t), startServer(t)
	opt := configure(t, gate.block(t, "gate"), db.block(t, "db", "ProxyJump gate"))
	opt.KeepAlive, opt.Patience = 50*time.Millisecond, 500*time.Millisecond
	conn, err := ssh.Dial(context.Background(), alias("db"), opt)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Sever what lies between, as a dying jump host does.
	out, err := conn.Run(context.Background(), nil, "sh", "-c", "echo $PPID")
	if err != nil || len(out) == 0 {
		t.Fatal(err)
	}
	gate.sever(t)
	<-conn.Lost()
	if _, err := conn.Run(context.Background(), nil, "true"); err == nil || !strings.Contains(err.Error(), "the connection is lost") {
		t.Errorf("a program over a lost connection: %v", err)
	}
}

func TestAUserCertificateLogsIn(t *testing.T) {
	dir := t.TempDir()
	authority := newKey(t, dir, "authority")
	write(t, dir+"/authority.pub", gossh.MarshalAuthorizedKey(authority.public))
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "TrustedUserCAKeys "+dir+"/authority.pub")
	opt := s.options(t)
	signed := newKey(t, dir, "signed") // sshd does not know it
	opt.Keys = []string{signed.path}
	refused(t, s.host(), opt, `login refused`)

	signer, err := gossh.ParsePrivateKey(read(t, authority.path))
	if err != nil {
		t.Fatal(err)
	}
	cert := &gossh.Certificate{Key: signed.public, CertType: gossh.UserCert, ValidPrincipals: []string{me(t)}, ValidBefore: gossh.CertTimeInfinity,
		Permissions: gossh.Permissions{Extensions: map[string]string{"permit-pty": ""}}}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	write(t, signed.path+"-cert.pub", gossh.MarshalAuthorizedKey(cert))
	s.dial(t, opt)
}

func TestANewHostKeyIsRememberedWhereTheUserSaysSo(t *testing.T) {
	s := startServer(t)
	known := t.TempDir() + "/with space"
	opt := configure(t, fmt.Sprintf("Host n1\n  HostName 127.0.0.1\n  Port %d\n  User %s\n  IdentityFile %s\n  UserKnownHostsFile \"%s\"\n  StrictHostKeyChecking accept-new\n",
		s.port, me(t), s.user.path, known))
	for range 2 { // the second time it is known
		conn, err := ssh.Dial(context.Background(), alias("n1"), opt)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if lines := strings.Count(string(read(t, known)), "\n"); lines != 1 {
		t.Errorf("%d host keys are remembered", lines)
	}
	other := newKey(t, t.TempDir(), "other")
	write(t, known, []byte(knownhosts.Line([]string{s.address()}, other.public)+"\n"))
	refused(t, alias("n1"), opt, `its host key has changed to ssh-ed25519 .*`+regexp.QuoteMeta("with space")+`:1 has`)
}
