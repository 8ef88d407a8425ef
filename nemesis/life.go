package nemesis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes/agent"
)

// life is one fault from its injection to its end:
//
//	(new) ──inject──▶ inject ──▶ active ──hold──▶ heal ──▶ healed
//
// Each arrow is taken once and in this order, also when everything goes wrong: a
// fault that could not be applied is undone all the same, since a node that did not
// answer may still have done it.
type life struct {
	in    *Injector
	fault Fault
	step  history.Step // concrete: whom it hits is decided
	stage history.Stage
	acts  []*act
	// wires are what a partition cut, to connect across.
	wires []*wire
	since int64 // when it was in force first, on the run's clock
	cuts  int   // how often a flapping partition cut
}

// act is one effect of a fault on one node. During a stage only one goroutine
// touches it.
type act struct {
	node string
	// agent is the node's, when the fault began.
	agent Agent
	hand  hand
	spec  json.RawMessage // of an effect; nil for a plug
	// before is the server process that the effect is about to hit.
	before    agent.ProcessState
	beforeErr error
	// took, done and err are of the last Apply or Undo.
	took, done int64
	err        error
	// applied: the node said so. acted: it is evident that a server was hit.
	applied, acted bool
	// seen is the evidence of this stage.
	seen history.Evidence
	// past is what was seen in the earlier cuts of a flapping partition.
	past history.Evidence
}

// following is the one order in which a fault may go through its stages.
func following(stage history.Stage) history.Stage {
	switch stage {
	case "":
		return history.Inject
	case history.Inject:
		return history.Active
	case history.Active:
		return history.Heal
	case history.Heal:
		return history.Healed
	}
	return "" // healed is the end
}

func (in *Injector) newLife(step history.Step, todo map[string][]agent.Effect) (*life, error) {
	fault, err := Find(step.Kind)
	if err != nil {
		return nil, err
	}
	l := &life{in: in, fault: fault, step: step}
	if fault.needs == effects.DropKind {
		l.wires = in.wires(step.Links)
	}
	if fault.power && (in.Power == nil || in.Reconnect == nil || in.Restart == nil || in.Dial == nil) {
		return nil, errors.New("nobody can turn the machines' power off and on")
	}
	for _, m := range in.Machines {
		if fault.power && slices.Contains(step.Nodes, m.Node.Name) {
			l.acts = append(l.acts, &act{node: m.Node.Name, agent: m.Agent, hand: &plug{in: in, node: m.Node, cycle: fault.cycle, before: m.Agent}})
		}
		for _, effect := range todo[m.Node.Name] {
			spec, err := json.Marshal(effect)
			if err != nil {
				return nil, fmt.Errorf("write effect %s for %s: %w", effect.Kind(), m.Node.Name, err)
			}
			l.acts = append(l.acts, &act{node: m.Node.Name, agent: m.Agent, hand: &remote{agent: m.Agent, effect: effect}, spec: spec})
		}
	}
	return l, nil
}

// enter takes the fault to its next stage and records it, with what else is to be
// said. It refuses any other stage than the one that follows.
func (l *life) enter(stage history.Stage, confirmed bool, more []history.Effect, troubles ...string) error {
	if stage == "" || stage != following(l.stage) {
		return fmt.Errorf("lead fault %d from stage %q to %q: after %q comes %q", l.step.ID, l.stage, stage, l.stage, following(l.stage))
	}
	l.stage = stage
	entry := &history.Fault{
		ID: l.step.ID, Stage: stage, Kind: l.step.Kind, Shape: l.step.Shape, Target: l.step.Target,
		Nodes: l.step.Nodes, Links: l.step.Links, Description: Sentence(l.step), Confirmed: confirmed,
	}
	if stage == history.Inject && (l.step.Clock == nil || !l.step.Clock.Machine) {
		entry.Limits = l.fault.Limits // what changes the whole machine has none
	}
	for _, a := range l.acts {
		e := history.Effect{Node: a.node, Kind: a.hand.kind(), Spec: a.spec, Took: a.took, Done: a.done, Evidence: a.seen}
		if a.err != nil {
			e.Error = oneLine(a.err)
			troubles = append(troubles, a.node+": "+e.Error)
		}
		entry.Effects = append(entry.Effects, e)
	}
	entry.Effects = append(entry.Effects, more...)
	entry.Error = strings.Join(troubles, "; ")
	l.in.Record(history.Event{Time: l.in.Now(), Type: history.FaultChange, Fault: entry})
	return nil
}

