package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// keyring is the keys to try on one host, and how to name them when none fits.
type keyring struct {
	signers []gossh.Signer
	names   []string // of the signers, with their fingerprints
	passed  []string // keys that could not be tried, and why
	close   func()
}

// gather collects the keys in the order in which the server sees them. Servers
// hang up after a handful of wrong ones (OpenSSH after six), so the named ones
// come first.
func gather(s settings, opt Options) (*keyring, error) {
	k := &keyring{close: func() {}}
	if len(opt.Signers) > 0 {
		for _, signer := range opt.Signers {
			k.add("given key", signer)
		}
		return k, nil
	}
	held := k.askAgent(s.agentSocket)

	var files []gossh.Signer
	var names []string
	for _, path := range s.keys {
		signer, err := readKey(path, held)
		switch {
		case err == nil:
			for _, certified := range certificates(path, signer, s.certificates) {
				files, names = append(files, certified), append(names, path+" with its certificate")
			}
			files, names = append(files, signer), append(names, path)
		case s.keysNamed:
			k.close()
			return nil, &UsageError{fmt.Sprintf("read key %s: %v", path, err)}
		case !errors.Is(err, fs.ErrNotExist):
			k.passed = append(k.passed, fmt.Sprintf("%s (%v)", path, err))
		}
	}
	for i, signer := range files {
		k.add(names[i], signer)
	}
	if !s.keysNamed && !s.identitiesOnly {
		for _, signer := range held {
			for _, certified := range certificates("", signer, s.certificates) {
				k.add("the agent's key with its certificate", certified)
			}
			k.add("the agent's key", signer)
		}
	}
	return k, nil
}

func (k *keyring) add(name string, signer gossh.Signer) {
	print := gossh.FingerprintSHA256(signer.PublicKey())
	for _, known := range k.names {
		if strings.HasSuffix(known, print) {
			return
		}
	}
	k.signers = append(k.signers, signer)
	k.names = append(k.names, name+" "+print)
}

// askAgent returns the agent's keys; an agent that is not there has none. The
// connection to it must stay open until the keys have been used.
func (k *keyring) askAgent(socket string) []gossh.Signer {
	if socket == "" {
		return nil
	}
	conn, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		k.passed = append(k.passed, "the agent's keys (it does not answer)")
		return nil
	}
	conn.SetDeadline(time.Now().Add(time.Minute)) // a stuck agent is no reason to wait for ever
	k.close = func() { conn.Close() }
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		k.passed = append(k.passed, "the agent's keys (it does not list them)")
		return nil
	}
	return signers
}

// readKey reads a private key file, or finds the key in the agent if the file is encrypted,
// has the public half alone, or is not there and the public half lies beside.
func readKey(path string, held []gossh.Signer) (gossh.Signer, error) {
	content, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if public := readPublic(path + ".pub"); public != nil {
			if signer := inAgent(public, held); signer != nil {
				return signer, nil
			}
		}
	}
	if err != nil {
		return nil, why(err) // the caller names the path
	}
	if public, _, _, _, err := gossh.ParseAuthorizedKey(content); err == nil {
		if signer := inAgent(public, held); signer != nil {
			return signer, nil
		}
		return nil, errors.New("it is a public key, and no agent holds its private half")
	}
	signer, err := gossh.ParsePrivateKey(content)
	var locked *gossh.PassphraseMissingError
	if !errors.As(err, &locked) {
		if err != nil {
			return nil, errors.New("it is not a private key that SSH knows")
		}
		return signer, nil
	}
	public := locked.PublicKey
	if public == nil { // older formats keep it in a file beside
		public = readPublic(path + ".pub")
	}
	if public != nil {
		if signer := inAgent(public, held); signer != nil {
			return signer, nil
		}
	}
	return nil, fmt.Errorf("it is encrypted and no agent holds it; unlock it with ssh-add %s", shown(path))
}

// readPublic reads a file that has a public key; nil if it has none.
func readPublic(path string) gossh.PublicKey {
	content, err := readFile(path)
	if err != nil {
		return nil
	}
	public, _, _, _, err := gossh.ParseAuthorizedKey(content)
	if err != nil {
		return nil
	}
	return public
}

// inAgent is the agent's signer of a key, nil when it holds none.
func inAgent(public gossh.PublicKey, held []gossh.Signer) gossh.Signer {
	want := gossh.FingerprintSHA256(public)
	for _, signer := range held {
		if gossh.FingerprintSHA256(signer.PublicKey()) == want {
			return signer
		}
	}
	return nil
}

// certificates are those that authorities have signed for a key: in the file beside
// its path, if it has one, or in one that the configuration names. A certificate of another key, or a
// file that is none, says nothing about this key.
func certificates(path string, key gossh.Signer, more []string) []gossh.Signer {
	var signed []gossh.Signer
	if path != "" {
		more = append([]string{path + "-cert.pub"}, more...)
	}
	for _, file := range more {
		if cert, ok := readPublic(file).(*gossh.Certificate); ok {
			if signer, err := gossh.NewCertSigner(cert, key); err == nil {
				signed = append(signed, signer)
			}
		}
	}
	return signed
}

// shown quotes a path only where a user's shell, or a terminal, would need it.
func shown(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(path)
	}
	if strings.ContainsFunc(path, func(r rune) bool {
		return !strings.ContainsRune("/._-+:@%", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return quote(path)
	}
	return filepath.Clean(path)
}
