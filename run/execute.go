package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"time"

	"nemesis/checker"
	"nemesis/checker/refinement"
	"nemesis/clients"
	"nemesis/clients/kit"
	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/workload"
)

// Config is what a run needs beside its plan: where, not what.
type Config struct {
	Cluster nodes.Cluster
	// System is the plan's; nil is the one of that name in Systems.
	System  clients.System
	Install clients.Install
	// Out is the store: the run directory is made below it.
	Out string
	// AgentBinary is the nemesis executable for the nodes; "" is this one.
	AgentBinary string
	// Power turns the nodes' machines off and on; nil where nobody can.
	Power nodes.Power
	// Specifications are those that traces can be held to; nil is none.
	Specifications refinement.Specifications
	// Keep leaves the servers running at the end.
	Keep bool
	// StartWithin is how long the servers may take until all of them serve; 0 is 90 s.
	StartWithin time.Duration
	// SettleWithin is how long the servers have to serve again once everything is healed; 0 is a
	// minute, or 15 s more than the claim's bound of recovery.
	SettleWithin time.Duration
	// Started is called with the run directory as soon as there is one, and with another if
	// that was deleted meanwhile and the run is kept there.
	Started func(history.Dir)
	// Observe is told of the run's progress, from several goroutines at once.
	Observe func(Progress)
}

// How long each phase may take, where nodes are not slow. The workload's own limits are in
// the plan.
const (
	// connectDeadline is for sending the agent: to emulated machines that takes minutes.
	connectDeadline = 5 * time.Minute
	// bootDeadline is how much longer connecting may take where nodes may have to boot first.
	bootDeadline    = 5 * time.Minute
	installDeadline = 5 * time.Minute
	startDeadline   = 90 * time.Second
	healDeadline    = 45 * time.Second
	reviveDeadline  = 12 * time.Second
	settleDeadline  = 60 * time.Second
	// settleSpare is how much longer than they promised servers have to serve again.
	settleSpare     = 15 * time.Second
	finalDeadline   = 60 * time.Second
	collectDeadline = 60 * time.Second
	stopDeadline    = 30 * time.Second
	// stopGrace is how long a server may take to end before it is killed.
	stopGrace = 500 * time.Millisecond
)

// Execute carries out a plan and judges what happened. An error means that there
// is no run directory to look at, as when this process may not have so many connections;
// every later trouble is in the verdict.
// Cancelling ctx ends the workload early: the cluster is healed, and what there
// is gets judged.
func Execute(ctx context.Context, plan history.Plan, cfg Config) (history.Dir, checker.Verdict, error) {
	if err := cmp.Or(CheckRoom(plan), checkPorts(plan)); err != nil {
		return "", checker.Verdict{}, err
	}
	start := time.Now()
	recording, writer, err := newRecording(cfg.Out, plan, start)
	if err != nil {
		return "", checker.Verdict{}, err
	}
	defer recording.close()
	if cfg.Started == nil {
		cfg.Started = func(history.Dir) {}
	}
	cfg.Started(recording.current())
	r := &runner{
		recorder: newRecorder(writer, start, cfg.Observe),
		plan:     plan, cfg: cfg, recording: recording,
	}
	noted := make(chan struct{})
	unheard := context.AfterFunc(ctx, func() {
		now := r.now()
		r.event(history.Event{Time: now, Type: history.Interrupt, Message: "interrupted after " + inSeconds(now)})
		close(noted)
	})
	r.drive(ctx)
	if !unheard() {
		<-noted
	}
	r.event(history.Event{Type: history.PhaseChange, Message: history.PhaseCheck})
	r.event(history.Event{Type: history.PhaseChange, Message: history.PhaseDone})
	if err := writer.Close(); err != nil {
		r.unrecorded(err)
	}
	verdict, err := r.judge(context.WithoutCancel(ctx))
	if err != nil {
		return "", verdict, err
	}
	dropCaptures(r.recording.current(), r.plan, verdict.Outcome)
	r.observe(Progress{Time: r.now(), Action: "verdict", Verdict: &verdict})
	return r.recording.current(), verdict, nil
}

// judge makes the verdict of the run, in a directory that is there afterwards too.
func (r *runner) judge(ctx context.Context) (checker.Verdict, error) {
	for {
		trouble, err := r.recording.keep()
		if err != nil {
			return checker.Verdict{}, err
		}
		if trouble != "" {
			r.tooLate(trouble)
			r.cfg.Started(r.recording.current())
		}
		verdict, err := Judge(ctx, r.recording.current(), r.start, r.told(), r.cfg.Specifications)
		if !r.recording.lost() {
			return verdict, err
		}
	}
}