// each does something for every act at once. They wait for each other at the
// start, so that what is prepared slowly still fires together.
func (l *life) each(do func(*act)) {
	var all sync.WaitGroup
	ready := make(chan struct{})
	for _, a := range l.acts {
		all.Go(func() {
			<-ready
			do(a)
		})
	}
	close(ready)
	all.Wait()
}

// inject applies every effect at once and takes a first look. It returns when to heal:
// at healAt, but not before the fault was in force for half the time it should be.
func (l *life) inject(ctx context.Context, healAt int64) int64 {
	if l.fault.process {
		l.each(func(a *act) { a.before, a.beforeErr = l.process(ctx, a) })
	}
	if l.fault.packets {
		l.each(func(a *act) {
			before, cancel := context.WithTimeout(ctx, l.in.patient(callTime))
			defer cancel()
			a.hand.(*remote).prepare(before)
		})
	}
	l.must(l.enter(history.Inject, false, nil))
	l.apply(ctx)
	l.since = l.in.Now()
	healAt = max(healAt, l.since+int64(l.step.Hold)/2)

	// The first look must be over before the first heal, so it never delays one.
	until := healAt
	if flap := l.flap(); flap > 0 {
		until = min(until, l.since+int64(flap)*3/4)
	}
	look, cancel := context.WithTimeout(ctx, time.Duration(until-l.in.Now()))
	defer cancel()
	probes := l.connect(look)
	l.look(look) // after connecting, so that the packets of that are counted
	acted, troubles := l.evident()
	l.must(l.enter(history.Active, acted, probes, troubles...))
	return healAt
}

// hold keeps the fault in force until healAt or the end of ctx, and takes the last
// look, which decides whether it counts.
func (l *life) hold(ctx context.Context, healAt int64) {
	inForce := true
	if flap := l.flap(); flap > 0 {
		inForce = l.flapUntil(ctx, flap, healAt)
	} else {
		l.in.wait(ctx, healAt-int64(l.lastLook()))
	}
	if inForce {
		// The last look is taken also when the run is being aborted: it takes little
		// time, and without it what the fault did would remain unknown.
		look, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.lastLook())
		l.look(look)
		cancel()
	}
	for _, a := range l.acts {
		a.err, a.took, a.done = nil, 0, 0 // of applying: told with Active
		if l.cuts > 0 {
			packets := 0.0
			for _, m := range a.seen.Measures {
				packets += m.Value
			}
			a.seen.Summary = fmt.Sprintf("%.0f packets dropped in %d cuts", packets, l.cuts)
			a.seen.Measures = append(a.seen.Measures, history.Measure{Name: "cuts", Value: float64(l.cuts)})
		}
	}
	l.in.wait(ctx, healAt)
	if l.fault.power {
		l.comeBack(ctx)
		l.look(context.WithoutCancel(ctx)) // by what boots they are in
	}
	acted, troubles := l.evident()
	l.must(l.enter(history.Heal, acted, nil, troubles...))
}

// lastLook is how long the last look may take. What takes long to look at takes at most
// half of the fault.
func (l *life) lastLook() time.Duration {
	return min(l.in.patient(cmp.Or(l.fault.lookTime, lookTime)), max(time.Duration(l.step.Hold)/2, lookTime))
}

// flap is half a period, how long each cut and each pause between cuts lasts; 0 for
// a fault that holds all the time, as those on servers do, or that its effect takes up
// and drops by itself, as a strobing clock. A plan written by hand may
// ask for less than a cut and its evidence take.
func (l *life) flap() time.Duration {
	if l.step.Period <= 0 || len(l.wires) == 0 {
		return 0
	}
	return max(time.Duration(l.step.Period)/2, 50*time.Millisecond)
}

// flapUntil heals and cuts by turns until healAt, and tells whether it ends in a cut.
// It counts the evidence of each cut before the counters go away with it.
func (l *life) flapUntil(ctx context.Context, half time.Duration, healAt int64) bool {
	l.cuts = 1
	ctx, cancel := context.WithTimeout(ctx, time.Duration(healAt-l.in.Now()))
	defer cancel()
	for turn := l.since + int64(half); turn < healAt; turn += int64(half) {
		if !l.in.wait(ctx, turn-int64(half/4)) {
			return true
		}
		look, cancel := context.WithTimeout(ctx, half/4)
		l.look(look)
		cancel()
		l.in.wait(ctx, turn)
		l.each(func(a *act) {
			a.past = a.seen
			// What goes wrong here is undone by the next turn, or by the heal, which tells.
			_ = l.undo(ctx, a)
		})
		turn += int64(half)
		if turn >= healAt || !l.in.wait(ctx, turn) {
			return false
		}
		l.apply(ctx)
		l.cuts++
	}
	l.in.wait(ctx, healAt-int64(min(l.in.patient(lookTime), half/4)))
	return true
}

