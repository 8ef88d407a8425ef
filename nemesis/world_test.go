package nemesis

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"nemesis/history"
	"nemesis/nemesis/effects"
	"nemesis/nodes"
	"nemesis/nodes/agent"
	"nemesis/nodes/hostile"
)

// world is a cluster that exists only in these tests: packet filters that are lists,
// servers that are process ids, agents that can be told to misbehave. Its time is
// that of a synctest bubble, so seconds pass in no time.
type world struct {
	mu     sync.Mutex
	began  time.Time
	agents []*fakeAgent
	events []history.Event
	leader func() (string, error)
	// roles are who plays the other roles.
	roles map[string]string
	// voters are the nodes whose servers are members of the cluster.
	voters []string
	pids   int
}

// fakeAgent is one node of a world.
type fakeAgent struct {
	*world
	node    nodes.Node
	filters []*effects.Drop // in force
	dropped map[string]int  // packets, by filter
	server  agent.ProcessState
	changed map[string]agent.Effect // clocks and packets, by kind and ID
	calls   []string

	// trouble, when set, is asked before each call; its error is the answer, and it
	// may take its time.
	trouble func(ctx context.Context, call string) error
	// lost, when set, is closed when the agent is.
	lost chan struct{}
	// numb: effects are accepted but do nothing.
	numb bool
	// refuses: effects cannot be applied, and nothing of them is in force.
	refuses bool
	// denies: probes say that nothing of an effect acts, although it does.
	denies bool
	// swept: somebody has undone whatever was in force here.
	swept bool
	// stillborn: servers end as soon as they are started.
	stillborn bool
	// cannot is what Facts tells of a node of no world.
	cannot map[string]string
	// boot is the boot that the agent was started in.
	boot string
}

func newWorld(n int) *world {
	w := &world{began: time.Now(), pids: 100, voters: named(n)}
	for i, name := range named(n) {
		w.pids++
		w.agents = append(w.agents, &fakeAgent{
			world: w, dropped: map[string]int{}, changed: map[string]agent.Effect{},
			node: nodes.Node{
				Name: name, Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}),
				Others: []netip.Addr{netip.MustParseAddr(fmt.Sprintf("fd00::%d", i+1))},
			},
			server: agent.ProcessState{Name: "db", PID: w.pids, State: agent.Running, Started: 1},
		})
	}
	w.leader = func() (string, error) { return "n2", nil }
	return w
}

func (w *world) now() int64 { return int64(time.Since(w.began)) }

// silentSender says that it has sent whatever it was to, and sends nothing.
type silentSender struct{ hostile.Input }

func (silentSender) Run(ctx context.Context) { <-ctx.Done() }

func (s silentSender) Counts() hostile.Counts {
	return hostile.Counts{Reached: len(s.Targets), Inputs: 1000, MostIdle: int64(s.Idle)}
}

