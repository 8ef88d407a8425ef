//go:build linux

package main

import (
	"slices"
	"strings"
	"testing"

	"nemesis/checker"
)

// TestLockGoesAroundUnderFaults kills, pauses and cuts off the nodes of a ring, and holds their steps to the specification.
func TestLockGoesAroundUnderFaults(t *testing.T) {
	t.Parallel()
	needsLocalNodes(t)
	o := finish(t, invocation(t, "run", "lock", "--nodes", "local:3", "--set", "trace=on", "--set", "hold=50ms", "--faults", "partition,kill,pause",
		"--fault-interval", "3s", "--time-limit", "12s", "--seed", "3"))
	o.want(t, checker.Valid.ExitCode())
	v := o.verdict(t)
	wantFaults(t, v, "partition", "kill", "pause")
	for _, name := range []string{"ownership", "refinement"} {
		i := slices.IndexFunc(v.Results, func(r checker.Result) bool { return r.Checker == name })
		if i < 0 || v.Results[i].Outcome != checker.Valid {
			t.Errorf("%s: %+v", name, v.Results)
		}
	}
	if !strings.Contains(refinementOf(t, v).Summary, "the specification lock allows") {
		t.Errorf("got %s", refinementOf(t, v).Summary)
	}
}

func TestLockServersRefuseWhatTheyCannotBe(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"server lock --id 3 --members 127.0.0.1:1,127.0.0.1:2 --data x", "server lock: --id is 3 and there are 2 --members"},
		{"server lock --id 1 --members 127.0.0.1:1 --data x --hold 0s", "--hold is 0s"},
	} {
		o := finish(t, invocation(t, strings.Fields(c.args)...))
		if o.code != usageCode || !strings.Contains(o.text, c.want) || strings.Count(o.text, "\n") != 1 {
			t.Errorf("%s: exit status %d, %q", c.args, o.code, o.text)
		}
	}
}
