package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"nemesis/nodes"
)

// Dial connects to a host's SSH server, through its jump hosts if it has any, each
// of which is checked as the host itself is. Its errors are one line each, and tell
// apart a port that refuses, an address that does not answer, a server that is
// not SSH, a host key that is unknown or has changed, and a login refused with
// every key that was tried. A *UsageError is the user's own doing.
func Dial(ctx context.Context, host Host, opt Options) (nodes.Conn, error) {
	legs, err := route(host, opt)
	if err != nil {
		return nil, err
	}
	defer closeKeys(legs)

	timeout := or(opt.Timeout, defaultTimeout) * time.Duration(len(legs))
	if end, ok := ctx.Deadline(); ok {
		timeout = min(timeout, max(0, time.Until(end)).Round(time.Millisecond))
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dial := opt.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	var bottom, raw *heard
	var client *gossh.Client
	for i, l := range legs {
		a := attempt{leg: l, timeout: timeout, ctx: ctx}
		if i > 0 {
			dial, a.via = through(client, bottom), via(legs[:i+1])
		}
		if i < len(legs)-1 {
			a.towards = first(host.Node.Name, host.HostName)
		} else {
			a.password = opt.Password
		}
		if raw, client, err = a.login(within, dial); err != nil {
			if bottom != nil {
				bottom.Close()
			}
			return nil, err
		}
		if i == 0 {
			bottom = raw
		}
	}

	node := host.Node
	if !node.Address.IsValid() {
		if at, err := netip.ParseAddrPort(raw.RemoteAddr().String()); err == nil {
			node.Address = at.Addr().Unmap()
		}
	}
	c := newConn(node, raw, client)
	c.sudo = opt.Sudo && legs[len(legs)-1].settings.user != "root"
	go c.keepAlive(or(opt.KeepAlive, defaultKeepAlive), or(opt.Patience, defaultPatience))
	return c, nil
}

// login goes one leg.
func (a *attempt) login(within context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*heard, *gossh.Client, error) {
	dialled, err := dial(within, "tcp", a.address())
	if err != nil {
		return nil, nil, a.explain(err)
	}
	raw := &heard{Conn: dialled}
	config := &gossh.ClientConfig{
		User:              a.settings.user,
		ClientVersion:     "SSH-2.0-nemesis",
		HostKeyAlgorithms: a.known.algorithms,
		HostKeyCallback: func(name string, remote net.Addr, key gossh.PublicKey) error {
			a.keyRefused = a.known.check(name, remote, key)
			a.keyAccepted = a.keyRefused == nil
			return a.keyRefused
		},
		Auth: []gossh.AuthMethod{
			gossh.PublicKeysCallback(func() ([]gossh.Signer, error) {
				a.asked = true
				return a.witnesses(), nil
			}),
			// Where there is no password, nobody answers these. They are here to learn what is
			// asked for beside a key.
			gossh.KeyboardInteractive(func(_, _ string, questions []string, echoed []bool) ([]string, error) {
				switch {
				case a.answered && len(questions) == 0: // the server has something to tell
					return nil, nil
				case a.password != nil && len(questions) == 1 && !echoed[0]:
					text, err := a.answer(within)
					return []string{text}, err
				}
				a.wanted = "keyboard-interactive"
				return nil, errNotAnswered
			}),
			gossh.PasswordCallback(func() (string, error) {
				if a.password != nil {
					return a.answer(within)
				}
				a.wanted = first(a.wanted, "password")
				return "", errNotAnswered
			}),
		},
	}
	a.connected = true
	// The handshake knows nothing of contexts. A deadline in the past ends it, but a
	// connection through a jump host has none and must be closed.
	stop := context.AfterFunc(within, func() {
		if raw.SetDeadline(time.Unix(1, 0)) != nil {
			raw.Close()
		}
	})
	sshConn, channels, requests, err := gossh.NewClientConn(raw, a.address(), config)
	if !stop() {
		if err == nil {
			sshConn.Close()
		}
		err = within.Err()
	}
	if err != nil {
		raw.Close()
		return nil, nil, a.explain(err)
	}
	return raw, gossh.NewClient(sshConn, channels, requests), nil
}

// attempt remembers how far a connection came, since the library's errors do not say.
type attempt struct {
	leg
	via     string // the jump hosts before it, "" for none
	towards string // the node that this leg is on the way to, "" for its own
	timeout time.Duration
	ctx     context.Context

	connected   bool  // TCP
	keyRefused  error // by us
	keyAccepted bool
	asked       bool // the server takes public keys
	// signed is the key by which something was signed, which a server asks for only once
	// it has accepted the key; wanted what else it asks for, as ssh names it.
	signed, wanted string

	password   Password // nil for none
	answered   bool     // the server was sent the password
	unanswered error    // why there was none to send
}

// errNotAnswered ends a login that needs more than a key.
var errNotAnswered = errors.New("nemesis answers no questions")

// witness is a key that says when the server has had something signed with it.
type witness struct {
	gossh.AlgorithmSigner
	signs func()
}

func (w witness) Sign(random io.Reader, data []byte) (*gossh.Signature, error) {
	w.signs()
	return w.AlgorithmSigner.Sign(random, data)
}

func (w witness) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*gossh.Signature, error) {
	w.signs()
	return w.AlgorithmSigner.SignWithAlgorithm(random, data, algorithm)
}

// choosyWitness is a witness whose key may not sign with every algorithm of its kind.
type choosyWitness struct {
	witness
	gossh.MultiAlgorithmSigner
}

