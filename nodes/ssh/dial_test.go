package ssh_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"nemesis/nodes"
	"nemesis/nodes/ssh"
)

// refused dials what must not be reached, and checks the one line that says why.
func refused(t *testing.T, host ssh.Host, opt ssh.Options, pattern string) error {
	t.Helper()
	conn, err := ssh.Dial(context.Background(), host, opt)
	if err == nil {
		conn.Close()
		t.Fatal("connected")
	}
	if s := err.Error(); strings.Contains(s, "\n") || !regexp.MustCompile(pattern).MatchString(s) {
		t.Errorf("got:  %s\nwant: %s", s, pattern)
	}
	return err
}

func TestTheWrongKeyIsRefused(t *testing.T) {
	s := startServer(t)
	opt := s.options(t)
	wrong := newKey(t, t.TempDir(), "wrong")
	opt.Keys = []string{wrong.path}
	refused(t, s.host(), opt, `^connect to n1 \(`+me(t)+`@127\.0\.0\.1:\d+\): login refused to `+me(t)+` with \S*/wrong `+
		regexp.QuoteMeta(gossh.FingerprintSHA256(wrong.public))+`; name the right key with --ssh-key or the right user with --ssh-user$`)

	opt.Keys = append(opt.Keys, s.user.path)
	s.dial(t, opt)
}

func TestAServerWithoutPublicKeysSaysSo(t *testing.T) {
	s := startServer(t, "PubkeyAuthentication no", "PasswordAuthentication yes")
	refused(t, s.host(), s.options(t), `login refused: the server takes no public keys; allow PubkeyAuthentication`)
}

func TestWithoutAnyKeyTheUserIsToldToNameOne(t *testing.T) {
	s := startServer(t)
	opt := s.options(t)
	opt.Keys = nil
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	refused(t, s.host(), opt, `login refused: there is no key to try; name one with --ssh-key$`)

	t.Setenv("SSH_AUTH_SOCK", "/nonexistent/agent")
	refused(t, s.host(), opt, `there is no key to try; not tried: the agent's keys \(it does not answer\); name one`)
}

func TestAnUnknownHostIsRefusedWithTheWayToKnowIt(t *testing.T) {
	s := startServer(t)
	opt := s.options(t)
	file := t.TempDir() + "/known_hosts"
	write(t, file, nil)
	opt.KnownHosts = []string{file}
	err := refused(t, s.host(), opt, fmt.Sprintf(`its host key ssh-ed25519 %s is not known; compare the fingerprint, then add it with: ssh-keyscan -p %d 127\.0\.0\.1 >> %s$`,
		regexp.QuoteMeta(gossh.FingerprintSHA256(s.hostKey)), s.port, file))
	var unknown *knownhosts.KeyError
	if !errors.As(err, &unknown) {
		t.Errorf("the cause is lost: %v", err)
	}

	// The advice must work as it stands.
	if _, err := exec.LookPath("ssh-keyscan"); err != nil {
		t.Skip("no ssh-keyscan on this machine")
	}
	_, advice, _ := strings.Cut(err.Error(), "add it with: ")
	if out, err := exec.Command("sh", "-c", advice).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", advice, err, out)
	}
	s.dial(t, opt)
}

func TestAChangedHostKeyIsRefusedWithTheLineThatKnewIt(t *testing.T) {
	s := startServer(t)
	opt := s.options(t)
	old := newKey(t, t.TempDir(), "old")
	file := s.knownHosts(t, old.public)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, append([]byte("# a comment first\n\n"), before...))
	opt.KnownHosts = []string{file}
	refused(t, s.host(), opt, fmt.Sprintf(`its host key has changed to ssh-ed25519 %s, but %s:3 has %s; either the host was reinstalled, and that line must go, or somebody else answers$`,
		regexp.QuoteMeta(gossh.FingerprintSHA256(s.hostKey)), file, regexp.QuoteMeta(gossh.FingerprintSHA256(old.public))))

	opt.InsecureHostKeys = true
	s.dial(t, opt)
}

