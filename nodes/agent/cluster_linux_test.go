package agent_test

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"time"

	"nemesis/nemesis/effects"
	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/nodes/local/localtest"
)

func connect(t *testing.T, conn nodes.Conn) *agent.Client {
	t.Helper()
	c, err := agent.Connect(context.Background(), conn, agent.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background(), false); err != nil {
			t.Error(err)
		}
	})
	return c
}

// reach tells whether a node's SSH port answers another node.
func reach(t *testing.T, from *agent.Client, to netip.Addr) agent.Connection {
	t.Helper()
	got, err := from.ProbeTCP(context.Background(), netip.AddrPortFrom(to, 22), 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAPartitionOfLocalNodesCutsBothFamiliesAndHeals(t *testing.T) {
	cluster := localtest.Cluster(t, 3)
	clients := map[string]*agent.Client{}
	for _, n := range cluster.Nodes() {
		began := time.Now()
		clients[n.Name] = connect(t, localtest.Connect(t, cluster, n.Name))
		t.Logf("%s: agent after %v", n.Name, time.Since(began).Round(time.Millisecond))
	}
	ctx := context.Background()
	n1, n2, n3 := cluster.Nodes()[0], cluster.Nodes()[1], cluster.Nodes()[2]
	addresses := append(n2.Addresses(), n3.Addresses()...)
	for _, a := range addresses {
		if got := reach(t, clients["n1"], a); !got.OK {
			t.Fatalf("before the cut, %s: %s", a, got.Err)
		}
	}

	cut := map[string]*effects.Drop{
		"n1": {ID: "f1", Peers: addresses, In: true, Out: true},
		"n2": {ID: "f1", Peers: n1.Addresses(), In: true, Out: true},
		"n3": {ID: "f1", Peers: n1.Addresses(), In: true, Out: true},
	}
	began := time.Now()
	each(t, cut, func(node string, d *effects.Drop) {
		if err := clients[node].Apply(ctx, d); err != nil {
			t.Error(err)
		}
		t.Logf("%s: cut after %v", node, time.Since(began).Round(100*time.Microsecond))
	})
	for _, a := range addresses {
		if got := reach(t, clients["n1"], a); got.OK {
			t.Errorf("%s still answers through the cut", a)
		}
	}
	if got := reach(t, clients["n2"], n3.Address); !got.OK {
		t.Errorf("n2 and n3 are on the same side: %s", got.Err)
	}
	// The cut is silent in both directions, so what n1 sent left its own counters only.
	evidence, err := clients["n1"].Probe(ctx, cut["n1"])
	if err != nil || !evidence.Confirmed {
		t.Fatalf("%+v, %v", evidence, err)
	}
	t.Log(evidence.Summary)

	each(t, cut, func(node string, d *effects.Drop) {
		if err := clients[node].Undo(ctx, d); err != nil {
			t.Error(err)
		}
		if evidence, err := clients[node].Probe(ctx, d); err != nil || !evidence.Confirmed {
			t.Errorf("%s: %+v, %v", node, evidence, err)
		}
	})
	for _, a := range addresses {
		if got := reach(t, clients["n1"], a); !got.OK {
			t.Errorf("after the heal, %s: %s", a, got.Err)
		}
	}
}

func TestEffectsAreUndoneWhenTheControlNodeVanishes(t *testing.T) {
	cluster := localtest.Cluster(t, 2)
	ctx := context.Background()
	n1, n2 := cluster.Nodes()[0], cluster.Nodes()[1]
	conn, err := cluster.Connect(ctx, n1.Name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := agent.Connect(ctx, conn, agent.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other := connect(t, localtest.Connect(t, cluster, n2.Name))
	spec := agent.ProcessSpec{Name: "server", Argv: []string{"sleep", "1000"}}
	before, err := c.StartProcess(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []agent.Effect{
		&effects.Drop{ID: "f1", Peers: n2.Addresses(), In: true, Out: true},
		&effects.Pause{ID: "f2", Process: "server"},
	} {
		if err := c.Apply(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	if got := reach(t, other, n1.Address); got.OK {
		t.Fatal("the network is not cut")
	}

	began := time.Now()
	conn.Close() // no goodbye: as when the control process is killed
	<-c.Lost()
	eventually(t, "the network is whole", func() bool { return reach(t, other, n1.Address).OK })
	t.Logf("whole again after %v", time.Since(began).Round(time.Millisecond))
	again := connect(t, localtest.Connect(t, cluster, n1.Name))
	if f := again.Facts(); len(f.Leftovers)+len(f.Stuck) > 0 {
		t.Errorf("the agent left %q %q to the next", f.Leftovers, f.Stuck)
	}
	if got, err := again.ProcessState(ctx, "server"); err != nil || got != before {
		t.Errorf("the server was %+v and is %+v, %v", before, got, err)
	}
}

func each(t *testing.T, cut map[string]*effects.Drop, do func(string, *effects.Drop)) {
	t.Helper()
	var all sync.WaitGroup
	for node, d := range cut {
		all.Go(func() { do(node, d) })
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
