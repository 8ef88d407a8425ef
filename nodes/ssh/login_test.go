package ssh_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"regexp"
	"testing"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"nemesis/nodes/ssh"
)

// An agent holds keys, one process away.
func startAgent(t *testing.T, keys ...any) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", dir+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				agent.ServeAgent(ring, c)
			}()
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", dir+"/socket")
}

func rawKey(t *testing.T, k key) any {
	t.Helper()
	raw, err := gossh.ParseRawPrivateKey(read(t, k.path))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func encrypt(t *testing.T, k key) {
	t.Helper()
	block, err := gossh.MarshalPrivateKeyWithPassphrase(rawKey(t, k), "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, k.path, pem.EncodeToMemory(block))
}

func TestAnEncryptedKeyIsUsedThroughTheAgent(t *testing.T) {
	s := startServer(t)
	opt := s.options(t)
	raw := rawKey(t, s.user)
	encrypt(t, s.user)

	t.Setenv("SSH_AUTH_SOCK", "")
	refused(t, s.host(), opt, `^read key \S+/user: it is encrypted and no agent holds it; unlock it with ssh-add \S+/user$`)

	startAgent(t, rawKey(t, newKey(t, t.TempDir(), "other")))
	refused(t, s.host(), opt, `^read key \S+/user: it is encrypted and no agent holds it`)

	startAgent(t, raw)
	s.dial(t, opt)
}

func TestAServerThatWantsMoreThanAKeyIsNotSaidToRefuseIt(t *testing.T) {
	for method, lines := range map[string][]string{
		"keyboard-interactive": {"UsePAM yes", "KbdInteractiveAuthentication yes", "AuthenticationMethods publickey,keyboard-interactive"},
		"password":             {"PasswordAuthentication yes", "AuthenticationMethods publickey,password"},
	} {
		t.Run(method, func(t *testing.T) {
			s := startServer(t, lines...)
			opt := s.options(t)
			refused(t, s.host(), opt, `: the server accepted \S+/user SHA256:\S+ and asks for `+method+` as well, which nemesis cannot answer; let a key be enough for `+me(t)+` there \(AuthenticationMethods publickey, in a Match block of its sshd_config\)$`)

			opt.Keys = []string{newKey(t, t.TempDir(), "wrong").path}
			refused(t, s.host(), opt, `: login refused to `+me(t)+` with \S*/wrong SHA256:\S+; name the right key`)
		})
	}
	s := startServer(t, "PasswordAuthentication yes", "AuthenticationMethods password")
	refused(t, s.host(), s.options(t), `: login refused: the server takes no public keys; allow PubkeyAuthentication in its sshd_config$`)
}

func TestTheAgentAndTheDefaultKeysAreTriedUnasked(t *testing.T) {
	s := startServer(t)
	opt := s.options(t)
	opt.Keys = nil
	home := t.TempDir()
	t.Setenv("HOME", home)

	startAgent(t, rawKey(t, s.user))
	s.dial(t, opt)

	t.Setenv("SSH_AUTH_SOCK", "")
	if err := os.Mkdir(home+"/.ssh", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, home+"/.ssh/id_ed25519", read(t, s.user.path))
	s.dial(t, opt)

	// An encrypted key that nobody asked for is passed over, but not in silence.
	encrypt(t, key{path: home + "/.ssh/id_ed25519"})
	refused(t, s.host(), opt, `there is no key to try; not tried: \S+/id_ed25519 \(it is encrypted and no agent holds it; unlock it with ssh-add \S+\); name one with --ssh-key$`)
}

func TestANamedKeyComesBeforeAllThatTheAgentHolds(t *testing.T) {
	// sshd hangs up after a few wrong keys, so that the right one must not be last.
	s := startServer(t, "MaxAuthTries 2")
	opt := s.options(t)
	var many []any
	for i := range 5 {
		many = append(many, rawKey(t, newKey(t, t.TempDir(), fmt.Sprint(i))))
	}
	startAgent(t, many...)
	s.dial(t, opt)

	opt.Keys = nil
	t.Setenv("HOME", t.TempDir())
	refused(t, s.host(), opt, `login refused to \S+ with the agent's key SHA256:\S+, the agent's key .*; name the right key`)
}

func TestAnAliasBringsAllThatItsBlockSays(t *testing.T) {
	s := startServer(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	if err := os.Mkdir(home+"/.ssh", 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, home+"/.ssh/config", fmt.Appendf(nil, "Host one\n  HostName 127.0.0.1\n  Port %d\n  User %s\n  IdentityFile %s\n  UserKnownHostsFile %s\n",
		s.port, me(t), s.user.path, s.knownHosts(t, s.hostKey)))
	hosts, err := ssh.Parse("ssh-config:one", ssh.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := ssh.NewCluster(context.Background(), hosts, ssh.Options{Sudo: true})
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	conn, err := cluster.Connect(context.Background(), "one")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if n := conn.Node(); n.Name != "one" || n.Address.String() != "127.0.0.1" {
		t.Errorf("the node is %v", n)
	}
	if conn.Sudo() != (me(t) != "root") {
		t.Errorf("sudo for %s: %v", me(t), conn.Sudo())
	}

	hosts, _ = ssh.Parse("ssh-config:two", ssh.Options{})
	if _, err := ssh.NewCluster(context.Background(), hosts, ssh.Options{}); err == nil || !regexp.MustCompile(`^find ssh-config:two: no Host block names it in \S+/config`).MatchString(err.Error()) {
		t.Errorf("an alias that is not there: %v", err)
	}
}