func TestARevokedHostKeyIsRefused(t *testing.T) {
	s := startServer(t)
	opt := s.options(t)
	file := t.TempDir() + "/known_hosts"
	write(t, file, []byte("@revoked * "+string(gossh.MarshalAuthorizedKey(s.hostKey))))
	opt.KnownHosts = []string{file}
	refused(t, s.host(), opt, `its host key ssh-ed25519 \S+ is revoked by \S+:1;`)
}

// A server has several host keys. Which one it shows is the client's choice, and
// must be one that is known.
func TestAHostIsKnownByAnyOfItsKeys(t *testing.T) {
	dir := t.TempDir()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	second := saveKey(t, dir+"/second", &private.PublicKey, private)
	s := startServer(t, "HostKey "+second.path)
	opt := s.options(t)

	hashed := t.TempDir() + "/known_hosts"
	write(t, hashed, []byte(knownhosts.HashHostname(knownhosts.Normalize(s.address()))+" "+string(gossh.MarshalAuthorizedKey(second.public))))
	for name, file := range map[string]string{
		"by the first":          s.knownHosts(t, s.hostKey),
		"by the second":         s.knownHosts(t, second.public),
		"by a hashed line":      hashed,
		"by a kind it has not":  "",
		"by both, the old last": s.knownHosts(t, second.public, newKey(t, dir, "old").public),
	} {
		t.Run(name, func(t *testing.T) {
			if file == "" {
				private, err := rsa.GenerateKey(rand.Reader, 2048)
				if err != nil {
					t.Fatal(err)
				}
				file = s.knownHosts(t, saveKey(t, dir+"/rsa", &private.PublicKey, private).public)
				opt.KnownHosts = []string{file}
				refused(t, s.host(), opt, `its host key is \S+ \S+, and it no longer has the ssh-rsa key \S+ of \S+:1; either`)
				return
			}
			opt.KnownHosts = []string{file}
			s.dial(t, opt)
		})
	}
}

func TestAHostCertificateIsCheckedAgainstItsAuthority(t *testing.T) {
	dir := t.TempDir()
	authority := newKey(t, dir, "authority")
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	host := saveKey(t, dir+"/hostkey", &private.PublicKey, private)
	signer, err := gossh.ParsePrivateKey(read(t, authority.path))
	if err != nil {
		t.Fatal(err)
	}
	cert := &gossh.Certificate{Key: host.public, CertType: gossh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: gossh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		t.Fatal(err)
	}
	write(t, host.path+"-cert.pub", gossh.MarshalAuthorizedKey(cert))
	s := startServer(t, "HostKey "+host.path, "HostCertificate "+host.path+"-cert.pub")
	opt := s.options(t)

	file := t.TempDir() + "/known_hosts"
	write(t, file, []byte("@cert-authority "+knownhosts.Normalize(s.address())+" "+string(gossh.MarshalAuthorizedKey(authority.public))))
	opt.KnownHosts = []string{file}
	s.dial(t, opt)

	opt.KnownHosts = []string{s.knownHosts(t, host.public)} // known by its plain key alone
	s.dial(t, opt)

	opt.KnownHosts = []string{s.knownHosts(t, newKey(t, dir, "other").public)}
	refused(t, s.host(), opt, `its host key has changed`)

	authority = newKey(t, dir, "other authority")
	write(t, file, []byte("@cert-authority "+knownhosts.Normalize(s.address())+" "+string(gossh.MarshalAuthorizedKey(authority.public))))
	opt.KnownHosts = []string{file}
	refused(t, s.host(), opt, `its host key \S+ SHA256:\S+ has no certificate of the authority SHA256:\S+ in \S+:1; either`)

	empty := t.TempDir() + "/known_hosts"
	write(t, empty, nil)
	opt.KnownHosts = []string{empty}
	refused(t, s.host(), opt, `its host key \S+ SHA256:\S+ is not known`)
}

