package ssh

import (
	"bytes"
	"errors"
	"fmt"

	gossh "golang.org/x/crypto/ssh"
)

// errRevoked is the cause of a host key that RevokedHostKeys refuses.
var errRevoked = errors.New("the key is revoked")

// revokedKeys are host keys that nobody may have, by their wire form.
type revokedKeys map[string]bool

// krlMagic begins a key revocation list of ssh-keygen.
const krlMagic = "SSHKRL\n\x00"

// readRevoked reads the file that RevokedHostKeys names: a public key a line. As for the ssh
// command, no key of the host is trusted while that file cannot be read.
func readRevoked(s settings) (revokedKeys, error) {
	if s.revoked == "" {
		return nil, nil
	}
	content, err := readFile(s.revoked)
	if err != nil {
		return nil, &UsageError{fmt.Sprintf("connect to %s: read its RevokedHostKeys: %v", s.name, err)}
	}
	if bytes.HasPrefix(content, []byte(krlMagic)) {
		return nil, &UsageError{fmt.Sprintf("connect to %s: its RevokedHostKeys %s is a revocation list of ssh-keygen, which nemesis cannot read; name a file with a public key a line", s.name, shown(s.revoked))}
	}
	keys := revokedKeys{}
	for line := range bytes.Lines(content) {
		// What is no key can be nobody's.
		if key, _, _, _, err := gossh.ParseAuthorizedKey(line); err == nil {
			keys[string(key.Marshal())] = true
		}
	}
	return keys, nil
}

// has tells whether a key is revoked, or what a certificate is made of: its key, or the
// authority that signed it.
func (r revokedKeys) has(key gossh.PublicKey) bool {
	if r[string(key.Marshal())] {
		return true
	}
	cert, is := key.(*gossh.Certificate)
	return is && (r[string(cert.Key.Marshal())] || r[string(cert.SignatureKey.Marshal())])
}
