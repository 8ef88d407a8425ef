package run

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"nemesis/clients"
	"nemesis/clients/kit"
	"nemesis/history"
	"nemesis/nemesis"
	"nemesis/nemesis/effects"
	"nemesis/nodes"
	"nemesis/nodes/agent"
)

// Smoke is what came of trying a system once: whether its servers start and come back after they were killed,
// restarted and wiped, whether its clients can perform their operations, and so what it can have tested. It judges
// nothing that the system promises.
type Smoke struct {
	Steps     []SmokeStep  `json:"steps"`
	Workloads []Capability `json:"workloads"`
	Faults    []Capability `json:"faults"`
}

// Good reports whether nothing failed.
func (s Smoke) Good() bool {
	return !slices.ContainsFunc(s.Steps, func(step SmokeStep) bool { return step.Result == SmokeFailed })
}

// SmokeStep is one thing that was tried.
type SmokeStep struct {
	// Name is start, operations, kill, restart, wipe or failover; Of the node or the workload, "" for all.
	Name string `json:"name"`
	Of   string `json:"of,omitempty"`
	// Result is SmokeOK, SmokeFailed or SmokeNone.
	Result string `json:"result"`
	// Text says what happened, or why it did not.
	Text string           `json:"text"`
	Took history.Duration `json:"took"`
}

// The results of steps.
const (
	SmokeOK     = "ok"
	SmokeFailed = "failed"
	// SmokeNone: the system has no such thing, which is no mistake.
	SmokeNone = "none"
)

// SmokePlans are the plans of one workload each that a smoke test of a system on these nodes needs.
func SmokePlans(opt Options) ([]history.Plan, error) {
	system, err := SystemOf(history.System{Name: opt.System, Definition: opt.Definition})
	if err != nil {
		return nil, &UsageError{err}
	}
	var plans []history.Plan
	for _, name := range system.Workloads() {
		asked := opt
		asked.Settings = opt.Settings.With(Settings{"faults": "none", "workload": name, "seed": "1"})
		plan, err := Resolve(asked)
		if err != nil {
			return nil, err
		}
		plans = append(plans, plan)
	}
	return plans, nil
}

// How long the steps of a smoke test may take.
const (
	// smokeWithin is for servers to come back and operations to succeed again, smokeElection for leaders to be elected.
	smokeWithin, smokeElection = 60 * time.Second, 30 * time.Second
	// smokeGrace is for a server to end when it is asked to.
	smokeGrace = 10 * time.Second
	// smokeOperations bounds those of one workload, smokeTime the time for them.
	smokeOperations = 300
	smokeTime       = 20 * time.Second
)

// TrySystem carries out a smoke test. tell is called with each step when it is over. An error means that the test could
// not be carried out.
func TrySystem(ctx context.Context, plans []history.Plan, cfg Config, tell func(SmokeStep)) (told Smoke, err error) {
	if len(plans) == 0 {
		return told, errors.New("try the system: its clients speak no workload")
	}
	s := &smoke{plans: plans, cfg: cfg, tell: tell}
	if err := s.connect(ctx); err != nil {
		s.close(ctx)
		return told, err
	}
	defer s.close(context.WithoutCancel(ctx))
	if s.start(ctx) {
		for i := range plans {
			s.operations(ctx, i)
		}
		for _, m := range s.machines {
			s.kill(ctx, m)
		}
		s.restart(ctx, s.machines[0])
		s.wipe(ctx, s.machines[len(s.machines)-1])
		s.failover(ctx)
	}
	if err := ctx.Err(); err != nil {
		return told, fmt.Errorf("try the system: %w", err)
	}
	told = Smoke{Steps: s.steps, Workloads: WorkloadsOf(s.system), Faults: FaultsOf(plans[0].System, plans[0].Cluster.Nodes)}
	for _, m := range s.machines {
		cannot := maps.Clone(m.Facts().Cannot)
		if cannot == nil {
			cannot = map[string]string{}
		}
		if cfg.Power == nil {
			cannot[nemesis.PowerKind] = "nobody can turn its power off and on"
		}
		within(told.Faults, m.Node().Name, cannot)
	}
	return told, nil
}

// smoke is one smoke test under way.
type smoke struct {
	plans []history.Plan
	cfg   Config
	tell  func(SmokeStep)
	steps []SmokeStep

	system      clients.System
	conns       []nodes.Conn
	machines    []*agent.Client
	deployments []clients.Deployment // by plan; the servers are the first one's
	servers     *kit.Servers
	abilities   clients.Abilities
}

