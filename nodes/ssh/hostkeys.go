package ssh

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"nemesis/nodes"
)

// hostKeys decides whether a host's key is the one it should have.
type hostKeys struct {
	check gossh.HostKeyCallback
	// algorithms is the order in which the host is asked for its keys; nil is the default.
	algorithms []string
}

func knownKeys(s settings, opt Options) (hostKeys, error) {
	if opt.HostKey != nil {
		return hostKeys{gossh.FixedHostKey(opt.HostKey), algorithmsOf(opt.HostKey.Type())}, nil
	}
	if opt.InsecureHostKeys {
		return hostKeys{check: gossh.InsecureIgnoreHostKey()}, nil
	}
	var files []string
	for _, path := range s.knownHosts {
		_, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) && len(opt.KnownHosts) == 0 {
			continue
		}
		if err != nil {
			return hostKeys{}, &UsageError{fmt.Sprintf("read known hosts: %v", err)}
		}
		files = append(files, path)
	}
	known, err := knownhosts.New(files...)
	if err != nil {
		return hostKeys{}, &UsageError{fmt.Sprintf("read known hosts: %s; mend that line or name another file with --known-hosts", strings.TrimPrefix(err.Error(), "knownhosts: "))}
	}
	check := func(_ string, remote net.Addr, key gossh.PublicKey) error {
		err := known(s.checkAs, remote, key)
		if cert, ok := key.(*gossh.Certificate); ok && err != nil {
			// A host may have a certificate and still be known by its plain key alone.
			if plain := known(s.checkAs, remote, cert.Key); plain == nil {
				return nil
			}
		}
		return explainKey(err, key, s)
	}
	return hostKeys{check, preference(known, s.checkAs)}, nil
}

// preference asks for the kinds of key that are known for this host first, then
// for certificates, then for any. Without it a host known by its ed25519 key
// might present an RSA key and seem to have changed.
func preference(known gossh.HostKeyCallback, address string) []string {
	var order []string
	add := func(algorithms ...string) {
		for _, a := range algorithms {
			if !slices.Contains(order, a) {
				order = append(order, a)
			}
		}
	}
	// A key that nobody can have makes the callback list those that it wants.
	nobody, err := gossh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	var mismatch *knownhosts.KeyError
	if errors.As(known(address, &net.TCPAddr{IP: net.IPv4zero}, nobody), &mismatch) {
		for _, want := range mismatch.Want {
			add(algorithmsOf(want.Key.Type())...)
		}
	}
	rest := gossh.SupportedAlgorithms().HostKeys
	for _, a := range rest {
		if strings.Contains(a, "-cert-") {
			add(a)
		}
	}
	add(rest...)
	return order
}

// algorithmsOf lists the signature algorithms of a kind of key. Only RSA's
// differ in name, and its SHA-1 form is not among them.
func algorithmsOf(kind string) []string {
	if kind == gossh.KeyAlgoRSA {
		return []string{gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256}
	}
	return []string{kind}
}

// explainKey says what is wrong with a host's key and what to do.
func explainKey(err error, key gossh.PublicKey, s settings) error {
	if err == nil {
		return nil
	}
	offered := fmt.Sprintf("%s %s", key.Type(), gossh.FingerprintSHA256(key))
	var mismatch *knownhosts.KeyError
	var revoked *knownhosts.RevokedError
	switch {
	case errors.As(err, &revoked):
		return because(err, "its host key %s is revoked by %s:%d; ask whoever runs the host", offered, revoked.Revoked.Filename, revoked.Revoked.Line)
	case errors.As(err, &mismatch) && len(mismatch.Want) == 0:
		host, port, _ := net.SplitHostPort(s.checkAs)
		file := "a file for --known-hosts"
		if len(s.knownHosts) > 0 {
			file = shown(s.knownHosts[0])
		}
		return because(err, "its host key %s is not known; compare the fingerprint, then add it with: ssh-keyscan -p %s %s >> %s", offered, port, host, file)
	case errors.As(err, &mismatch):
		old := mismatch.Want[0]
		for _, want := range mismatch.Want {
			if want.Key.Type() == key.Type() {
				old = want
			}
		}
		what := "has changed to " + offered
		if old.Key.Type() != key.Type() {
			what = "is " + offered + ", and the host no longer has the " + old.Key.Type() + " key that is known"
		}
		return because(err, "its host key %s, but %s:%d has %s; either the host was reinstalled, and that line must go, or somebody else answers",
			what, old.Filename, old.Line, gossh.FingerprintSHA256(old.Key))
	}
	return because(err, "its host key %s cannot be trusted: %s", offered, nodes.OneLine(err.Error()))
}
