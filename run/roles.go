package run

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"nemesis/history"
)

// roles knows which node plays which part at the moment a fault fires.
//
// Who leads, and who grants leases, is asked of the system. Who holds a lease is
// what the clients last heard: the node that the holder talks to is the holder's
// node. It is safe for concurrent use.
type roles struct {
	// leader and grantor ask the system; see clients.Abilities.
	leader, grantor func(context.Context) (string, error)

	mu    sync.Mutex
	holds []hold // in order of the grants
}

// hold is a lease that a process has got and, as far as it knows, still has.
type hold struct {
	key     string
	process int
	node    string
}

// of finds the node that plays a role; "" when nobody does.
func (r *roles) of(ctx context.Context, role string) (string, error) {
	switch role {
	case "leader":
		return r.leader(ctx)
	case "grantor":
		return r.grantor(ctx)
	case "holder":
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.holds) == 0 {
			return "", errors.New("no client holds anything now")
		}
		// The newest: the others are nearer to their end.
		return r.holds[len(r.holds)-1].node, nil
	}
	return "", fmt.Errorf("find the %s: there is no such role", role)
}

// see takes note of how an operation ended.
func (r *roles) see(ev *history.Event) {
	switch ev.F {
	case history.FAcquire, history.FRenew, history.FRelease:
	default:
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case ev.F == history.FAcquire && ev.Type == history.OK:
		r.drop(ev.Key, ev.Process)
		r.holds = append(r.holds, hold{ev.Key, ev.Process, ev.Node})
	case ev.Type == history.Info, ev.F == history.FRelease && ev.Type == history.OK, gone(ev):
		// After an unknown outcome the process is no more; it renews nothing.
		r.drop(ev.Key, ev.Process)
	}
}

// believe takes note of what a client believes.
func (r *roles) believe(f, key string, process int) {
	if f == history.BeliefLost || f == history.BeliefExit {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.drop(key, process)
	}
}

func (r *roles) drop(key string, process int) {
	kept := r.holds[:0]
	for _, h := range r.holds {
		if h.key != key || h.process != process {
			kept = append(kept, h)
		}
	}
	r.holds = kept
}

// gone: the system told the client that it does not know its grant.
func gone(ev *history.Event) bool {
	refusal, _ := history.DecodeRefusal(ev.Value) // what cannot be read observed nothing
	return ev.Type == history.Fail && refusal.Gone
}
