package etcd

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"nemesis/clients"
	"nemesis/clients/gobuild"
	"nemesis/history"
	"nemesis/nodes"
	"nemesis/nodes/agent"
)

// deployment is one cluster of etcd members.
type deployment struct {
	binary  string // on the control node
	arch    string // what binary was made for
	work    history.Workload
	cluster cluster
	// patience is how long to wait for an answer.
	patience time.Duration
	members  map[string]*member
	leaders  leaders
}

// member is one node with its agent and our own connection to its server, apart
// from those of the workload's clients.
type member struct {
	node  nodes.Node
	agent *agent.Client
	admin *clientv3.Client
}

var _ clients.Deployment = (*deployment)(nil)

func newDeployment(binary string, o options, plan history.Plan, machines []*agent.Client) (*deployment, error) {
	arch, err := archOf(binary)
	if err != nil {
		return nil, fmt.Errorf("deploy etcd: %w", err)
	}
	d := &deployment{
		binary:   binary,
		arch:     arch,
		work:     plan.Workload,
		patience: plan.Patience(time.Second),
		cluster:  cluster{token: fmt.Sprintf("nemesis-%d", plan.Seed), options: o},
		members:  map[string]*member{},
	}
	for _, m := range machines {
		d.cluster.members = append(d.cluster.members, m.Node())
	}
	if err := d.cluster.check(); err != nil {
		return nil, err
	}
	for _, m := range machines {
		node := m.Node()
		admin, err := connect(node.Address)
		if err != nil {
			d.Close()
			return nil, fmt.Errorf("deploy etcd: make a client for %s: %w", node.Name, err)
		}
		d.members[node.Name] = &member{node: node, agent: m, admin: admin}
	}
	return d, nil
}

func (d *deployment) member(node string) (*member, error) {
	m, ok := d.members[node]
	if !ok {
		return nil, fmt.Errorf("find etcd member %q: there is no such node in the cluster", node)
	}
	return m, nil
}

// Install stops a server that an earlier run left, and puts the executable on the
// node. It begins a new log.
func (d *deployment) Install(ctx context.Context, node string) error {
	m, err := d.member(node)
	if err != nil {
		return err
	}
	if f := m.agent.Facts(); f.OS != gobuild.TargetOS || f.Arch != d.arch {
		return fmt.Errorf("install etcd on %s: the executable is for %s/%s and the node is %s/%s; give one for the node with --binary",
			node, gobuild.TargetOS, d.arch, f.OS, f.Arch)
	}
	if err := m.install(ctx, d.binary); err != nil {
		return fmt.Errorf("install etcd on %s: %w", node, err)
	}
	return nil
}

func (m *member) install(ctx context.Context, binary string) error {
	state, err := m.agent.ProcessState(ctx, processName)
	if err != nil {
		return err
	}
	if lives(state) { // its data is about to go, so it need not end well
		if _, err := m.agent.StopProcess(ctx, processName, 500*time.Millisecond); err != nil {
			return err
		}
	}
	if err := m.agent.MakeDir(ctx, home); err != nil {
		return err
	}
	if err := m.agent.RemoveAll(ctx, logFile); err != nil {
		return err
	}
	return m.agent.Upload(ctx, binary, executable, 0o755)
}

func lives(s agent.ProcessState) bool { return s.State == "running" || s.State == "paused" }

// Wipe removes the member's data. It refuses while the server runs, which would
// go on with files that nobody sees any more.
func (d *deployment) Wipe(ctx context.Context, node string) error {
	m, err := d.member(node)
	if err != nil {
		return err
	}
	state, err := m.agent.ProcessState(ctx, processName)
	if err == nil && lives(state) {
		err = errors.New("the server still runs; stop it first")
	}
	if err == nil {
		err = m.agent.RemoveAll(ctx, dataDir)
	}
	if err != nil {
		return fmt.Errorf("wipe etcd on %s: %w", node, err)
	}
	return nil
}

func (d *deployment) Start(ctx context.Context, node string) error {
	m, err := d.member(node)
	if err != nil {
		return err
	}
	if _, err := m.agent.StartProcess(ctx, d.cluster.process(m.node, m.agent.Dir())); err != nil {
		return fmt.Errorf("start etcd on %s: %w", node, err)
	}
	return nil
}

// Ready returns when every member answers a linearizable read. The first member
// known not to ends the wait: one that has exited does not come back by waiting
// for the others.
func (d *deployment) Ready(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error, len(d.members))
	for node := range d.members {
		go func() { answers <- d.Healthy(ctx, node) }()
	}
	for range d.members {
		if err := <-answers; err != nil {
			return err
		}
	}
	return nil
}

// Healthy returns when the member answers a linearizable read. It gives up when
// the server has exited, or when the context ends.
func (d *deployment) Healthy(ctx context.Context, node string) error {
	m, err := d.member(node)
	if err != nil {
		return err
	}
	for {
		err := m.probe(ctx, d.patience)
		if err == nil {
			return nil
		}
		state, stateErr := m.agent.ProcessState(ctx, processName)
		if stateErr == nil && !lives(state) {
			return m.gone(ctx, state)
		}
		select {
		case <-ctx.Done():
			return m.silent(ctx, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// probe makes one linearizable read.
func (m *member) probe(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := m.admin.Get(ctx, "nemesis/health", clientv3.WithCountOnly())
	return err
}

// gone describes a server that does not run.
func (m *member) gone(ctx context.Context, state agent.ProcessState) error {
	how := fmt.Sprintf("exited with status %d", state.Code)
	if state.Signal != "" {
		how = "was ended by " + state.Signal
	} else if state.State == "absent" {
		how = "was never started"
	}
	return fmt.Errorf("reach etcd on %s: the server %s%s", m.node.Name, how, m.logEnd(ctx))
}

// silent describes a server that runs and does not answer.
func (m *member) silent(ctx context.Context, err error) error {
	return fmt.Errorf("reach etcd on %s: the server runs and does not answer reads (%s)%s", m.node.Name, brief(err), m.logEnd(ctx))
}

// logEnd quotes the end of the server's log, as a clause; "" when it cannot be had.
func (m *member) logEnd(ctx context.Context) string {
	// The caller's time may be up, and what the server said last is worth two seconds.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	end := tail{most: 16 << 10}
	if err := m.agent.Download(ctx, logFile, &end); err != nil {
		return ""
	}
	words := lastWords(end.content)
	if words == "" {
		return "; its log is empty"
	}
	return fmt.Sprintf("; its log says: %s", words)
}

func (d *deployment) Process(string) string { return processName }

func (d *deployment) Port() uint16 { return peerPort }

// ClientPort is the port that clients use from here.
func (d *deployment) ClientPort() uint16 { return clientPort }

func (d *deployment) LogFiles(node string) map[string]string {
	m, err := d.member(node)
	if err != nil {
		return nil
	}
	return map[string]string{"etcd.log": path.Join(m.agent.Dir(), logFile)}
}

func (d *deployment) Open(_ context.Context, node string) (clients.Client, error) {
	m, err := d.member(node)
	if err != nil {
		return nil, err
	}
	c, err := newClientFor(d.work, m.node.Address, d.cluster.options)
	if err != nil {
		return nil, fmt.Errorf("open a client of etcd on %s: %w", node, err)
	}
	return c, nil
}

// Close ends our own connections. The servers are the agents'.
func (d *deployment) Close() error {
	var errs []error
	for _, m := range d.members {
		errs = append(errs, m.admin.Close())
	}
	return errors.Join(errs...)
}
