package run

import (
	"context"
	"fmt"

	"nemesis/clients"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// MembersCommand is the subcommand of nemesis by which a node's agent changes the members of its cluster.
const MembersCommand = "members"

// join is how the server of a node is taken out of its cluster and in again, by the command that its agent runs.
func (r *runner) join(node string, change int) (*effects.Member, error) {
	joining, is := r.deployment.(clients.Joining)
	if !is {
		return nil, fmt.Errorf("the members of %s cannot be changed", r.system.Name())
	}
	j, err := joining.Join(node, change)
	if err != nil {
		return nil, err
	}
	e := &effects.Member{
		Process: j.Component, Command: []string{agent.OwnExecutable, MembersCommand, r.system.Name()},
		Address: j.Member.Address, NewID: j.Member.ID, Argv: j.Argv, First: j.First,
	}
	servers := ""
	for _, at := range j.Servers {
		servers += "," + at.String()
	}
	if servers == "" {
		return nil, fmt.Errorf("%s is the only node", node)
	}
	e.Command = append(e.Command, "--servers", servers[1:])
	for _, c := range r.servers.Components() {
		if c.Node == node && c.Name() == j.Component {
			e.Data = c.Data
		}
	}
	return e, nil
}

// voters are the nodes whose servers belong to the cluster, as the servers tell.
func (r *runner) voters(ctx context.Context) ([]string, error) {
	system, is := r.system.(clients.Membership)
	joining, can := r.deployment.(clients.Joining)
	if !is || !can {
		return nil, fmt.Errorf("the members of %s cannot be changed", r.system.Name())
	}
	nodes := map[string]string{}
	var one clients.Join
	for _, name := range r.plan.Cluster.Nodes {
		j, err := joining.Join(name, 0)
		if err != nil {
			return nil, err
		}
		nodes[j.Member.Address], one.Servers = name, append(one.Servers, j.Servers...)
	}
	members, err := system.Members(ctx, one.Servers)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range r.plan.Cluster.Nodes {
		for _, m := range members {
			if nodes[m.Address] == name {
				names = append(names, name)
			}
		}
	}
	return names, nil
}
