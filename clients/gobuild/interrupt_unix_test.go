//go:build unix

package gobuild

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nemesis/nodes/forks"
)

// Ctrl-C must not leave compilers behind, which the go command starts as its children.
func TestInterruptEndsTheCompilersToo(t *testing.T) {
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "pid")
	script := "#!/bin/sh\nsleep 1000 &\necho $! > " + pidFile + ".new && mv " + pidFile + ".new " + pidFile + "\nwait\n"
	must(t, os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755))
	forks.Settle(filepath.Join(dir, "go"))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	cache := t.TempDir()
	go func() {
		_, err := Build(ctx, helloCommand(), cache, new(bytes.Buffer))
		ended <- err
	}()
	var pid int
	for deadline := time.Now().Add(time.Minute); pid == 0; time.Sleep(5 * time.Millisecond) {
		content, _ := os.ReadFile(pidFile)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(content)))
		if time.Now().After(deadline) {
			t.Fatal("the go command that is none did not start")
		}
	}
	cancel()
	oneLine(t, <-ended, "go get was interrupted")
	leftovers(t, cache)
	for deadline := time.Now().Add(time.Minute); !gone(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d outlives the build", pid)
		}
	}
}

// gone reports whether a process has ended. An orphan that nobody has waited for
// yet, as in a container without an init, counts.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z")
}
