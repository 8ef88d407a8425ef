package nemesis

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/netswitch"
)

// packetHalfOpen ends established connections at one end and lets the other believe that they
// live, as when a machine lost its power and came back: who waits for an answer waits in vain.
func packetHalfOpen() Fault {
	return switchFault{
		name: "packet-half-open", doc: "end established TCP connections at one end, and leave the other in the belief that they live (by a switch of nemesis)",
		verb: "half-open connections", does: "half-opens connections",
		// In one direction only: what both ends end is open at none.
		forms: append([]Form{
			{Shape: "one-way-out", Target: "leader", Weight: 2, Least: 2},
			{Shape: "one-way-in", Target: "leader", Weight: 2, Least: 2},
			{Shape: "one-way-out", Target: "one", Weight: 1, Least: 2},
		}, onLeases(Form{Shape: "one-way-out", Weight: 1, Least: 2})...),
		example: "100%,50%", short: "50%",
		parse: func(text string, _ history.Timing) (r netswitch.Rule, err error) {
			if r.HalfOpen, err = parseShare(text); err != nil {
				err = fmt.Errorf("%q is not a share of connections such as 50%%", text)
			}
			return r, err
		},
		usual: func(history.Timing) []netswitch.Rule { return []netswitch.Rule{{HalfOpen: 1}, {HalfOpen: 0.5}} },
		is: func(r netswitch.Rule) error {
			return only(r, netswitch.Rule{HalfOpen: r.HalfOpen}, "half-opens connections")
		},
		limits: []string{"a connection ends when its end at the node next says something: one that is silent lives on", "after the heal, the other end learns of it when it next says something"},
		bound:  bindHalfOpen,
	}
}

// bindHalfOpen looks at both ends: the effects' own probes see only the one that is closed.
func bindHalfOpen(b *Binding, step history.Step, live Live) {
	for i, a := range b.Actions {
		one := a.(*agentAction)
		p := &openEnds{here: one.machine, cluster: live.Config}
		for _, m := range live.Machines {
			if slices.Contains(step.Links, history.Link{From: one.machine.Node().Name, To: m.Node().Name}) {
				p.there = append(p.there, m)
			}
		}
		b.Actions[i] = &halfOpenAction{one, p}
		b.Probes = append(b.Probes, p)
	}
}

// halfOpenAction also needs connections that are open at the far ends alone.
type halfOpenAction struct {
	*agentAction
	ends *openEnds
}

// Doubts adds that no connection was found half-open, at no look.
func (h *halfOpenAction) Doubts() []string {
	doubts := h.agentAction.Doubts()
	h.ends.mu.Lock()
	defer h.ends.mu.Unlock()
	if h.ends.most == 0 && len(doubts) == 0 {
		doubts = append(doubts, fmt.Sprintf("%s: no connection was found that is open at the other end alone", h.ends.here.Node().Name))
	}
	return doubts
}

// openEnds compares the connections that a node has with those that others have with it.
type openEnds struct {
	here    Agent
	there   []Agent
	cluster Config

	mu   sync.Mutex
	most int // half-open ones that were found, at the best look
}

// connections are those that an agent's node has with other nodes.
func (p *openEnds) connections(ctx context.Context, at Agent, with ...Agent) (map[[2]netip.AddrPort]int, error) {
	var peers []netip.Addr
	for _, m := range with {
		peers = append(peers, m.Node().Addresses()...)
	}
	look := &effects.Switch{ID: "look", Peers: peers, Rule: netswitch.Rule{HalfOpen: 1}, Connections: true}
	seen, err := bounded(ctx, p.cluster.patient(callTime), func(ctx context.Context) (history.Evidence, error) { return at.Probe(ctx, look) })
	return effects.ConnectionsIn(seen), err
}

// lookForOpenEnds is how long During looks for what becomes half-open when a node next speaks.
const lookForOpenEnds = 2 * time.Second

// During counts the connections that another node has with this one, and this one does not have.
// Those that are being opened or closed just then are taken for none by a second look.
func (p *openEnds) During(ctx context.Context) history.Effect {
	entry := history.Effect{Node: p.here.Node().Name, Kind: "probe.connections"}
	var both []string
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		first, err := p.halfOpen(ctx)
		second := first
		if err == nil && len(first) > 0 {
			second, err = p.halfOpen(ctx)
		}
		if err != nil {
			entry.Error = oneLine(err)
			return entry
		}
		both = nil
		for name := range first {
			if second[name] {
				both = append(both, name)
			}
		}
		if len(both) > 0 || ctx.Err() != nil || time.Since(began) > lookForOpenEnds {
			break
		}
	}
	slices.Sort(both)
	p.mu.Lock()
	p.most = max(p.most, len(both))
	p.mu.Unlock()
	entry.Evidence = history.Evidence{
		Confirmed: len(both) > 0,
		Summary:   fmt.Sprintf("%d connections are open at the other end alone", len(both)),
		Measures:  []history.Measure{{Name: "half-open", Value: float64(len(both)), Unit: "connections"}},
	}
	if len(both) > 0 {
		entry.Evidence.Summary += ": " + strings.Join(both[:min(len(both), 4)], ", ")
	}
	return entry
}

func (p *openEnds) halfOpen(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	for _, other := range p.there {
		theirs, err := p.connections(ctx, other, p.here)
		if err != nil {
			return nil, fmt.Errorf("list the connections of %s: %w", other.Node().Name, err)
		}
		ours, err := p.connections(ctx, p.here, other)
		if err != nil {
			return nil, fmt.Errorf("list the connections of %s: %w", p.here.Node().Name, err)
		}
		for c := range theirs {
			if ours[[2]netip.AddrPort{c[1], c[0]}] == 0 {
				out[fmt.Sprintf("%s %s", other.Node().Name, c[0])] = true
			}
		}
	}
	return out, nil
}

// After measures nothing: what the other end has not learnt, it learns when it next speaks.
func (p *openEnds) After(context.Context) (history.Effect, []string) { return history.Effect{}, nil }

func (p *openEnds) Gone() bool { return gone(p.here) }
