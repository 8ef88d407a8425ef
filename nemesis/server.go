package nemesis

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"nemesis/history"
	"nemesis/nodes/agent"
)

// serverFault is a fault that acts on server processes.
type serverFault struct {
	name, doc string
	verb      string // of its sentence
	needs     string
	effect    func(id, process string, ports []uint16, step history.Step) agent.Effect
	// restarts: healing it brings up a new process; otherwise the old one goes on.
	restarts bool
	class    Class
}

// Info gives every server fault the same forms. Those that take away a majority come
// seldom: nobody expects an answer then, and most of what breaks breaks while a majority
// goes on.
func (f serverFault) Info() Info {
	return Info{
		Name: f.name, Doc: f.doc, Class: f.class, Settings: []FaultSetting{processFaultSetting()},
		Forms: append([]Form{
			{Target: "leader", Weight: 3, Least: 1},
			{Target: "one", Weight: 3, Least: 1},
			{Target: "minority", Weight: 2, Least: 5},
			{Target: "majority", Weight: 1, Least: 3},
			{Target: "all", Weight: 1, Least: 2},
		}, onLeases(Form{Weight: 2, Least: 1})...),
	}
}

// processSetting chooses the kind of server that faults on servers act on.
const processSetting = "fault-process"

func processFaultSetting() FaultSetting {
	return FaultSetting{
		Setting: history.Setting{
			Name: processSetting,
			Doc:  "the kind of server that faults on servers act on, by its role (default: the system's main one)",
		},
		Example: "etcd",
		Check: func(value string, opt Options) error {
			if len(opt.nodesWith(value)) == 0 {
				return fmt.Errorf("read --%s: the system has no servers of role %q; it has %s", processSetting, value, strings.Join(opt.roleNames(), ", "))
			}
			if !slices.ContainsFunc(opt.Faults, func(name string) bool { f, err := Find(name); return err == nil && actsOnServers(f) }) {
				return fmt.Errorf("schedule faults: --%s chooses which servers are struck, and no fault of this run acts on servers; add kill, stop or pause to --faults", processSetting)
			}
			return nil
		},
	}
}

// actsOnServers: the fault has the setting.
func actsOnServers(f Fault) bool {
	return slices.ContainsFunc(f.Info().Settings, func(s FaultSetting) bool { return s.Name == processSetting })
}

// roleNames are the kinds of servers, the main one first.
func (opt Options) roleNames() []string {
	var names []string
	for _, r := range opt.Roles {
		names = append(names, r.Name)
	}
	return names
}

// nodesWith are the nodes that have a server of a role.
func (opt Options) nodesWith(role string) []string {
	for _, r := range opt.Roles {
		if r.Name == role {
			return r.Nodes
		}
	}
	return nil
}

// Parameters: it has none.
func (serverFault) Parameters(*rand.Rand, Options) (Dealer, error) { return nil, nil }

// Check refuses parameters.
func (serverFault) Check(step history.Step) error { return noParameters(step) }

// Needs is the effect.
func (f serverFault) Needs(history.Step) Needs { return Needs{Effect: f.needs} }

// Sentence is one such as "kill the servers on n1 n2".
func (f serverFault) Sentence(step history.Step) string {
	return f.verb + " " + serversOf(step)
}

// serversOf are the servers of a step, in words.
func serversOf(step history.Step) string {
	role, _ := roleOf(step.Target)
	server := cmp.Or(step.Process, "server")
	switch {
	case symbolic(step) && step.Process != "":
		return "the " + server + " on " + role.node
	case symbolic(step):
		return role.server
	case step.Target == "all":
		return "every " + server
	case len(step.Nodes) == 1:
		return "the " + server + " on " + step.Nodes[0]
	}
	return "the " + server + "s on " + strings.Join(step.Nodes, " ")
}

