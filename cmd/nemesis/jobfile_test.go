//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A kill -9 of the outer process of a local cluster, at whatever moment, leaves nothing in
// the directory for temporary files.
func TestKilledOuterProcessLeavesNoTemporaryFiles(t *testing.T) {
	needsLocalNodes(t)
	for _, after := range []time.Duration{20 * time.Millisecond, 60 * time.Millisecond, 200 * time.Millisecond, time.Second} {
		cmd := invocation(t, "nodes", "check", "--nodes", "local:1")
		temp := t.TempDir()
		cmd.Env = append(os.Environ(), "TMPDIR="+temp)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after) // a moment to strike at, not one to wait for
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		left, err := filepath.Glob(temp + "/*")
		if err != nil || len(left) > 0 {
			t.Errorf("killed after %s: left %q, %v", after, left, err)
		}
	}
}
