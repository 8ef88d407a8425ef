package ssh_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Lines about other hosts that ssh skips. None blocks the host whose line is right.
func TestALineAboutAnotherHostBlocksNoHost(t *testing.T) {
	s := startServer(t)
	blob := base64.StdEncoding.EncodeToString(s.hostKey.Marshal())
	for name, line := range map[string]string{
		"SSH's first version":       "oldhost 1024 35 123456789012345678901234567890",
		"a mark of a merge":         "<<<<<<< HEAD",
		"a mark and hosts":          "=======\n>>>>>>> theirs",
		"an unknown kind of key":    "newhost ssh-mldsa65 AAAAC3NzaC1tbGRzYTY1AAAAAQ==",
		"another kind than it says": "newhost ssh-rsa " + blob,
		"an unknown marker":         "@trusted newhost ssh-ed25519 " + blob,
		"half a line":               "newhost ssh-ed25519",
		"no base64":                 "newhost ssh-ed25519 AAAA=C3Nza",
		"a hash that is none":       "|1|abc ssh-ed25519 " + blob,
		"a hash of another sort":    "|2|YWJj|YWJj ssh-ed25519 " + blob,
		"a bracket left open":       "[newhost:22 ssh-ed25519 " + blob,
		"nothing denied":            "!,newhost ssh-ed25519 " + blob,
		"binary":                    "\x00\x01\xff \x02 \x03",
	} {
		t.Run(name, func(t *testing.T) {
			opt := s.options(t)
			right := knownhosts.Line([]string{s.address()}, s.hostKey)
			path := filepath.Join(t.TempDir(), "known_hosts")
			write(t, path, []byte(line+"\n"+right+"\n"))
			opt.KnownHosts = []string{path}
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			s.dial(t, opt)
			if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
				t.Errorf("it left %v, %v", left, err)
			}
			if ssh, err := exec.LookPath("ssh-keygen"); err == nil {
				// OpenSSH finds the line as well.
				if out, err := exec.Command(ssh, "-F", "["+strings.Replace(s.address(), ":", "]:", 1), "-f", path).CombinedOutput(); err != nil {
					t.Errorf("ssh-keygen does not find it: %v\n%s", err, out)
				}
			}

			// What is said about the rest keeps its names.
			other, _, _ := ed25519.GenerateKey(rand.Reader)
			public, _ := gossh.NewPublicKey(other)
			write(t, path, []byte(line+"\n"+knownhosts.Line([]string{s.address()}, public)+"\n"))
			where := "2"
			if strings.Contains(line, "\n") {
				where = "3"
			}
			refused(t, s.host(), opt, `its host key has changed to \S+ \S+, but `+path+`:`+where+` has SHA256:`)
			write(t, path, []byte(line+"\n"+"@revoked * "+strings.SplitN(right, " ", 2)[1]+"\n"))
			refused(t, s.host(), opt, ` is revoked by `+path+`:`+where+`; ask`)
			write(t, path, []byte(line+"\n"+knownhosts.Line([]string{"another"}, public)+"\n"))
			refused(t, s.host(), opt, `is not known; compare the fingerprint, .*; lines that cannot be read were skipped: `+path+`:1`)
		})
	}
}
