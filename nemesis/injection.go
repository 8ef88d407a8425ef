package nemesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"nemesis/history"
)

// injection is one fault from its beginning to its end:
//
//	(new) ──inject──▶ inject ──▶ active ──hold──▶ heal ──▶ healed
//
// Each arrow is taken once and in this order, also when everything goes wrong: a
// fault that could not be applied is undone all the same, since a node that did not
// answer may still have done it.
type injection struct {
	in    *Injector
	step  history.Step // concrete: whom it hits is decided
	bound Binding
	stage history.Stage
	acts  []*act
	// began is what happened that it waited for; "" where it waited for nothing.
	began string
	// applied is called as soon as every action was applied, before any is looked at; nil for nothing.
	applied func()
	// within is closed when what strikes within this fault is healed; nil where nothing does.
	within <-chan struct{}
	since  int64 // when it was in force first, on the run's clock
	// seenFrom and seenUntil are the first and last look that showed all of it, ended the
	// first that found all of it undone by something else; 0 for none.
	seenFrom, seenUntil, ended int64
}

// act is an action and what came of it. During a stage only one goroutine touches it.
type act struct {
	Action
	// took, done and err are of the last Apply or Undo.
	took, done int64
	err        error
	// seen is the evidence of this stage.
	seen history.Evidence
}

func (a *act) node() string { return a.Effect().Node }

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

func (in *Injector) newInjection(step history.Step, bound Binding) *injection {
	i := &injection{in: in, step: step, bound: bound}
	for _, a := range bound.Actions {
		i.acts = append(i.acts, &act{Action: a})
	}
	return i
}

// enter takes the fault to its next stage and records it, with what else is to be
// said. It refuses any other stage than the one that follows.
func (i *injection) enter(stage history.Stage, confirmed bool, more []history.Effect, troubles ...string) error {
	if stage == "" || stage != following(i.stage) {
		return fmt.Errorf("lead fault %d from stage %q to %q: after %q comes %q", i.step.ID, i.stage, stage, i.stage, following(i.stage))
	}
	i.stage = stage
	entry := entryOf(i.step, stage)
	entry.Confirmed = confirmed
	if stage == history.Heal || stage == history.Healed {
		entry.Ended = i.ended
	}
	if stage == history.Heal {
		entry.SeenFrom, entry.SeenUntil = i.seenFrom, i.seenUntil
	}
	if stage == history.Inject {
		entry.Limits = i.bound.Limits
	}
	if entry.Began = i.began; i.began != "" {
		entry.Description += ", since " + i.began
	}
	for _, a := range i.acts {
		e := a.Effect()
		e.Took, e.Done, e.Evidence = a.took, a.done, a.seen
		if a.err != nil {
			e.Error = oneLine(a.err)
			troubles = append(troubles, e.Node+": "+e.Error)
		}
		entry.Effects = append(entry.Effects, e)
	}
	entry.Effects = append(entry.Effects, more...)
	entry.Error = strings.Join(troubles, "; ")
	i.in.Record(history.Event{Time: i.in.Now(), Type: history.FaultChange, Fault: entry})
	return nil
}

// entryOf is a stage of a step, with nothing measured yet.
func entryOf(step history.Step, stage history.Stage) *history.Fault {
	return &history.Fault{
		ID: step.ID, Stage: stage, Kind: step.Kind, Shape: step.Shape, Target: step.Target, Process: step.Process,
		Nodes: step.Nodes, Links: step.Links, Description: Sentence(step),
	}
}

// each does something for every act at once. They wait for each other at the
// start, so that what is prepared slowly still fires together.
func (i *injection) each(do func(*act)) {
	var all sync.WaitGroup
	ready := make(chan struct{})
	for _, a := range i.acts {
		all.Go(func() {
			<-ready
			do(a)
		})
	}
	close(ready)
	all.Wait()
}

// inject applies every action at once and takes a first look. It returns when to heal:
// at healAt, but not before the fault was in force for half the time it should be.
func (i *injection) inject(ctx context.Context, healAt int64) int64 {
	i.each(func(a *act) { a.Before(ctx) })
	i.must(i.enter(history.Inject, false, nil))
	i.apply(ctx)
	if i.applied != nil {
		i.applied()
	}
	i.since = i.in.Now()
	healAt = max(healAt, i.since+int64(i.step.Hold)/2)

	// The first look must be over before the first heal, so it never delays one.
	until := healAt
	if pulse := i.bound.Pulse; pulse > 0 {
		until = min(until, i.since+int64(pulse)*3/4)
	}
	look, cancel := context.WithTimeout(ctx, time.Duration(until-i.in.Now()))
	defer cancel()
	probes := i.probe(look)
	i.look(look)
	confirmed, doubts := i.confirmed()
	i.must(i.enter(history.Active, confirmed, probes, doubts...))
	return healAt
}

