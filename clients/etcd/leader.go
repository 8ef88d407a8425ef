package etcd

import (
	"context"
	"maps"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"nemesis/clients"
	"nemesis/history"
)

// HasLeaders: one member leads, whatever the options.
func (System) HasLeaders(map[string]string) bool { return true }

// Leads asks all members at once and gives them a second where nodes are not slow.
func (d *deployment) Leads(ctx context.Context) ([]history.Lead, error) {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	members := slices.Collect(maps.Values(d.members))
	return d.views.Leads(ctx, len(members), func(ctx context.Context, i int) *clients.View { return members[i].view(ctx) }), nil
}

// view asks one member; nil when it does not answer.
func (m *member) view(ctx context.Context) *clients.View {
	// The official client's own Status opens a connection for each call.
	s, err := pb.NewMaintenanceClient(m.admin.ActiveConnection()).Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return nil
	}
	return &clients.View{Node: m.node.Name, ID: s.Header.GetMemberId(), Term: s.RaftTerm, Leader: s.Leader}
}
