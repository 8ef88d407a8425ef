package nemesis

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"nemesis/history"
	"nemesis/nodes"
	"nemesis/nodes/agent"
)

// How long machines may take. A boot under emulation takes minutes.
const (
	// offTime bounds turning a machine off.
	offTime = 60 * time.Second
	// bootTime is how long a machine may take from its power to its agent, reconnectTime
	// how long one attempt to reach it may.
	bootTime      = 5 * time.Minute
	reconnectTime = 45 * time.Second
)

// plug takes a machine's power. The machine's agent and servers die with it, so what
// shows it is what is missing: the agent's answers and those of the server's port; and, when
// it is back, another boot id. The machine comes back before the fault heals; healing it
// is starting the server again.
type plug struct {
	in    *Injector
	node  nodes.Node
	cycle bool
	// before is the agent that goes down with the machine, boot the boot it was started
	// in, heard whether the server's port answered then.
	before Agent
	boot   string
	heard  bool
	// silent: the agent was asked while the power was off, and did not answer.
	silent bool
	// after is the agent of the next boot, nil until there is one.
	after Agent
	// awaited: the machine was to come back; undone: its server was to be started again.
	awaited, undone bool
}

func (p *plug) kind() string {
	if p.cycle {
		return "power.cycle"
	}
	return "power.off"
}

func (p *plug) apply(ctx context.Context) error {
	p.boot = p.before.Facts().BootID
	p.heard = p.answers(ctx)
	err := p.in.Power.Off(ctx, p.node.Name)
	if err == nil && p.cycle {
		err = p.in.Power.On(ctx, p.node.Name)
	}
	return err
}

// back gives the machine its power and waits for its next agent, which undoes what the
// last one's ledger holds. The error says what is still missing.
func (p *plug) back(ctx context.Context) error {
	p.awaited = true
	// Some wait here until it has booted.
	_, err := bounded(ctx, p.in.patient(bootTime), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, p.in.Power.On(ctx, p.node.Name)
	})
	if err != nil {
		return fmt.Errorf("turn %s on: %w: turn it on by hand", p.node.Name, err)
	}
	p.after, err = bounded(ctx, p.in.patient(reconnectTime), func(ctx context.Context) (Agent, error) {
		return p.in.Reconnect(ctx, p.node.Name)
	})
	if err != nil {
		p.after = nil
		return fmt.Errorf("reach %s after its power came back: %w", p.node.Name, err)
	}
	return nil
}

func (p *plug) undo(ctx context.Context) error {
	p.undone = true
	if p.after == nil {
		if err := p.back(ctx); err != nil {
			return err
		}
	}
	return p.in.Restart(ctx, p.node.Name)
}

func (p *plug) look(ctx context.Context) (history.Evidence, error) {
	switch {
	case p.awaited && p.after == nil:
		return history.Evidence{Summary: "the machine did not come back"}, nil
	case p.undone:
		name := p.in.Process(p.node.Name)
		state, err := bounded(ctx, p.in.patient(stateTime), func(ctx context.Context) (agent.ProcessState, error) { return p.after.ProcessState(ctx, name) })
		if err != nil {
			return history.Evidence{}, fmt.Errorf("read the state of %s: %w", name, err)
		}
		return history.Evidence{
			Confirmed: state.State == agent.Running,
			Summary:   fmt.Sprintf("booted again; server %s, process id %d", state.State, state.PID),
		}, nil
	case p.after != nil:
		boot := p.after.Facts().BootID
		e := history.Evidence{Confirmed: p.silent && boot != "" && boot != p.boot, Summary: fmt.Sprintf("boot id %s, before %s", boot, p.boot)}
		if boot == p.boot {
			e.Summary = "the machine did not boot again: its boot id is " + boot + " as before"
		}
		return e, nil
	}
	answers := p.answers(ctx)
	limit := p.in.patient(stateTime)
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)*3/4) // what has no answer must be noticed in time
	}
	_, err := bounded(ctx, limit, func(ctx context.Context) (agent.ProcessState, error) {
		return p.before.ProcessState(ctx, p.in.Process(p.node.Name))
	})
	var refused *agent.RemoteError
	if p.silent = p.silent || err != nil && !errors.As(err, &refused); !p.silent {
		return history.Evidence{Summary: "its agent still answers"}, nil
	}
	parts := []string{"its agent does not answer"}
	switch {
	case p.cycle: // it may be back by now
	case answers:
		return history.Evidence{Summary: "its agent does not answer, but its port does"}, nil
	case p.heard:
		parts = append(parts, "nor does its port, which did before")
	}
	return history.Evidence{Confirmed: true, Summary: strings.Join(parts, ", ")}, nil
}

// answers tries to connect to the server's port from the control node. A refusal is an
// answer too: only a machine that runs can give it.
func (p *plug) answers(ctx context.Context) bool {
	limit := p.in.patient(connectTime)
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/4)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	heard := make([]bool, len(p.node.Addresses()))
	var all sync.WaitGroup
	for i, addr := range p.node.Addresses() {
		all.Go(func() {
			err := p.in.Dial(ctx, netip.AddrPortFrom(addr, p.in.PeerPort))
			heard[i] = err == nil || strings.Contains(err.Error(), "refused") || strings.Contains(err.Error(), "reset")
		})
	}
	all.Wait()
	for _, h := range heard {
		if h {
			return true
		}
	}
	return false
}

// gone: after a machine that did not come back there is nobody to ask.
func (p *plug) gone() bool { return p.undone && p.after == nil }

// comeBack gives every machine its power again and waits for all their agents, also
// after the end of ctx: nobody else would turn them on.
func (l *life) comeBack(ctx context.Context) {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.in.patient(bootTime))
	defer cancel()
	l.each(func(a *act) {
		p := a.hand.(*plug)
		insist(within, func() bool {
			return a.keep(within, p.back(within)) == nil
		})
	})
}