// connect reaches all nodes.
func (s *smoke) connect(ctx context.Context) error {
	all := s.cfg.Cluster.Nodes()
	conns, agents, errs := make([]nodes.Conn, len(all)), make([]*agent.Client, len(all)), make([]error, len(all))
	var wg sync.WaitGroup
	for i, node := range all {
		wg.Go(func() {
			conns[i], agents[i], errs[i] = Reach(ctx, s.cfg.Cluster, node, agent.Options{Binary: s.cfg.AgentBinary, Shadow: true})
		})
	}
	wg.Wait()
	for i := range all {
		if conns[i] != nil {
			s.conns = append(s.conns, conns[i])
		}
		if agents[i] != nil {
			s.machines = append(s.machines, agents[i])
		}
	}
	return nodes.JoinErrors(all, errs)
}

// close ends servers, agents and connections.
func (s *smoke) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stopDeadline)
	defer cancel()
	if s.servers != nil {
		_ = s.servers.Stop(ctx, stopGrace) // closing the agents ends what is left
	}
	for _, d := range s.deployments {
		_ = clients.AbilitiesOf(d).Close()
	}
	for _, m := range s.machines {
		_ = m.Close(ctx, false)
	}
	for _, c := range s.conns {
		_ = c.Close()
	}
}

// step carries out one step and tells how it ended. what says what happened.
func (s *smoke) step(name, of string, do func() (what string, err error)) bool {
	began := time.Now()
	what, err := do()
	step := SmokeStep{Name: name, Of: of, Result: SmokeOK, Text: what}
	var none noSuchThing
	switch {
	case errors.As(err, &none):
		step.Result, step.Text = SmokeNone, string(none)
	case err != nil:
		step.Result, step.Text = SmokeFailed, strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	step.Text = clients.Printable(step.Text)
	step.Took = history.Duration(time.Since(began).Round(time.Millisecond))
	s.steps = append(s.steps, step)
	s.tell(step)
	return step.Result == SmokeOK
}

// noSuchThing says why a system cannot have a step.
type noSuchThing string

func (n noSuchThing) Error() string { return string(n) }

// start puts the servers on the nodes and starts them.
func (s *smoke) start(ctx context.Context) bool {
	return s.step("start", "", func() (string, error) {
		ctx, cancel := context.WithTimeout(ctx, installDeadline)
		defer cancel()
		var err error
		if s.system, err = SystemOf(s.plans[0].System); err != nil {
			return "", err
		}
		for _, plan := range s.plans {
			d, err := s.system.Deploy(s.cfg.Install, plan, s.machines)
			if err != nil {
				return "", err
			}
			s.deployments = append(s.deployments, d)
		}
		s.abilities = clients.AbilitiesOf(s.deployments[0])
		if s.servers, err = kit.New(s.deployments[0], s.machines, kit.Options{}); err != nil {
			return "", err
		}
		for _, m := range s.machines {
			for _, c := range s.servers.On(m.Node().Name) {
				if c.ClientPort == 0 {
					continue
				}
				if err := checkReachable(ctx, m.Node(), c.ClientPort, new(net.Dialer).DialContext); err != nil {
					return "", err
				}
			}
			if err := s.servers.Install(ctx, m.Node().Name); err != nil {
				return "", err
			}
		}
		starting, cancel := context.WithTimeout(ctx, startDeadline)
		defer cancel()
		began := time.Now()
		if err := s.servers.Start(starting); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s, all of which serve after %s", count(len(s.servers.Components()), "process", "es"), inMillis(time.Since(began))), nil
	})
}

func count(n int, what, plural string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %s%s", n, what, plural)
}

func inMillis(d time.Duration) string { return d.Round(time.Millisecond).String() }

// back waits until the servers of a node serve and an operation through it succeeds.
func (s *smoke) back(ctx context.Context, node string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, smokeWithin)
	defer cancel()
	began := time.Now()
	if err := s.servers.Healthy(ctx, node); err != nil {
		return "", err
	}
	serves := time.Since(began)
	if err := s.works(ctx, node); err != nil {
		return "", err
	}
	return fmt.Sprintf("serves again after %s, and an operation succeeded after %s", inMillis(serves), inMillis(time.Since(began))), nil
}

