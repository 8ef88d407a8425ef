package nemesis

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// What shows that a fault acted, and that it is over.
//
// A network fault is shown by connecting across it: while it is in force no
// connection may come about and at least one attempt must time out; afterwards each
// must be answered. A refusal is an answer: packets came and went. Where nobody
// could try, the packets that the filters dropped are evidence too. A process fault
// is shown by what /proc says about every server it was meant to hit, provided that
// the server ran before. A clock fault is shown by reading the clocks as a server
// would: what was measured stands beside what was asked for.

// wire is one cut link and what came of connecting along it.
type wire struct {
	history.Link
	agent Agent
	to    []netip.AddrPort
	limit time.Duration // of one attempt, whether it should fail or not
	// answered and silent count the addresses that did and did not answer, err is
	// why no attempt could be made.
	answered, silent int
	err              error
}

// wires are the links of a step with all that it takes to connect along them.
func (in *Injector) wires(links []history.Link) []*wire {
	var wires []*wire
	for _, link := range links {
		w := &wire{Link: link, agent: in.machine(link.From).Agent, limit: in.patient(connectTime)}
		for _, addr := range in.machine(link.To).Node.Addresses() {
			w.to = append(w.to, netip.AddrPortFrom(addr, in.PeerPort))
		}
		wires = append(wires, w)
	}
	return wires
}

// try connects to every address of the far end, all at once, and leaves some of the
// time there is for the answers to come back.
func (w *wire) try(ctx context.Context) {
	limit := w.limit
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)*3/4)
	}
	type result struct {
		c   agent.Connection
		err error
	}
	results := make([]result, len(w.to))
	var all sync.WaitGroup
	for i, to := range w.to {
		all.Go(func() {
			c, err := bounded(ctx, 2*w.limit, func(ctx context.Context) (agent.Connection, error) {
				return w.agent.ProbeTCP(ctx, to, limit)
			})
			results[i] = result{c, err}
		})
	}
	all.Wait()
	w.answered, w.silent, w.err = 0, 0, nil
	for i, r := range results {
		switch {
		case r.err != nil:
			w.err = fmt.Errorf("connect to %s: %w", w.to[i], r.err)
		case r.c.OK, strings.Contains(r.c.Err, "refused"), strings.Contains(r.c.Err, "reset"):
			w.answered++
		case time.Duration(r.c.Took) >= limit*9/10:
			w.silent++
		default: // the node has no way to that address, cut or whole
			w.err = fmt.Errorf("connect to %s: %s", w.to[i], r.c.Err)
		}
	}
}

// cut and whole are what evidence of either looks like; a wire may be neither.
func (w *wire) cut() bool   { return w.silent > 0 && w.answered == 0 }
func (w *wire) whole() bool { return w.answered > 0 && w.silent == 0 }

// connect tries every cut link once, and one that is not cut, for comparison.
func (l *life) connect(ctx context.Context) []history.Effect {
	if len(l.wires) == 0 {
		return nil
	}
	wires := l.wires
	control := l.uncut()
	if control != nil {
		wires = append(slices.Clone(wires), control)
	}
	tryAll(wires, func(w *wire) { w.try(ctx) })
	probes := l.probes("no answer from %s", (*wire).cut)
	if control != nil {
		told := tell(control.From, []*wire{control}, "still an answer from %s, as it should be", (*wire).whole)
		told.Kind, told.Evidence.Measures = "probe.control", nil
		probes = append(probes, told)
	}
	return probes
}

// reconnect tries every formerly cut link until it works, ctx ends, or nobody is there
// to try it, and lists those that did not.
func (l *life) reconnect(ctx context.Context) (probes []history.Effect, troubles []string) {
	tryAll(l.wires, func(w *wire) {
		insist(ctx, func() bool {
			w.try(ctx)
			return w.whole() || gone(w.agent)
		})
	})
	for _, w := range l.wires {
		if !w.whole() {
			troubles = append(troubles, fmt.Sprintf("nothing shows that %s reaches %s again", w.From, w.To))
		}
	}
	return l.probes("an answer from %s again", (*wire).whole), troubles
}

func tryAll(wires []*wire, try func(*wire)) {
	var all sync.WaitGroup
	for _, w := range wires {
		all.Go(func() { try(w) })
	}
	all.Wait()
}

// uncut is a link that the partition leaves whole in both directions, nil if there
// is none.
func (l *life) uncut() *wire {
	for i, a := range l.in.Machines {
		for _, b := range l.in.Machines[i+1:] {
			link := history.Link{From: a.Node.Name, To: b.Node.Name}
			if !slices.Contains(l.step.Links, link) && !slices.Contains(l.step.Links, history.Link{From: link.To, To: link.From}) {
				return l.in.wires([]history.Link{link})[0]
			}
		}
	}
	return nil
}

// probes tells what came of the attempts to connect, in one entry per node that
// they were made from.
func (l *life) probes(expected string, as func(*wire) bool) []history.Effect {
	var entries []history.Effect
	for i := 0; i < len(l.wires); {
		from := i
		for i < len(l.wires) && l.wires[i].From == l.wires[from].From {
			i++
		}
		entries = append(entries, tell(l.wires[from].From, l.wires[from:i], expected, as))
	}
	return entries
}