func (w choosyWitness) PublicKey() gossh.PublicKey { return w.witness.PublicKey() }
func (w choosyWitness) Sign(random io.Reader, data []byte) (*gossh.Signature, error) {
	return w.witness.Sign(random, data)
}
func (w choosyWitness) SignWithAlgorithm(random io.Reader, data []byte, algorithm string) (*gossh.Signature, error) {
	return w.witness.SignWithAlgorithm(random, data, algorithm)
}

// witnesses are the keys to try.
func (a *attempt) witnesses() []gossh.Signer {
	var all []gossh.Signer
	for i, signer := range a.keys.signers {
		able, is := signer.(gossh.AlgorithmSigner)
		if !is {
			all = append(all, signer)
			continue
		}
		w := witness{able, func() { a.signed = a.keys.names[i] }}
		if choosy, is := signer.(gossh.MultiAlgorithmSigner); is {
			all = append(all, choosyWitness{w, choosy})
		} else {
			all = append(all, w)
		}
	}
	return all
}

func (a *attempt) explain(err error) error {
	what, cause := a.reason(err), err
	if a.keyRefused != nil {
		what, cause = a.keyRefused.Error(), errors.Unwrap(a.keyRefused)
	}
	if ended := a.ctx.Err(); ended != nil {
		cause = errors.Join(ended, cause) // all we saw was the deadline that it set
	}
	name := first(a.host.Node.Name, a.host.HostName, a.settings.hostName)
	way := ""
	if a.towards != "" {
		way = " on the way to " + a.towards
	}
	if a.via != "" {
		way += " through " + a.via
	}
	return because(cause, "connect to %s (%s@%s)%s: %s", name, a.settings.user, a.settings.address(), way, what)
}

func (a *attempt) reason(err error) string {
	s := a.settings
	var lookup *net.DNSError
	var algorithms *gossh.AlgorithmNegotiationError
	var refused *gossh.OpenChannelError
	timedOut := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT)
	switch {
	case errors.Is(a.ctx.Err(), context.Canceled):
		return "given up, because the run was interrupted"
	case errors.As(err, &refused) && refused.Reason == gossh.ConnectionFailed:
		return a.via + " cannot connect there: " + nodes.OneLine(refused.Message)
	case errors.As(err, &refused):
		return a.via + " forwards no connections; allow AllowTcpForwarding in its sshd_config, or name another jump host"
	case errors.As(err, &lookup):
		return fmt.Sprintf("no address is known for %q; check the spelling, /etc/hosts and DNS", s.hostName)
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused; check the port, and that sshd runs there"
	case errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH):
		return "no route leads there; check the address, and that the node is up"
	case timedOut && !a.connected:
		return fmt.Sprintf("no answer within %v; check the address, firewalls, and that the node is up", a.timeout)
	case timedOut && !a.keyAccepted:
		return fmt.Sprintf("something accepts connections, but did not greet as an SSH server within %v; check the port, and that sshd is not stuck", a.timeout)
	case timedOut:
		return fmt.Sprintf("the login did not finish within %v; check that sshd there is not stuck (on DNS or PAM, for example)", a.timeout)
	case errors.As(err, &algorithms):
		return "the server shares no algorithm with us: " + nodes.OneLine(strings.TrimPrefix(err.Error(), "ssh: handshake failed: ssh: "))
	case a.keyAccepted:
		return a.loginRefused(err)
	case hungUp(err):
		return "the server hung up during the handshake; check that it is sshd, and its log (MaxStartups, for example)"
	case a.connected:
		return "whatever answers there does not speak SSH as we do: " + nodes.OneLine(strings.TrimPrefix(err.Error(), "ssh: handshake failed: "))
	}
	return nodes.OneLine(err.Error())
}

func hungUp(err error) bool {
	for _, sign := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
}

func (a *attempt) loginRefused(err error) string {
	s := a.settings
	if a.unanswered != nil {
		return a.unanswered.Error()
	}
	unasked := refusedUnasked(err)
	if unasked && a.signed != "" {
		a.wanted = first(a.wanted, "keyboard-interactive")
	}
	// sshd disconnects, with or without a message, after too many wrong keys.
	if !unasked && !hungUp(err) && !errors.Is(err, errNotAnswered) && !ranOut(err) {
		return "the login failed: " + nodes.OneLine(strings.TrimPrefix(err.Error(), "ssh: handshake failed: "))
	}
	passed := ""
	if len(a.keys.passed) > 0 {
		passed = "; not tried: " + strings.Join(a.keys.passed, ", ")
	}
	switch {
	case a.answered:
		return fmt.Sprintf("login refused to %s with the password that was given; give the right one (--ssh-password-file or SSH_ASKPASS), or name the right user with --ssh-user", s.user)
	case len(a.keys.signers) == 0:
		return fmt.Sprintf("login refused: there is no key to try%s; name one with --ssh-key", passed)
	case a.signed != "" && a.wanted != "":
		return fmt.Sprintf("the server accepted %s and asks for %s as well, which nemesis cannot answer; let a key be enough for %s there (AuthenticationMethods publickey, in a Match block of its sshd_config)", a.signed, a.wanted, s.user)
	case !a.asked:
		return "login refused: the server takes no public keys; allow PubkeyAuthentication in its sshd_config"
	}
	return fmt.Sprintf("login refused to %s with %s%s; name the right key with --ssh-key or the right user with --ssh-user",
		s.user, strings.Join(a.keys.names, ", "), passed)
}

// because makes an error whose text is complete in itself, and whose cause can
// still be asked for.
func because(cause error, format string, args ...any) error {
	return &explained{fmt.Sprintf(format, args...), cause}
}

type explained struct {
	text  string
	cause error
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.cause }
