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

// blackouts are the lives (agent.Client.Alive) of the agents whose machines' power was
// taken. That such an agent is lost is no trouble. It is safe for concurrent use.
type blackouts struct {
	mu    sync.Mutex
	lives map[context.Context]bool
}

func (b *blackouts) add(alive context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lives == nil {
		b.lives = map[context.Context]bool{}
	}
	b.lives[alive] = true
}

func (r *runner) powerless(alive context.Context) bool {
	r.blackouts.mu.Lock()
	defer r.blackouts.mu.Unlock()
	return r.blackouts.lives[alive]
}

// outages is the run's Power, with the run told of what it is used for before it is.
type outages struct{ r *runner }

func (o *outages) Off(ctx context.Context, node string) error {
	if m := o.r.machine(node); m != nil {
		o.r.blackouts.add(m.Alive())
	}
	return o.r.cfg.Power.Off(ctx, node)
}

func (o *outages) On(ctx context.Context, node string) error { return o.r.cfg.Power.On(ctx, node) }

// machine is the node of that name, nil when there is none.
func (r *runner) machine(node string) *agent.Client {
	for _, m := range r.machines {
		if m.Node().Name == node {
			return m
		}
	}
	return nil
}

// reconnect starts another agent on a node that has its power again.
func (r *runner) reconnect(ctx context.Context, node string) error {
	m := r.machine(node)
	if m == nil {
		return fmt.Errorf("reach %s: there is no such node", node)
	}
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
	if err := r.reattach(ctx, m); err != nil {
		return err
	}
	r.follow(m)
	return nil
}

// reach opens the connection to a node and starts its agent.
func (r *runner) reach(ctx context.Context, node nodes.Node) (nodes.Conn, *agent.Client, error) {
	var power nodes.Power
	if r.turnsOff() {
		power = r.cfg.Power
	}
	return ReachOrPowerOn(ctx, r.cfg.Cluster, power, node, r.agentOptions())
}

// ReachOrPowerOn is Reach for a node that a run which was itself cut off may have left without
// power: where it cannot be reached it gets its power back, and may boot until the end
// of ctx. Where power is nil nobody can turn it on, and it is just Reach.
func ReachOrPowerOn(ctx context.Context, cluster nodes.Cluster, power nodes.Power, node nodes.Node, opt agent.Options) (nodes.Conn, *agent.Client, error) {
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