// tell sums up the attempts made from one node. Expected has a place for the nodes
// that did as they should.
func tell(from string, wires []*wire, expected string, as func(*wire) bool) history.Effect {
	entry := history.Effect{Node: from, Kind: "probe.connect"}
	var right, wrong, parts []string
	var answered, silent int
	for _, w := range wires {
		answered, silent = answered+w.answered, silent+w.silent
		if as(w) {
			right = append(right, w.To)
			continue
		}
		wrong = append(wrong, w.To)
		if w.err != nil && entry.Error == "" {
			entry.Error = oneLine(w.err)
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

// look asks every node what shows that its effect acts. Where there is no answer,
// what was seen before stays.
func (l *life) look(ctx context.Context) {
	l.each(func(a *act) {
		seen, err := bounded(ctx, l.in.patient(callTime), func(ctx context.Context) (history.Evidence, error) {
			return a.hand.look(ctx)
		})
		if err == nil {
			a.seen = added(a.past, seen)
		}
	})
}

// added is the evidence of the earlier cuts of a flapping partition and of this one.
func added(past, now history.Evidence) history.Evidence {
	now.Confirmed = now.Confirmed || past.Confirmed
	now.Measures = slices.Clone(now.Measures)
	for _, m := range past.Measures {
		i := slices.IndexFunc(now.Measures, func(n history.Measure) bool { return n.Name == m.Name })
		if i < 0 {
			now.Measures = append(now.Measures, m)
			continue
		}
		now.Measures[i].Value += m.Value
	}
	return now
}

// evident weighs all that was seen while the fault was in force: whether it acted on
// everything it was meant to act on, and else why that cannot be said.
func (l *life) evident() (bool, []string) {
	var doubts []string
	if l.fault.process {
		for _, a := range l.acts {
			a.acted = false
			switch {
			case a.beforeErr != nil:
				doubts = append(doubts, a.node+": "+oneLine(a.beforeErr))
			case a.before.State != agent.Running:
				doubts = append(doubts, fmt.Sprintf("%s: the server did not run before the fault (%s)", a.node, a.before.State))
			case !a.seen.Confirmed:
				doubts = append(doubts, a.node+": nothing shows that it acted")
			default:
				a.acted = true
			}
		}
		return len(doubts) == 0, doubts
	}
	if l.fault.clock || l.fault.packets || l.fault.power {
		for _, a := range l.acts {
			switch {
			case a.seen.Confirmed:
			case a.seen.Summary == "":
				doubts = append(doubts, a.node+": nothing shows what its "+l.fault.about()+" does")
			default:
				doubts = append(doubts, a.node+": nothing shows that it acted: "+a.seen.Summary)
			}
		}
		return len(doubts) == 0, doubts
	}
	for _, w := range l.wires {
		back := func(o *wire) bool { return o.From == w.To && o.To == w.From }
		other := slices.IndexFunc(l.wires, back)
		switch {
		case w.answered > 0:
			doubts = append(doubts, fmt.Sprintf("%s still reaches %s", w.From, w.To))
		case w.cut(), other >= 0 && l.wires[other].cut(), l.dropped(w.From), l.dropped(w.To):
		default:
			doubts = append(doubts, fmt.Sprintf("nothing shows that %s cannot reach %s", w.From, w.To))
		}
	}
	return len(doubts) == 0, doubts
}

// dropped: the filters of a node have dropped something.
func (l *life) dropped(node string) bool {
	return slices.ContainsFunc(l.acts, func(a *act) bool { return a.node == node && a.seen.Confirmed })
}

// recovered looks whether anything is left of an effect that was undone; its error
// says what.
func (l *life) recovered(ctx context.Context, a *act) error {
	seen, err := bounded(ctx, l.in.patient(callTime), func(ctx context.Context) (history.Evidence, error) {
		return a.hand.look(ctx)
	})
	a.seen = seen
	if err != nil {
		return fmt.Errorf("probe %s after undoing it: %w", a.hand.kind(), err)
	}
	if !seen.Confirmed {
		return errors.New("still in force after it was undone: " + seen.Summary)
	}
	if !l.fault.process {
		return nil
	}
	a.seen.Confirmed = false
	state, err := l.process(ctx, a)
	if err != nil {
		return err
	}
	if state.State != agent.Running {
		return fmt.Errorf("the server is not running but %s", state.State)
	}
	same := state.PID == a.before.PID && state.Started == a.before.Started
	if a.acted && same == l.fault.restarts {
		if same {
			return fmt.Errorf("the server still has process id %d: it was never restarted", state.PID)
		}
		return fmt.Errorf("the server has process id %d instead of %d: it did not live through the fault", state.PID, a.before.PID)
	}
	a.seen.Confirmed = true
	a.seen.Summary = fmt.Sprintf("server running with process id %d", state.PID)
	if a.acted && l.fault.restarts {
		a.seen.Summary += fmt.Sprintf(", before the fault %d", a.before.PID)
	}
	return nil
}

// process asks for the state of the server that an act is about.
func (l *life) process(ctx context.Context, a *act) (agent.ProcessState, error) {
	name := l.in.Process(a.node)
	state, err := bounded(ctx, l.in.patient(stateTime), func(ctx context.Context) (agent.ProcessState, error) {
		return a.agent.ProcessState(ctx, name)
	})
	if err != nil {
		return state, fmt.Errorf("read the state of %s: %w", name, err)
	}
	return state, nil
}
