package history

// Role is one kind of server of a system, and the nodes that have one of it.
type Role struct {
	Name  string   `json:"name"`
	Nodes []string `json:"nodes"`
}

// Roles are the kinds of servers of a plan's cluster, the main one first: every node has
// one server with the system's name for a role, unless the plan says otherwise.
func (p Plan) Roles() []Role {
	if len(p.Cluster.Roles) > 0 {
		return p.Cluster.Roles
	}
	return []Role{{Name: p.System.Name, Nodes: p.Cluster.Nodes}}
}
