package run

import (
	"errors"
	"fmt"
	"testing"

	"nemesis/history"
)

func TestARunWithoutRoomForItsClientsIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		clients, nodes int
		have           room
		want           string
	}{
		"enough":           {clients: 400, nodes: 3, have: room{descriptors: 1024, ports: 28232}},
		"nothing is known": {clients: 4000, nodes: 3},
		"too few descriptors": {clients: 400, nodes: 3, have: room{descriptors: 256},
			want: "run 400 clients: on 3 nodes they need 488 file descriptors, and this process may have 256; raise the limit (ulimit -n 488) or lower --concurrency"},
		"far too few": {clients: 100, nodes: 1, have: room{descriptors: 40},
			want: "run 100 clients: on 1 node they need 172 file descriptors, and this process may have 40; raise the limit (ulimit -n 172) or lower --concurrency"},
		"just enough ports": {clients: 300, nodes: 3, have: room{ports: 100}},
		"too few ports": {clients: 301, nodes: 3, have: room{ports: 100},
			want: "run 301 clients: 101 of them talk to one node and need a local port each, and net.ipv4.ip_local_port_range has 100; widen it (sysctl) or lower --concurrency"},
	} {
		t.Run(name, func(t *testing.T) {
			plan := history.Plan{Workload: history.Workload{Concurrency: c.clients}}
			for i := range c.nodes {
				plan.Cluster.Nodes = append(plan.Cluster.Nodes, fmt.Sprint("n", i+1))
			}
			err := checkRoom(plan, c.have)
			var usage *UsageError
			switch {
			case c.want == "" && err != nil:
				t.Errorf("it is refused: %v", err)
			case c.want != "" && (!errors.As(err, &usage) || err.Error() != c.want):
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
	for text, want := range map[string]int{"32768\t60999\n": 28232, "1024 1024": 1, "9 8": 0, "": 0, "a b": 0} {
		if got := portsIn(text); got != want {
			t.Errorf("the range %q has %d ports, want %d", text, got, want)
		}
	}
	if localPorts() == 0 {
		t.Error("this machine's own ports are not known")
	}
}
