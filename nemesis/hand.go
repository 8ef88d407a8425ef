package nemesis

import (
	"context"
	"sync"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// hand does what a life wants done on one node: a remote effect does it by the node's
// agent, a plug without.
type hand interface {
	kind() string
	apply(context.Context) error
	undo(context.Context) error
	// look measures whether it acts, or after undo whether nothing of it is left. All
	// looks since it was applied are weighed together.
	look(context.Context) (history.Evidence, error)
	// gone: whoever would have to do it cannot be asked any more.
	gone() bool
}

// remote is an effect on a node, done by the node's agent. A call that its caller gave up
// may still be under way when the next one comes.
type remote struct {
	agent  Agent
	effect agent.Effect

	mu sync.Mutex // guards what follows; not held during calls of the agent
	// before is what was measured before it was applied, during every look since, for
	// effects that say nothing without comparison.
	before history.Evidence
	during []history.Evidence
	undone bool
}

// compared is an effect that is shown by what is different since it was applied.
type compared interface {
	Compare(before history.Evidence, during ...history.Evidence) history.Evidence
}

func (r *remote) kind() string { return r.effect.Kind() }

// prepare measures what to compare with. It fails silently: then nothing is shown.
func (r *remote) prepare(ctx context.Context) {
	if _, is := r.effect.(compared); is {
		before, _ := r.agent.Probe(ctx, r.effect)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.before = before
	}
}

func (r *remote) apply(ctx context.Context) error {
	r.is(false)
	return r.agent.Apply(ctx, r.effect)
}

func (r *remote) undo(ctx context.Context) error {
	r.is(true)
	return r.agent.Undo(ctx, r.effect)
}

func (r *remote) look(ctx context.Context) (history.Evidence, error) {
	seen, err := r.agent.Probe(ctx, r.effect)
	effect, is := r.effect.(compared)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || !is || r.undone {
		return seen, err
	}
	r.during = append(r.during, seen)
	return effect.Compare(r.before, r.during...), nil
}

// is notes whether it was undone last, or applied.
func (r *remote) is(undone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.undone = undone
}

func (r *remote) gone() bool { return gone(r.agent) }
