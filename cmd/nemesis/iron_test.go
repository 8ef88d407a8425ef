//go:build linux

package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"nemesis/checker"
	"nemesis/history"
)

// TestIronServersAreTestedByTheirProtocols runs fakes of the servers of the IronFleet paper on real nodes, by both wires.
func TestIronServersAreTestedByTheirProtocols(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ system, fake, wire, workload, says string }{
		{"ironrsl", "rsl", "udp", "increment", "at-least-once: seen, and allowed by the claim: "},
		{"ironrsl", "rsl", "tcp", "register", "at-least-once"},
		{"ironkv", "kv", "udp", "register", "linearizable"},
		{"ironkv", "kv", "tcp", "register", "linearizable"},
		{"ironlock", "lock", "udp", "ring", "ownership"},
		{"ironlock", "lock", "tcp", "ring", "ownership"},
	} {
		t.Run(c.system+" "+c.wire, func(t *testing.T) {
			t.Parallel()
			o := finish(t, invocation(t, "run", c.system, "--nodes", "local:2", "--binary", self, "--workload", c.workload, "--faults", "none",
				"--time-limit", "3s", "--rate", "100", "--set", "wire="+c.wire, "--set", "command={binary} "+fakeIron+" "+c.fake+" "+c.wire+" {index} {address} {port} {peers}"))
			o.want(t, checker.Valid.ExitCode())
			said := false
			for _, r := range o.verdict(t).Results {
				said = said || strings.Contains(r.Checker+": "+r.Summary, c.says)
			}
			if !said {
				t.Errorf("nobody says %q:\n%s", c.says, o.text)
			}
		})
	}
}

// TestACrashStopSystemIsNotHeldToRestarts kills the server that has everything, and starts it again.
func TestACrashStopSystemIsNotHeldToRestarts(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := finish(t, invocation(t, "run", "ironrsl", "--nodes", "local:2", "--binary", self, "--workload", "increment", "--faults", "kill", "--fault-target", "all", "--fault-interval", "3s",
		"--time-limit", "6s", "--rate", "50", "--set", "command={binary} "+fakeIron+" rsl udp {index} {address} {port} {peers}"))
	o.want(t, checker.Exceeded.ExitCode())
	v := o.verdict(t)
	if !slices.ContainsFunc(v.Assumptions, func(a checker.Assumption) bool {
		return a.Name == history.CrashStop && a.Exceeded && strings.Contains(a.Why, "was started again by")
	}) {
		t.Errorf("nobody is told which assumption was exceeded: %+v", v.Assumptions)
	}
}

func TestIronServersNeedACommand(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"run", "ironkv", "--faults", "none", "--nodes", "local:1"}, "start ironkv: nobody says how; give --set command="},
		{[]string{"run", "ironrsl", "--faults", "none", "--nodes", "local:1", "--set", "command={binary} x"}, "the command names {binary}; give the file with --binary"},
		{[]string{"run", "ironrsl", "--version", "7"}, "nemesis has no ironrsl"},
	} {
		o := finish(t, invocation(t, c.args...))
		if o.code == 0 || !strings.Contains(o.text, c.want) {
			t.Errorf("%q: exit status %d, %q", c.args, o.code, o.text)
		}
	}
}
