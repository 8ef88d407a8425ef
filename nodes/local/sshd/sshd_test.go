package sshd_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"nemesis/nodes/local/sshd"
)

// place is a server on loopback, with the keys that open it.
type place struct {
	address string
	home    string
	key     ssh.Signer
	hostKey ssh.PublicKey
}

func serve(t *testing.T) place {
	t.Helper()
	p := place{home: t.TempDir(), key: newKey(t)}
	hostKey := newKey(t)
	p.hostKey = hostKey.PublicKey()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	p.address = listener.Addr().String()
	server := &sshd.Server{
		HostKey: hostKey, User: "root", Authorized: p.key.PublicKey(),
		Home: p.home, Env: []string{"PATH=" + os.Getenv("PATH"), "COLOUR=blue"}, Start: start,
	}
	go server.Serve(listener)
	return p
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// start starts programs where nobody else reaps them.
func start(argv, env []string, dir string, files [3]*os.File) (sshd.Process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = env, dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = files[0], files[1], files[2]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return process{cmd}, cmd.Start()
}

type process struct{ *exec.Cmd }

func (p process) Signal(s syscall.Signal) { syscall.Kill(-p.Process.Pid, s) }
func (p process) Wait() syscall.WaitStatus {
	p.Cmd.Wait()
	return p.ProcessState.Sys().(syscall.WaitStatus)
}

func (p place) dial(user string, key ssh.Signer) (*ssh.Client, error) {
	return ssh.Dial("tcp", p.address, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(p.hostKey),
	})
}

