package run

import (
	"nemesis/checker"
	"nemesis/history"
	"nemesis/nodes"
)

// What a run needs of the control node's descriptors besides one for each client: for each
// node (SSH, its agent, the system's own connections) and for nemesis itself.
const (
	descriptorsPerNode = 8
	descriptorsOfOwn   = 64
)

// room is what the control node has for connections; 0 is not known.
type room struct {
	descriptors uint64
	// ports is how many clients of one node can be connected at once.
	ports int
}

// CheckRoom says why this process cannot have as many connections as a plan's clients need,
// having raised its limit as far as it may. Where nothing is known it says nothing. The
// error is a UsageError.
func CheckRoom(plan history.Plan) error {
	return checkRoom(plan, room{descriptors: nodes.RaiseDescriptors(descriptorsFor(plan))})
}

// checkPorts is CheckRoom for the ports of the network that the run is in.
func checkPorts(plan history.Plan) error { return checkRoom(plan, room{ports: localPorts()}) }

// descriptorsFor is how many a run opens.
func descriptorsFor(plan history.Plan) uint64 {
	return uint64(max(plan.Workload.Concurrency, 0) + descriptorsPerNode*len(plan.Cluster.Nodes) + descriptorsOfOwn)
}

func checkRoom(plan history.Plan, have room) error {
	clients, machines := plan.Workload.Concurrency, max(len(plan.Cluster.Nodes), 1)
	if need := descriptorsFor(plan); have.descriptors > 0 && need > have.descriptors {
		return usage("run %d clients: on %s they need %d file descriptors, and this process may have %d; raise the limit (ulimit -n %d) or lower --concurrency",
			clients, checker.Plural(machines, "node"), need, have.descriptors, need)
	}
	if each := (clients + machines - 1) / machines; have.ports > 0 && each > have.ports {
		return usage("run %d clients: %d of them talk to one node and need a local port each, and net.ipv4.ip_local_port_range has %d; widen it (sysctl) or lower --concurrency",
			clients, each, have.ports)
	}
	return nil
}
