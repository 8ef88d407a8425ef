package ssh_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"regexp"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"nemesis/nodes/ssh"
)

// configured are options by which n1 is reached as this configuration says.
func (s *server) configured(t *testing.T, lines string) ssh.Options {
	t.Helper()
	return configure(t, fmt.Sprintf("Host n1\n  HostName 127.0.0.1\n  Port %d\n  User %s\n  IdentityFile %s\n%s\n", s.port, me(t), s.user.path, lines))
}

func TestRevokedHostKeysAreRefused(t *testing.T) {
	s := startServer(t)
	dir := t.TempDir()
	known := "  UserKnownHostsFile " + s.knownHosts(t, s.hostKey) + "\n  RevokedHostKeys " + dir + "/%h\n"
	opt := s.configured(t, known)
	path := dir + "/127.0.0.1"
	refused(t, alias("n1"), opt, `^connect to n1: read its RevokedHostKeys: open `+path+`: no such file or directory$`)

	other := newKey(t, t.TempDir(), "other")
	write(t, path, append([]byte("# keys\nno key\n"), publicLine(other)...))
	conn, err := ssh.Dial(t.Context(), alias("n1"), opt)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	write(t, path, append(publicLine(other), gossh.MarshalAuthorizedKey(s.hostKey)...))
	refused(t, alias("n1"), opt, `its host key ssh-ed25519 SHA256:\S+ is revoked by `+path+`; ask whoever runs the host$`)

	write(t, path, []byte("SSHKRL\n\x00\x00\x00\x00\x01"))
	refused(t, alias("n1"), opt, `^connect to n1: its RevokedHostKeys `+path+` is a revocation list of ssh-keygen, which nemesis cannot read; name a file with a public key a line$`)
}

func TestACommandForKnownHostsIsToldAndNotRun(t *testing.T) {
	s := startServer(t)
	ran := t.TempDir() + "/ran"
	command := "  KnownHostsCommand /usr/bin/touch " + ran + "\n"
	// Where the key is known without it, it matters to nobody.
	conn, err := ssh.Dial(t.Context(), alias("n1"), s.configured(t, command+"  UserKnownHostsFile "+s.knownHosts(t, s.hostKey)))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	refused(t, alias("n1"), s.configured(t, command+"  UserKnownHostsFile none\n  GlobalKnownHostsFile none"),
		`is not known; .*; nemesis does not run the KnownHostsCommand of its ssh configuration, /usr/bin/touch `+regexp.QuoteMeta(ran)+`$`)
	if _, err := os.Stat(ran); err == nil {
		t.Error("it was run")
	}
}

func TestTheSecondFileOfKnownHostsCounts(t *testing.T) {
	s := startServer(t)
	home := t.TempDir()
	t.Setenv("HOME", home)
	if err := os.Mkdir(home+"/.ssh", 0o700); err != nil {
		t.Fatal(err)
	}
	opt := s.options(t)
	write(t, home+"/.ssh/known_hosts2", read(t, opt.KnownHosts[0]))
	opt.KnownHosts = nil
	s.dial(t, opt)
}

// The private half of a key may be the agent's alone, as with a token: the public half names it.
func TestAPublicKeyNamesOneOfTheAgent(t *testing.T) {
	s := startServer(t)
	startAgent(t, rawKey(t, newKey(t, t.TempDir(), "another")), rawKey(t, s.user))
	dir := t.TempDir()
	write(t, dir+"/id.pub", publicLine(s.user))
	for _, path := range []string{dir + "/id.pub", dir + "/id"} {
		opt := s.options(t)
		opt.Keys = []string{path}
		s.dial(t, opt)
	}
	stranger := newKey(t, dir, "stranger")
	write(t, dir+"/stranger.pub", publicLine(stranger))
	opt := s.options(t)
	opt.Keys = []string{dir + "/stranger.pub"}
	refused(t, s.host(), opt, `^read key \S+/stranger.pub: it is a public key, and no agent holds its private half$`)
}

// A certificate that the configuration names is used with the agent's key that it is about.
func TestACertificateOfTheAgentsKeyLogsIn(t *testing.T) {
	dir := t.TempDir()
	authority := newKey(t, dir, "authority")
	write(t, dir+"/authority.pub", publicLine(authority))
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "TrustedUserCAKeys "+dir+"/authority.pub")
	signed := newKey(t, dir, "signed") // sshd does not know it
	signer, err := gossh.ParsePrivateKey(read(t, authority.path))
	if err != nil {
		t.Fatal(err)
	}
	cert := &gossh.Certificate{Key: signed.public, CertType: gossh.UserCert, ValidPrincipals: []string{me(t)}, ValidBefore: gossh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/its-cert.pub", gossh.MarshalAuthorizedKey(cert))
	startAgent(t, rawKey(t, signed))
	opt := configure(t, fmt.Sprintf("Host n1\n  HostName 127.0.0.1\n  Port %d\n  User %s\n  IdentityFile none\n  CertificateFile %s/its-cert.pub\n  UserKnownHostsFile %s\n",
		s.port, me(t), dir, s.knownHosts(t, s.hostKey)))
	conn, err := ssh.Dial(t.Context(), alias("n1"), opt)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