func TestAnAddressThatDoesNotServeSSHSaysHow(t *testing.T) {
	listen := func(t *testing.T, serve func(net.Conn)) int {
		l, err := net.Listen("tcp", "127.0.0.1:0")
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
				t.Cleanup(func() { c.Close() })
				go serve(c)
			}
		}()
		return l.Addr().(*net.TCPAddr).Port
	}
	failing := func(err error) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", err)}
		}
	}
	for name, c := range map[string]struct {
		port int
		dial func(context.Context, string, string) (net.Conn, error)
		says string
	}{
		"nothing listens": {port: freePort(t), says: `: connection refused; check the port, and that sshd runs there$`},
		"it accepts and never answers": {port: listen(t, func(net.Conn) {}),
			says: `: something accepts connections, but did not greet as an SSH server within 300ms; check the port`},
		"it hangs up at once": {port: listen(t, func(c net.Conn) { c.Close() }), says: `: the server hung up during the handshake;`},
		"it speaks something else": {port: listen(t, func(c net.Conn) { fmt.Fprintf(c, "HTTP/1.1 400 \x1b[31mBad\n%s", strings.Repeat("x", 100_000)) }),
			says: `: whatever answers there does not speak SSH as we do: [^\x1b]+$`},
		"its greeting is cut":  {port: listen(t, func(c net.Conn) { c.Write([]byte("SSH-2.0-x\r\n")); c.Close() }), says: `: the server hung up during the handshake;`},
		"no route leads there": {port: 22, dial: failing(syscall.EHOSTUNREACH), says: `: no route leads there; check the address, and that the node is up$`},
		"packets vanish": {port: 22, says: `: no answer within 300ms; check the address, firewalls, and that the node is up$`,
			dial: func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }},
	} {
		t.Run(name, func(t *testing.T) {
			host := ssh.Host{Node: nodes.Node{Name: "n1"}, HostName: "127.0.0.1", Port: c.port, User: "root"}
			key := newKey(t, t.TempDir(), "key")
			opt := ssh.Options{Config: "none", Keys: []string{key.path}, Dial: c.dial}
			if strings.Contains(c.says, "300ms") {
				opt.Timeout = 300 * time.Millisecond
			} else {
				opt.Timeout = time.Minute
			}
			refused(t, host, opt, `^connect to n1 \(root@127\.0\.0\.1:\d+\)`+c.says)
		})
	}
}

func TestAnInterruptedDialReturns(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // it accepts in the kernel and never greets
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	host := ssh.Host{Node: nodes.Node{Name: "n1"}, HostName: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
	opt := ssh.Options{Config: "none", Keys: []string{newKey(t, t.TempDir(), "key").path}, Timeout: time.Hour}
	_, err = ssh.Dial(ctx, host, opt)
	if !errors.Is(err, context.Canceled) || !strings.HasSuffix(err.Error(), "given up, because the run was interrupted") {
		t.Errorf("got %v", err)
	}
}

func TestWhatTheUserNamedMustBeThere(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/text", []byte("hello\n"))
	good := newKey(t, dir, "good")
	for name, c := range map[string]struct {
		opt  ssh.Options
		says string
	}{
		"a key file":         {ssh.Options{Keys: []string{dir + "/none"}}, `^read key \S+/none: no such file or directory$`},
		"a private key":      {ssh.Options{Keys: []string{dir + "/text"}}, `^read key \S+/text: it is not a private key that SSH knows$`},
		"known hosts":        {ssh.Options{Keys: []string{good.path}, KnownHosts: []string{dir + "/none"}}, `^read known hosts: .*/none: no such file or directory$`},
		"known hosts' lines": {ssh.Options{Keys: []string{good.path}, KnownHosts: []string{dir + "/text"}}, `^read known hosts: \S+/text:1: .*; mend that line or name another file`},
		"a configuration":    {ssh.Options{Config: dir + "/none"}, `^read ssh configuration: .*/none: no such file or directory$`},
	} {
		t.Run(name, func(t *testing.T) {
			if c.opt.Config == "" {
				c.opt.Config = "none"
			}
			err := refused(t, ssh.Host{HostName: "127.0.0.1", Port: 1}, c.opt, c.says)
			var usage *ssh.UsageError
			if !errors.As(err, &usage) {
				t.Errorf("it is not a usage error: %v", err)
			}
		})
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