// inSeconds is a moment of the run, for people.
func inSeconds(at int64) string { return fmt.Sprintf("%.1f s", time.Duration(at).Seconds()) }

// runner is one run under way.
type runner struct {
	*recorder
	plan      history.Plan
	cfg       Config
	recording *recording

	system     clients.System
	workload   workload.Workload
	machines   []*agent.Client
	conns      []nodes.Conn
	deployment clients.Deployment
	abilities  clients.Abilities
	servers    *kit.Servers // nil until they can be started
	roles      *roles
	clients    *Interpreter

	// follow watches a node's current agent until it is lost.
	follow func(m *agent.Client)
	// endWork ends the workload before its time; nil when there is none. Guarded by mu.
	endWork context.CancelFunc
	// blackouts are agents whose machines' power was taken.
	blackouts blackouts
}

// drive goes through the phases. What fails is a trouble in the history.
func (r *runner) drive(ctx context.Context) {
	// A run whose history cannot be written any more proves nothing: end it.
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		select {
		case <-r.failed:
			cancel()
		case <-ctx.Done():
		}
	})
	watching.Go(func() {
		if !r.recording.watch(ctx) {
			return
		}
		trouble, err := r.recording.move()
		if err != nil {
			trouble = err.Error()
		}
		r.trouble("", "%s", trouble)
		cancel()
		if err == nil {
			r.cfg.Started(r.recording.current())
		}
	})
	after := context.WithoutCancel(ctx)
	patient := r.plan.Patience

	defer r.phase(after, history.PhaseStop, patient(stopDeadline), r.stop)
	reachable := connectDeadline
	if r.turnsOff() {
		reachable += bootDeadline
	}
	if r.phase(ctx, history.PhaseConnect, patient(reachable), r.connect) != nil {
		return
	}
	if r.phase(ctx, history.PhaseInstall, patient(installDeadline), r.install) != nil {
		return
	}
	defer r.phase(after, history.PhaseCollect, patient(collectDeadline), r.collect)
	within := r.cfg.StartWithin
	if within <= 0 {
		within = startDeadline
	}
	if r.phase(ctx, history.PhaseStart, patient(within), r.begin) != nil {
		return
	}
	unwatch := r.watch(after)
	defer unwatch()
	worked := r.phase(ctx, history.PhaseWorkload, r.workloadDeadline(), r.work)
	healed := r.phase(after, history.PhaseHeal, patient(healDeadline), r.heal)
	if worked != nil || healed != nil || ctx.Err() != nil {
		return
	}
	// What a server that did not come back has lost shows in what the others have kept.
	settle := r.cfg.SettleWithin
	if settle <= 0 {
		settle = max(settleDeadline, time.Duration(r.plan.Claim.Bounds.Recovery)+settleSpare)
	}
	r.phase(ctx, history.PhaseSettle, patient(settle), r.settle)
	if ctx.Err() == nil {
		r.phase(ctx, history.PhaseFinal, patient(finalDeadline), r.finalReads)
	}
}

