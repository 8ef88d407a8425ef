package nemesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/nodes/hostile"
)

// How long the injector waits for others, where nodes are not slow. Nothing it does
// waits longer.
const (
	// callTime bounds one call of an agent, stateTime asking for a server's state.
	callTime  = 5 * time.Second
	stateTime = time.Second
	// connectTime bounds one attempt to connect, whether it should fail or not.
	connectTime = 500 * time.Millisecond
	// roleTime is how long a step waits for somebody to play its role.
	roleTime = 2 * time.Second
	// lookEvery is the time between two looks at a fault that holds.
	lookEvery = 500 * time.Millisecond
	// lookTime is set aside before a heal for the last look at the fault.
	lookTime = 300 * time.Millisecond
	// glanceTime bounds looking whether something else has undone a fault.
	glanceTime = 200 * time.Millisecond
	// recoveryTime bounds a heal and its probes; leastRecovery is what they get even
	// when the next fault is due.
	recoveryTime  = 10 * time.Second
	leastRecovery = 3 * time.Second
)

// Agent is what the injector needs of a node and its agent; *agent.Client is one. It stays
// the same when another agent takes the place of one that was lost.
type Agent interface {
	// Node is the machine.
	Node() nodes.Node
	Apply(ctx context.Context, e agent.Effect) error
	Undo(ctx context.Context, e agent.Effect) error
	Probe(ctx context.Context, e agent.Effect) (history.Evidence, error)
	ProbeTCP(ctx context.Context, to netip.AddrPort, timeout time.Duration) (agent.Connection, error)
	ProcessState(ctx context.Context, name string) (agent.ProcessState, error)
	HealAll(ctx context.Context) ([]string, error)
	// Facts are what the current agent found when it started.
	Facts() agent.Facts
	// Lost is closed when the current agent cannot be reached any more.
	Lost() <-chan struct{}
}

// Config is what an Injector works with. Every field is needed but those that say
// otherwise, those about power for faults of power only.
type Config struct {
	// Machines are the nodes of the cluster in the plan's order.
	Machines []Agent
	// Role finds the node that plays a role now: leader, holder or grantor; "" means
	// nobody who could be asked knows.
	Role func(ctx context.Context, role string) (string, error)
	// Servers names the server processes on a node that have a role, or for "" the main
	// ones, in the order of the deployment.
	Servers func(node, role string) []string
	// Components names all server processes of a node, in the order in which they start; nil
	// where there are no others than Servers names.
	Components func(node string) []string
	// Ports are where a server process of a node listens; nil where nobody knows of any.
	Ports func(node, process string) []uint16
	// Sender sends hostile input from this machine; nil is hostile.New.
	Sender func(hostile.Input) InputSender
	// PeerPort is where the servers talk to each other, to connect to across a cut.
	PeerPort uint16
	// Now is nanoseconds since the run began, on the clock of the history.
	Now func() int64
	// Record writes an event down. It is called from one goroutine at a time, except
	// that HealAll may call it beside Run.
	Record func(history.Event)

	// SlowNodes is how many times slower than usual the nodes are, and so how many times
	// longer they are waited for; 0 is as usual.
	SlowNodes float64

	// Happens returns when what a trigger waits for has happened, and says as a clause what it was, or with an error when ctx ends; nil where
	// nobody knows. Nodes are those whose servers' logs it is about. It is not asked about calls.
	Happens func(ctx context.Context, t Trigger, nodes []string) (why string, err error)

	// Join is how the server of a node is taken out of its cluster and in again: an effect without ID. change differs from one such
	// change of the node to the next. Voters are the nodes whose servers are members now. Both are nil where the members cannot be
	// changed.
	Join   func(node string, change int) (*effects.Member, error)
	Voters func(ctx context.Context) ([]string, error)

	// Power turns the machines off and on.
	Power nodes.Power
	// Reconnect starts another agent on a node that has its power again, which the node's
	// Agent speaks to from then on, and fails when it cannot be reached yet. Restart starts
	// the node's server. Both are called for different nodes at once.
	Reconnect func(ctx context.Context, node string) error
	Restart   func(ctx context.Context, node string) error
	// Dial connects to an address from the control node, and closes the connection again.
	Dial func(ctx context.Context, to netip.AddrPort) error
}