// hold keeps the fault in force until healAt or the end of ctx, and takes the last
// look, which decides whether it counts.
func (i *injection) hold(ctx context.Context, healAt int64) {
	inForce := true
	if i.bound.Pulse > 0 {
		inForce = i.pulseUntil(ctx, healAt)
	} else {
		i.lookUntil(ctx, healAt-int64(i.lastLook()))
	}
	if i.within != nil {
		<-i.within // it ends soon after ctx does
	}
	if inForce {
		// The last look is taken also when the run is being aborted: it takes little
		// time, and without it what the fault did would remain unknown.
		look, cancel := context.WithTimeout(context.WithoutCancel(ctx), i.lastLook())
		i.look(look)
		cancel()
	}
	for _, a := range i.acts {
		a.err, a.took, a.done = nil, 0, 0 // of applying: told with Active
	}
	i.in.wait(ctx, healAt)
	if inForce {
		i.glance(context.WithoutCancel(ctx)) // between the last look and the heal it may have gone
	}
	if i.returnNodes(ctx) {
		i.look(context.WithoutCancel(ctx)) // by what boots they are in
	}
	confirmed, doubts := i.confirmed()
	i.must(i.enter(history.Heal, confirmed, nil, doubts...))
}

// confirmed weighs all that was seen while the fault was in force. This is the one place
// where a fault is confirmed: it has actions, and evidence shows each. The doubts say
// why it is not.
func (i *injection) confirmed() (bool, []string) {
	var doubts []string
	for _, a := range i.acts {
		for _, doubt := range a.Doubts() {
			if !slices.Contains(doubts, doubt) {
				doubts = append(doubts, doubt)
			}
		}
	}
	return len(i.acts) > 0 && len(doubts) == 0, doubts
}

// lastLook is how long the last look may take. What takes long to look at takes at most
// half of the fault.
func (i *injection) lastLook() time.Duration {
	return min(i.in.patient(cmp.Or(i.bound.ProbeTime, lookTime)), max(time.Duration(i.step.Hold)/2, lookTime))
}

// pulseUntil undoes and applies by turns until healAt, and tells whether it ends in force.
// It looks before each undoing, since counters go away with it.
func (i *injection) pulseUntil(ctx context.Context, healAt int64) bool {
	pulse := i.bound.Pulse
	ctx, cancel := context.WithTimeout(ctx, time.Duration(healAt-i.in.Now()))
	defer cancel()
	for turn := i.since + int64(pulse); turn < healAt; turn += int64(pulse) {
		if !i.in.wait(ctx, turn-int64(pulse/4)) {
			return true
		}
		look, cancel := context.WithTimeout(ctx, pulse/4)
		i.look(look)
		cancel()
		i.in.wait(ctx, turn)
		// What goes wrong here is undone by the next turn, or by the heal, which tells.
		i.each(func(a *act) { _ = i.undo(ctx, a) })
		turn += int64(pulse)
		if turn >= healAt || !i.in.wait(ctx, turn) {
			return false
		}
		i.apply(ctx)
	}
	i.in.wait(ctx, healAt-int64(min(i.in.patient(lookTime), pulse/4)))
	return true
}

// apply puts every action in force. A node that hangs may take up most of the time
// that the fault has, but not the look at what it does on the others.
func (i *injection) apply(ctx context.Context) {
	usual := min(max(time.Duration(i.step.Hold)*3/4, time.Second), i.in.patient(callTime))
	limit := cmp.Or(i.bound.ApplyTime, usual)
	i.each(func(a *act) {
		began := i.in.Now()
		_, a.err = bounded(ctx, limit, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, a.Apply(ctx)
		})
		a.done = i.in.Now()
		a.took = a.done - began
		if a.err != nil {
			a.err = attempted("apply", a.Effect().Kind, a.err)
		}
	})
}

// undo takes one action back, once.
func (i *injection) undo(ctx context.Context, a *act) error {
	began := i.in.Now()
	_, err := bounded(ctx, cmp.Or(i.bound.UndoTime, i.in.patient(callTime)), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, a.Undo(ctx)
	})
	a.done = i.in.Now()
	a.took = a.done - began
	if err != nil {
		return attempted("undo", a.Effect().Kind, err)
	}
	return nil
}

// look asks every action what shows that it is in force. Where there is no answer,
// what was seen before stays.
func (i *injection) look(ctx context.Context) {
	began := i.in.Now()
	i.each(func(a *act) {
		if seen, err := a.Probe(ctx); err == nil {
			a.seen = seen
		}
	})
	switch confirmed, _ := i.confirmed(); {
	case confirmed && i.seenFrom == 0:
		// It was measured at some time between the two, so this is the least that is certain.
		i.seenFrom, i.seenUntil = i.in.Now(), i.in.Now()
	case confirmed:
		i.seenUntil = max(i.seenUntil, began)
	default:
		i.noteEnd()
	}
}

// noteEnd takes note that something else has undone every action.
func (i *injection) noteEnd() {
	if i.ended == 0 && len(i.acts) > 0 && !slices.ContainsFunc(i.acts, func(a *act) bool { return !a.Lost() }) {
		i.ended = i.in.Now()
	}
}

