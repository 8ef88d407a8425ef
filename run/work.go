package run

import (
	"context"
	"slices"
	"sync"
	"time"

	"nemesis/clients"
	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/nodes/agent"
	"nemesis/workload/generator"
)

// workloadDeadline is the time limit, what the last operations may still take, and as
// long as machines that lose their power may boot.
func (r *runner) workloadDeadline() time.Duration {
	limit := time.Duration(r.plan.TimeLimit) + 2*time.Duration(r.plan.OpTimeout) + 30*time.Second
	for _, step := range r.plan.Schedule {
		if nemesis.NeedsPower([]string{step.Kind}) {
			limit += bootDeadline
		}
	}
	return limit
}

// work runs clients and faults side by side until the time limit.
func (r *runner) work(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	r.mu.Lock()
	r.endWork = end
	r.mu.Unlock()
	injector := r.newInjector()
	r.clients = r.newInterpreter()
	faults, stopFaults := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := injector.Run(faults, r.plan.Schedule, r.now()); err != nil {
			r.trouble("", "%s", err)
		}
	})
	defer wg.Wait()
	defer stopFaults()

	limit := time.Duration(r.plan.TimeLimit)
	statusDone := make(chan struct{})
	wg.Go(func() {
		r.status(func() time.Duration { return limit + injector.Postponed() }, statusDone)
	})
	defer close(statusDone)

	gen := r.workload.Main(r.plan.Workload)
	if r.plan.Workload.Rate > 0 {
		gen = generator.Stagger(time.Duration(float64(time.Second)/r.plan.Workload.Rate), gen)
	}
	return r.clients.Run(ctx, generator.GrowingTimeLimit(limit, injector.Postponed, gen), random(r.plan.Seed, workloadStream))
}

func (r *runner) heal(ctx context.Context) error {
	r.revive(ctx)
	return r.newInjector().HealAll(ctx)
}

// finalReads reads everything back through every node, now that all is whole.
func (r *runner) finalReads(ctx context.Context) error {
	gen := r.workload.Final(r.plan.Workload, r.usedKeys())
	if gen == nil {
		return nil
	}
	return r.clients.Run(ctx, gen, random(r.plan.Seed, finalStream))
}

func (r *runner) newInjector() *nemesis.Injector {
	machines := make([]nemesis.Agent, len(r.machines))
	for i, m := range r.machines {
		machines[i] = m
	}
	config := nemesis.Config{
		Machines:   machines,
		Role:       r.roles.of,
		Servers:    r.serversOn,
		Components: func(node string) []string { return namesOf(r.servers.On(node)) },
		Ports:      r.ports,
		PeerPort:   r.peerPort(),
		Now:        r.now,
		Record:     r.event,

		SlowNodes: r.plan.SlowNodes,
	}
	config.Happens = r.happens
	if _, is := r.deployment.(clients.Joining); is {
		config.Join, config.Voters = r.join, r.voters
	}
	if r.cfg.Power != nil {
		config.Power, config.Reconnect, config.Restart, config.Dial = &outages{r}, r.reconnect, r.servers.StartNode, dial
	}
	return nemesis.New(config)
}

// serversOn names the servers of a node that faults on servers strike.
func (r *runner) serversOn(node, role string) []string {
	return namesOf(r.servers.WithRole(node, role))
}

func namesOf(components []clients.Component) []string {
	var names []string
	for _, c := range components {
		names = append(names, c.Name())
	}
	return names
}

// ports are where a server process listens.
func (r *runner) ports(node, process string) []uint16 {
	var ports []uint16
	for _, c := range r.servers.Components() {
		for _, port := range []uint16{c.ClientPort, c.PeerPort} {
			if c.Node == node && c.Name() == process && port != 0 && !slices.Contains(ports, port) {
				ports = append(ports, port)
			}
		}
	}
	return ports
}

// peerPort is where servers talk to each other.
func (r *runner) peerPort() uint16 {
	for _, c := range r.servers.Components() {
		if c.PeerPort != 0 {
			return c.PeerPort
		}
	}
	return 0
}

func (r *runner) newInterpreter() *Interpreter {
	return NewInterpreter(InterpreterConfig{
		Nodes:       r.plan.Cluster.Nodes,
		Concurrency: r.plan.Workload.Concurrency,
		OpTimeout:   time.Duration(r.plan.OpTimeout),
		Now:         r.now,
		Record: func(ev *history.Event) {
			r.roles.see(ev)
			r.operation(ev)
		},
		Believe: r.believe,
		Open: func(ctx context.Context, process int, node string, dialer *clients.Dialer) (clients.Client, error) {
			return r.deployment.Open(ctx, node, dialer)
		},
	})
}

// believe records what a client believes.
func (r *runner) believe(process int, node string, b clients.Belief) {
	now := r.now()
	belief := history.Belief{Grant: b.Grant, At: now}
	if !b.At.IsZero() {
		belief.At = int64(b.At.Sub(r.start))
	}
	if !b.Sent.IsZero() {
		belief.Sent = int64(b.Sent.Sub(r.start))
	}
	r.roles.believe(b.F, b.Key, process)
	r.event(history.Event{Time: now, Type: history.BeliefChange, Process: process, Node: node, F: b.F, Key: b.Key, Value: belief.Encode()})
}