// Injector makes the faults of a schedule happen, one after the other or, where a step says so, one within another, and
// undoes each, whatever happens in between.
type Injector struct {
	Config
	late postponement
	// recording keeps events of two faults at once apart.
	recording sync.Mutex
	// suspended is the effect that keeps time services stopped meanwhile, nil for none.
	suspended agent.Effect
	// healed is the fault that healed last, if none after it was skipped; 0 for none.
	healed int
}

// New makes an injector. It does nothing yet.
func New(config Config) *Injector {
	in := &Injector{Config: config}
	record := config.Record
	in.Record = func(e history.Event) {
		in.recording.Lock()
		defer in.recording.Unlock()
		record(e)
	}
	return in
}

// Run fires steps, each at its moment after start, which is on the clock of
// Config.Now, and returns when the last is healed. When ctx ends, it heals what is
// in force and returns; that takes milliseconds when the agents answer, at most
// 20 s when they do not, and as long as it takes to boot where machines have no power.
//
// Steps fire in order of time, one at a time. One that comes into force late, since
// the one before it was still being healed or since a node was slow, is shortened, by
// at most a half, so that the plan's clean end stays clean. How long machines take to boot
// is no plan's to say: that postpones all that follows. Each stage is recorded as a
// FaultChange. Where steps change the clocks of machines, their time services are
// stopped meanwhile. What goes wrong is recorded there and does not stop
// the run; only faults that could not be healed are also returned, in an error that
// is one line.
func (in *Injector) Run(ctx context.Context, steps []history.Step, start int64) error {
	steps = slices.Clone(steps)
	slices.SortStableFunc(steps, func(a, b history.Step) int { return cmp.Compare(a.At, b.At) })
	resume := in.suspendTimeServices(ctx, steps)
	var unhealed []string
	for i := 0; i < len(steps); {
		outer := steps[i]
		inner := steps[i+1:]
		for n, step := range inner {
			if step.While != outer.ID || outer.While != 0 {
				inner = inner[:n]
				break
			}
		}
		i += 1 + len(inner)
		next := int64(math.MaxInt64)
		if i < len(steps) {
			next = start + int64(steps[i].At)
		}
		left, postponed, more := in.together(ctx, outer, inner, start, next)
		unhealed = append(unhealed, left...)
		if start += postponed; !more {
			break
		}
	}
	if unhealed = append(unhealed, resume()...); len(unhealed) > 0 {
		return errors.New(strings.Join(unhealed, "; "))
	}
	return nil
}

// together carries a step out, and those that strike within it. It returns what could not be healed, by how much all that follows is
// later, and whether anything follows.
func (in *Injector) together(ctx context.Context, outer history.Step, inner []history.Step, start, next int64) (unhealed []string, postponed int64, more bool) {
	if !in.wait(ctx, start+int64(outer.At)) {
		return nil, 0, false
	}
	var mu sync.Mutex
	do := func(ctx context.Context, step history.Step, next int64) {
		healAt := start + int64(step.At+step.Hold)
		power := NeedsPower([]string{step.Kind})
		if power {
			in.late.begin(healAt)
		}
		err := in.carryOut(ctx, step, healAt, next)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			unhealed = append(unhealed, err.Error())
		}
		if power {
			postponed += in.late.end(in.Now())
		}
	}
	if len(inner) == 0 {
		do(ctx, outer, next)
		return unhealed, postponed, true
	}
	lasts := &lastingOne{step: outer, begun: make(chan struct{}), innerOver: make(chan struct{})}
	var both sync.WaitGroup
	both.Go(func() {
		defer close(lasts.innerOver)
		for _, step := range inner {
			if !in.wait(ctx, start+int64(step.At)) {
				return
			}
			<-lasts.begun
			if !lasts.injected {
				in.skip(step, fmt.Errorf("step %d, while which it was to strike, was not injected", outer.ID))
				continue
			}
			do(context.WithValue(ctx, innerKey{}, lasts), step, math.MaxInt64)
		}
	})
	do(context.WithValue(ctx, outerKey{}, lasts), outer, next)
	lasts.begin(outer, false) // if it has not begun it never will
	both.Wait()
	return unhealed, postponed, true
}