// glance looks whether something else has undone an action, where that can be seen at once.
func (i *injection) glance(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, i.in.patient(glanceTime))
	defer cancel()
	i.each(func(a *act) {
		if g, is := a.Action.(interface{ Glance(context.Context) }); is {
			g.Glance(ctx)
		}
	})
	i.noteEnd()
}

// lookUntil waits, and looks now and then: what the fault does may be undone by something
// else long before it is to be healed. Between looks that take long it glances.
func (i *injection) lookUntil(ctx context.Context, until int64) {
	every := int64(i.in.patient(max(lookEvery, 2*i.bound.ProbeTime)))
	last := i.in.Now()
	for {
		next := i.in.Now() + int64(i.in.patient(lookEvery))
		if next >= until-int64(i.in.patient(lookEvery))/2 || !i.in.wait(ctx, next) {
			break
		}
		now := i.in.Now()
		if now-last < every || until-now <= every/2 {
			i.glance(ctx)
			continue
		}
		look, cancel := context.WithTimeout(ctx, time.Duration(until-now))
		i.look(look)
		cancel()
		last = i.in.Now()
	}
	i.in.wait(ctx, until)
}

// probe makes every measurement across actions.
func (i *injection) probe(ctx context.Context) []history.Effect {
	return i.eachProbe(func(p Probe) history.Effect { return p.During(ctx) })
}

// probeAgain repeats them until all is as it was before, ctx ends, or nobody is there to
// ask, and lists what is not.
func (i *injection) probeAgain(ctx context.Context) (seen []history.Effect, missing []string) {
	lacks := make(map[Probe][]string)
	var mu sync.Mutex
	seen = i.eachProbe(func(p Probe) (last history.Effect) {
		insist(ctx, func() bool {
			entry, lack := p.After(ctx)
			mu.Lock()
			defer mu.Unlock()
			last, lacks[p] = entry, lack
			return len(lack) == 0 || p.Gone()
		})
		return last
	})
	for _, p := range i.bound.Probes {
		missing = append(missing, lacks[p]...)
	}
	return seen, missing
}

// eachProbe measures by every probe at once and gives what each has to tell, in order.
func (i *injection) eachProbe(measure func(Probe) history.Effect) []history.Effect {
	entries := make([]history.Effect, len(i.bound.Probes))
	var all sync.WaitGroup
	for k, p := range i.bound.Probes {
		all.Go(func() { entries[k] = measure(p) })
	}
	all.Wait()
	return slices.DeleteFunc(entries, func(e history.Effect) bool { return e.Kind == "" })
}

// returnNodes gives back every node that an action took away, also after the end of ctx:
// nobody else would. It reports whether there was one.
func (i *injection) returnNodes(ctx context.Context) bool {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), i.in.patient(bootTime))
	defer cancel()
	var some bool
	for _, a := range i.acts {
		_, is := a.Action.(Outage)
		some = some || is
	}
	i.each(func(a *act) {
		if outage, is := a.Action.(Outage); is {
			insist(within, func() bool { return a.keep(within, outage.Return(within)) == nil })
		}
	})
	return some
}

// heal undoes every action, on every node, however often it takes within the time
// there is, and shows that nothing of it is left. It does so after the end of ctx
// too. The error names the nodes on which the fault may still be in force.
func (i *injection) heal(ctx context.Context, next int64) error {
	limit := i.in.patient(recoveryTime)
	if until := time.Duration(next - i.in.Now()); until < limit && !NeedsPower([]string{i.step.Kind}) {
		limit = max(until, i.in.patient(leastRecovery))
	}
	limit = max(limit, 2*i.bound.UndoTime)
	end := i.in.Now() + int64(limit)
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()

	i.each(func(a *act) {
		a.seen = history.Evidence{}
		insist(within, func() bool {
			if a.keep(within, i.undo(within, a)) != nil {
				return a.Gone()
			}
			return insist(within, func() bool {
				seen, err := a.Recovered(within)
				a.seen = seen
				a.keep(within, err)
				return a.err == nil || a.UndoAgain() || a.Gone()
			}) && (a.err == nil || a.Gone())
		})
	})
	// A node that used up all the time must not leave the others unseen.
	again, cancelAgain := context.WithTimeout(context.WithoutCancel(ctx), max(time.Duration(end-i.in.Now()), time.Second))
	defer cancelAgain()
	probes, troubles := i.probeAgain(again)
	var left []string
	confirmed := len(troubles) == 0
	for _, a := range i.acts {
		confirmed = confirmed && a.seen.Confirmed
		if !a.seen.Confirmed && !errors.As(a.err, new(*endedError)) {
			left = append(left, a.node())
		}
	}
	i.must(i.enter(history.Healed, confirmed, probes, troubles...))
	if len(left) > 0 {
		return fmt.Errorf("heal fault %d (%s): nothing shows that %s recovered", i.step.ID, i.step.Kind, strings.Join(left, ", "))
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

// must takes the answer of enter inside an injection, whose methods are called in the one
// right order; a wrong one is a bug, and is told in the history instead of hidden.
func (i *injection) must(err error) {
	if err != nil {
		i.in.Record(history.Event{Time: i.in.Now(), Type: history.Note, Message: err.Error()})
	}
}
