//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"nemesis/checker"
)

// After kill -9 of the control process the servers do not run on: nodes heal stops them,
// with a child that has left the server's session. What --keep leaves is told, and stopped
// when asked.
func TestNodesHealStopsWhatAKilledRunLeft(t *testing.T) {
	if !inWorld(t) {
		return
	}
	etcd := server(t)
	m := startMachines(t, 1)
	const running = `pgrep -x etcd >/dev/null && echo yes || echo no`
	is := func(want string) bool {
		deadline := time.Now().Add(time.Minute)
		for {
			got, err := m.sh(t, "n1", running)
			if err == nil && got == want {
				return true
			}
			if time.Now().After(deadline) {
				return false
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	heal := func(want string, flags ...string) {
		t.Helper()
		o := finish(t, invocation(t, append(append([]string{"nodes", "heal"}, flags...), m.flags...)...))
		o.want(t, 0)
		if !strings.Contains(o.text, want) {
			t.Errorf("nodes heal says\n%swant …%s…", o.text, want)
		}
	}

	cmd := invocation(t, append([]string{"run", "etcd", "--time-limit", "2m", "--faults", "none", "--binary", etcd}, m.flags...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !is("yes") {
		t.Error("the server does not come up")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	heal("stopped etcd (pid ")
	if !is("no") {
		t.Error("the server runs on after nodes heal")
	}
	heal("nothing to undo")

	o := finish(t, invocation(t, append([]string{"run", "etcd", "--time-limit", "5s", "--faults", "none", "--keep", "--binary", etcd}, m.flags...)...))
	o.want(t, checker.Valid.ExitCode())
	heal("left running, as --keep asked, etcd (pid ")
	if !is("yes") {
		t.Error("nodes heal stopped a server that --keep left")
	}
	heal("stopped etcd (pid ", "--stop-kept")
	if !is("no") {
		t.Error("--stop-kept did not stop it")
	}
}
