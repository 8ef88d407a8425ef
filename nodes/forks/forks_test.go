package forks_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"nemesis/nodes/forks"
)

// churn forks in other threads until the test ends.
func churn(t *testing.T) {
	t.Helper()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = exec.Command("true").Run()
				}
			}
		})
	}
	t.Cleanup(func() { close(stop); wg.Wait() })
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestSettledProgramIsNotBusy(t *testing.T) {
	churn(t)
	dir := t.TempDir()
	for i := range 60 {
		path := filepath.Join(dir, strconv.Itoa(i))
		write(t, path)
		forks.Settle(path)
		// env, and not we, executes it: our own fork would wait for the others itself.
		if out, err := exec.Command("env", path).CombinedOutput(); err != nil {
			t.Fatalf("program %d: %v: %s", i, err, out)
		}
	}
}

func TestSettleWaitsForAWriter(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells who holds a file open")
	}
	path := filepath.Join(t.TempDir(), "program")
	write(t, path)
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	settled := make(chan struct{})
	go func() { forks.Settle(path); close(settled) }()
	select {
	case <-settled:
		t.Error("the file is held open for writing, and Settle did not wait")
	case <-time.After(100 * time.Millisecond):
	}
	writer.Close()
	<-settled
}

func TestSettleDoesNotWaitForAFileThatIsNotThere(t *testing.T) {
	forks.Settle(filepath.Join(t.TempDir(), "missing"))
}

func TestSettleWaitsForAForkThatHoldsTheFile(t *testing.T) {
	// As package syscall does while it forks.
	syscall.ForkLock.Lock()
	settled := make(chan struct{})
	go func() { forks.Settle(); close(settled) }()
	select {
	case <-settled:
		t.Error("a child may hold the file open, and Settle did not wait")
	case <-time.After(100 * time.Millisecond):
	}
	syscall.ForkLock.Unlock()
	<-settled
}
