// Package localtest lets the tests of any package run on local nodes.
//
// A package hands its TestMain over, and its tests then run inside a private world,
// as on a machine of their own, where each makes the cluster it needs:
//
//	func TestMain(m *testing.M) { os.Exit(localtest.Main(m)) }
//
//	func TestServerStarts(t *testing.T) {
//		cluster := localtest.Cluster(t, 3)
//		conn := localtest.Connect(t, cluster, "n1")
//		…
//
// Where local nodes are impossible the tests run as ever, and those that ask for a
// cluster are skipped with the reason.
package localtest

import (
	"context"
	"flag"
	"os"
	"runtime"
	"testing"
	"time"

	"nemesis/nodes"
	"nemesis/nodes/local"
)

// refused passes the reason why there is no world from Main to the tests.
const refused = "NEMESIS_LOCAL_REFUSED"

// patience is how long a cluster or a connection may take on a machine that is busy.
const patience = time.Minute

// Main runs the tests in a private world, and returns the exit code.
func Main(m *testing.M) int {
	if len(os.Args) > 1 && os.Args[1] == local.Command {
		return local.Main(os.Args[2:])
	}
	if local.Inside() {
		WaitTogether()
		return m.Run()
	}
	code, err := local.Run(context.Background(), local.World{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		os.Setenv(refused, err.Error())
		return m.Run()
	}
	return code
}

// WaitTogether lets four parallel tests of this process run at once on a small machine,
// unless -parallel says otherwise. Tests of real servers wait more than they compute, and
// as many as there are processors would leave these idle. Call it in TestMain.
func WaitTogether() {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked && runtime.GOMAXPROCS(0) < 4 {
		_ = flag.Set("test.parallel", "4")
	}
}

// Need skips the test where there are no local nodes.
func Need(t testing.TB) {
	t.Helper()
	if reason := os.Getenv(refused); reason != "" {
		t.Skip(reason)
	}
	if !local.Inside() {
		t.Fatal("this package's TestMain does not call localtest.Main")
	}
}

// Cluster makes n local nodes that live as long as the test. One test has one
// cluster at a time, so tests that use it do not run in parallel.
func Cluster(t testing.TB, n int) *local.Cluster {
	t.Helper()
	Need(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cluster, err := local.New(ctx, local.Options{N: n, CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

// Connect opens a connection that lives as long as the test.
func Connect(t testing.TB, cluster nodes.Cluster, name string) nodes.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := cluster.Connect(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
