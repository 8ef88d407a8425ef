package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// A run is refused before it begins when this process may not open as many connections as
// its clients need.
func TestTooFewDescriptorsAreRefusedBeforeTheRun(t *testing.T) {
	for _, c := range []struct {
		limit, clients int
		nodes          string
	}{{256, 400, "local:3"}, {40, 100, "local:3"}, {1024, 1500, "root@192.0.2.1"}} {
		run := invocation(t, "run", "etcd", "--nodes", c.nodes, "--faults", "none", "--concurrency", fmt.Sprint(c.clients))
		limited := exec.Command("sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d; exec "$0" "$@"`, c.limit), run.Path}, run.Args[1:]...)...)
		limited.Dir, limited.SysProcAttr = run.Dir, run.SysProcAttr
		o := finish(t, limited)
		o.want(t, usageCode)
		want := fmt.Sprintf("run %d clients: ", c.clients)
		if !strings.Contains(o.text, want) || !strings.Contains(o.text, fmt.Sprintf("this process may have %d; raise the limit", c.limit)) || strings.Count(o.text, "\n") != 1 {
			t.Errorf("it says:\n%s", o.text)
		}
	}
}
