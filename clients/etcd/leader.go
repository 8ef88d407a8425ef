package etcd

import (
	"context"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"nemesis/history"
)

// view is what one member said about leadership: its own id, the term it is in,
// and whom it takes for that term's leader (0 for nobody).
type view struct {
	node             string
	id, term, leader uint64
}

// leading decides who leads from what the members that answered said. names maps
// the ids of members, those that did not answer included, to nodes.
//
// Raft elects at most one leader a term, and a later term ends all earlier ones,
// so only the views of the highest term count: a member that was paused or cut
// off goes on to claim an older term, and is no leader. Within the term, a claim
// counts, every one of them should there be two, and without any so does a follower
// that names somebody who did not answer: a leader that was just paused, or that only we
// cannot reach, still leads. A named member that answers otherwise has not seen its term
// yet, or has lost it.
func leading(views []view, names map[uint64]string) []history.Lead {
	var term uint64
	answered := map[uint64]bool{}
	for _, v := range views {
		term = max(term, v.term)
		answered[v.id] = true
	}
	named := ""
	var leads []history.Lead
	for _, v := range views {
		switch {
		case v.term != term || v.leader == 0:
		case v.leader == v.id:
			leads = append(leads, history.Lead{Node: v.node, Term: int64(term)})
		case !answered[v.leader]:
			named = names[v.leader]
		}
	}
	if len(leads) == 0 && named != "" {
		leads = append(leads, history.Lead{Node: named, Term: int64(term)})
	}
	return history.SortedLeads(leads)
}

// settled reports whether no further answer can change who leads: a member claims
// the highest term, and a majority of the n members is in that term. Whoever led a
// later one would have had a vote from one of those.
func settled(views []view, n int) bool {
	var term uint64
	for _, v := range views {
		term = max(term, v.term)
	}
	there, claimed := 0, false
	for _, v := range views {
		if v.term == term {
			there++
			claimed = claimed || v.leader != 0 && v.leader == v.id
		}
	}
	return claimed && there > n/2
}

// leaders remembers which member has which id.
type leaders struct {
	mu    sync.Mutex
	names map[uint64]string
}

func (l *leaders) learn(views []view) map[uint64]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.names == nil {
		l.names = map[uint64]string{}
	}
	known := map[uint64]string{}
	for _, v := range views {
		l.names[v.id] = v.node
	}
	for id, node := range l.names {
		known[id] = node
	}
	return known
}

// HasLeaders: one member leads, whatever the options.
func (System) HasLeaders(map[string]string) bool { return true }

// lateClaims is how long to wait for a second claim once it is settled who leads.
const lateClaims = 100 * time.Millisecond

// Leads asks all members at once and gives them a second where nodes are not slow. A
// paused one holds nobody up for long: the answer is there once a majority settles it, and
// whoever else claims the same answers as quickly as they did.
func (d *deployment) Leads(ctx context.Context) ([]history.Lead, error) {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()
	answers := make(chan *view, len(d.members))
	for _, m := range d.members {
		go func() { answers <- m.view(ctx) }()
	}
	var views []view
	for range d.members {
		if v := <-answers; v != nil {
			views = append(views, *v)
		}
		if settled(views, len(d.members)) {
			late := time.AfterFunc(lateClaims, cancel)
			defer late.Stop()
		}
	}
	return leading(views, d.leaders.learn(views)), nil
}

// view asks one member; nil when it does not answer.
func (m *member) view(ctx context.Context) *view {
	// The official client's own Status opens a connection for each call.
	s, err := pb.NewMaintenanceClient(m.admin.ActiveConnection()).Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return nil
	}
	return &view{node: m.node.Name, id: s.Header.GetMemberId(), term: s.RaftTerm, leader: s.Leader}
}
