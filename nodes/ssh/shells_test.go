package ssh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nemesis/nodes"
	"nemesis/nodes/ssh"
)

// startUpFiles are where a login shell's user may make it print something, whoever asks.
var startUpFiles = map[string]string{
	"bash": ".bashrc", "csh": ".cshrc", "tcsh": ".tcshrc", "zsh": ".zshenv", "fish": ".config/fish/config.fish", "mksh": "", "ksh": "", "dash": "",
}

// loginAs is a server with a user of this shell, and that user's home.
func loginAs(t *testing.T, shell string) (s *server, opt ssh.Options, home string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root's sshd can be given a user with another shell")
	}
	home = t.TempDir()
	// The user must reach it; the test's directories are its owner's alone.
	for dir := home; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s = startServerFor(t, []string{fmt.Sprintf("guest:x:54322:54322::%s:%s", home, shell)}, "SetEnv LOGIN=1")
	opt = s.options(t)
	opt.User = "guest"
	return s, opt, home
}

func TestEveryLoginShellStartsPrograms(t *testing.T) {
	for name, startUp := range startUpFiles {
		t.Run(name, func(t *testing.T) {
			shell, err := exec.LookPath(name)
			if err != nil {
				t.Skipf("no %s on this machine", name)
			}
			s, opt, home := loginAs(t, shell)
			if startUp != "" {
				path := filepath.Join(home, startUp)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				// As it stands, this is right in all of these shells.
				if err := os.WriteFile(path, []byte("echo hello\nsh -c 'echo and stderr >&2'\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			conn := s.dial(t, opt)
			script := "set -e\nfor a do\n\tprintf '<%s>\\n' \"$a\" # it's a 'script'!\ndone\n"
			out, err := conn.Run(t.Context(), nil, "sh", "-c", script, "sh", "a b", "!!", "é\n", "")
			if err != nil || string(out) != "<a b>\n<!!>\n<é\n>\n<>\n" {
				t.Errorf("%q, %v", out, err)
			}
			out, err = conn.Run(t.Context(), strings.NewReader("input"), "cat")
			if err != nil || string(out) != "input" {
				t.Errorf("%q, %v", out, err)
			}
			_, err = conn.Run(t.Context(), nil, "sh", "-c", "echo why >&2; exit 3")
			var exit *nodes.ExitError
			if !errors.As(err, &exit) || exit.Code != 3 || exit.Stderr != "why\n" {
				t.Errorf("%v, %+v", err, exit)
			}
			var stderr bytes.Buffer
			stream, err := conn.Start(t.Context(), &stderr, "sh", "-c", "echo ready; cat; echo bye >&2")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Write([]byte("again")); err != nil {
				t.Fatal(err)
			}
			if err := stream.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			all, err := io.ReadAll(stream)
			if werr := stream.Wait(); err != nil || werr != nil || string(all) != "ready\nagain" || stderr.String() != "bye\n" {
				t.Errorf("%q and %q, %v, %v", all, stderr.String(), err, werr)
			}
		})
	}
}

func TestALoginShellThatStartsNothing(t *testing.T) {
	talker := filepath.Join(t.TempDir(), "talker")
	if err := os.WriteFile(talker, []byte("#!/bin/sh\nyes noise | head -c 1000000\nexec sh \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ shell, says string }{
		"nologin": {"/usr/sbin/nologin", "^run \"sh -c …\" on n1: the login shell /usr/sbin/nologin of guest ended with status 1 before the program started: This account is currently not available.; give the user a shell that runs commands, or name another user with --ssh-user$"},
		"silence": {"/bin/false", "^run \"sh -c …\" on n1: the login shell /bin/false of guest ended with status 1 before the program started: it said nothing; give"},
		"noise":   {talker, "^run \"sh -c …\" on n1: the login shell writes more than 64 KiB before the program starts; let its start-up files write nothing when nobody is at a terminal$"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := os.Stat(c.shell); err != nil {
				t.Skipf("no %s on this machine", c.shell)
			}
			if c.shell == talker {
				for dir := filepath.Dir(talker); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
					if err := os.Chmod(dir, 0o755); err != nil {
						t.Fatal(err)
					}
				}
			}
			s, opt, _ := loginAs(t, c.shell)
			conn := s.dial(t, opt)
			_, err := conn.Run(context.Background(), nil, "sh", "-c", strings.Repeat("echo a long script\n", 50))
			if err == nil || !regexp.MustCompile(c.says).MatchString(err.Error()) {
				t.Errorf("got:  %v\nwant: %s", err, c.says)
			}
			var exit *nodes.ExitError
			if errors.As(err, &exit) {
				t.Error("the login shell's end is taken for the program's")
			}
		})
	}
}