func (w *world) injector() *Injector {
	config := Config{
		Role: func(_ context.Context, role string) (string, error) {
			if role == "leader" {
				return w.leader()
			}
			return w.roles[role], nil
		},
		Servers:  func(string, string) []string { return []string{"db"} },
		Ports:    func(string, string) []uint16 { return []uint16{2379} },
		Sender:   func(input hostile.Input) InputSender { return silentSender{input} },
		PeerPort: 2380,
		Now:      w.now,
		Join: func(node string, _ int) (*effects.Member, error) {
			return &effects.Member{Process: "db", Address: node}, nil
		},
		Voters: func(context.Context) ([]string, error) { return w.voters, nil },
		Record: func(e history.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
	for _, a := range w.agents {
		config.Machines = append(config.Machines, a)
	}
	return New(config)
}

// broken lists what is not as it was in the beginning; nil for a whole world.
func (w *world) broken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var broken []string
	for _, a := range w.agents {
		for _, f := range a.filters {
			broken = append(broken, a.node.Name+" filters "+f.ID)
		}
		for key := range a.changed {
			broken = append(broken, a.node.Name+" has "+key)
		}
		if a.server.State != agent.Running {
			broken = append(broken, a.node.Name+" server "+a.server.State)
		}
	}
	return broken
}

// stages are the recorded stages of one fault.
func (w *world) stages(id int) map[history.Stage]*history.Fault {
	stages := map[history.Stage]*history.Fault{}
	for _, e := range w.events {
		if e.Fault != nil && e.Fault.ID == id {
			stages[e.Fault.Stage] = e.Fault
		}
	}
	return stages
}

// at is the moment a stage was recorded, rounded to whole hundredths of a second.
func (w *world) at(stage history.Stage) time.Duration {
	for _, e := range w.events {
		if e.Fault != nil && e.Fault.Stage == stage {
			return time.Duration(e.Time).Truncate(10 * time.Millisecond)
		}
	}
	return -1
}

// enter takes one millisecond, notes the call and asks for trouble.
func (a *fakeAgent) enter(ctx context.Context, call string) error {
	a.mu.Lock()
	a.calls = append(a.calls, call)
	trouble := a.trouble
	a.mu.Unlock()
	time.Sleep(time.Millisecond)
	if trouble != nil {
		if err := trouble(ctx, call); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (a *fakeAgent) Apply(ctx context.Context, e agent.Effect) error {
	if err := a.enter(ctx, "apply"); err != nil {
		return err
	}
	if a.refuses {
		return &agent.RemoteError{Text: "it cannot be done"}
	}
	a.put(e)
	return nil
}

// put is what an effect does, once it gets through.
func (a *fakeAgent) put(e agent.Effect) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.numb {
		return
	}
	switch e := e.(type) {
	case *effects.Drop:
		if !slices.ContainsFunc(a.filters, func(f *effects.Drop) bool { return f.ID == e.ID }) {
			a.filters = append(a.filters, e)
			a.dropped[e.ID] = 0
		}
	case *effects.Pause:
		a.server.State = agent.Paused
	case *effects.Kill, *effects.Stop, *effects.PowerLoss:
		a.server.State = agent.Exited
	default:
		a.changed[clockKey(e)] = e
	}
}

func (a *fakeAgent) Undo(ctx context.Context, e agent.Effect) error {
	if err := a.enter(ctx, "undo"); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.take(e)
	return nil
}

// clockKey tells the effects on a node's clocks and packets apart.
func clockKey(e agent.Effect) string {
	switch e := e.(type) {
	case *effects.Shadow:
		return e.Kind() + " " + e.ID
	case *effects.Netem:
		return e.Kind() + " " + e.ID
	case *effects.Switch:
		return e.Kind() + " " + e.ID
	case *effects.Machine:
		return e.Kind() + " " + e.ID
	}
	return e.Kind()
}

func (a *fakeAgent) take(e agent.Effect) {
	switch e := e.(type) {
	case *effects.Drop:
		a.filters = slices.DeleteFunc(a.filters, func(f *effects.Drop) bool { return f.ID == e.ID })
	case *effects.Pause:
		if a.server.State == agent.Paused {
			a.server.State = agent.Running
		}
	case *effects.Kill, *effects.Stop, *effects.PowerLoss:
		if a.server.State == agent.Exited && !a.stillborn {
			a.pids++
			a.server.PID, a.server.State = a.pids, agent.Running
		}
	default:
		delete(a.changed, clockKey(e))
	}
}

func (a *fakeAgent) Probe(ctx context.Context, e agent.Effect) (seen history.Evidence, err error) {
	if err := a.enter(ctx, "probe"); err != nil {
		return history.Evidence{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() { seen.NotInForce = a.refuses }()
	undone := a.refuses || lastOf(a.calls, "undo") > lastOf(a.calls, "apply")
	if a.denies && !undone {
		return history.Evidence{Summary: "nothing of it acts"}, nil
	}
	if a.swept && !undone {
		return history.Evidence{Undone: true, Summary: "it is gone"}, nil
	}
	switch e := e.(type) {
	case *effects.Drop:
		there := slices.ContainsFunc(a.filters, func(f *effects.Drop) bool { return f.ID == e.ID })
		if undone {
			return history.Evidence{Confirmed: !there, Summary: "no filter"}, nil
		}
		if there {
			a.dropped[e.ID]++ // the servers keep trying, too
		}
		n := a.dropped[e.ID]
		return history.Evidence{
			Confirmed: there && n > 0, Summary: fmt.Sprintf("%d packets dropped", n),
			Measures: []history.Measure{{Name: "dropped", Value: float64(n), Unit: "packets"}},
		}, nil
	case *effects.Netem:
		return a.emulated(e, undone), nil
	case *effects.Switch:
		return a.switched(e, undone), nil
	case *effects.Pause:
		return history.Evidence{Confirmed: (a.server.State == agent.Paused) != undone, Summary: "server " + a.server.State}, nil
	case *effects.Kill, *effects.Stop, *effects.PowerLoss:
		return history.Evidence{Confirmed: (a.server.State == agent.Exited) != undone, Summary: "server " + a.server.State}, nil
	}
	_, changed := a.changed[clockKey(e)]
	return history.Evidence{Confirmed: changed != undone, Summary: fmt.Sprintf("%s changed: %v", e.Kind(), changed)}, nil
}

func lastOf(calls []string, call string) int {
	for i := len(calls) - 1; i >= 0; i-- {
		if calls[i] == call {
			return i
		}
	}
	return -1
}

func (a *fakeAgent) Lost() <-chan struct{} { return a.lost }

func (a *fakeAgent) Node() nodes.Node { return a.node }

func (a *fakeAgent) Facts() agent.Facts {
	if a.world == nil { // of no world, it is but a node
		return agent.Facts{Cannot: a.cannot}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return agent.Facts{BootID: a.boot}
}

// ProbeTCP connects through every filter of the world.
func (a *fakeAgent) ProbeTCP(ctx context.Context, to netip.AddrPort, timeout time.Duration) (agent.Connection, error) {
	if err := a.enter(ctx, "connect"); err != nil {
		return agent.Connection{}, err
	}
	a.mu.Lock()
	far := a.agents[slices.IndexFunc(a.agents, func(b *fakeAgent) bool { return slices.Contains(b.node.Addresses(), to.Addr()) })]
	blocked := false
	drop := func(at *fakeAgent, peer nodes.Node, is func(*effects.Drop) bool) {
		for _, f := range at.filters {
			if is(f) && slices.Contains(f.Peers, peer.Address) {
				at.dropped[f.ID]++
				blocked = true
			}
		}
	}
	in, out := func(f *effects.Drop) bool { return f.In }, func(f *effects.Drop) bool { return f.Out }
	drop(a, far.node, out)
	drop(far, a.node, in)
	drop(far, a.node, out)
	drop(a, far.node, in)
	a.mu.Unlock()
	if blocked {
		select {
		case <-time.After(timeout):
		case <-ctx.Done():
			return agent.Connection{}, ctx.Err()
		}
		return agent.Connection{Took: int64(timeout), Err: "i/o timeout"}, nil
	}
	if to.Addr().Is6() { // nobody listens there
		return agent.Connection{Took: 1000, Refused: true, Err: "connect: connection refused"}, nil
	}
	return agent.Connection{OK: true, Took: 1000}, nil
}

func (a *fakeAgent) ProcessState(ctx context.Context, name string) (agent.ProcessState, error) {
	if err := a.enter(ctx, "state"); err != nil {
		return agent.ProcessState{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.server, nil
}

func (a *fakeAgent) HealAll(ctx context.Context) ([]string, error) {
	if err := a.enter(ctx, "heal all"); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var healed []string
	for _, f := range slices.Clone(a.filters) {
		a.take(f)
		healed = append(healed, "net.drop "+f.ID)
	}
	for key := range a.changed {
		delete(a.changed, key)
		healed = append(healed, key)
	}
	if a.server.State != agent.Running {
		a.take(&effects.Pause{})
		a.take(&effects.Kill{})
		healed = append(healed, "proc")
	}
	return healed, nil
}

// behave ends all misbehaviour, and waits until every call that still hangs has come
// back: a bubble must not end before its goroutines.
func (w *world) behave() {
	for _, a := range w.agents {
		a.mu.Lock()
		a.trouble, a.stillborn = nil, false
		a.mu.Unlock()
	}
	time.Sleep(2 * time.Hour)
}

// Ways for an agent to misbehave, each in some calls only.

func failing(calls ...string) func(context.Context, string) error {
	return func(_ context.Context, call string) error {
		if slices.Contains(calls, call) {
			return errors.New("operation not permitted")
		}
		return nil
	}
}

func hanging(calls ...string) func(context.Context, string) error {
	return func(ctx context.Context, call string) error {
		if slices.Contains(calls, call) {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
}

// deaf hangs like a machine that went away: it does not even mind its context.
func deaf(calls ...string) func(context.Context, string) error {
	return func(ctx context.Context, call string) error {
		if slices.Contains(calls, call) {
			time.Sleep(time.Hour)
			return errors.New("too late")
		}
		return nil
	}
}

// slow takes a while over some calls.
func slow(by time.Duration, calls ...string) func(context.Context, string) error {
	return func(ctx context.Context, call string) error {
		if slices.Contains(calls, call) {
			time.Sleep(by)
		}
		return nil
	}
}

// first misbehaves only in the first n calls of a kind.
func first(n int, trouble func(context.Context, string) error, of string) func(context.Context, string) error {
	var mu sync.Mutex
	return func(ctx context.Context, call string) error {
		mu.Lock()
		mine := call == of && n > 0
		if mine {
			n--
		}
		mu.Unlock()
		if mine {
			return trouble(ctx, call)
		}
		return nil
	}
}

func TestTheWorldIsWholeAtFirst(t *testing.T) {
	if broken := newWorld(3).broken(); broken != nil {
		t.Error(broken)
	}
}
