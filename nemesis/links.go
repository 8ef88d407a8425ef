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
	"nemesis/nodes/agent"
)

// What shows that a link is cut, and that it is whole again.
//
// While it is cut no connection along it may come about, and the filter at one of its ends
// must be in place and have dropped something; afterwards each connection must be answered.
// A refusal is an answer: packets came and went. A connection that gets no answer is no
// evidence by itself, since the filters may be gone a moment later; but it gives them
// something to drop.

// cutLinks are the links that a partition cuts and the filters that cut them.
type cutLinks struct {
	list    []*cutLink
	filters []*filterAction
}

// cutLink is one cut link and what came of connecting along it.
type cutLink struct {
	history.Link
	agent Agent
	to    []netip.AddrPort
	limit time.Duration // of one attempt, whether it should fail or not
	// answered and silent count the addresses that did and did not answer, err is
	// why no attempt could be made.
	answered, silent int
	err              error
}

// linksOf are links with all that it takes to connect along them.
func (live Live) linksOf(links []history.Link) *cutLinks {
	all := &cutLinks{}
	for _, link := range links {
		l := &cutLink{Link: link, agent: live.machine(link.From), limit: live.patient(connectTime)}
		for _, addr := range live.machine(link.To).Node().Addresses() {
			l.to = append(l.to, netip.AddrPortFrom(addr, live.PeerPort))
		}
		all.list = append(all.list, l)
	}
	return all
}

// connect connects to every address of the far end, all at once, and leaves some of the
// time there is for the answers to come back.
func (l *cutLink) connect(ctx context.Context) {
	limit := l.limit
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)*3/4)
	}
	type result struct {
		c   agent.Connection
		err error
	}
	results := make([]result, len(l.to))
	var all sync.WaitGroup
	for i, to := range l.to {
		all.Go(func() {
			c, err := bounded(ctx, 2*l.limit, func(ctx context.Context) (agent.Connection, error) {
				return l.agent.ProbeTCP(ctx, to, limit)
			})
			results[i] = result{c, err}
		})
	}
	all.Wait()
	l.answered, l.silent, l.err = 0, 0, nil
	for i, r := range results {
		switch {
		case r.err != nil:
			l.err = fmt.Errorf("connect to %s: %w", l.to[i], r.err)
		case r.c.OK, r.c.Refused:
			l.answered++
		case time.Duration(r.c.Took) >= limit*9/10:
			l.silent++
		default: // the node has no way to that address, cut or whole
			l.err = fmt.Errorf("connect to %s: %s", l.to[i], r.c.Err)
		}
	}
}

// cut and whole are what connections along a link show; it may be neither.
func (l *cutLink) cut() bool   { return l.silent > 0 && l.answered == 0 }
func (l *cutLink) whole() bool { return l.answered > 0 && l.silent == 0 }

// filterAction is a packet filter at one node, which cuts some of the links together with
// the filters at their other ends.
type filterAction struct {
	*agentAction
	links *cutLinks
	drop  *effects.Drop
	cuts  []*cutLink
	// flaps: it is applied and undone by turns, of which there were so many.
	flaps bool
	turns int
}

// filter makes a filter out of the action that puts it in force.
func (c *cutLinks) filter(a *agentAction, drop *effects.Drop, flaps bool) *filterAction {
	f := &filterAction{agentAction: a, links: c, drop: drop, flaps: flaps}
	node := a.machine.Node().Name
	for _, l := range c.list {
		if drop.Out && l.From == node && f.names(l.To, a.cluster) || drop.In && l.To == node && f.names(l.From, a.cluster) {
			f.cuts = append(f.cuts, l)
		}
	}
	c.filters = append(c.filters, f)
	return f
}

// Apply counts the turns of a partition that flaps.
func (f *filterAction) Apply(ctx context.Context) error {
	f.mu.Lock()
	f.turns++
	f.mu.Unlock()
	return f.agentAction.Apply(ctx)
}