// status tells the watcher how the run stands, twice a second.
func (r *runner) status(limit func() time.Duration, done <-chan struct{}) {
	began := r.now()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	lastTotal, lastAt := int64(0), began
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		now := r.now()
		ok, fail, info := r.clients.Counts()
		total := ok + fail + info
		r.observe(Progress{Time: now, Action: "status", Status: &Status{
			Left:        max(0, int64(limit())-(now-began)),
			Rate:        float64(total-lastTotal) / time.Duration(now-lastAt).Seconds(),
			Completions: [3]int64{ok, fail, info},
			Faults:      r.faultsInForce(),
		}})
		lastTotal, lastAt = total, now
	}
}

// How often nodes are looked at.
const (
	clockInterval      = time.Second
	clockFaultInterval = 250 * time.Millisecond // where faults change clocks
	leaderInterval     = 500 * time.Millisecond
	lookDeadline       = 2 * time.Second
)

// watch samples clocks and leadership and listens for server exits until the
// function it returns is called.
func (r *runner) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	clocksEvery := clockInterval
	if nemesis.NeedsShadow(r.plan.Faults) {
		clocksEvery = clockFaultInterval
	}
	r.follow = func(m *agent.Client) {
		alive := m.Alive()
		wg.Go(func() { r.followAgent(ctx, alive, clocksEvery, m) })
	}
	for _, m := range r.machines {
		r.follow(m)
		wg.Go(func() { r.followExits(ctx, m) })
	}
	wg.Go(func() {
		ticker := time.NewTicker(stallTick)
		defer ticker.Stop()
		watchdog{now: r.now, ticks: ticker.C, asleep: asleep, record: r.event, suspended: func(d time.Duration) {
			r.trouble("", "the control node was suspended for %s: its clock stood still, and nothing measured by it is true", d.Round(time.Millisecond))
		}}.watch(ctx)
	})
	if r.abilities.Trouble != nil {
		wg.Go(func() { r.watchTrouble(ctx) })
	}
	if r.abilities.Leads != nil {
		wg.Go(func() { r.watchLeaders(ctx) })
	}
	return func() { cancel(); wg.Wait() }
}

// watchTrouble ends the workload when the deployment tells that it cannot go on.
func (r *runner) watchTrouble(ctx context.Context) {
	select {
	case err := <-r.abilities.Trouble:
		r.trouble("", "%s", err)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.endWork != nil {
			r.endWork()
		}
	case <-ctx.Done():
	}
}

// watchLeaders records who leads whenever that changes.
func (r *runner) watchLeaders(ctx context.Context) {
	var last []history.Lead
	r.every(ctx, leaderInterval, func(ctx context.Context) {
		leads, err := r.abilities.Leads(ctx)
		if err != nil {
			return
		}
		if leads = history.SortedLeads(leads); !slices.Equal(leads, last) {
			last = leads
			r.event(history.LeadersAre(leads))
		}
	})
}

// followAgent samples a node's clocks until ctx ends or the agent is lost whose life
// alive is. That it is lost is a trouble, unless the node has no power.
func (r *runner) followAgent(ctx, alive context.Context, clocksEvery time.Duration, m *agent.Client) {
	sampling, stop := context.WithCancel(ctx)
	defer context.AfterFunc(alive, stop)()
	node := m.Node().Name
	r.every(sampling, clocksEvery, func(ctx context.Context) {
		if sample, err := m.Clock(ctx); err == nil {
			r.event(history.Event{Type: history.ClockReading, Node: node, Clock: &sample})
		}
	})
	stop()
	if ctx.Err() == nil && !r.powerless(alive) {
		r.trouble(node, "%s", context.Cause(alive))
		r.endBeforeOrphans(ctx, m.Err, r.agentOptions().OrphanAfter)
	}
}

// followExits records the ends of a node's servers.
func (r *runner) followExits(ctx context.Context, m *agent.Client) {
	for {
		select {
		case exit, open := <-m.Exits():
			if !open {
				return
			}
			if exit.Server == captureProcess {
				continue // no server
			}
			r.event(history.Event{Type: history.ServerExit, Node: m.Node().Name, Exit: &exit})
		case <-ctx.Done():
			return
		}
	}
}

// endBeforeOrphans ends the workload before the servers of a node that has lost its agent
// are ended too, orphanAfter it was lost: nobody is to take our doing for theirs. lost is
// nil once another agent has taken its place.
func (r *runner) endBeforeOrphans(ctx context.Context, lost func() error, orphanAfter time.Duration) {
	late := time.NewTimer(orphanAfter * 2 / 3)
	defer late.Stop()
	select {
	case <-late.C:
	case <-ctx.Done():
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if lost() != nil && r.endWork != nil {
		r.endWork()
	}
}

// every calls look at once and then at each interval, each time with a deadline.
func (r *runner) every(ctx context.Context, interval time.Duration, look func(context.Context)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		within, cancel := context.WithTimeout(ctx, r.plan.Patience(lookDeadline))
		look(within)
		cancel()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
