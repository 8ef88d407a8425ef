// Package conformance says in tests what every node connection must do,
// whatever the machine behind it is.
//
// A backend's own test opens connections, and the stories here are told over
// them:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, func(t *testing.T) nodes.Conn { return connect(t) })
//	}
//
// The node needs a POSIX sh and the usual small programs (cat, printf, sleep,
// kill). All files go into one directory under /tmp of the node, which is taken
// away at the end.
package conformance

import (
	"context"
	"fmt"
	"testing"
	"time"

	"nemesis/nodes"
)

// patience is how long a story may wait for the node before it has failed. No
// story passes or fails by being fast.
const patience = 60 * time.Second

// Run tells all stories over connections that open makes. The connections are
// closed here; open fails the test itself when it cannot make one.
func Run(t *testing.T, open func(t *testing.T) nodes.Conn) {
	stories := []struct {
		name string
		tell func(*testing.T, node)
	}{
		{"every argument reaches the program byte for byte", arguments},
		{"a program is run and not the shell's builtin", builtins},
		{"what cannot be an argument is refused", impossibleArguments},
		{"standard input reaches standard output", stdin},
		{"a program need not read its input", unreadInput},
		{"a failing program's status and last words come back", exits},
		{"a missing program is an exit error", missingProgram},
		{"what a program says cannot break the log", hostileWords},
		{"many programs run side by side", parallel},
		{"a cancelled program is killed", cancellation},
		{"a stream carries both ways until its input is closed", stream},
		{"a stream outlives the context that started it", streamContext},
		{"a closed stream ends the program's input", abandonedStream},
		{"an ended stream tells its status", streamStatus},
		{"a file makes the round trip", roundTrip},
		{"an upload replaces what was there, mode and all", replace},
		{"an upload that fails leaves no trace", noTrace},
		{"a transfer stops with its context", cancelledTransfer},
		{"many transfers go side by side", parallelTransfers},
		{"what cannot be transferred is told in one line", impossibleTransfers},
		{"a closed connection is lost and says so", closed},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) { s.tell(t, begin(t, open(t))) })
	}
}

// node is a connection with what the stories have in common.
type node struct {
	nodes.Conn
	ctx context.Context
	dir string // on the node, for this story alone
}

func begin(t *testing.T, conn nodes.Conn) node {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	n := node{conn, ctx, fmt.Sprintf("/tmp/nemesis-conformance-%x", time.Now().UnixNano())}
	t.Cleanup(func() {
		cancel()
		last, cancel := context.WithTimeout(context.Background(), patience) // the story's own may be used up
		defer cancel()
		conn.Run(last, nil, "rm", "-rf", "--", n.dir)
		conn.Close()
	})
	n.run(t, "mkdir", n.dir)
	return n
}

// run is Run for programs that must not fail.
func (n node) run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := n.Run(n.ctx, nil, argv...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// eventually waits for a condition on the node.
func (n node) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for !holds() {
		select {
		case <-n.ctx.Done():
			t.Fatalf("%s: not within %v", what, patience)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
