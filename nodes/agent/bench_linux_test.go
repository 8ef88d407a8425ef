package agent_test

import (
	"context"
	"crypto/rand"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
	"nemesis/nodes/local/localtest"
)

// benchNode is the agent of a local node, reached over SSH.
func benchNode(b *testing.B) *agent.Client {
	b.Helper()
	cluster := localtest.Cluster(b, 1)
	c, err := agent.Connect(context.Background(), localtest.Connect(b, cluster, "n1"), agent.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(context.Background(), false) })
	return c
}

// One agent started, greeted and closed on a node that has the binary.
func BenchmarkConnect(b *testing.B) {
	cluster := localtest.Cluster(b, 1)
	conn := localtest.Connect(b, cluster, "n1")
	session := func() {
		c, err := agent.Connect(context.Background(), conn, agent.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Close(context.Background(), false); err != nil {
			b.Fatal(err)
		}
	}
	session() // uploads
	for b.Loop() {
		session()
	}
}

// One fault on one node and back: two ledger writes, two nftables transactions.
func BenchmarkDropAndUndo(b *testing.B) {
	c := benchNode(b)
	peers := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	drop := &effects.Drop{ID: "bench", Peers: peers, In: true, Out: true}
	for b.Loop() {
		if err := c.Apply(context.Background(), drop); err != nil {
			b.Fatal(err)
		}
		if err := c.Undo(context.Background(), drop); err != nil {
			b.Fatal(err)
		}
	}
}

// A server binary that the node does not have.
func BenchmarkUpload(b *testing.B) {
	c := benchNode(b)
	content := make([]byte, 32<<20)
	local := filepath.Join(b.TempDir(), "local")
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		b.StopTimer()
		_, _ = rand.Read(content)
		if err := os.WriteFile(local, content, 0o600); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := c.Upload(context.Background(), local, "server", 0o755); err != nil {
			b.Fatal(err)
		}
	}
}

// The same binary once more.
func BenchmarkUploadAgain(b *testing.B) {
	c := benchNode(b)
	content := make([]byte, 32<<20)
	local := filepath.Join(b.TempDir(), "local")
	if err := os.WriteFile(local, content, 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if err := c.Upload(context.Background(), local, "server", 0o755); err != nil {
			b.Fatal(err)
		}
	}
}