// Postponed is how much later than the plan has it the rest of Run's schedule comes, since
// machines boot: the end of the run should come as much later. It grows meanwhile and
// never shrinks, and may be called at any time.
func (in *Injector) Postponed() time.Duration { return in.late.by(in.Now()) }

// patient is how long to wait for nodes, where d is enough for usual ones.
func (c Config) patient(d time.Duration) time.Duration { return history.Patience(c.SlowNodes, d) }

// names are those of the nodes, in the plan's order.
func (c Config) names() []string {
	var names []string
	for _, m := range c.Machines {
		names = append(names, m.Node().Name)
	}
	return names
}

// machine finds a node by its name; Resolve has made sure that it exists.
func (c Config) machine(name string) Agent {
	return c.Machines[slices.IndexFunc(c.Machines, func(m Agent) bool { return m.Node().Name == name })]
}

// HealAll makes every agent undo whatever its ledger holds, from this run or an
// earlier one, and records a note on each node where there was something. Call it
// after Run has returned. The error, one line, names the nodes that did not answer.
func (in *Injector) HealAll(ctx context.Context) error {
	errs := make([]string, len(in.Machines))
	found := make([][]string, len(in.Machines))
	var all sync.WaitGroup
	for i, m := range in.Machines {
		all.Go(func() {
			var err error
			found[i], err = bounded(ctx, in.patient(recoveryTime), m.HealAll)
			if err != nil {
				errs[i] = fmt.Sprintf("heal %s: %s; run nemesis nodes heal once it can be reached", m.Node().Name, oneLine(err))
			}
		})
	}
	all.Wait()
	for i, m := range in.Machines {
		if len(found[i]) > 0 {
			in.Record(history.Event{
				Time: in.Now(), Type: history.Note, Node: m.Node().Name,
				Message: "undid what was left in force: " + strings.Join(found[i], ", "),
			})
		}
	}
	errs = slices.DeleteFunc(errs, func(e string) bool { return e == "" })
	if len(errs) > 0 {
		return errors.New(strings.Join(errs, "; "))
	}
	return nil
}

// carryOut leads one step through its stages. healAt and next are on the run's clock: when
// the plan wants it healed, and when the step after it is due.
func (in *Injector) carryOut(ctx context.Context, step history.Step, healAt, next int64) error {
	live := Live{Config: in.Config}
	why, release, err := in.triggered(ctx, step)
	defer release()
	if step.While == 0 {
		in.healed = 0
	}
	if err != nil {
		in.skip(step, err)
		return nil
	}
	if symbolic(step) {
		node, err := in.who(ctx, step.Target)
		if err != nil {
			in.skip(step, err)
			return nil
		}
		live.Roles = map[string]string{step.Target: node}
	}
	if fault, err := Find(step.Kind); err == nil && fault.Needs(step).Members && in.Voters != nil {
		if live.Voters, err = in.voters(ctx); err != nil {
			in.skip(step, err)
			return nil
		}
	}
	if outer, is := ctx.Value(innerKey{}).(*lastingOne); is {
		if step, err = beside(step, outer, live); err != nil {
			in.skip(step, err)
			return nil
		}
	}
	if outer, is := ctx.Value(innerKey{}).(*lastingOne); is && in.Voters != nil && outer.hit.Kind == (member{}).Info().Name {
		voters, err := in.voters(ctx)
		if err == nil {
			step, err = byVoters(step, voters, in.names(), outer.hit)
		}
		if err != nil {
			in.skip(step, err)
			return nil
		}
	}
	var bound Binding
	step, bound, err = Resolve(step, live)
	if err != nil {
		in.skip(step, err)
		return nil
	}
	i := in.newInjection(step, bound)
	i.began, i.applied = why, release
	if outer, is := ctx.Value(outerKey{}).(*lastingOne); is {
		i.applied = func() {
			release()
			outer.begin(step, true)
		}
		i.within = outer.innerOver
	}
	healAt = i.inject(ctx, healAt)
	i.hold(ctx, healAt)
	err = i.heal(ctx, next)
	if step.While == 0 {
		in.healed = step.ID
	}
	for _, a := range i.acts {
		if p, is := a.Action.(*powerAction); is && p.booted {
			in.suspendAgain(ctx, p.agent)
		}
	}
	return err
}