// down kills the servers of a node, and returns how to start them again.
func (s *smoke) down(ctx context.Context, m *agent.Client) (again func(context.Context) error, killed []string, err error) {
	var kills []*effects.Kill
	again = func(ctx context.Context) error {
		for _, k := range kills {
			if err := m.Undo(ctx, k); err != nil {
				return err
			}
		}
		return nil
	}
	for i, c := range s.servers.On(m.Node().Name) {
		k := &effects.Kill{ID: fmt.Sprintf("smoke%d", i), Process: c.Name()}
		if err := m.Apply(ctx, k); err != nil {
			return again, killed, err
		}
		kills, killed = append(kills, k), append(killed, c.Name())
		evidence, err := m.Probe(ctx, k)
		if err == nil && !evidence.Confirmed {
			err = fmt.Errorf("%s was killed, and is not gone", c)
		}
		if err != nil {
			return again, killed, err
		}
	}
	return again, killed, nil
}

// kill kills the servers of a node and starts them again.
func (s *smoke) kill(ctx context.Context, m *agent.Client) {
	node := m.Node().Name
	if len(s.servers.On(node)) == 0 {
		return
	}
	s.step("kill", node, func() (string, error) {
		again, killed, err := s.down(ctx, m)
		err = errors.Join(err, again(ctx))
		if err != nil {
			return "", err
		}
		what, err := s.back(ctx, node)
		return strings.Join(killed, " and ") + " " + what, err
	})
}

// restart asks the servers of a node to end and starts them again.
func (s *smoke) restart(ctx context.Context, m *agent.Client) {
	node := m.Node().Name
	s.step("restart", node, func() (string, error) {
		how := "ended when asked to"
		for _, c := range slices.Backward(s.servers.On(node)) {
			state, err := m.StopProcess(ctx, c.Name(), smokeGrace)
			if err != nil {
				return "", err
			}
			if state.Signal == "SIGKILL" {
				how = fmt.Sprintf("%s did not end within %s and was killed (see shutdown.signal)", c.Name(), smokeGrace)
			}
		}
		if err := s.servers.StartNode(ctx, node); err != nil {
			return "", err
		}
		what, err := s.back(ctx, node)
		return how + ", " + what, err
	})
}

// wipe empties a node and starts its servers again.
func (s *smoke) wipe(ctx context.Context, m *agent.Client) {
	node := m.Node().Name
	s.step("wipe", node, func() (string, error) {
		for _, c := range slices.Backward(s.servers.On(node)) {
			if _, err := m.StopProcess(ctx, c.Name(), smokeGrace); err != nil {
				return "", err
			}
		}
		if err := s.servers.Wipe(ctx, node); err != nil {
			return "", err
		}
		if err := s.servers.StartNode(ctx, node); err != nil {
			return "", err
		}
		what, err := s.back(ctx, node)
		return "without its data it " + what, err
	})
}

// failover kills the node that leads, and waits for another.
func (s *smoke) failover(ctx context.Context) {
	s.step("failover", "", func() (string, error) {
		led, is := s.system.(clients.Led)
		switch {
		case !is || !led.HasLeaders(s.plans[0].System.Options) || s.abilities.Leads == nil:
			return "", noSuchThing("nobody leads: no process has a leader_probe, so faults cannot be aimed at leaders")
		case len(s.machines) == 1:
			return "", noSuchThing("one node has nobody to take over")
		}
		within, cancel := context.WithTimeout(ctx, smokeElection)
		defer cancel()
		first, err := s.leaderBut(within, "")
		if err != nil {
			return "", err
		}
		at := slices.IndexFunc(s.machines, func(m *agent.Client) bool { return m.Node().Name == first })
		if at < 0 {
			return "", fmt.Errorf("%s is said to lead, which is no node", first)
		}
		again, _, err := s.down(ctx, s.machines[at])
		if err != nil {
			return "", errors.Join(err, again(ctx))
		}
		began := time.Now()
		next, elected := s.leaderBut(within, first)
		took := time.Since(began)
		if elected == nil {
			elected = s.works(within, next)
		}
		if err := again(ctx); err != nil {
			return "", err
		}
		what, err := s.back(ctx, first)
		switch {
		case err != nil:
			return "", err
		case next == "":
			return "", noSuchThing(fmt.Sprintf("%s was killed, and nobody else led within %s: faults on the leader leave nobody in its place", first, smokeElection))
		case elected != nil:
			return "", fmt.Errorf("%s leads after %s was killed, and %w", next, first, elected)
		}
		return fmt.Sprintf("%s was killed, %s leads after %s; %s %s", first, next, inMillis(took), first, what), nil
	})
}

// leaderBut waits until a node leads that is not another; "" where none does in time.
func (s *smoke) leaderBut(ctx context.Context, other string) (string, error) {
	for {
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		leads, _ := s.abilities.Leads(asking) // whoever cannot be asked does not lead
		cancel()
		for _, l := range leads {
			if l.Node != other {
				return l.Node, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("nobody said that it leads within %s: see leader_probe", smokeElection)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
