package ssh_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nemesis/nodes/ssh"
)

// secret is a password, and secretHash what a shadow file has of it.
const (
	secret     = "secret word"
	secretHash = "$6$abcdefgh$LD3B9uQazUr5JO40TJP6MCHMIO4iy9k4k8wtwFKc/2c.J3/D5xE/lc1u40jG/wrBUnUYu3FRVho1G9GJagdAs/"
)

// startPasswordServer starts an sshd that takes the password of one user and no key.
func startPasswordServer(t *testing.T, methods string) (*server, ssh.Options) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("OpenSSH's server needs root to read passwords")
	}
	s := startServerFor(t, []string{"pat:" + secretHash + ":54322:54322::/:/bin/sh"}, "PasswordAuthentication yes", "AuthenticationMethods "+methods)
	opt := s.options(t)
	opt.User, opt.Keys = "pat", nil
	t.Setenv("SSH_AUTH_SOCK", "")
	t.Setenv("HOME", t.TempDir())
	return s, opt
}

func passwordFile(t *testing.T, text string) ssh.Password {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	write(t, path, []byte(text))
	password, err := ssh.PasswordFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return password
}

func askpass(t *testing.T, script string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "askpass")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestANodeIsLoggedInToByPassword(t *testing.T) {
	s, opt := startPasswordServer(t, "password")
	opt.Password = passwordFile(t, secret+"\r\nsecond line\n")
	s.dial(t, opt)

	asked := filepath.Join(t.TempDir(), "asked")
	opt.Password = ssh.AskPass(askpass(t, fmt.Sprintf("echo \"$1\" >>%s; echo '%s'", asked, secret)))
	s.dial(t, opt)
	s.dial(t, opt)
	if got := string(read(t, asked)); got != "pat@127.0.0.1's password: \n" {
		t.Errorf("the program was asked %q", got)
	}
}

func TestAKeyAndAPasswordTogetherAreAnswered(t *testing.T) {
	s, opt := startPasswordServer(t, "publickey,password")
	opt.Keys, opt.Password = []string{s.user.path}, passwordFile(t, secret)
	s.dial(t, opt)
}

func TestAWrongPasswordIsRefusedAndNotTold(t *testing.T) {
	s, opt := startPasswordServer(t, "password")
	const wrong = "wrong-word-4711"
	opt.Password = passwordFile(t, wrong)
	err := refused(t, s.host(), opt, `^connect to n1 \(pat@127\.0\.0\.1:\d+\): login refused to pat with the password that was given; give the right one`)
	if strings.Contains(err.Error(), wrong) {
		t.Errorf("it tells the password: %v", err)
	}
	opt.Password = ssh.AskPass(askpass(t, "echo "+wrong+"; exit 3"))
	err = refused(t, s.host(), opt, `the program of SSH_ASKPASS, \S+/askpass, gave no password for pat@127\.0\.0\.1: exit status 3$`)
	if strings.Contains(err.Error(), wrong) {
		t.Errorf("it tells the password: %v", err)
	}
}

// Who answers with another host key is not sent the password.
func TestAPasswordIsNotSentToAStranger(t *testing.T) {
	s, opt := startPasswordServer(t, "password")
	other := newKey(t, t.TempDir(), "other")
	opt.KnownHosts = []string{s.knownHosts(t, other.public)}
	asked := false
	opt.Password = func(context.Context, string, string) (string, error) {
		asked = true
		return secret, nil
	}
	refused(t, s.host(), opt, `host key`)
	if asked {
		t.Error("the password was asked for")
	}
}

func TestPasswordFilesThatHaveNone(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "", "empty line": "\nsecret\n", "long": strings.Repeat("x", 2000)} {
		path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		write(t, path, []byte(text))
		if _, err := ssh.PasswordFile(path); err == nil || !strings.HasPrefix(err.Error(), "read --ssh-password-file "+path+": its first line is") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, path := range []string{filepath.Join(dir, "missing"), dir} {
		if _, err := ssh.PasswordFile(path); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