// suspendAgain stops the time services of a machine that booted, where they were stopped
// for the length of the run.
func (in *Injector) suspendAgain(ctx context.Context, booted Agent) {
	if in.suspended != nil {
		_, _ = bounded(ctx, in.patient(recoveryTime), func(ctx context.Context) (struct{}, error) {
			return struct{}{}, booted.Apply(ctx, in.suspended)
		})
	}
}

// skip records a step that was not injected, and why.
func (in *Injector) skip(step history.Step, why error) {
	entry := entryOf(step, history.Inject)
	entry.Skipped, entry.Error = true, oneLine(why)
	in.Record(history.Event{Time: in.Now(), Type: history.FaultChange, Fault: entry})
}

// who asks for the node that plays a role until there is one, for at most roleTime.
func (in *Injector) who(ctx context.Context, target string) (string, error) {
	role, _ := roleOf(target)
	within, cancel := context.WithTimeout(ctx, in.patient(roleTime))
	defer cancel()
	why := role.nobody
	for {
		name, err := bounded(within, in.patient(roleTime)/2, func(ctx context.Context) (string, error) { return in.Role(ctx, target) })
		if err == nil && name != "" {
			return name, nil
		}
		if err != nil && within.Err() == nil {
			why = oneLine(err)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-within.Done():
			if ctx.Err() != nil {
				return "", fmt.Errorf("the run ended before the %s was known", role.who)
			}
			return "", fmt.Errorf("no %s within %s: %s", role.who, in.patient(roleTime), why)
		}
	}
}

// voters asks who belongs to the cluster.
func (in *Injector) voters(ctx context.Context) ([]string, error) {
	names, err := bounded(ctx, in.patient(callTime), in.Voters)
	if err != nil {
		return nil, fmt.Errorf("find the members of the cluster: %w", err)
	}
	return names, nil
}

// wait sleeps until a moment of the run's clock. It is false when ctx ended first.
func (in *Injector) wait(ctx context.Context, until int64) bool {
	if ctx.Err() != nil {
		return false
	}
	left := until - in.Now()
	if left <= 0 {
		return true
	}
	timer := time.NewTimer(time.Duration(left))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// bounded makes one call and waits for its answer no longer than limit, even if
// the call itself ignores its context: a node that hangs must not hang the run.
func bounded[T any](ctx context.Context, limit time.Duration, call func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answered, asked := make(chan answer, 1), time.Now()
	go func() {
		value, err := call(within)
		answered <- answer{value, err}
	}()
	select {
	case a := <-answered:
		return a.value, a.err
	case <-within.Done():
	}
	var none T
	if errors.Is(ctx.Err(), context.Canceled) {
		return none, errors.New("the run ended before the answer came")
	}
	return none, fmt.Errorf("no answer within %s", time.Since(asked).Round(time.Millisecond))
}

// oneLine is an error's text without line breaks: it ends up in one-line messages.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