// Probe adds the turns to what the filter counted in all of them.
func (f *filterAction) Probe(ctx context.Context) (history.Evidence, error) {
	seen, err := f.agentAction.Probe(ctx)
	if err != nil || !f.flaps {
		return seen, err
	}
	packets := 0.0
	for _, m := range seen.Measures {
		packets += m.Value
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	seen.Summary = fmt.Sprintf("%.0f packets dropped in %d cuts", packets, f.turns)
	seen.Measures = append(seen.Measures, history.Measure{Name: "cuts", Value: float64(f.turns)})
	return seen, nil
}

// names: the filter is against this node.
func (f *filterAction) names(node string, cluster Config) bool {
	return slices.ContainsFunc(cluster.machine(node).Node().Addresses(), func(a netip.Addr) bool { return slices.Contains(f.drop.Peers, a) })
}

// Doubts are about the links that the filter is to cut. One that is held by the filter at
// its other end is cut.
func (f *filterAction) Doubts() []string {
	var doubts []string
	for _, l := range f.cuts {
		switch {
		case l.answered > 0:
			doubts = append(doubts, fmt.Sprintf("%s still reaches %s", l.From, l.To))
		case !f.links.held(l):
			doubts = append(doubts, fmt.Sprintf("nothing shows that %s cannot reach %s", l.From, l.To))
		}
	}
	return doubts
}

// held: the filter at one end of the link is in force, by its own counters.
func (c *cutLinks) held(l *cutLink) bool {
	return slices.ContainsFunc(c.filters, func(f *filterAction) bool {
		return slices.Contains(f.cuts, l) && len(f.agentAction.Doubts()) == 0
	})
}

// probes connect along every link, one probe for each node that it is done from, and along
// one that is not cut, for comparison.
func (c *cutLinks) probes(live Live) []Probe {
	var probes []Probe
	for i := 0; i < len(c.list); {
		from := i
		for i < len(c.list) && c.list[i].From == c.list[from].From {
			i++
		}
		probes = append(probes, &connectProbe{links: c.list[from:i]})
	}
	if control := c.uncut(live); control != nil {
		probes = append(probes, &controlProbe{control})
	}
	return probes
}

// uncut is a link that the partition leaves whole in both directions, nil if there
// is none.
func (c *cutLinks) uncut(live Live) *cutLink {
	cut := func(link history.Link) bool {
		return slices.ContainsFunc(c.list, func(l *cutLink) bool { return l.Link == link })
	}
	for i, a := range live.Machines {
		for _, b := range live.Machines[i+1:] {
			link := history.Link{From: a.Node().Name, To: b.Node().Name}
			if !cut(link) && !cut(history.Link{From: link.To, To: link.From}) {
				return live.linksOf([]history.Link{link}).list[0]
			}
		}
	}
	return nil
}

// connectProbe connects from one node along the links that are cut there.
type connectProbe struct{ links []*cutLink }

func (p *connectProbe) During(ctx context.Context) history.Effect {
	connectAll(ctx, p.links)
	return connected(p.links, "no answer from %s", (*cutLink).cut)
}

func (p *connectProbe) After(ctx context.Context) (history.Effect, []string) {
	connectAll(ctx, slices.DeleteFunc(slices.Clone(p.links), (*cutLink).whole))
	var missing []string
	for _, l := range p.links {
		if !l.whole() {
			missing = append(missing, fmt.Sprintf("nothing shows that %s reaches %s again", l.From, l.To))
		}
	}
	return connected(p.links, "an answer from %s again", (*cutLink).whole), missing
}

func (p *connectProbe) Gone() bool { return gone(p.links[0].agent) }

// controlProbe connects along a link that is not cut.
type controlProbe struct{ link *cutLink }

func (p *controlProbe) During(ctx context.Context) history.Effect {
	p.link.connect(ctx)
	told := connected([]*cutLink{p.link}, "still an answer from %s, as it should be", (*cutLink).whole)
	told.Kind, told.Evidence.Measures = "probe.control", nil
	return told
}

// After measures nothing: the link was whole all the time.
func (p *controlProbe) After(context.Context) (history.Effect, []string) {
	return history.Effect{}, nil
}

func (p *controlProbe) Gone() bool { return gone(p.link.agent) }

func connectAll(ctx context.Context, links []*cutLink) {
	var all sync.WaitGroup
	for _, l := range links {
		all.Go(func() { l.connect(ctx) })
	}
	all.Wait()
}

// connected sums up the attempts made from one node. Expected has a place for the nodes
// that did as they should.
func connected(links []*cutLink, expected string, as func(*cutLink) bool) history.Effect {
	entry := history.Effect{Node: links[0].From, Kind: "probe.connect"}
	var right, wrong, parts []string
	var answered, silent int
	for _, l := range links {
		answered, silent = answered+l.answered, silent+l.silent
		if as(l) {
			right = append(right, l.To)
			continue
		}
		wrong = append(wrong, l.To)
		if l.err != nil && entry.Error == "" {
			entry.Error = oneLine(l.err)
		}
	}
	if len(right) > 0 {
		parts = append(parts, fmt.Sprintf(expected, strings.Join(right, " ")))
	}
	if len(wrong) > 0 {
		parts = append(parts, "but not so for "+strings.Join(wrong, " "))
	}
	entry.Evidence = history.Evidence{
		Confirmed: len(wrong) == 0,
		Summary:   strings.Join(parts, ", "),
		Measures: []history.Measure{
			{Name: "answered", Value: float64(answered), Unit: "connections"},
			{Name: "timed out", Value: float64(silent), Unit: "connections"},
		},
	}
	return entry
}
