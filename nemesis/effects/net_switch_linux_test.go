package effects_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/nodes/local/localtest"
	"nemesis/nodes/netswitch"
)

// signalled sends a signal to the processes of a local node, which has its own, whose arguments
// contain a text; it says how many they are.
func signalled(t *testing.T, conn nodes.Conn, signal, text string) int {
	t.Helper()
	script := `for p in /proc/[0-9]*; do
		if tr '\0' ' ' <$p/cmdline 2>/dev/null | grep -q -e "$2" && [ ${p#/proc/} != $$ ]; then kill -$1 ${p#/proc/} && echo; fi
	done; true`
	out, err := conn.Run(t.Context(), nil, "sh", "-c", script, "sh", signal, text)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(out), "\n")
}

// With a switch that loses everything from n1 to n2 in force, n2 gets no answer of n1. Whatever
// is killed then, packets pass again by themselves.
func TestTheSwitchIsOutOfTheWayWhoeverIsKilled(t *testing.T) {
	cluster := localtest.Cluster(t, 2)
	n1, n2 := cluster.Nodes()[0], cluster.Nodes()[1]
	conn1 := localtest.Connect(t, cluster, "n1")
	connect := func(conn nodes.Conn) *agent.Client {
		c, err := agent.Connect(t.Context(), conn, agent.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background(), false) }) // it may have been killed
		return c
	}
	one, two := connect(conn1), connect(localtest.Connect(t, cluster, "n2"))
	e := &effects.Switch{ID: "f1", Peers: n2.Addresses(), Rule: netswitch.Rule{PacketChange: history.PacketChange{Loss: 1}}}
	if why, cannot := one.Facts().Cannot[e.Kind()]; cannot {
		t.Skip(why)
	}
	passes := func() bool {
		for _, a := range n1.Addresses() {
			got, err := two.ProbeTCP(t.Context(), netip.AddrPortFrom(a, 22), 300*time.Millisecond)
			if err != nil {
				t.Fatal(err)
			}
			if !got.OK {
				return false
			}
		}
		return true
	}
	free := func(after string) {
		t.Helper()
		for began := time.Now(); !passes(); {
			if time.Since(began) > time.Minute {
				t.Fatalf("after %s nothing passes", after)
			}
		}
	}
	apply := func(c *agent.Client) {
		t.Helper()
		for range 2 { // the second finds it there
			if err := c.Apply(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if passes() {
			t.Fatal("it loses nothing")
		}
		if seen, err := c.Probe(t.Context(), e.Glancing()); err != nil || !seen.Confirmed {
			t.Errorf("in force: %+v, %v", seen, err)
		}
	}
	undo := func(c *agent.Client) {
		t.Helper()
		for range 2 {
			if err := c.Undo(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		if seen, err := c.Probe(t.Context(), e); err != nil || !seen.Confirmed || seen.Summary != "no switch of it is left" {
			t.Errorf("undone: %+v, %v", seen, err)
		}
	}
	free("nothing")

	apply(one)
	if n := signalled(t, conn1, "KILL", "agent work net.switch"); n != 1 {
		t.Fatalf("%d switches were killed", n)
	}
	free("a kill of the switch")
	if seen, err := one.Probe(t.Context(), e); err != nil || !seen.Undone || seen.Confirmed {
		t.Errorf("a switch that was killed: %+v, %v", seen, err)
	}
	undo(one)

	apply(one)
	if n := signalled(t, conn1, "STOP", "agent work net.switch"); n != 1 {
		t.Fatalf("%d switches were stopped", n)
	}
	undo(one) // of one that does not do as it is told
	free("an undo")

	apply(one)
	if n := signalled(t, conn1, "KILL", "agent --"); n < 2 {
		t.Fatalf("%d agents and watchdogs were killed", n)
	}
	free("a kill of the agent and of its watchdog")
	again := connect(localtest.Connect(t, cluster, "n1"))
	// Unless the watchdog was quicker than its own end.
	if left := again.Facts().Leftovers; len(left) > 1 || len(left) == 1 && !strings.HasPrefix(left[0], "net.switch f1") {
		t.Errorf("the next agent undid %q", left)
	}
	undo(again)
}

func TestSwitchesThatCannotBe(t *testing.T) {
	n := newNode(t)
	here := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	for want, e := range map[string]*effects.Switch{
		"it names no peer":                          {ID: "f1", Rule: netswitch.Rule{Damage: 1}},
		"it changes nothing about packets":          {ID: "f1", Peers: here},
		"damage is a share from 0 to 1, not 2":      {ID: "f1", Peers: here, Rule: netswitch.Rule{Damage: 2}},
		"the way to 127.0.0.1 is lo":                {ID: "f1", Peers: here, Rule: netswitch.Rule{Damage: 1}},
		"up to 32 letters, digits, dashes and unde": {ID: "../f1", Peers: here, Rule: netswitch.Rule{Damage: 1}},
	} {
		if why, cannot := n.Facts().Cannot[e.Kind()]; cannot {
			t.Skip(why)
		}
		if err := n.Apply(t.Context(), e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
