package clients

import (
	"context"
	"sync"
	"time"

	"nemesis/history"
)

// View is what one server said about leadership where one server leads at a time: its own ID, the term it is in, and the ID
// of whom it takes for that term's leader (0 for nobody). A term is what grows from one leader to the next: Raft's term, or
// a ballot.
type View struct {
	Node             string
	ID, Term, Leader uint64
}

// Views finds out who leads by asking servers. The zero value is ready, and remembers which server has which ID.
type Views struct {
	mu    sync.Mutex
	names map[uint64]string
}

// lateClaims is how long to wait for a second claim once it is settled who leads.
const lateClaims = 100 * time.Millisecond

// Leads asks all of n servers at once, within the context's deadline, and decides from their answers (nil for none) who
// leads. A paused server holds nobody up for long: the answer is there once a majority settles it, and
// whoever else claims the same answers as quickly as they did.
func (v *Views) Leads(ctx context.Context, n int, ask func(ctx context.Context, i int) *View) []history.Lead {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan *View, n)
	for i := range n {
		go func() { answers <- ask(ctx, i) }()
	}
	var views []View
	for range n {
		if v := <-answers; v != nil {
			views = append(views, *v)
		}
		if settled(views, n) {
			late := time.AfterFunc(lateClaims, cancel)
			defer late.Stop()
		}
	}
	return leading(views, v.learn(views))
}

func (v *Views) learn(views []View) map[uint64]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.names == nil {
		v.names = map[uint64]string{}
	}
	known := map[uint64]string{}
	for _, view := range views {
		v.names[view.ID] = view.Node
	}
	for id, node := range v.names {
		known[id] = node
	}
	return known
}

// leading decides who leads from what the members that answered said. names maps
// the ids of members, those that did not answer included, to nodes.
//
// At most one leads in a term, and a later term ends all earlier ones,
// so only the views of the highest term count: a member that was paused or cut
// off goes on to claim an older term, and is no leader. Within the term, a claim
// counts, every one of them should there be two, and without any so does a follower
// that names somebody who did not answer: a leader that was just paused, or that only we
// cannot reach, still leads. A named member that answers otherwise has not seen its term
// yet, or has lost it.
func leading(views []View, names map[uint64]string) []history.Lead {
	var term uint64
	answered := map[uint64]bool{}
	for _, v := range views {
		term = max(term, v.Term)
		answered[v.ID] = true
	}
	named := ""
	var leads []history.Lead
	for _, v := range views {
		switch {
		case v.Term != term || v.Leader == 0:
		case v.Leader == v.ID:
			leads = append(leads, history.Lead{Node: v.Node, Term: int64(term)})
		case !answered[v.Leader]:
			named = names[v.Leader]
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
func settled(views []View, n int) bool {
	var term uint64
	for _, v := range views {
		term = max(term, v.Term)
	}
	there, claimed := 0, false
	for _, v := range views {
		if v.Term == term {
			there++
			claimed = claimed || v.Leader != 0 && v.Leader == v.ID
		}
	}
	return claimed && there > n/2
}