// Bind does one effect to each server of the kind on every target.
func (f serverFault) Bind(step history.Step, live Live) (Binding, error) {
	var b Binding
	for _, node := range step.Nodes {
		names := live.Servers(node, step.Process)
		if len(names) == 0 {
			return b, fmt.Errorf("%s has no %s", node, cmp.Or(step.Process, "server"))
		}
		for i, name := range names {
			id := effectID(step)
			if i > 0 {
				id = fmt.Sprintf("%s-%d", id, i+1)
			}
			var ports []uint16
			if live.Ports != nil {
				ports = live.Ports(node, name)
			}
			a, err := live.onAgent(node, f.effect(id, name, ports, step))
			if err != nil {
				return b, err
			}
			b.Actions = append(b.Actions, &serverAction{agentAction: a, name: name, restarts: f.restarts})
		}
	}
	return b, nil
}

// serverAction is an effect on a server process. It is shown by what /proc says about the
// server, provided that the server ran before.
type serverAction struct {
	*agentAction
	name     string
	restarts bool
	// process is the server that it is about to hit.
	process    agent.ProcessState
	processErr error
	// applied: the agent said so. acted: it is evident that a server was hit.
	applied, acted bool
}

func (a *serverAction) Before(ctx context.Context) {
	a.process, a.processErr = a.state(ctx)
}

func (a *serverAction) Apply(ctx context.Context) error {
	err := a.agentAction.Apply(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.applied = err == nil && ctx.Err() == nil // an answer that nobody waited for is none
	return err
}

func (a *serverAction) Doubts() []string {
	doubts := a.doubts()
	a.acted = len(doubts) == 0 || a.Lost()
	return doubts
}

func (a *serverAction) doubts() []string {
	node := a.machine.Node().Name
	switch {
	case a.processErr != nil:
		return []string{node + ": " + oneLine(a.processErr)}
	case a.process.State != agent.Running:
		return []string{fmt.Sprintf("%s: the server did not run before the fault (%s)", node, a.process.State)}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost != "" {
		return []string{lostDoubt(a.Effect(), a.lost)}
	}
	if !a.seen.Confirmed && a.seen.Summary == "" {
		return []string{node + ": nothing shows that it acted"}
	}
	return doubtsOf(a.Effect(), a.seen, a.missed)
}

// endedError is that a server was started again and has ended. The fault is undone: that
// the server does not run is the system's affair.
type endedError struct{ err error }

func (e *endedError) Error() string { return e.err.Error() }

func (a *serverAction) Recovered(ctx context.Context) (history.Evidence, error) {
	seen, left := a.agentAction.Recovered(ctx)
	seen.Confirmed = false // until the server is seen to run
	now, err := a.state(ctx)
	if left == nil && err == nil && now.State != agent.Running {
		left = fmt.Errorf("the server is not running but %s", now.State)
	}
	switch {
	// Recovered comes after an Undo that the agent answered: it has started the server.
	case left != nil && err == nil && now.State == agent.Exited && a.restarts && !a.UndoAgain():
		return seen, &endedError{left}
	case left != nil:
		return seen, left
	}
	if err != nil {
		return seen, err
	}
	same := now.PID == a.process.PID && now.Started == a.process.Started
	if a.acted && same == a.restarts {
		if same {
			return seen, fmt.Errorf("the server still has process id %d: it was never restarted", now.PID)
		}
		return seen, fmt.Errorf("the server has process id %d instead of %d: it did not live through the fault", now.PID, a.process.PID)
	}
	seen.Confirmed = true
	seen.Summary = fmt.Sprintf("server running with process id %d", now.PID)
	if a.acted && a.restarts {
		seen.Summary += fmt.Sprintf(", before the fault %d", a.process.PID)
	}
	return seen, nil
}

// UndoAgain: a server that was started again and is not there is only waited for.
// Starting it over and over would hide that it crashes.
func (a *serverAction) UndoAgain() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.applied
}

// state asks for the state of the server.
func (a *serverAction) state(ctx context.Context) (agent.ProcessState, error) {
	name := a.name
	state, err := bounded(ctx, a.cluster.patient(stateTime), func(ctx context.Context) (agent.ProcessState, error) {
		return a.machine.ProcessState(ctx, name)
	})
	if err != nil {
		return state, fmt.Errorf("read the state of %s: %w", name, err)
	}
	return state, nil
}
