package run

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"nemesis/nemesis"
	"nemesis/nodes"
	"nemesis/nodes/agent"
)

// What happens to agents when their machines lose their power: they are lost, as they
// should be, and others take their place when the machines have booted.

// blackouts are the agents whose machines' power was taken. That such an agent is lost
// is no trouble. It is safe for concurrent use.
type blackouts struct {
	mu     sync.Mutex
	agents map[*agent.Client]bool
}

func (b *blackouts) add(a *agent.Client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.agents == nil {
		b.agents = map[*agent.Client]bool{}
	}
	b.agents[a] = true
}

func (r *runner) powerless(a *agent.Client) bool {
	r.blackouts.mu.Lock()
	defer r.blackouts.mu.Unlock()
	return r.blackouts.agents[a]
}

// outages is the run's Power, with the run told of what it is used for before it is.
type outages struct{ r *runner }

func (o *outages) Off(ctx context.Context, node string) error {
	if i := o.r.index(node); i >= 0 {
		o.r.mu.Lock()
		a := o.r.machines[i].Agent
		o.r.mu.Unlock()
		o.r.blackouts.add(a)
	}
	return o.r.cfg.Power.Off(ctx, node)
}

func (o *outages) On(ctx context.Context, node string) error { return o.r.cfg.Power.On(ctx, node) }

func (r *runner) index(node string) int {
	for i := range r.machines {
		if r.machines[i].Node.Name == node {
			return i
		}
	}
	return -1
}

// reconnect starts another agent on a node that has its power again, and lets the
// system, and whoever watches, go on with it.
func (r *runner) reconnect(ctx context.Context, node string) (nemesis.Agent, error) {
	i := r.index(node)
	if i < 0 {
		return nil, fmt.Errorf("reach %s: there is no such node", node)
	}
	m := &r.machines[i]
	// A connection to a machine that went without saying so looks sound for a while, and
	// whatever still waits for an answer over it waits in vain.
	r.mu.Lock()
	r.conns = slices.DeleteFunc(r.conns, func(c nodes.Conn) bool {
		old := c.Node().Name == node
		if old {
			c.Close()
		}
		return old
	})
	r.mu.Unlock()
	conn, another, err := Reach(ctx, r.cfg.Cluster, m.Node, r.agentOptions())
	if err != nil {
		return nil, err
	}
	r.take(m, conn, another)
	r.follow(node, another)
	return another, nil
}

// reach opens the connection to a node and starts its agent.
func (r *runner) reach(ctx context.Context, node nodes.Node) (nodes.Conn, *agent.Client, error) {
	var power nodes.Power
	if r.turnsOff() {
		power = r.cfg.Power
	}
	return Rouse(ctx, r.cfg.Cluster, power, node, r.agentOptions())
}

// Rouse is Reach for a node that a run which was itself cut off may have left without
// power: where it cannot be reached it gets its power back, and may boot until the end
// of ctx. Where power is nil nobody can turn it on, and it is just Reach.
func Rouse(ctx context.Context, cluster nodes.Cluster, power nodes.Power, node nodes.Node, opt agent.Options) (nodes.Conn, *agent.Client, error) {
	conn, client, err := Reach(ctx, cluster, node, opt)
	if err == nil || power == nil {
		return conn, client, err
	}
	if on := power.On(ctx, node.Name); on != nil {
		return nil, nil, fmt.Errorf("%w; nor could its power be turned on: %w", err, on)
	}
	for {
		select {
		case <-ctx.Done():
			return nil, nil, err
		case <-time.After(time.Second):
		}
		again, client, failed := Reach(ctx, cluster, node, opt)
		if failed == nil {
			return again, client, nil
		}
		if ctx.Err() == nil {
			err = failed
		}
	}
}

// turnsOff: the run's faults take nodes' power, and there is somebody to give it back.
func (r *runner) turnsOff() bool { return r.cfg.Power != nil && nemesis.NeedsPower(r.plan.Faults) }

// dial connects to an address from the control node, and no more.
func dial(ctx context.Context, to netip.AddrPort) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
	if err != nil {
		return err
	}
	return conn.Close()
}