// apply puts every effect in force. A node that hangs may take up most of the time
// that the fault has, but not the look at what it does on the others.
func (l *life) apply(ctx context.Context) {
	limit := min(max(time.Duration(l.step.Hold)*3/4, time.Second), l.in.patient(callTime))
	switch {
	case l.fault.cycle:
		limit = l.in.patient(bootTime)
	case l.fault.power:
		limit = offTime // asked of whoever runs the machines
	}
	l.each(func(a *act) {
		began := l.in.Now()
		_, a.err = bounded(ctx, limit, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, a.hand.apply(ctx)
		})
		a.done = l.in.Now()
		a.took = a.done - began
		a.applied = a.err == nil
		if a.err != nil {
			a.err = attempted("apply", a.hand.kind(), a.err)
		}
	})
}

// undo takes one effect back, once.
func (l *life) undo(ctx context.Context, a *act) error {
	began := l.in.Now()
	_, err := bounded(ctx, l.in.patient(callTime), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, a.hand.undo(ctx)
	})
	a.done = l.in.Now()
	a.took = a.done - began
	if err != nil {
		return attempted("undo", a.hand.kind(), err)
	}
	return nil
}

// heal undoes every effect, on every node, however often it takes within the time
// there is, and shows that nothing of it is left. It does so after the end of ctx
// too. The error names the nodes on which the fault may still be in force.
func (l *life) heal(ctx context.Context, next int64) error {
	limit := l.in.patient(recoveryTime)
	if until := time.Duration(next - l.in.Now()); until < limit && !l.fault.power {
		limit = max(until, l.in.patient(leastRecovery))
	}
	end := l.in.Now() + int64(limit)
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()

	l.each(func(a *act) {
		a.seen = history.Evidence{}
		insist(within, func() bool {
			if a.keep(within, l.undo(within, a)) != nil {
				return a.hand.gone()
			}
			return insist(within, func() bool {
				a.keep(within, l.recovered(within, a))
				// What is still there is undone again: an attempt to apply it that nobody
				// answered may have arrived late. But a server that was started again and
				// is not there is only waited for: starting it over and over would hide
				// that it crashes.
				return a.err == nil || !l.fault.process && !l.fault.power || !a.applied || a.hand.gone()
			}) && (a.err == nil || a.hand.gone())
		})
	})
	// A node that used up all the time must not leave the others unseen.
	again, cancelAgain := context.WithTimeout(context.WithoutCancel(ctx), max(time.Duration(end-l.in.Now()), time.Second))
	defer cancelAgain()
	probes, troubles := l.reconnect(again)
	var left []string
	for _, a := range l.acts {
		if !a.seen.Confirmed {
			left = append(left, a.node)
		}
	}
	confirmed := len(left) == 0 && len(troubles) == 0
	l.must(l.enter(history.Healed, confirmed, probes, troubles...))
	if len(left) > 0 {
		return fmt.Errorf("heal fault %d (%s): nothing shows that %s recovered", l.step.ID, l.step.Kind, strings.Join(left, ", "))
	}
	return nil
}

// attempted puts what was attempted in front of an error that does not begin with it.
func attempted(verb, kind string, err error) error {
	what := verb + " " + kind
	if strings.HasPrefix(err.Error(), what) {
		return err
	}
	return fmt.Errorf("%s: %w", what, err)
}

// gone reports whether an agent is lost: asking it again is in vain.
func gone(a Agent) bool {
	select {
	case <-a.Lost():
		return true
	default:
		return false
	}
}

// keep notes how a heal goes. A call that was cut short since time is up says less
// than the error before it, which stays.
func (a *act) keep(within context.Context, err error) error {
	if err == nil || a.err == nil || within.Err() == nil {
		a.err = err
	}
	return err
}

// insist tries something every tenth of a second until it is done or ctx ends.
func insist(ctx context.Context, try func() bool) bool {
	for {
		if try() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// must takes the answer of enter inside a life, whose methods are called in the one
// right order; a wrong one is a bug, and is told in the history instead of hidden.
func (l *life) must(err error) {
	if err != nil {
		l.in.Record(history.Event{Time: l.in.Now(), Type: history.Note, Message: err.Error()})
	}
}