func (p place) connect(t *testing.T) *ssh.Client {
	t.Helper()
	client, err := p.dial("root", p.key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func session(t *testing.T, client *ssh.Client) *ssh.Session {
	t.Helper()
	s, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestOnlyTheOneUserWithTheOneKeyLogsIn(t *testing.T) {
	p := serve(t)
	for _, c := range []struct {
		name, user string
		key        ssh.Signer
		enters     bool
	}{
		{"the right key", "root", p.key, true},
		{"another key", "root", newKey(t), false},
		{"another user", "admin", p.key, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, err := p.dial(c.user, c.key)
			if entered := err == nil; entered != c.enters {
				t.Fatalf("logged in: %v (%v), want %v", entered, err, c.enters)
			}
			if client != nil {
				client.Close()
			}
		})
	}
}

func TestProgramsRunAsUnderOpenSSH(t *testing.T) {
	p := serve(t)
	client := p.connect(t)
	type outcome struct{ Stdout, Stderr, End string }
	for _, c := range []struct {
		name, line, stdin string
		want              outcome
	}{
		{"through the shell", `echo "a  b" 'c|d' $((1+1))`, "", outcome{Stdout: "a  b c|d 2\n", End: "status 0"}},
		{"in the home directory", `[ "$(pwd -P)" = "$(cd ` + p.home + `; pwd -P)" ] && echo home`, "", outcome{Stdout: "home\n", End: "status 0"}},
		{"with the server's environment alone", `echo $COLOUR $SSHD_TEST`, "", outcome{Stdout: "blue\n", End: "status 0"}},
		{"errors apart from output", `echo out; echo err >&2`, "", outcome{"out\n", "err\n", "status 0"}},
		{"the status comes back", `exit 42`, "", outcome{End: "status 42"}},
		{"the input arrives and ends", `tr a-z A-Z`, "hello\n", outcome{Stdout: "HELLO\n", End: "status 0"}},
		{"unread input does no harm", `echo done`, strings.Repeat("x", 1<<20), outcome{Stdout: "done\n", End: "status 0"}},
		{"death by a signal has a name", `kill -TERM $$`, "", outcome{End: "signal TERM"}},
		{"a signal without a name has OpenSSH's", `kill -BUS $$`, "", outcome{End: "signal SIG@openssh.com"}},
		{"a missing program is the shell's affair", `/no/such/program 2> /dev/null`, "", outcome{End: "status 127"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("SSHD_TEST", "leaked")
			s := session(t, client)
			var stdout, stderr bytes.Buffer
			s.Stdin, s.Stdout, s.Stderr = strings.NewReader(c.stdin), &stdout, &stderr
			got := outcome{End: ending(s.Run(c.line))}
			got.Stdout, got.Stderr = stdout.String(), stderr.String()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func ending(err error) string {
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return "status 0"
	case errors.As(err, &exit) && exit.Signal() != "":
		return "signal " + exit.Signal()
	case errors.As(err, &exit):
		return fmt.Sprintf("status %d", exit.ExitStatus())
	}
	return err.Error()
}

func TestAnyBytesPassThrough(t *testing.T) {
	client := serve(t).connect(t)
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.SliceOfN(rapid.Byte(), 0, 200_000).Draw(rt, "bytes")
		s := session(t, client)
		defer s.Close()
		s.Stdin = bytes.NewReader(want)
		got, err := s.Output("cat")
		if err != nil || !bytes.Equal(got, want) {
			rt.Fatalf("%d bytes came back as %d: %v", len(want), len(got), err)
		}
	})
}

func TestOnlyTheLocaleIsTakenFromTheClient(t *testing.T) {
	s := session(t, serve(t).connect(t))
	for name, want := range map[string]bool{"LANG": true, "LC_ALL": true, "LD_PRELOAD": false, "PATH": false} {
		if took := s.Setenv(name, "C") == nil; took != want {
			t.Errorf("%s was taken: %v, want %v", name, took, want)
		}
	}
	out, err := s.Output("echo $LANG $LC_ALL $LD_PRELOAD")
	if string(out) != "C C\n" || err != nil {
		t.Errorf("the program sees %q, %v", out, err)
	}
}

func TestSignalReachesTheWholeProcessGroup(t *testing.T) {
	s := session(t, serve(t).connect(t))
	stdout, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// The channel ends only when the background sleep is dead as well: it holds the output.
	if err := s.Start("sleep 1000 & echo ready; wait"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	if err := s.Signal(ssh.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := ending(s.Wait()); got != "signal KILL" {
		t.Errorf("it ended with %s", got)
	}
	if rest, err := io.ReadAll(stdout); len(rest) > 0 || err != nil {
		t.Errorf("after the end came %q, %v", rest, err)
	}
}

func TestAConnectionHasTenSessions(t *testing.T) {
	client := serve(t).connect(t)
	var all []*ssh.Session
	for range 10 {
		all = append(all, session(t, client))
	}
	var refused *ssh.OpenChannelError
	if s, err := client.NewSession(); !errors.As(err, &refused) {
		t.Errorf("the eleventh session: %v, %v", s, err)
	}
	if err := all[0].Run("true"); err != nil {
		t.Fatal(err)
	}
	// The slot is free a moment after the client has seen the end.
	for {
		s, err := client.NewSession()
		if err == nil {
			s.Close()
			return
		}
		if !errors.As(err, &refused) {
			t.Fatal(err)
		}
	}
}

func TestALostConnectionEndsTheInputAndKillsNothing(t *testing.T) {
	p := serve(t)
	client := p.connect(t)
	s := session(t, client)
	fifo := filepath.Join(p.home, "end")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start("cat > /dev/null; echo undone > end"); err != nil {
		t.Fatal(err)
	}
	client.Close()
	// It has time after the loss, as an agent needs to undo what is in force.
	if got, err := os.ReadFile(fifo); string(got) != "undone\n" || err != nil {
		t.Errorf("after the loss it did %q, %v", got, err)
	}
}

func TestDaemonKeepsItsChannelOpen(t *testing.T) {
	p := serve(t)
	s := session(t, p.connect(t))
	fifo := filepath.Join(p.home, "go")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("setsid sh -c 'read line < go; echo late' & exit 0"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(stdout); string(got) != "late\n" || err != nil {
		t.Errorf("the channel carried %q, %v", got, err)
	}
}

func TestFilesGoOverSFTP(t *testing.T) {
	p := serve(t)
	client, err := sftp.NewClient(p.connect(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	f, err := client.Create("file") // below home
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("data\x00"), 100_000)
	if _, err := f.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(p.home, "file")); !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrived as %d: %v", len(want), len(got), err)
	}
}

func TestWhatOpenSSHRefusesIsRefused(t *testing.T) {
	client := serve(t).connect(t)
	for name, ask := range map[string]func() error{
		"a terminal":        func() error { return session(t, client).RequestPty("xterm", 24, 80, nil) },
		"a login shell":     func() error { return session(t, client).Shell() },
		"another subsystem": func() error { return session(t, client).RequestSubsystem("netconf") },
		"a tunnel":          func() error { _, err := client.Dial("tcp", "127.0.0.1:22"); return err },
		"a listening port":  func() error { _, err := client.Listen("tcp", "127.0.0.1:0"); return err },
		"a second program": func() error {
			s := session(t, client)
			if err := s.Start("cat"); err != nil {
				return nil
			}
			ok, err := s.SendRequest("exec", true, ssh.Marshal(struct{ Line string }{"true"}))
			if err == nil && !ok {
				return errors.New("refused")
			}
			return err
		},
		"a broken request": func() error {
			ok, err := session(t, client).SendRequest("exec", true, []byte{0, 0, 0, 9, 'x'})
			if err == nil && !ok {
				return errors.New("refused")
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := ask(); err == nil {
				t.Error("it was granted")
			}
		})
	}
	// The connection is none the worse for it, and a keepalive is answered.
	if _, _, err := client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		t.Errorf("keepalive: %v", err)
	}
	if out, err := session(t, client).Output("echo alive"); string(out) != "alive\n" {
		t.Errorf("afterwards: %q, %v", out, err)
	}
}
