package nemesis

import "nemesis/history"

// role is a part that a node plays in the system. Who plays it is only known when a
// fault strikes, so a step that is aimed at a role names no nodes until then.
type role struct {
	name string
	// who is the role in a sentence, node the machine that plays it, server the process.
	who, node, server string
	// nobody says that it is played by nobody.
	nobody string
	// leases: only workloads with leases have it. leads: only systems with leaders do.
	leases, leads bool
}

func roles() []role {
	return []role{
		{name: "leader", who: "leader", node: "the leader", server: "the leader's server", nobody: "nobody leads", leads: true},
		{name: "holder", who: "lease holder", node: "the lease holder's node", server: "the server on the lease holder's node", nobody: "nobody holds a lease", leases: true},
		{name: "grantor", who: "grantor", node: "the grantor's node", server: "the server on the grantor's node", nobody: "nobody grants leases", leases: true},
	}
}

// roleOf is the role that a target stands for.
func roleOf(target string) (role, bool) {
	for _, r := range roles() {
		if r.name == target {
			return r, true
		}
	}
	return role{}, false
}

// symbolic: whom the step hits is only known when it fires.
func symbolic(step history.Step) bool {
	_, is := roleOf(step.Target)
	return is && len(step.Nodes) == 0 && len(step.Links) == 0
}