// phase runs one step of the run under its deadline. Its failure is recorded,
// unless the user interrupted it.
func (r *runner) phase(ctx context.Context, name string, limit time.Duration, step func(context.Context) error) error {
	r.event(history.Event{Type: history.PhaseChange, Message: name})
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := step(within)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil { // it was given up; what it waited for may be why
		if !errors.Is(err, ctx.Err()) {
			r.note("", "given up in the phase %q: %s", name, strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		return err
	}
	if errors.Is(within.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("%w (the phase %q may take %s)", err, name, limit)
	}
	for _, line := range strings.Split(err.Error(), "\n") { // one for each node
		r.trouble("", "%s", line)
	}
	return err
}

// onAll does one thing on every node at once and returns their errors.
func (r *runner) onAll(ctx context.Context, do func(ctx context.Context, m *agent.Client) error) error {
	errs := make([]error, len(r.machines))
	var wg sync.WaitGroup
	for i, m := range r.machines {
		wg.Go(func() { errs[i] = causeOn(m, do(ctx, m)) })
	}
	wg.Wait()
	all := make([]nodes.Node, len(r.machines))
	for i, m := range r.machines {
		all[i] = m.Node()
	}
	return nodes.JoinErrors(all, errs)
}

func (r *runner) connect(ctx context.Context) error {
	all := r.cfg.Cluster.Nodes()
	conns := make([]nodes.Conn, len(all))
	agents := make([]*agent.Client, len(all))
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, node := range all {
		wg.Go(func() {
			conns[i], agents[i], errs[i] = r.reach(ctx, node)
		})
	}
	wg.Wait()
	for i, node := range all {
		if conns[i] != nil {
			r.conns = append(r.conns, conns[i])
		}
		if agents[i] == nil {
			continue
		}
		r.machines = append(r.machines, agents[i])
		if f := agents[i].Facts(); f.HeldBy == agent.HeldByTag {
			r.note(node.Name, "servers are found by what their processes inherit, since there is no control group for them: %s", f.NoCgroup)
		}
		if f := agents[i].Facts(); f.DiskOnLoop != "" && r.agentOptions().Disk {
			r.note(node.Name, "below its servers' data are loop devices with ext4, which lose power at once and do nothing else: %s", f.DiskOnLoop)
		}
		if left := agents[i].Facts().Leftovers; len(left) > 0 {
			r.note(node.Name, "undid what an earlier run left behind: %s", strings.Join(left, ", "))
		}
		if stuck := agents[i].Facts().Stuck; len(stuck) > 0 {
			errs[i] = fmt.Errorf("prepare %s: an earlier run left behind what cannot be undone: %s", node.Name, strings.Join(stuck, ", "))
		}
	}
	if err := nodes.JoinErrors(all, errs); err != nil {
		return err
	}
	return r.onAll(ctx, r.preflight)
}

// agentOptions are how this run's agents are reached. Only clock faults put the servers
// under a shadow clock, and only disk faults put a file system of ours below their data: a
// server whose clock and disk no fault changes is not touched.
func (r *runner) agentOptions() agent.Options {
	return agent.Options{
		Binary: r.cfg.AgentBinary, Shadow: nemesis.NeedsShadow(r.plan.Faults), Disk: nemesis.NeedsDisk(r.plan.Faults) || nemesis.WaitsForCalls(r.plan.Schedule),
		// Slow nodes may not come to listening for a while.
		DeadAfter: r.plan.Patience(agent.DefaultDeadAfter),
		Keep:      r.cfg.Keep, OrphanAfter: r.plan.Patience(agent.DefaultOrphanAfter),
	}
}

// preflight refuses a plan whose faults a node cannot do, before anything starts.
func (r *runner) preflight(ctx context.Context, m *agent.Client) error {
	cannot := maps.Clone(m.Facts().Cannot)
	if cannot == nil {
		cannot = map[string]string{}
	}
	if r.cfg.Power == nil {
		cannot[nemesis.PowerKind] = "nobody can turn its power off and on: take --nodes vagrant, or pass --power-off and --power-on"
	}
	err := nemesis.Able(cannot, r.plan.Schedule)
	if err == nil {
		err = r.reaches(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("prepare %s: %w; leave that fault out of --faults", m.Node().Name, err)
	}
	for _, text := range nemesis.Instead(r.plan.Schedule, cannot) {
		r.note(m.Node().Name, "%s", text)
	}
	return nil
}

// reaches asks whether the way from a node to the others is free to be changed, where
// the schedule changes packets.
func (r *runner) reaches(ctx context.Context, m *agent.Client) error {
	var others []nodes.Node
	for _, n := range r.cfg.Cluster.Nodes() {
		if n.Name != m.Node().Name {
			others = append(others, n)
		}
	}
	for _, effect := range nemesis.Trials(r.plan.Schedule, m.Facts().Cannot, others) {
		if err := m.Check(ctx, effect); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) install(ctx context.Context) error {
	var err error
	if r.system = r.cfg.System; r.system == nil {
		if r.system, err = SystemOf(r.plan.System); err != nil {
			return err
		}
	}
	if r.workload, err = workload.Of(r.plan.Workload); err != nil {
		return err
	}
	if r.deployment, err = r.system.Deploy(r.cfg.Install, r.plan, r.machines); err != nil {
		return err
	}
	if r.servers, err = kit.New(r.deployment, r.machines, kit.Options{Patience: r.plan.Patience(time.Second)}); err != nil {
		return err
	}
	r.abilities = clients.AbilitiesOf(r.deployment)
	r.roles = &roles{leader: r.abilities.Leader, grantor: r.abilities.Grantor}
	return r.onAll(ctx, func(ctx context.Context, m *agent.Client) error {
		for _, c := range r.servers.Components() {
			if c.Node != m.Node().Name || c.ClientPort == 0 {
				continue
			}
			if err := checkReachable(ctx, m.Node(), c.ClientPort, new(net.Dialer).DialContext); err != nil {
				return err
			}
		}
		if err := r.servers.Install(ctx, m.Node().Name); err != nil {
			return err
		}
		r.startCapture(ctx, m)
		return nil
	})
}

// begin starts the servers and waits until all of them serve.
func (r *runner) begin(ctx context.Context) error {
	return r.servers.Start(ctx)
}

// causeOn is what to tell of an error on a machine. Once its agent is lost, everything
// that is asked of it fails for that one reason.
func causeOn(m *agent.Client, err error) error {
	if lost := m.Err(); err != nil && lost != nil {
		return lost
	}
	return err
}

// revive starts another agent on nodes whose agent was lost, if they can be reached.
// It undoes what the lost one left, and lets the servers there be stopped in order.
func (r *runner) revive(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.plan.Patience(reviveDeadline))
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range r.machines {
		if m.Err() != nil {
			// Of one that cannot be reached it was told that it is lost, and the heal says what to do.
			wg.Go(func() { _ = r.reattach(ctx, m) })
		}
	}
	wg.Wait()
}

// reattach starts another agent on a machine, which takes the place of the one before.
func (r *runner) reattach(ctx context.Context, m *agent.Client) error {
	conn, err := r.cfg.Cluster.Connect(ctx, m.Node().Name)
	if err != nil {
		return err
	}
	if err := m.Reconnect(ctx, conn); err != nil {
		conn.Close()
		return err
	}
	r.mu.Lock()
	r.conns = append(r.conns, conn)
	r.mu.Unlock()
	undid := "nothing was left to undo"
	if left := m.Facts().Leftovers; len(left) > 0 {
		undid = "it undid " + strings.Join(left, ", ")
	}
	r.note(m.Node().Name, "started another agent on %s: %s", m.Node().Name, undid)
	return nil
}

// settle waits until every server answers again, so that final reads can reach all. A
// server that does not come up although it is started again is the system's affair, and
// no trouble; nor is one that runs and does not serve.
func (r *runner) settle(ctx context.Context) error {
	began := r.now()
	return r.onAll(ctx, func(ctx context.Context, m *agent.Client) error {
		err := r.servers.ComeUp(ctx, m.Node().Name)
		var failed *kit.RestartError
		var unready *kit.UnreadyError
		switch {
		case m.Err() != nil:
			return err
		case errors.As(err, &unready) && unready.Runs && errors.Is(ctx.Err(), context.DeadlineExceeded):
			r.event(history.Event{Type: history.RestartFailed, Node: m.Node().Name, Restart: &history.Restart{
				Server: unready.Component.Name(), Role: unready.Component.Role,
				Waited: history.Duration(r.now() - began), Unready: unready.Why, LastWords: unready.LastWords.Text,
			}})
			return nil
		case errors.As(err, &failed) && ctx.Err() == nil:
			r.event(history.Event{Type: history.RestartFailed, Node: m.Node().Name, Restart: &history.Restart{
				Server: failed.Component.Name(), Role: failed.Component.Role, Attempts: failed.Attempts,
				Code: failed.State.Code, Signal: failed.State.Signal, LastWords: failed.LastWords.Text,
			}})
			return nil
		}
		return err
	})
}

// stop ends servers and agents and closes connections. Closing an agent undoes
// whatever it still holds.
func (r *runner) stop(ctx context.Context) error {
	if r.clients != nil {
		r.clients.Close()
	}
	var stopped error
	if !r.cfg.Keep && r.servers != nil {
		stopped = r.servers.Stop(ctx, stopGrace)
	}
	err := errors.Join(stopped, r.onAll(ctx, func(ctx context.Context, m *agent.Client) error {
		return m.Close(ctx, r.cfg.Keep)
	}))
	if r.abilities.Close != nil {
		r.abilities.Close()
	}
	for _, conn := range r.conns {
		conn.Close()
	}
	return err
}

// Reach opens the connection to a node and starts its agent. On an error the
// connection is closed and nil.
func Reach(ctx context.Context, cluster nodes.Cluster, node nodes.Node, opt agent.Options) (nodes.Conn, *agent.Client, error) {
	conn, err := cluster.Connect(ctx, node.Name)
	if err != nil {
		return nil, nil, err
	}
	client, err := agent.Connect(ctx, conn, opt)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, client, nil
}
