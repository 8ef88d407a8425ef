package ssh

import (
	"bytes"
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
	known, skipped, err := readKnownHosts(files, len(opt.KnownHosts) > 0)
	if err != nil {
		return hostKeys{}, &UsageError{fmt.Sprintf("read known hosts: %s; mend that line or name another file with --known-hosts", strings.TrimPrefix(err.Error(), "knownhosts: "))}
	}
	revoked, err := readRevoked(s)
	if err != nil {
		return hostKeys{}, err
	}
	check := func(_ string, remote net.Addr, key gossh.PublicKey) error {
		if revoked.has(key) {
			return because(errRevoked, "its host key %s %s is revoked by %s; ask whoever runs the host", key.Type(), gossh.FingerprintSHA256(key), shown(s.revoked))
		}
		var strange []knownhosts.KnownKey // authorities none of which signed the host's certificate
		if cert, ok := key.(*gossh.Certificate); ok {
			authorities := slices.DeleteFunc(wanted(known, s.checkAs), func(k knownhosts.KnownKey) bool { return !isAuthority(k) })
			switch {
			case len(authorities) == 0:
				// A host may have a certificate and still be known by its plain key alone.
				key = cert.Key
			case !slices.ContainsFunc(authorities, func(k knownhosts.KnownKey) bool { return bytes.Equal(k.Key.Marshal(), cert.SignatureKey.Marshal()) }):
				strange = authorities
			}
		}
		err := known(s.checkAs, remote, key)
		if err != nil && len(strange) > 0 {
			return changed(err, strange, key, fmt.Sprintf("%s %s", key.Type(), gossh.FingerprintSHA256(key)))
		}
		if s.acceptNew && isUnknown(err) {
			return remember(s, key)
		}
		return explainKey(err, key, s, skipped)
	}
	return hostKeys{check, preference(known, s.checkAs)}, nil
}

func isUnknown(err error) bool {
	var mismatch *knownhosts.KeyError
	return errors.As(err, &mismatch) && len(mismatch.Want) == 0
}

// remember adds a host's key to the first file of known hosts, for the user who
// asked to trust whoever answers first ("StrictHostKeyChecking accept-new").
func remember(s settings, key gossh.PublicKey) error {
	if len(s.knownHosts) == 0 {
		return errors.New("its new host key can be accepted, but no file of known hosts is named to remember it in")
	}
	line := knownhosts.Line([]string{s.checkAs}, key) + "\n"
	f, err := os.OpenFile(s.knownHosts[0], os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteString(line)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return because(err, "its new host key cannot be remembered: %s", nodes.OneLine(err.Error()))
	}
	return nil
}

// preference asks for certificates first if an authority vouches for this host,
// then for the kinds of key that are known for it, then for any. Without it a
// host known by its ed25519 key might present an RSA key and seem to have
// changed.
func preference(known gossh.HostKeyCallback, address string) []string {
	var plain, certified []string
	vouched := false
	for _, want := range wanted(known, address) {
		if isAuthority(want) {
			vouched = true
		} else {
			plain = append(plain, algorithmsOf(want.Key.Type())...)
		}
	}
	all := gossh.SupportedAlgorithms().HostKeys
	for _, a := range all {
		if strings.Contains(a, "-cert-") {
			certified = append(certified, a)
		}
	}
	order := slices.Concat(plain, certified, all)
	if vouched {
		order = slices.Concat(certified, plain, all)
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(order, func(a string) bool {
		again := seen[a]
		seen[a] = true
		return again
	})
}

// wanted lists what is known for a host, by asking for a key that nobody can have.
func wanted(known gossh.HostKeyCallback, address string) []knownhosts.KnownKey {
	nobody, err := gossh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	var mismatch *knownhosts.KeyError
	errors.As(known(address, &net.TCPAddr{IP: net.IPv4zero}, nobody), &mismatch)
	if mismatch == nil {
		return nil
	}
	return mismatch.Want
}

// isAuthority looks at the line itself, since the library lists authorities
// among the keys that a host may have.
func isAuthority(known knownhosts.KnownKey) bool {
	content, err := readFile(known.Filename)
	if err != nil {
		return false
	}
	lines := strings.Split(string(content), "\n")
	return known.Line <= len(lines) && strings.HasPrefix(strings.TrimSpace(lines[known.Line-1]), "@cert-authority")
}

// algorithmsOf lists the signature algorithms of a kind of key. Only RSA's
// differ in name, and its SHA-1 form is not among them.
func algorithmsOf(kind string) []string {
	if kind == gossh.KeyAlgoRSA {
		return []string{gossh.KeyAlgoRSASHA512, gossh.KeyAlgoRSASHA256}
	}
	return []string{kind}
}

// explainKey says what is wrong with a host's key and what to do. Skipped are the lines of
// known hosts that could not be read.
func explainKey(err error, key gossh.PublicKey, s settings, skipped string) error {
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
		advice := "then let this add it: ssh " + s.name // under the alias that ssh_config gives it
		if s.checkAs == s.address() {
			file := "FILE, which --known-hosts then names"
			if len(s.knownHosts) > 0 {
				file = shown(s.knownHosts[0])
			}
			advice = fmt.Sprintf("then add it with: ssh-keyscan -p %d %s >> %s", s.port, s.hostName, file)
		}
		if s.keysCommand != "" {
			advice += "; nemesis does not run the KnownHostsCommand of its ssh configuration, " + s.keysCommand
		}
		if skipped != "" {
			advice += "; lines that cannot be read were skipped: " + skipped
		}
		return because(err, "its host key %s is not known; compare the fingerprint, %s", offered, advice)
	case errors.As(err, &mismatch):
		return changed(err, mismatch.Want, key, offered)
	}
	return because(err, "its host key %s cannot be trusted: %s", offered, nodes.OneLine(err.Error()))
}

// changed says how a key differs from what is known, by the line of its own kind
// where there is one.
func changed(err error, want []knownhosts.KnownKey, key gossh.PublicKey, offered string) error {
	old := want[0]
	for _, w := range want {
		if w.Key.Type() == key.Type() && !isAuthority(w) {
			old = w
		}
	}
	print := gossh.FingerprintSHA256(old.Key)
	const either = "either the host was reinstalled, and that line must go, or somebody else answers"
	switch {
	case isAuthority(old):
		return because(err, "its host key %s has no certificate of the authority %s in %s:%d; "+either, offered, print, old.Filename, old.Line)
	case old.Key.Type() != key.Type():
		return because(err, "its host key is %s, and it no longer has the %s key %s of %s:%d; "+either, offered, old.Key.Type(), print, old.Filename, old.Line)
	}
	return because(err, "its host key has changed to %s, but %s:%d has %s; "+either, offered, old.Filename, old.Line, print)
}
