package nemesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
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

// powerAction takes a machine's power. The machine's agent and servers die with it, so what
// shows it is what is missing: the agent's answers and those of the server's port; and, when
// it is back, another boot id. The machine comes back before the fault heals (Return);
// healing it is starting the server again.
type powerAction struct {
	cluster Config
	node    nodes.Node
	cycle   bool
	agent   Agent
	// boot is the boot in which the agent that goes down with the machine was started,
	// heard whether the server's port answered then.
	boot  string
	heard bool
	// silent: the agent was asked while the power was off, and did not answer.
	silent bool
	// booted: the agent is that of the next boot.
	booted bool
	// returned: the machine was to come back; undone: its server was to be started again.
	returned, undone bool
	// applied: the power was taken, as whoever runs the machine says.
	applied atomic.Bool
	// seen is the last evidence, missed why the last probe has none.
	seen   history.Evidence
	missed error
	// lost is what a probe said that found the machine running again before its power was
	// given back.
	lost string
}

func (p *powerAction) Effect() history.Effect {
	kind := "power.off"
	if p.cycle {
		kind = "power.cycle"
	}
	return history.Effect{Node: p.node.Name, Kind: kind}
}

func (p *powerAction) Before(ctx context.Context) {
	p.boot = p.agent.Facts().BootID
	p.heard, _ = p.answers(ctx) // what could not be asked was not heard
}

func (p *powerAction) Apply(ctx context.Context) error {
	err := p.cluster.Power.Off(ctx, p.node.Name)
	if err == nil && p.cycle {
		err = p.cluster.Power.On(ctx, p.node.Name)
	}
	p.applied.Store(err == nil && ctx.Err() == nil)
	return err
}

// Return gives the machine its power and waits for its next agent, which undoes what the
// last one's ledger holds.
func (p *powerAction) Return(ctx context.Context) error {
	p.returned = true
	// Some wait here until it has booted.
	_, err := bounded(ctx, p.cluster.patient(bootTime), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, p.cluster.Power.On(ctx, p.node.Name)
	})
	if err != nil {
		return fmt.Errorf("turn %s on: %w: turn it on by hand", p.node.Name, err)
	}
	_, err = bounded(ctx, p.cluster.patient(reconnectTime), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, p.cluster.Reconnect(ctx, p.node.Name)
	})
	p.booted = err == nil
	if err != nil {
		return fmt.Errorf("reach %s after its power came back: %w", p.node.Name, err)
	}
	return nil
}

func (p *powerAction) Undo(ctx context.Context) error {
	p.undone = true
	if !p.booted {
		if err := p.Return(ctx); err != nil {
			return err
		}
	}
	return p.cluster.Restart(ctx, p.node.Name)
}

func (p *powerAction) Probe(ctx context.Context) (history.Evidence, error) {
	seen, err := p.measure(ctx)
	if p.missed = err; err == nil {
		if p.seen.Confirmed && seen.Undone && p.lost == "" {
			p.lost = seen.Summary
		}
		p.seen = seen
	}
	return seen, err
}

// measure looks for what is missing, and by which boot the machine is in once it is back.
func (p *powerAction) measure(ctx context.Context) (history.Evidence, error) {
	switch {
	case p.returned && !p.booted:
		return history.Evidence{Summary: "the machine did not come back"}, nil
	case p.booted:
		boot := p.agent.Facts().BootID
		e := history.Evidence{Confirmed: p.silent && boot != "" && boot != p.boot, Summary: fmt.Sprintf("boot id %s, before %s", boot, p.boot)}
		if boot == p.boot {
			e.Summary = "the machine did not boot again: its boot id is " + boot + " as before"
		}
		return e, nil
	}
	answers, unasked := p.answers(ctx)
	limit := p.cluster.patient(stateTime)
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)*3/4) // what has no answer must be noticed in time
	}
	_, err := bounded(ctx, limit, func(ctx context.Context) (agent.ProcessState, error) {
		return p.agent.ProcessState(ctx, cmp.Or(p.cluster.Servers(p.node.Name, "")...)) // the first
	})
	var remote *agent.RemoteError
	if p.silent = p.silent || err != nil && !errors.As(err, &remote); !p.silent {
		return history.Evidence{Summary: "its agent still answers"}, nil
	}
	parts := []string{"its agent does not answer"}
	switch {
	case unasked != nil:
		return history.Evidence{}, unasked
	case p.cycle: // it may be back by now
	case answers:
		return history.Evidence{Undone: true, Summary: "its agent does not answer, but its port does"}, nil
	case p.heard:
		parts = append(parts, "nor does its port, which did before")
	}
	return history.Evidence{Confirmed: true, Summary: strings.Join(parts, ", ")}, nil
}

func (p *powerAction) Doubts() []string {
	if p.lost != "" {
		return []string{lostDoubt(p.Effect(), p.lost)}
	}
	return doubtsOf(p.Effect(), p.seen, p.missed)
}

func (p *powerAction) Lost() bool { return p.lost != "" }

func (p *powerAction) Recovered(ctx context.Context) (history.Evidence, error) {
	if !p.booted {
		seen := history.Evidence{Summary: "the machine did not come back"}
		return seen, errors.New("still in force after it was undone: " + seen.Summary)
	}
	seen := history.Evidence{Confirmed: true, Summary: "booted again"}
	for _, name := range p.cluster.Servers(p.node.Name, "") {
		state, err := bounded(ctx, p.cluster.patient(stateTime), func(ctx context.Context) (agent.ProcessState, error) { return p.agent.ProcessState(ctx, name) })
		if err != nil {
			return history.Evidence{}, fmt.Errorf("probe %s after undoing it: read the state of %s: %w", p.Effect().Kind, name, err)
		}
		seen.Summary += fmt.Sprintf("; server %s, process id %d", state.State, state.PID)
		if state.State != agent.Running {
			seen.Confirmed = false
			err = errors.New("still in force after it was undone: " + seen.Summary)
			if state.State == agent.Exited {
				err = &endedError{err}
			}
			return seen, err
		}
	}
	return seen, nil
}

// UndoAgain: a server that was started again and is not there is only waited for.
func (p *powerAction) UndoAgain() bool { return !p.applied.Load() }

// Gone: after a machine that did not come back there is nobody to ask.
func (p *powerAction) Gone() bool { return p.undone && !p.booted }

// answers tries to connect to the server's port from the control node. A refusal is an
// answer too: only a machine that runs can give it. The error is that the control node
// could not even try, which is no silence of the machine's.
func (p *powerAction) answers(ctx context.Context) (bool, error) {
	limit := p.cluster.patient(connectTime)
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/4)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	heard := make([]bool, len(p.node.Addresses()))
	errs := make([]error, len(heard))
	var all sync.WaitGroup
	for i, addr := range p.node.Addresses() {
		all.Go(func() {
			err := p.cluster.Dial(ctx, netip.AddrPortFrom(addr, p.cluster.PeerPort))
			heard[i] = err == nil || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET)
			if nodes.FailedHere(err) {
				errs[i] = fmt.Errorf("connect to %s from the control node: %w", p.node.Name, err)
			}
		})
	}
	all.Wait()
	if slices.Contains(heard, true) {
		return true, nil
	}
	return false, errors.Join(errs...)
}
