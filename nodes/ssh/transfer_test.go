package ssh_test

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestFullDiskIsNamed(t *testing.T) {
	s := startServer(t)
	if s.small == "" {
		t.Skip("a small disk can only be mounted by root")
	}
	conn := s.dial(t, s.options(t))
	err := conn.Upload(context.Background(), bytes.NewReader(make([]byte, 3<<20)), s.small+"/too-big", 0o600)
	want := `^upload /run/small/too-big on n1: the disk that holds /run/small is full \(0 of 1 MiB free\); make room there$`
	if err == nil || !regexp.MustCompile(want).MatchString(err.Error()) {
		t.Errorf("got %v", err)
	}
	out, err := conn.Run(context.Background(), nil, "ls", "-A", s.small)
	if err != nil || len(out) != 0 {
		t.Errorf("the failed upload left %q, %v", out, err)
	}
	if err := conn.Upload(context.Background(), strings.NewReader("fits"), s.small+"/fits", 0o600); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestAServerWithoutSFTPSaysSo(t *testing.T) {
	for name, line := range map[string]string{
		"none is configured":        "Subsystem other internal-sftp",
		"its program is not there":  "Subsystem sftp /nonexistent/sftp-server",
		"its program is not SFTP":   "Subsystem sftp /bin/true",
		"its program talks instead": "Subsystem sftp /bin/echo hello there, this is no protocol at all",
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, line)
			err := s.dial(t, s.options(t)).Upload(context.Background(), strings.NewReader("x"), t.TempDir()+"/x", 0o600)
			if err == nil || !strings.HasSuffix(err.Error(), `on n1: its sshd offers no SFTP; add "Subsystem sftp internal-sftp" to its sshd_config`) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestUploadsAreVerifiedWithoutAnyProgramOnTheNode(t *testing.T) {
	// With an empty search path there is no sha256sum (nor env), and the file is
	// read back instead.
	s := startServer(t, "SetEnv SHLVL=2 PATH=/nonexistent")
	conn := s.dial(t, s.options(t))
	if _, err := conn.Run(context.Background(), nil, "sha256sum", "--version"); err == nil {
		t.Skip("the server's search path cannot be emptied here")
	}
	path := t.TempDir() + "/file"
	sent := bytes.Repeat([]byte("content "), 100_000)
	if err := conn.Upload(context.Background(), bytes.NewReader(sent), path, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes arrived as %d: %v", len(sent), len(got), err)
	}
	var back bytes.Buffer
	if err := conn.Download(context.Background(), path, &back); err != nil || !bytes.Equal(back.Bytes(), sent) {
		t.Errorf("%d bytes came back as %d: %v", len(sent), back.Len(), err)
	}
}

func TestAFileThatArrivesChangedIsNeverPutInPlace(t *testing.T) {
	// A sha256sum that lies stands for a disk that does.
	dir := t.TempDir()
	write(t, dir+"/sha256sum", []byte("#!/bin/sh\necho "+strings.Repeat("0", 64)+"\n"))
	if err := os.Chmod(dir+"/sha256sum", 0o755); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, "SetEnv SHLVL=2 PATH="+dir+":/usr/bin:/bin")
	conn := s.dial(t, s.options(t))
	target := t.TempDir()
	err := conn.Upload(context.Background(), strings.NewReader("x"), target+"/file", 0o600)
	if err == nil || !strings.Contains(err.Error(), "read back: sha256 of the 1 bytes is 0000") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(target); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
	write(t, target+"/other", []byte("y"))
	if err := conn.Download(context.Background(), target+"/other", new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "verify: sha256 of the 1 bytes is 0000") {
		t.Errorf("download: %v", err)
	}
}

func TestAServerThatAllowsNoSessionSaysSo(t *testing.T) {
	t.Parallel()
	s := startServer(t, "MaxSessions 0")
	conn := s.dial(t, s.options(t))
	_, err := conn.Run(context.Background(), nil, "true")
	if err == nil || !strings.HasSuffix(err.Error(), "on n1: its sshd opens no further session; raise MaxSessions in its sshd_config to 10 or more") {
		t.Errorf("got %v", err)
	}
}
